// queue_service: a complete service - jobs from a file and a socket, a log that rotates, a PID file, a health file.
//
// What is done with a job is one line in the log; put your own work into Service::work(). The life around it is
// perdure::run(): detached unless an init runs it, one instance, SIGHUP and `reload`, SIGUSR1 to rotate the log, `stop`.
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "perdure/unique_fd.hpp"
#include "queue.hpp"

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

struct Settings {
  std::string queue_file = "/tmp/zig_service_queue.txt";
  std::string health_file = "/tmp/zig_service.health";
  std::chrono::milliseconds tick{3s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("queue_file", s.queue_file).help("jobs are its lines").flag("--queue-file").restart_only();
  f("health_file", s.health_file).help("the time of the last sign of life").flag("--health-file").restart_only();
  f("tick", s.tick).range(10ms, 24h).help("time between two looks at the queues").flag("--tick");
}

class Service {
 public:
  explicit Service(const perdure::Config<Settings>& config) : config_(config) {}

  void serve(perdure::Context& ctx) {
    log_ = &ctx.log();
    log().info("daemon started, pid={}", getpid());
    QueueFile file{queue_file_};
    pollfd wake{wake_.get(), POLLIN, 0};
    for (std::uint64_t tick = 1; ctx.wait_fds({&wake, 1}, config_->tick) >= 0; ++tick) {
      eventfd_t pokes = 0;
      (void)eventfd_read(wake_.get(), &pokes);
      const std::size_t jobs = work_off(ctx, file) + work_off(memory_.take_all());
      if (jobs > 0) log().info("tick {}: processed {} jobs (total: {})", tick, jobs, total_.load());
    }
    log().info("{} received, stopping", ctx.stop_reason() == perdure::StopReason::Int ? "SIGINT" : "SIGTERM");
    work_off(memory_.close());  // they were promised to be done, and no file remembers them
    log().info("daemon stopped, processed {} total jobs", total_.load());
  }

  // From the callback thread, while the body runs.
  perdure::Reply status() const {
    const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_);
    return perdure::Reply::text(fmt::format("pid={} uptime={}s jobs={}", getpid(), uptime.count(), total_.load()));
  }
  perdure::Reply queue(const std::string& text) {
    if (text.find_first_not_of(" \r\t") == text.npos) return perdure::Reply::error("a job is wanted: queue TEXT");
    const std::size_t waiting = memory_.add(text);
    if (waiting == 0) return perdure::Reply::error("queue full");
    return perdure::Reply::text(fmt::format("queued ({}/{})", waiting, MemoryQueue::jobs_max));
  }
  void reloaded(const perdure::Reloaded& reload) {
    // Why a reload was refused is in the log already.
    if (perdure::Log* log = log_; log != nullptr && reload.refused.empty())
      log->info("{}, reloading config", reload.by_signal ? "SIGHUP received" : "reload requested");
    (void)eventfd_write(wake_.get(), 1);
  }

  /// In the first process, where a relative path still means what it meant to the user.
  perdure::Result<void> prepare() {
    if (!wake_) return perdure::Error{"cannot make an eventfd: no descriptor is left"};
    queue_file_ = std::filesystem::absolute(config_->queue_file);
    fmt::print(stderr, "Starting service daemon...\n");
    return {};
  }

 private:
  perdure::Log& log() { return *log_.load(); }

  void work(const std::string& job) {
    log().info("processing job: {}", job);
    ++total_;
  }
  /// Both return how many jobs were done.
  std::size_t work_off(const std::vector<std::string>& jobs) {
    for (const std::string& job : jobs) work(job);
    return jobs.size();
  }
  std::size_t work_off(perdure::Context& ctx, QueueFile& file) {
    const auto round = file.drain([&](const std::string& job) {
      work(job);
      ctx.beat();
      return !ctx.stopping();
    });
    if (!round.problem.empty() && round.problem != last_problem_) log().warning("{}", round.problem);
    last_problem_ = round.problem;
    return round.jobs;
  }

  const perdure::Config<Settings>& config_;
  const perdure::UniqueFd wake_{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::string queue_file_, last_problem_;
  MemoryQueue memory_;
  std::atomic<perdure::Log*> log_{nullptr};
  std::atomic<std::uint64_t> total_{0};
  const Clock::time_point started_ = Clock::now();
};

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  Service service{config};
  const perdure::Options options{
      .name = "queue_service",
      .version = "1.0.0",
      .description = "does jobs from a file and from its control socket",
      .mode = perdure::Mode::Detached,
      .config = config,
      .pid_file = "/tmp/zig_service.pid",
      .control = "/tmp/zig_service.sock",
      .commands = {{"status", "pid, uptime, jobs done", [&](const perdure::Request&) { return service.status(); }},
                   {"queue", "queue TEXT: add a job", [&](const perdure::Request& r) { return service.queue(r.text); }}},
      .log = {.format = perdure::LogFormat::UnixSeconds, .path = "/tmp/zig_service.log", .max_bytes = 10'000, .backups = 1},
      .health_file = {.path = "/tmp/zig_service.health", .every = 1s},
      .configure = [&](perdure::Options& o) { o.health_file.path = config->health_file; },
      .before_start = [&](perdure::Options&) { return service.prepare(); },
      .heartbeat = 10s,
      .on_reload = [&](const perdure::Reloaded& reload) { service.reloaded(reload); },
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) { service.serve(ctx); });
}
