// How long does a signal take to reach the program: SIGUSR2 to the first line of its callback, SIGTERM to the end of the body's
// wait?
//
// The sender's clock is read before pidfd_send_signal, the receiver's when it runs; every thread of the receiver sleeps before.
// The bare peer is the least that is safe: a handler writes an eventfd, one thread polls it.
#include <sys/eventfd.h>

#include <csignal>
#include <functional>
#include <span>
#include <string>

#include "measure.hpp"
#include "perdure/run.hpp"
#include "processes.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::int64_t is_ready = 0;  ///< sent once before the times

int run_with_callback(const bench::Line& line, const std::string& pid_file) {
  std::string name = "signal-bench";
  char* argv[] = {name.data(), nullptr};
  const perdure::Options options{.name = name,
                                 .verbs = perdure::Verbs::Off,
                                 .pid_file = pid_file,
                                 .control = "none",
                                 .log = {.target = perdure::LogTarget::None},
                                 .on_user_signal = [&line] { line.send(bench::now_ns()); }};
  return perdure::run(1, argv, options, [&line](perdure::Context& ctx) {
    ctx.ready();
    line.send(is_ready);
    while (ctx.wait(24h)) continue;
    line.send(bench::now_ns());
  });
}

int bare_eventfd = -1;
volatile std::sig_atomic_t bare_stop = 0;

int run_bare(const bench::Line& line) {
  bare_eventfd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = [](int number) {
    const int code = errno;
    const std::uint64_t one = 1;
    if (number == SIGTERM) bare_stop = 1;
    (void)!::write(bare_eventfd, &one, sizeof one);
    errno = code;
  };
  action.sa_flags = SA_RESTART;
  (void)::sigaction(SIGUSR2, &action, nullptr);
  (void)::sigaction(SIGTERM, &action, nullptr);
  line.send(is_ready);
  for (bool stopping = false; !stopping;) {
    pollfd signalled{.fd = bare_eventfd, .events = POLLIN, .revents = 0};
    if (::poll(&signalled, 1, -1) != 1) continue;  // interrupted by the handler: the eventfd is readable now
    std::uint64_t count = 0;
    (void)!::read(bare_eventfd, &count, sizeof count);
    line.send(bench::now_ns());
    stopping = bare_stop != 0;
  }
  return 0;
}

/// A receiver of signals and what is known of its answers.
struct Receiver {
  explicit Receiver(const std::function<int(const bench::Line&)>& body)
      : process(bench::fork_running([&] { return body(line); })) {
    (void)line.receive<std::int64_t>();
  }
  std::int64_t answer_to(int signal) const {
    bench::until_asleep(process.pid());
    const std::int64_t sent = bench::now_ns();
    process.signal(signal);
    return line.receive<std::int64_t>() - sent;
  }
  bench::Line line;
  bench::Target process;
};

void add_row(bench::Report& report, const std::string& what, const bench::Samples& ours, const bench::Samples& bare) {
  constexpr double p99_max = 200e3;
  report.row({.what = what,
              .claimed = "< 1 ms",
              .must_reach = "p99 <= 200 us",
              .measured = bench::median_and(ours, 99),
              .bare_peer = bench::median_and(bare, 99),
              .ratio = fmt::format("p50 {}, p99 {}", bench::times(ours.median() / bare.median()),
                                   bench::times(ours.percentile(99) / bare.percentile(99))),
              .verdict = bench::verdict(ours.percentile(99) <= p99_max)});
  report.note(fmt::format("{}: {}", what, bench::all_of(ours)));
  report.note(fmt::format("{}, bare: {}", what, bench::all_of(bare)));
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  const auto ours = [&](const bench::Line& line) { return run_with_callback(line, directory / "signal.pid"); };
  const int rounds = arguments.rounds_or(arguments.long_run ? 10'000 : 2'000);
  {
    bench::Samples callback, bare;
    const Receiver daemon{ours};
    const Receiver loop{run_bare};
    constexpr int warm_up = 20;
    for (int round = -warm_up; round < rounds; ++round) {
      const std::int64_t daemon_ns = daemon.answer_to(SIGUSR2);
      const std::int64_t loop_ns = loop.answer_to(SIGUSR2);
      if (round < 0) continue;
      callback.add(daemon_ns);
      bare.add(loop_ns);
    }
    add_row(report, "signal to callback: SIGUSR2", callback, bare);
    daemon.process.signal(SIGKILL);
    loop.process.signal(SIGKILL);
    (void)daemon.process.wait();
    (void)loop.process.wait();
  }
  bench::Samples end_of_wait, bare;
  for (int round = 0; round < std::max(rounds / 5, 2); ++round) {  // each needs a process of its own
    const Receiver daemon{ours};
    end_of_wait.add(daemon.answer_to(SIGTERM));
    (void)daemon.process.wait();
    const Receiver loop{run_bare};
    bare.add(loop.answer_to(SIGTERM));
    (void)loop.process.wait();
  }
  add_row(report, "signal to callback: SIGTERM ends wait", end_of_wait, bare);
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
