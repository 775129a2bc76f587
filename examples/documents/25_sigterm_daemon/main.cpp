// sigterm_daemon: has five seconds after a SIGTERM, and uses them for nothing but flush, close and unlink.
//
// What it took is given back in reverse order: the buffered file is flushed, the shared memory removed, and last, by perdure, the
// lock with the PID file. Each step has a budget of its own; one that takes longer is named and left behind, so that the others
// still get their turn. perdure's total (`stop_within`, 5 s) stands above all. To see it: --slow-flush 1h.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "cleanup.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "perdure/unique_fd.hpp"

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

struct Settings {
  std::string data_file = "/tmp/my_daemon.data", shared_memory = "/my_daemon";
  milliseconds period{1s}, step_within{1s}, slow_flush{0};
};

void describe(perdure::Fields& f, Settings& s) {
  f("data_file", s.data_file).help("its results; absolute").flag("--data-file").restart_only();
  f("shared_memory", s.shared_memory).help("name of a segment: /NAME").flag("--shared-memory").restart_only();
  f("period", s.period).range(1ms, 24h).help("time between two rounds of work").flag("--period");
  f("step_within", s.step_within).range(1ms, 1h).help("budget of one step of the cleanup").flag("--step-within");
  f("slow_flush", s.slow_flush).range(0ms, 24h).help("a planted fault: the flush takes so long").flag("--slow-flush");
}

perdure::Error failed(const char* attempt, const std::string& object) {
  return perdure::Error::from_errno(errno, attempt, object);
}

int serve(perdure::Context& ctx, const perdure::Config<Settings>& config) {
  auto& log = ctx.log();
  auto data = std::make_shared<std::ofstream>(config->data_file, std::ios::app);
  if (!*data) throw std::runtime_error{failed("open", config->data_file).message()};
  const std::string segment = config->shared_memory;
  const perdure::UniqueFd memory{shm_open(segment.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (!memory || ftruncate(memory.get(), 4096) != 0)
    throw std::runtime_error{failed("make the shared memory", segment).message()};
  log.info("Daemon started");

  for (unsigned round = 1; ctx.wait(config->period); ++round) *data << "round " << round << '\n';

  log.info("Received {}, cleaning up...", ctx.stop_reason() == perdure::StopReason::Term ? "SIGTERM" : "a request to stop");
  const auto settings = config.get();
  bool clean = clean_up(log, "write buffers flushed", settings->step_within, [data, settings]() -> perdure::Result<void> {
    std::this_thread::sleep_for(settings->slow_flush);
    errno = 0;
    data->close();
    if (!*data) return failed("write", settings->data_file);  // a full disk, say
    return {};
  });
  clean &= clean_up(log, "shared memory released", settings->step_within, [segment]() -> perdure::Result<void> {
    if (shm_unlink(segment.c_str()) != 0) return failed("remove the shared memory", segment);
    return {};
  });
  if (!clean) return perdure::exit_failed;
  log.info("Daemon exited cleanly");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  return perdure::run(argc, argv,
                      {.name = "sigterm_daemon",
                       .version = "1.0.0",
                       .description = "cleans up within five seconds of SIGTERM",
                       .config = config,
                       .pid_file = "/var/run/my_daemon.pid",
                       .log = {.also_syslog = true},
                       .stop_within = 5s},
                      [&config](perdure::Context& ctx) { return serve(ctx, config); });
}
