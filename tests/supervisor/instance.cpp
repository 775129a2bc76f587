#include "instance.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <system_error>

namespace supervisor_test {
namespace {

using nlohmann::json;
using perdure::testing::eventually;
using perdure::testing::read_file;
namespace fs = std::filesystem;

constexpr uid_t nobody = 65534;

std::map<pid_t, pid_t> parents() {
  std::map<pid_t, pid_t> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator{"/proc", error}) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size()) continue;
    const std::string stat = read_file(entry.path() / "stat").value_or("");
    const std::size_t end = stat.rfind(')');
    pid_t parent = 0;
    if (end != std::string::npos && end + 4 < stat.size())
      std::from_chars(stat.data() + end + 4, stat.data() + stat.size(), parent);
    found[pid] = parent;
  }
  return found;
}

bool descends(const std::map<pid_t, pid_t>& all, pid_t pid) {
  for (std::size_t steps = 0; steps < all.size(); ++steps) {
    const auto entry = all.find(pid);
    if (entry == all.end()) return false;
    pid = entry->second;
    if (pid == ::getpid()) return true;
  }
  return false;
}

std::string lines_of(const json& strings) {
  std::string lines;
  for (const json& line : strings) lines += line.get<std::string>() + '\n';
  return lines;
}

}  // namespace

std::vector<pid_t> descendants() {
  const auto all = parents();
  std::vector<pid_t> found;
  for (const auto& [pid, parent] : all) {
    if (descends(all, pid)) found.push_back(pid);
  }
  return found;
}

bool signal_descendant(pid_t pid, int number) {
  if (pid <= 1) return false;
  const perdure::UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  if (!pidfd || !descends(parents(), pid)) return false;  // looked at after it is held: the number cannot pass to a stranger
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) == 0;
}

void end_descendants() {
  (void)eventually([] {
    const auto left = descendants();
    // Stopped first, so that nobody starts another one, or takes the place of one that has been killed.
    for (const int number : {SIGSTOP, SIGKILL}) {
      for (const pid_t pid : left) signal_descendant(pid, number);
    }
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return left.empty();
  });
}

bool has_zombie_child(pid_t parent) {
  const std::string pid = std::to_string(parent);
  const std::string children = read_file("/proc/" + pid + "/task/" + pid + "/children").value_or("");
  for (std::size_t at = 0; at < children.size();) {
    const std::size_t end = std::min(children.find(' ', at), children.size());
    if (end > at && perdure::testing::proc_status(std::stoi(children.substr(at, end - at)), "State").starts_with("Z"))
      return true;
    at = end + 1;
  }
  return false;
}

bool has_nobody(const Instance& instance, const Service& service) {
  return TruthFile::open(instance.path("truth/" + service.name)).lock();
}

Instance::Instance(Owner owner, Parent parent, InstanceOptions options)
    : owner_(owner), parent_(parent), options_(std::move(options)) {
  perdure::testing::adopt_orphans();
  for (const char* name : {"units", "truth"}) fs::create_directory(dir_ / name);
  if (owner_ == Owner::Nobody) {
    for (const std::string& path : {dir_.path(), dir_ / "units", dir_ / "truth"}) {
      if (::chown(path.c_str(), nobody, nobody) != 0) throw std::system_error{errno, std::generic_category(), path};
    }
  }
}

Instance::~Instance() {
  client_.reset();
  end_descendants();
  process_.reset();
  former_.clear();
  static_cast<void>(leftovers());
}

Service& Instance::add(const std::string& name, const std::string& mode, const std::string& words,
                       const std::string& settings) {
  const std::string truth = dir_ / ("truth/" + name);
  const auto seed = static_cast<std::uint32_t>(services_.size() + 1);
  services_.push_back({name, seed, TruthFile::create(truth)});
  std::string text = "[Unit]\nStartLimitIntervalSec=0\n";
  const std::size_t unit_part = settings.find("[Service]\n");
  if (unit_part != std::string::npos) text += settings.substr(0, unit_part);
  text += "[Service]\nTimeoutStopSec=20\nExecStart=" SERVICE_PROBE " " + mode + ' ' + truth;
  if (mode == "log" || mode == "crash" || mode == "bytes") text += ' ' + std::to_string(seed);
  if (!words.empty()) text += ' ' + words;
  text += '\n' + (unit_part == std::string::npos ? settings : settings.substr(unit_part + 10));
  perdure::testing::write_file(dir_ / ("units/" + name), text);
  return services_.back();
}

