// The services of a benchmark and who runs them: perdure, the bare parent and the peers that are installed, all alike.
//
// A Fleet is the services and the file in which they stamp what happens to them; a Contender is a program that runs one, with its
// configuration written below the fleet's directory; a Running is a contender at work, stopped by its destructor. Services are
// signalled only when the process is seen to be one of the fleet's. A peer that is not installed is left out.
// Left out: perdure's own ways (perdure.hpp). One thread. What cannot go on throws std::runtime_error.
//
//     bench::Fleet fleet{{.services = 50}};
//     for (const bench::Contender& contender : bench::contenders(fleet)) {
//       bench::Running running{contender, fleet};
//       running.wait_started();
//     }
#pragma once

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../measure.hpp"
#include "../processes.hpp"
#include "stamps.hpp"

namespace bench {

/// Longest wait for a whole fleet to start or stop; the slowest peer needs a tenth of a second for each service.
inline constexpr int fleet_limit_ms = 180'000;

inline void write_file(const std::string& path, const std::string& text, bool executable = false) {
  std::ofstream file{path};
  file << text;
  file.close();
  if (!file) fail("write " + path);
  if (executable && ::chmod(path.c_str(), 0755) != 0) fail("make executable: " + path);
}

inline void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw std::runtime_error(fmt::format("cannot make {}: {}", path, error.message()));
}

/// The path of an installed program.
inline std::optional<std::string> installed(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream places{path == nullptr ? "/usr/bin:/bin" : path};
  for (std::string place; std::getline(places, place, ':');) {
    if (::access((place + "/" + name).c_str(), X_OK) == 0) return place + "/" + name;
  }
  return std::nullopt;
}

// ---- services ----------------------------------------------------------------------------------------------------------------

struct FleetOptions {
  std::size_t services = 0;
  std::size_t dying = 0;  ///< the last of them end by themselves,
  int dies_after_ms = 10;
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options) : options_(options) {
    const perdure::UniqueFd file{::open(stamps_path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)};
    const auto size = options_.services * sizeof(Slot);
    if (!file || ::fchmod(file.get(), 0666) != 0 || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
      fail("make " + stamps_path());
    void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) fail("map " + stamps_path());
    slots_ = static_cast<volatile Slot*>(mapped);
    forget();
  }
  ~Fleet() { (void)::munmap(const_cast<Slot*>(slots_), options_.services * sizeof(Slot)); }
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return options_.services; }
  [[nodiscard]] const FleetOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::string stamps_path() const { return directory_ / "stamps"; }
  /// A directory of this fleet with that name.
  [[nodiscard]] std::string place(std::string_view name) const {
    make_directories(directory_ / name);
    return directory_ / name;
  }
  [[nodiscard]] static std::string name_of(std::size_t i) { return fmt::format("s{:04}", i); }
  [[nodiscard]] static std::string program() { return sibling("service"); }
  /// The argument of service `i`'s program; `ready` is "+FD" if it shall say on that descriptor that it is ready.
  [[nodiscard]] std::string word_of(std::size_t i, std::string_view ready = "") const {
    const bool dies = i >= options_.services - options_.dying;
    return fmt::format("{}{}{}:{}", i, dies ? fmt::format(",{}", options_.dies_after_ms) : "", ready, stamps_path());
  }

  [[nodiscard]] std::uint64_t births(std::size_t i) const noexcept { return slots_[i].births; }
  /// Life `n` of service `i`, counted from 0. Requires: it is one of the last lives_kept.
  [[nodiscard]] Life life(std::size_t i, std::uint64_t n) const noexcept {
    const volatile Life& life = slots_[i].lives[n % lives_kept];
    return {.born_ns = life.born_ns, .died_ns = life.died_ns, .pid = life.pid, .unused = 0};
  }
  [[nodiscard]] Life last(std::size_t i) const noexcept { return life(i, births(i) - 1); }
  [[nodiscard]] std::size_t started() const noexcept {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size(); ++i) count += births(i) > 0 ? 1 : 0;
    return count;
  }
  [[nodiscard]] std::uint64_t all_births() const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < size(); ++i) sum += births(i);
    return sum;
  }
  [[nodiscard]] std::int64_t last_born_ns() const noexcept {
    std::int64_t latest = 0;
    for (std::size_t i = 0; i < size(); ++i) latest = std::max(latest, last(i).born_ns);
    return latest;
  }
  [[nodiscard]] std::int64_t last_died_ns() const noexcept {
    std::int64_t latest = 0;
    for (std::size_t i = 0; i < size(); ++i) latest = std::max(latest, last(i).died_ns);
    return latest;
  }
  [[nodiscard]] std::set<pid_t> pids() const {
    std::set<pid_t> all;
    for (std::size_t i = 0; i < size(); ++i) {
      if (births(i) > 0) all.insert(last(i).pid);
    }
    return all;
  }
  /// Whether that process is one of this fleet's services.
  [[nodiscard]] bool owns(pid_t pid) const {
    return pid > 1 && read_all(fmt::format("/proc/{}/cmdline", pid)).find(":" + stamps_path()) != std::string::npos;
  }
  /// Service `i`'s process, looked at after it was opened, so that it cannot be another one.
  [[nodiscard]] Target process_of(std::size_t i) const {
    const pid_t pid = last(i).pid;
    if (pid <= 1) throw std::runtime_error(fmt::format("service {} has no process", name_of(i)));
    Target target{pid};
    if (!owns(pid)) throw std::runtime_error(fmt::format("process {} is not service {}", pid, name_of(i)));
    return target;
  }
  /// Nothing was ever started; its pages are in memory.
  void forget() noexcept {
    for (std::size_t i = 0; i < size(); ++i) {
      slots_[i].births = 0;
      for (volatile Life& life : slots_[i].lives) life.pid = 0;
    }
  }

 private:
  FleetOptions options_;
  Directory directory_{memory_base()};
  volatile Slot* slots_ = nullptr;
};

