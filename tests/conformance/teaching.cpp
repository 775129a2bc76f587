// teaching ROLE: what the documents teach with a few lines each, in our own: fork, a session, a lock file, settings from the environment.
//
//     teaching fork                 both sides of a fork(2) say who they are
//     teaching session              a session leader, and what its child cannot do; each line: WHO pid sid pgrp tty_nr
//     teaching lock PATH            takes the lock or is refused, says which, and keeps it until its input ends
//     teaching [OPTIONS]            a daemon with three settings: defaults < file < environment < command line
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "perdure/perdure.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/settings.hpp"

namespace {

int fork_demo() {
  std::fflush(stdout);  // or both would write what was buffered
  const pid_t child = fork();
  if (child < 0) return std::perror("fork"), 1;
  if (child == 0) {
    fmt::print("I'm child, my PID is {}\n", getpid());
    std::fflush(stdout);
    _exit(0);
  }
  fmt::print("I'm parent, child PID is {}\n", child);
  int status = 0;
  return wait(&status) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/// The seventh field of /proc/self/stat: 0 without a controlling terminal.
long terminal() {
  std::ifstream file{"/proc/self/stat"};
  std::string line;
  std::getline(file, line);
  std::istringstream fields{line.substr(line.rfind(')') + 1)};
  std::string state;
  long ppid = 0, pgrp = 0, session = 0, tty = -1;
  fields >> state >> ppid >> pgrp >> session >> tty;
  return tty;
}

void say(const char* who) {
  fmt::print("{} {} {} {} {}\n", who, getpid(), getsid(0), getpgrp(), terminal());
  std::fflush(stdout);
}

/// Opens the terminal as a careless program does: without O_NOCTTY.
bool open_terminal(const std::string& name) { return open(name.c_str(), O_RDWR | O_CLOEXEC) >= 0; }

int in_child(int (*work)(const std::string&), const std::string& terminal_name) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child < 0) return std::perror("fork"), 1;
  if (child == 0) _exit(work(terminal_name));
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int session_demo() {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return std::perror("posix_openpt"), 77;
  const std::string name = ptsname(master);
  const int second_fork = in_child(
      [](const std::string& terminal_name) {
        if (setsid() != getpid()) return 1;
        say("leader");
        return in_child(
            [](const std::string& pty) {
              if (!open_terminal(pty)) return 1;
              say("daemon-with-terminal-open");
              return 0;
            },
            terminal_name);
      },
      name);
  if (second_fork != 0) return second_fork;
  return in_child(
      [](const std::string& terminal_name) {
        if (setsid() != getpid() || !open_terminal(terminal_name)) return 1;
        say("leader-with-terminal-open");
        return 0;
      },
      name);
}

/// The document's class by its interface; what decides is the lock, not the number in the file.
class PidFileLock {
 public:
  explicit PidFileLock(std::string path) : path_(std::move(path)) {}
  bool acquire() {
    auto taken = perdure::PidFile::acquire(path_);
    if (!taken || !taken->write()) return false;
    file_.emplace(*std::move(taken));
    return true;
  }

 private:
  std::string path_;
  std::optional<perdure::PidFile> file_;
};

int lock_demo(const std::string& path) {
  PidFileLock lock{path};
  fmt::print("{}\n", lock.acquire() ? "has it" : "refused");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

struct Settings {
  bool debug = false;
  std::string log_level = "INFO";
  std::chrono::seconds scan_interval{300};
};

void describe(perdure::Fields& f, Settings& s) {
  f("debug", s.debug).env("DAEMON_DEBUG").flag("--debug");
  f("log_level", s.log_level)
      .check([](const std::string& level) -> perdure::Result<void> {
        if (!perdure::parse_level(level))
          return perdure::Error{"\"" + level + "\" is none of DEBUG, INFO, WARNING, ERROR, CRITICAL"};
        return {};
      })
      .env("DAEMON_LOG_LEVEL");
  f("scan_interval", s.scan_interval)
      .range(std::chrono::seconds{1}, std::chrono::hours{24})
      .env("SCAN_INTERVAL")
      .flag("--scan-interval");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "fork") return fork_demo();
  if (role == "session") return session_demo();
  if (role == "lock" && argc == 3) return lock_demo(argv[2]);
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "teaching",
      .config = config,
      .configure = [&config](perdure::Options& o) { o.log.level = *perdure::parse_level(config->log_level); },
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    ctx.log().debug("scanning every {} s", config->scan_interval.count());
    while (ctx.wait(config->scan_interval)) {
    }
  });
}