Service& Instance::add_written(const std::string& name,
                               const std::function<std::string(const std::string&, const std::string&)>& write) {
  const std::string truth = dir_ / ("truth/" + name);
  const auto seed = static_cast<std::uint32_t>(services_.size() + 1);
  services_.push_back({name, seed, TruthFile::create(truth)});
  add_unit(name, write(truth, std::to_string(seed)));
  return services_.back();
}

void Instance::add_unit(const std::string& name, const std::string& text) {
  perdure::testing::write_file(dir_ / ("units/" + name), text);
}

void Instance::restart() {
  client_.reset();
  former_.push_back(std::move(process_));
  start();
}

/// Named hierarchies of cgroup v1 that instances of perdure have made.
std::size_t hierarchies() {
  const std::string text = read_file("/proc/self/cgroup").value_or("");
  std::size_t count = 0;
  for (std::size_t at = text.find("name=perdure-"); at != std::string::npos; at = text.find("name=perdure-", at + 1))
    ++count;
  return count;
}

InstanceOptions cgroup_v1() {
  return {.under = {"/usr/bin/unshare", "--mount", "/bin/sh", "-c",
                    "umount -l /sys/fs/cgroup/unified 2>&- || umount -l /sys/fs/cgroup 2>&-; exec \"$@\"", "sh"}};
}

bool has_cgroup_v1() {
  if (::geteuid() != 0) return false;
  const perdure::testing::TempDir directory;
  return perdure::testing::run({"/usr/bin/unshare", "--mount", "/bin/mount", "-t", "cgroup", "-o", "none,name=perdure-test",
                                "none", directory.path()})
      .status.success();
}

void Instance::start() {
  std::vector<std::string> words;
  if (parent_ == Parent::Init) words = {SERVICE_PROBE, "init"};
  if (parent_ == Parent::Namespace) words = {"/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"};
  if (owner_ == Owner::Nobody) {
    const std::string id = std::to_string(nobody);
    words.insert(words.end(), {"/usr/bin/setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"});
  }
  words.insert(words.end(), options_.under.begin(), options_.under.end());
  words.insert(words.end(), {PERDURE_PROGRAM, "run", "--runtime-dir=" + dir_ / "run", "--state-dir=" + dir_ / "state",
                             "--log-dir=" + dir_ / "log", "--unit-path=" + dir_ / "units"});
  if (!options_.is_shown) words.emplace_back("--console=off");
  words.insert(words.end(), options_.run_options.begin(), options_.run_options.end());
  for (const Service& service : services_) words.push_back(service.name);
  process_ =
      std::make_unique<perdure::testing::Process>(std::move(words), perdure::testing::ProcessOptions{.env = options_.env});
  const bool answers =
      eventually([&] { return process_->poll().has_value() || ask_once(R"({"verb":"ping"})").has_value(); });
  if (!answers || process_->poll()) throw std::runtime_error{"the instance does not start: " + process_->output()};
  control_group_ = property("ControlGroup");
}

std::optional<json> Instance::ask_once(const std::string& line) {
  if (!client_) {
    auto client = perdure::ControlClient::connect(dir_ / "run/control.sock");
    if (!client) return std::nullopt;
    client_.emplace(std::move(*client));
  }
  const auto reply = client_->request_object(line, perdure::testing::hang_limit);
  if (!reply) {
    client_.reset();
    return std::nullopt;
  }
  if (!reply->ok && reply->json.empty()) throw std::runtime_error{line + ": " + reply->message};
  return reply->json.empty() ? json{} : json::parse(reply->json);
}

json Instance::ask(const json& request) {
  std::optional<json> answer;
  if (!eventually([&] { return (answer = ask_once(request.dump())).has_value(); })) {
    throw std::runtime_error{"no answer to " + request.dump() + "; the instance says: " + output()};
  }
  return *std::move(answer);
}