// ---- who runs them -------------------------------------------------------------------------------------------------------------

/// A program that runs a fleet in the foreground until it is told to stop.
struct Contender {
  std::string name;
  Program program;
  int stop_signal = SIGTERM;
  std::vector<std::string> query{};  ///< a command that asks for the state of the first service
  bool heavy = false;                ///< so slow that few rounds must do
};

inline Contender bare(const Fleet& fleet) {
  std::vector<std::string> command{sibling("bare"), Fleet::program(), fleet.stamps_path(), std::to_string(fleet.size())};
  if (fleet.options().dying > 0) {
    command.push_back(std::to_string(fleet.options().dying));
    command.push_back(std::to_string(fleet.options().dies_after_ms));
  }
  return {.name = "bare", .program = {command}};
}

/// A service's directory for s6 and runit, with the program to run. The kernel reads the script's only line.
inline void write_run_script(const std::string& service, const std::string& word) {
  make_directories(service);
  write_file(service + "/run", fmt::format("#!{} {}\n", Fleet::program(), word), true);
}

inline std::optional<Contender> s6(const Fleet& fleet) {
  const auto scanner = installed("s6-svscan"), status = installed("s6-svstat");
  if (!scanner || !status) return std::nullopt;
  const std::string scan = fleet.place("s6");
  for (std::size_t i = 0; i < fleet.size(); ++i) {
    const std::string service = scan + "/" + Fleet::name_of(i);
    write_run_script(service, fleet.word_of(i, "+3"));
    write_file(service + "/notification-fd", "3\n");  // what never was ready is restarted a second later
  }
  return Contender{.name = "s6",
                   .program = {{*scanner, "-c", std::to_string(fleet.size() + 10), scan}},
                   .query = {*status, scan + "/" + Fleet::name_of(0)}};
}

inline std::optional<Contender> runit(const Fleet& fleet) {
  const auto scanner = installed("runsvdir"), status = installed("sv");
  if (!scanner || !status) return std::nullopt;
  const std::string scan = fleet.place("runit");
  for (std::size_t i = 0; i < fleet.size(); ++i) write_run_script(scan + "/" + Fleet::name_of(i), fleet.word_of(i));
  return Contender{.name = "runit",
                   .program = {{*scanner, scan}},
                   .stop_signal = SIGHUP,  // TERM would leave the services to somebody else
                   .query = {*status, "status", scan + "/" + Fleet::name_of(0)}};
}

