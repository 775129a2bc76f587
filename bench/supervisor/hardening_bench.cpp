// How much longer does a service with 28 directives of hardening take until it is ready than the bare program?
//
// The service is redis-server (7.0 as Debian 12 has it), with the hardening of Debian's own unit file: the directives that this version
// enforces (capabilities, system call filter, no new privileges, limits) and those that it does not. PERDURE_BENCH_REDIS names its
// words where it is not in the search path. From before the request until READY=1 is known; bare, from before vfork until READY=1 comes.
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"

namespace {

constexpr const char* hardening = R"(UMask=007
PrivateTmp=true
LimitNOFILE=65535
PrivateDevices=true
ProtectHome=true
ProtectSystem=strict
CapabilityBoundingSet=
LockPersonality=true
MemoryDenyWriteExecute=true
NoNewPrivileges=true
PrivateUsers=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~ @privileged @resources
NoExecPaths=/nowhere
ExecPaths=/usr
)";

std::optional<std::vector<std::string>> redis() {
  std::vector<std::string> words;
  if (const char* const named = std::getenv("PERDURE_BENCH_REDIS")) {
    std::istringstream text{named};
    for (std::string word; text >> word;) words.push_back(word);
  } else if (::access("/usr/bin/redis-server", X_OK) == 0) {
    words = {"/usr/bin/redis-server"};
  }
  if (words.empty()) return std::nullopt;
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// A socket for NOTIFY_SOCKET.
class Readiness {
 public:
  explicit Readiness(std::string path) : path_(std::move(path)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) throw std::runtime_error("too long a path: " + path_);
    std::copy(path_.begin(), path_.end(), address.sun_path);
    const timeval limit{.tv_sec = 30, .tv_usec = 0};
    if (!socket_ || ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      bench::fail("bind " + path_);
  }
  void wait() const {
    char bytes[4096];
    for (;;) {
      const ssize_t size = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (size < 0) bench::fail("wait for READY=1");
      if (std::string_view{bytes, static_cast<std::size_t>(size)}.find("READY=1") != std::string_view::npos) return;
    }
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  perdure::UniqueFd socket_;
};

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const auto program = redis();
  const std::string what = "redis-server with 28 directives of hardening, until it is ready";
  if (!program || !bench::perdure_command()) {
    report.row({.what = what,
                .must_reach = "<= 1.3x bare",
                .verdict = program ? bench::not_built : "NOT MEASURED: no redis-server here"});
    return;
  }
  bench::Fleet fleet{{.services = 1}};
  const bench::PerdureUnits units{fleet};
  std::vector<std::string> words = *program;
  const std::string place = fleet.place("redis");
  words.insert(words.end(), {"--port", "0", "--unixsocket", place + "/socket", "--dir", place, "--save", "", "--supervised",
                             "systemd", "--daemonize", "no"});
  std::vector<std::string> unit_words = words;
  for (std::string& word : unit_words)
    if (word.empty()) word = "\"\"";
  units.add("plain.service", joined(unit_words), "Type=notify\nStandardOutput=null\n");
  units.add("hardened.service", joined(unit_words), std::string{"Type=notify\nStandardOutput=null\n"} + hardening);
  bench::Running running{units.contender(), fleet};
  running.wait_started();
  bench::ControlConnection control{units.socket()};
  const Readiness readiness{fleet.place("ready") + "/socket"};
  const auto ask = [&control](const char* verb, const char* unit) {
    const std::int64_t begin = bench::now_ns();
    const std::string answer = control.ask(fmt::format(R"({{"verb":"{}","units":["{}"],"wait":true}})", verb, unit));
    const std::int64_t took = bench::now_ns() - begin;
    if (answer.find(R"("result":"done")") == std::string::npos) throw std::runtime_error("the instance says: " + answer);
    return took;
  };

  const int rounds = arguments.rounds_or(arguments.long_run ? 200 : 30);
  bench::Samples bare, plain, hardened;
  for (int round = -2; round < rounds; ++round) {
    const std::int64_t begin = bench::now_ns();
    const bench::Target alone{bench::spawn({.command = words, .environment = {"NOTIFY_SOCKET=" + readiness.path()}})};
    readiness.wait();
    const std::int64_t took = bench::now_ns() - begin;
    alone.signal(SIGKILL);
    (void)alone.wait();
    const std::int64_t without = ask("start", "plain.service");
    ask("stop", "plain.service");
    const std::int64_t with = ask("start", "hardened.service");
    ask("stop", "hardened.service");
    if (round < 0) continue;
    bare.add(took);
    plain.add(without);
    hardened.add(with);
  }
  constexpr double limit = 1.3;
  const double ratio = hardened.median() / bare.median();
  report.row({.what = what,
              .must_reach = "<= 1.3x bare",
              .measured = bench::median_and(hardened, 95),
              .bare_peer = bench::median_and(bare, 95),
              .ratio = bench::times(ratio),
              .verdict = bench::verdict(ratio <= limit)});
  report.row({.what = "the same without hardening",
              .measured = bench::median_and(plain, 95),
              .bare_peer = bench::median_and(bare, 95),
              .ratio = bench::times(plain.median() / bare.median())});
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