ShownUnit Instance::show(const std::string& unit) {
  const json answer =
      ask({{"verb", "show"},
           {"units", {unit}},
           {"properties", {"MainPID", "NRestarts", "ExecMainCode", "ExecMainStatus", "ExecMainExitKnown", "SubState"}}});
  const json& shown = answer.at("units").at(0);
  ShownUnit result;
  result.main_pid = shown.at("MainPID");
  result.restarts = shown.at("NRestarts");
  result.code = shown.at("ExecMainCode");
  result.status = shown.at("ExecMainStatus");
  result.is_known = shown.at("ExecMainExitKnown");
  result.sub_state = shown.at("SubState");
  return result;
}

json Instance::unit(const std::string& name) { return ask({{"verb", "show"}, {"units", {name}}}).at("units").at(0); }

std::string Instance::remarks(const std::string& unit) {
  return lines_of(ask({{"verb", "show"}, {"units", {unit}}}).at("units").at(0).at("Remarks"));
}

bool Instance::wait_for(const std::string& unit, std::string_view sub_state) {
  return eventually([&] { return show(unit).sub_state == sub_state; });
}

std::int64_t Instance::number(const std::string& name) {
  return ask({{"verb", "show"}, {"properties", {name}}}).at("instance").at(name).get<std::int64_t>();
}
std::string Instance::property(const std::string& name) {
  return ask({{"verb", "show"}, {"properties", {name}}}).at("instance").at(name).get<std::string>();
}

std::string Instance::degraded() {
  return lines_of(ask({{"verb", "show"}, {"properties", {"Degraded"}}}).at("instance").at("Degraded"));
}

std::string Instance::carry_out(std::string_view verb, const std::vector<std::string>& units) {
  const json answer = ask({{"verb", verb}, {"units", units}, {"wait", true}});
  const json& job = answer.at("jobs").at(0);
  return job.contains("result") ? job.at("result").get<std::string>() : answer.at("error").at("message").get<std::string>();
}

pid_t Instance::keeper() {
  if (parent_ != Parent::Namespace) return static_cast<pid_t>(number("KeeperPID"));
  const std::string pid = std::to_string(process_->pid());
  return std::stoi(read_file("/proc/" + pid + "/task/" + pid + "/children").value_or("0"));
}

perdure::ExitStatus Instance::stop() {
  signal_descendant(keeper(), SIGTERM);
  return wait_for_end();
}

perdure::ExitStatus Instance::wait_for_end() {
  const perdure::ExitStatus status = process_->wait();
  client_.reset();
  return status;
}

std::string Instance::leftovers() {
  std::string left;
  const auto is_alone = [] {
    // The keeper may end before it has reaped the manager that told it to.
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return descendants().empty();
  };
  if (!eventually(is_alone, std::chrono::seconds{5})) {
    for (const pid_t pid : descendants()) {
      left += "process " + std::to_string(pid) + " (" + perdure::testing::proc_status(pid, "Name") + ", " +
              perdure::testing::proc_status(pid, "State") + "); ";
    }
  }
  for (const Service& service : services_) {
    if (!has_nobody(*this, service)) left += service.name + " lives; ";
  }
  if (fs::exists(dir_ / "run/control.sock")) left += "control.sock; ";
  const perdure::UniqueFd lock{::open((dir_ / "run/lock").c_str(), O_RDONLY | O_CLOEXEC)};
  if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) left += "the instance's lock; ";
  if (hierarchies() > hierarchies_before_) left += "a hierarchy of cgroup v1; ";
  if (control_group_.size() <= 1) return left;
  for (const char* mount : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
    const std::string group = mount + control_group_;
    std::error_code error;
    std::vector<std::string> leaves;
    for (const fs::directory_entry& entry : fs::directory_iterator{group, error}) {
      if (!entry.is_directory()) continue;
      if (entry.path().filename().string().find('#') != std::string::npos) left += "a leaf; ";
      leaves.push_back(entry.path());
    }
    // A process cannot remove the cgroup that it is in: the last ones are for whoever started it.
    for (const std::string& leaf : leaves) ::rmdir(leaf.c_str());
    ::rmdir(group.c_str());
  }
  return left;
}

std::string Instance::log(const std::string& unit) const {
  std::vector<fs::path> segments;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator{dir_ / ("log/" + unit), error}) {
    if (entry.path().extension() == ".log") segments.push_back(entry.path());
  }
  std::sort(segments.begin(), segments.end());
  std::string text;
  for (const fs::path& segment : segments) text += read_file(segment).value_or("");
  return text;
}

}  // namespace supervisor_test