inline std::optional<Contender> dinit(const Fleet& fleet) {
  const auto server = installed("dinit"), client = installed("dinitctl");
  if (!server || !client) return std::nullopt;
  const std::string services = fleet.place("dinit");
  std::string boot = "type = internal\n";
  for (std::size_t i = 0; i < fleet.size(); ++i) {
    boot += fmt::format("waits-for = {}\n", Fleet::name_of(i));
    write_file(fmt::format("{}/{}", services, Fleet::name_of(i)),
               fmt::format("type = process\ncommand = {} {}\nrestart = true\nrestart-delay = 0\nrestart-limit-count = 0\n",
                           Fleet::program(), fleet.word_of(i)));
  }
  write_file(services + "/boot", boot);
  const std::string socket = fleet.place("dinit-run") + "/control";
  return Contender{.name = "dinit",
                   .program = {{*server, "-u", "-q", "-d", services, "-p", socket, "boot"}},
                   .query = {*client, "-p", socket, "status", Fleet::name_of(0)}};
}

inline std::optional<Contender> supervisord(const Fleet& fleet) {
  const auto server = installed("supervisord"), client = installed("supervisorctl");
  if (!server || !client) return std::nullopt;
  const std::string place = fleet.place("supervisord");
  std::string text = fmt::format(
      "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={0}/pid\nminfds={1}\nchildlogdir={0}\n"
      "[unix_http_server]\nfile={0}/socket\n"
      "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
      "[supervisorctl]\nserverurl=unix://{0}/socket\n",
      place, fleet.size() * 4 + 100);
  for (std::size_t i = 0; i < fleet.size(); ++i) {
    text += fmt::format(
        "[program:{}]\ncommand={} {}\nautorestart=true\nstartsecs=0\nredirect_stderr=true\n"
        "stdout_logfile=/dev/null\nstdout_logfile_maxbytes=0\n",  // it sees an end by its pipe; without one it looks once a second
        Fleet::name_of(i), Fleet::program(), fleet.word_of(i));
  }
  write_file(place + "/conf", text);
  return Contender{.name = "supervisord",
                   .program = {{*server, "-n", "-c", place + "/conf"}},
                   .query = {*client, "-c", place + "/conf", "status", Fleet::name_of(0)},
                   .heavy = true};
}

inline std::vector<Contender> peers(const Fleet& fleet) {
  std::vector<Contender> found;
  for (const auto& write : {dinit, s6, runit, supervisord}) {
    if (auto peer = write(fleet)) found.push_back(std::move(*peer));
  }
  return found;
}

// ---- at work -----------------------------------------------------------------------------------------------------------------

/// Each live process and its parent.
inline std::map<pid_t, pid_t> parents() {
  std::map<pid_t, pid_t> all;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = read_all("/proc/" + name + "/stat");
    const auto after_name = stat.rfind(')');
    if (after_name == std::string::npos) continue;
    std::istringstream rest{stat.substr(after_name + 1)};
    char state = 0;
    pid_t parent = 0;
    rest >> state >> parent;
    if (state != 'Z' && state != 'X') all.emplace(static_cast<pid_t>(std::stol(name)), parent);
  }
  return all;
}

