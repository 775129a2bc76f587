// service_supervisor: replaces a daemon that does not kick its health file any more. Not the daemon's parent: whom to end
// is read from the PID file, but only the process that holds its lock is signalled, through a pidfd that cannot mean
// anybody else.
//
//     service_supervisor -- queue_service --tick 1s        (the command must detach, as daemons do)
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>
extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 leaves this to its users
}

#include "perdure/command.hpp"
#include "perdure/health_file.hpp"
#include "perdure/perdure.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/settings.hpp"
#include "strikes.hpp"

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

struct Settings {
  std::string health_file = "/tmp/zig_service.health";
  std::string service_pid_file = "/tmp/zig_service.pid";
  milliseconds every{5s}, max_age{15s}, kill_after{5s}, start_within{30s};
  unsigned strikes = 3;
  unsigned replacements = 5;
  bool revive = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("health_file", s.health_file).help("the service's health file").flag("--health-file").restart_only();
  f("service_pid_file", s.service_pid_file).help("the service's PID file").flag("--service-pid-file").restart_only();
  f("every", s.every).range(10ms, 1h).help("time between two checks").flag("--every");
  f("max_age", s.max_age).range(0s, 24h).help("an older sign of life is a failure").flag("--max-age");
  f("strikes", s.strikes).range(1, 100).help("failures in a row before it is replaced").flag("--strikes").restart_only();
  f("kill_after", s.kill_after).range(0s, 1h).help("from SIGTERM to SIGKILL").flag("--kill-after");
  f("start_within", s.start_within).range(1ms, 1h).help("how long a start may take").flag("--start-within");
  f("replacements", s.replacements)
      .range(1, 1000)
      .help("give up after so many in an hour")
      .flag("--replacements")
      .restart_only();
  f("revive", s.revive).help("also start it when it was stopped on purpose").flag("--revive");
}

class Supervisor {
 public:
  Supervisor(perdure::Context& ctx, const perdure::Config<Settings>& config)
      : ctx_(ctx), log_(ctx.log()), config_(config), strikes_({config->strikes, config->replacements}) {}

  int watch() {
    log_.info("watching {}, every {} ms", config_->health_file, config_->every.count());
    while (ctx_.wait(config_->every)) {
      if (is_stopped_on_purpose()) continue;
      const std::string why = check();
      switch (why.empty() ? strikes_.healthy() : strikes_.failed(std::chrono::steady_clock::now())) {
        case Verdict::Nothing: break;
        case Verdict::Recovered: log_.info("healthy again"); break;
        case Verdict::Warn:
          log_.warning("health check failed ({} of {}): {}", strikes_.count(), config_->strikes, why);
          break;
        case Verdict::Replace:
          log_.error("health check failed ({0} of {0}): {1}; replacing the service", config_->strikes, why);
          owed_ = true;
          if (end_service()) start_service();
          break;
        case Verdict::GiveUp:
          log_.critical("replaced {} times within an hour, and it fails again: giving up", config_->replacements);
          return perdure::exit_failed;
      }
      if (why.empty()) owed_ = false;
    }
    return perdure::exit_ok;
  }

 private:
  /// A service that ends by itself takes its PID file with it; one that crashes or hangs leaves it. What we ended is ours to
  /// bring back.
  bool is_stopped_on_purpose() {
    std::error_code unknown;  // a directory that cannot be searched says nothing about the file
    const bool gone = !std::filesystem::exists(config_->service_pid_file, unknown) && !unknown;
    const bool was = std::exchange(stopped_, gone && !owed_ && !config_->revive);
    if (stopped_ && !was) log_.info("{} is gone: the service is stopped on purpose", config_->service_pid_file);
    if (was && !stopped_) log_.info("the service runs again");
    if (stopped_) (void)strikes_.healthy();
    return stopped_;
  }

  /// Empty, or what is wrong.
  std::string check() const {
    const auto age = perdure::HealthFile::age(config_->health_file, std::chrono::system_clock::now());
    if (!age) return age.error().message();
    if (*age > config_->max_age) return fmt::format("last sign of life {} s ago", age->count());
    if (-*age > config_->max_age) return fmt::format("last sign of life {} s in the future", -age->count());
    return {};
  }

  bool has_ended(const perdure::UniqueFd& process, milliseconds within) {
    pollfd poll{process.get(), POLLIN, 0};
    return ctx_.wait_fds({&poll, 1}, within) > 0;
  }

  /// True once nobody runs any more.
  bool end_service() {
    const auto pid = perdure::PidFile::holder(config_->service_pid_file);
    const perdure::UniqueFd process{pid ? pidfd_open(*pid, 0) : -1};
    // Asked again: whoever still holds the lock under this number is the process that was just opened.
    if (!process || perdure::PidFile::holder(config_->service_pid_file) != pid) {
      log_.info("nobody holds {}: no process to end", config_->service_pid_file);
      return true;
    }
    log_.warning("sending SIGTERM to pid {}", *pid);
    pidfd_send_signal(process.get(), SIGTERM, nullptr, 0);
    bool ended = has_ended(process, config_->kill_after);
    if (!ended && !ctx_.stopping()) {
      log_.warning("pid {} did not end within {} ms: sending SIGKILL", *pid, config_->kill_after.count());
      pidfd_send_signal(process.get(), SIGKILL, nullptr, 0);
      ended = has_ended(process, 5s);
    }
    log_.info("pid {} {}", *pid, ended ? "has ended" : "has not ended yet; it is not started again now");
    return ended;
  }

  void start_service() {
    auto start = perdure::Command{command_.front()}
                     .args({command_.begin() + 1, command_.end()})
                     .output({.within = config_->start_within, .stop_fd = ctx_.stop_fd()});
    if (!start) return log_.error("{}", start.error().message());
    start->err.erase(start->err.find_last_not_of("\n") + 1);
    if (!start->status.success()) return log_.error("the start failed: it {}: {}", start->status.text(), start->err);
    log_.info("service started again, pid {}", perdure::PidFile::holder(config_->service_pid_file).value_or(0));
  }

  perdure::Context& ctx_;
  perdure::Log& log_;
  const perdure::Config<Settings>& config_;
  const std::vector<std::string> command_ = ctx_.args().empty() ? std::vector<std::string>{"queue_service"} : ctx_.args();
  Strikes strikes_;
  bool owed_ = false;     ///< we ended it: its absence is ours to mend
  bool stopped_ = false;  ///< the last look found it stopped on purpose
};

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{.name = "service_supervisor",
                                 .version = "1.0.0",
                                 .description = "replaces a daemon whose health file grows old",
                                 .arguments = "[-- COMMAND ARG...]",
                                 .config = config,
                                 .log = {.format = perdure::LogFormat::UnixSeconds, .path = "/tmp/zig_supervisor.log"},
                                 .before_start = [](perdure::Options& o) -> perdure::Result<void> {
                                   o.working_directory = std::filesystem::current_path();  // COMMAND may be relative
                                   return {};
                                 }};
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) { return Supervisor{ctx, config}.watch(); });
}
