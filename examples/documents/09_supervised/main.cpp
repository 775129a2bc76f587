// supervised: a worker that is started again when it fails - five starts, ten seconds apart, then it is given up.
//
//     supervised [--foreground] [--pid-file PATH] [--log-file PATH] [--attempts N] [--delay-ms N]
//                [--fail N] [--counter PATH] [--lifetime-ms N]
//
// It detaches once. The process that stays is the parent of one worker after the other: perdure::supervise() forks, waits,
// passes signals on, and ends with the last worker's status. The worker here appends a line to the counter file, throws in its
// first --fail starts, and is done after its lifetime, where it has one; put your own work into application_main().
#include <unistd.h>

#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "arguments.hpp"
#include "perdure/detach.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/log.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/supervise.hpp"

using namespace std::chrono_literals;

namespace {

int application_main(const Arguments& arguments, const perdure::WorkerStart& start) {
  if (!arguments.counter.empty())
    std::ofstream{arguments.counter, std::ios::app} << getpid() << ' '
                                                    << std::chrono::steady_clock::now().time_since_epoch() / 1ms << '\n';
  if (start.restarts < arguments.fail) throw std::runtime_error{"planted failure " + std::to_string(start.restarts + 1)};
  if (arguments.lifetime_ms == 0) pause();  // works until SIGTERM, whose default this worker has
  std::this_thread::sleep_for(std::chrono::milliseconds{arguments.lifetime_ms});
  return 0;
}

void report(perdure::Log& log, const perdure::WorkerEvent& event, unsigned attempts) {
  using Kind = perdure::WorkerEvent::Kind;
  switch (event.kind) {
    case Kind::Started: return log.info("worker {} started", event.worker);
    case Kind::Exited: return log.info("worker {} {}", event.worker, event.status.text());
    case Kind::Restarting:
      return log.warning("Daemon restart attempt {}/{} in {} ms", event.restarts, attempts, event.delay.count());
    case Kind::GaveUp: return log.error("Daemon failed after {} attempts", attempts);
    case Kind::KilledAtStop: return log.warning("worker {} did not stop in time and was killed", event.worker);
  }
}

int serve(const Arguments& arguments, perdure::PidFile& lock, perdure::StartReport& start) {
  const auto refuse = [&](const perdure::Error& error) {
    if (!start.is_pending()) std::cerr << "supervised: " << error.message() << '\n';
    start.failed(perdure::exit_cannot_create, error.message());
    return perdure::exit_cannot_create;
  };
  perdure::Log log{"supervised"};
  if (auto opened = log.open({.path = arguments.log_file}); !opened) return refuse(opened.error());
  if (auto written = lock.write(); !written) return refuse(written.error());

  const auto worker = [&](const perdure::WorkerStart& about) {
    start.abandon();
    try {
      return application_main(arguments, about);
    } catch (const std::exception& error) {
      log.error("Daemon crashed with exception: {}", error.what());
      return 1;
    }
  };
  const auto on_event = [&](const perdure::WorkerEvent& event) {
    report(log, event, arguments.attempts);
    start.ready();  // once the first worker runs
  };
  const auto ended = perdure::supervise(
      {.restart = {.delay = std::chrono::milliseconds{arguments.delay_ms}, .give_up_after = arguments.attempts},
       .on_event = on_event},
      worker);
  return ended ? ended->exit_code() : refuse(ended.error());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  try {
    arguments = parse_arguments(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "supervised: " << error.what() << "; what there is stands in the README\n";
    return perdure::exit_usage;
  }
  auto lock = perdure::PidFile::acquire(arguments.pid_file);  // before detaching: a refusal is read on the terminal
  if (!lock) {
    std::cerr << "supervised: " << lock.error().message() << '\n';
    return lock.error().exit_code();
  }
  perdure::StartReport start;
  if (!arguments.foreground) {
    auto detached = perdure::detach({.name = "supervised"});
    if (!detached) {
      std::cerr << "supervised: " << detached.error().message() << '\n';
      return perdure::exit_system;
    }
    start = *std::move(detached);
  }
  return serve(arguments, *lock, start);
}