class Running {
 public:
  /// Starts it. The fleet's stamps begin anew.
  Running(const Contender& contender, Fleet& fleet)
      : contender_(contender), fleet_(fleet), began_ns_((fleet.forget(), now_ns())), process_(spawn(contender_.program)) {}
  ~Running() {
    try {
      if (!ended_) stop();
    } catch (const std::exception&) {
      // guarded() kills what is left.
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  [[nodiscard]] const Contender& contender() const noexcept { return contender_; }
  [[nodiscard]] Fleet& fleet() const noexcept { return fleet_; }
  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

  /// Returns when every service was born: after how long the last one was.
  std::int64_t wait_started() const {
    wait_until("start all services", [&] { return fleet_.started() == fleet_.size(); });
    return fleet_.last_born_ns() - began_ns_;
  }

  struct Stopped {
    std::int64_t last_service_ns;  ///< until the last service ended
    std::int64_t supervisor_ns;    ///< until the supervisor did
  };
  /// Stops the supervisor and with it the services.
  Stopped stop() {
    ended_ = true;
    const std::int64_t begin = now_ns();
    process_.signal(contender_.stop_signal);
    pollfd end{.fd = -1, .events = POLLIN, .revents = 0};
    const perdure::UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, process_.pid(), 0))};
    end.fd = pidfd.get();
    if (::poll(&end, 1, fleet_limit_ms) != 1) throw std::runtime_error(contender_.name + " does not end");
    const std::int64_t supervisor_ns = now_ns() - begin;
    (void)process_.wait();
    wait_until("stop all services", [&] { return all_died(); });
    return {fleet_.last_died_ns() - begin, supervisor_ns};
  }

  /// Ends everything at once, the supervisor first so that it starts nothing again. What it made in files stays.
  void kill() {
    ended_ = true;
    std::vector<Target> targets;
    for (const pid_t pid : own_processes()) targets.emplace_back(pid);
    const std::vector<pid_t> still_own = own_processes();  // seen after they were opened: not somebody else's by now
    for (const Target& target : targets) {
      if (std::find(still_own.begin(), still_own.end(), target.pid()) != still_own.end()) target.signal(SIGKILL);
    }
    (void)process_.wait();
    for (std::size_t i = 0; i < fleet_.size(); ++i) {
      if (fleet_.births(i) > 0 && fleet_.owns(fleet_.last(i).pid)) fleet_.process_of(i).signal(SIGKILL);
    }
    wait_until("end", [&] { return all_died(); });
  }

  /// The processes of the supervisor itself: its descendants without the services.
  [[nodiscard]] std::vector<pid_t> own_processes() const {
    const std::map<pid_t, pid_t> tree = parents();
    const std::set<pid_t> services = fleet_.pids();
    std::vector<pid_t> own{process_.pid()};
    for (const auto& [pid, parent] : tree) {
      if (services.count(pid) > 0) continue;
      pid_t ancestor = parent;
      while (ancestor > 1 && ancestor != process_.pid()) {
        const auto next = tree.find(ancestor);
        ancestor = next == tree.end() ? 0 : next->second;
      }
      if (ancestor == process_.pid()) own.push_back(pid);
    }
    return own;
  }

 private:
  [[nodiscard]] bool all_died() const {
    for (std::size_t i = 0; i < fleet_.size(); ++i) {
      if (fleet_.births(i) > 0 && fleet_.last(i).died_ns == 0 && fleet_.owns(fleet_.last(i).pid)) return false;
    }
    return true;
  }
  void wait_until(const std::string& attempt, const std::function<bool()>& is_so) const {
    constexpr int look_again_ms = 10;
    const std::int64_t limit = now_ns() + std::int64_t{fleet_limit_ms} * 1'000'000;
    while (!is_so()) {
      if (now_ns() > limit)
        throw std::runtime_error(
            fmt::format("{} does not {}: {} of {} were started", contender_.name, attempt, fleet_.started(), fleet_.size()));
      siginfo_t end{};
      if (!ended_ && ::waitid(P_PID, static_cast<id_t>(pid()), &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid != 0)
        throw std::runtime_error(fmt::format("{} ended instead of running: {}", contender_.name, last_words()));
      pause_ms(look_again_ms);
    }
  }
  /// The end of what it said on standard error.
  [[nodiscard]] std::string last_words() const {
    const std::string all = read_all(contender_.program.errors);
    constexpr std::size_t shown_max = 400;
    return all.empty() ? "it said nothing" : all.substr(all.size() - std::min(all.size(), shown_max));
  }

  const Contender& contender_;
  Fleet& fleet_;
  std::int64_t began_ns_;
  Target process_;
  bool ended_ = false;
};

/// Reaps what stopped supervisors left to us. Requires: no contender is at work.
inline void reap_strays() {
  constexpr int quiet_ms = 50;
  pause_ms(quiet_ms);
  siginfo_t ended{};
  while (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG) == 0 && ended.si_pid != 0) ended = {};
}

}  // namespace bench
