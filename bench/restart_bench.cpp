// How long is a supervised worker away when it is killed and the restart delay is 0: from SIGKILL to the first instruction of
// the new worker's callback?
//
// All three are forked from this one program, so they copy page tables of the same size. The bare peer is a parent in waitpid
// that forks again.
#include <sys/wait.h>

#include <array>
#include <functional>
#include <string>

#include "measure.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/supervise.hpp"
#include "processes.hpp"

namespace {

/// What a worker says first.
struct Born {
  pid_t pid;
  std::int64_t at_ns;
};

[[noreturn]] void work(const bench::Line& line) {
  line.send(Born{.pid = ::getpid(), .at_ns = bench::now_ns()});
  for (;;) (void)::pause();
}

int run_supervise(const bench::Line& line) {
  const auto ended =
      perdure::supervise({.restart = {.give_up_after = 0}}, [&](const perdure::WorkerStart&) -> int { work(line); });
  return ended ? 0 : 1;
}

int run_compat(const bench::Line& line) {
  std::string name = "restart-bench";
  std::array<char*, 2> argv{name.data(), nullptr};
  atom::async::DaemonGuard daemon;
  return daemon.startDaemon(
      1, argv.data(), [&](int, char**) -> int { work(line); }, true);
}

int run_bare(const bench::Line& line) {
  for (;;) {
    const pid_t worker = ::fork();
    if (worker == 0) work(line);
    if (worker < 0 || ::waitpid(worker, nullptr, 0) != worker) return 1;
  }
}

/// A parent whose worker can be killed.
struct Supervised {
  explicit Supervised(const std::function<int(const bench::Line&)>& body)
      : first(bench::fork_running([&] { return body(line); })), worker(line.receive<Born>().pid) {}
  std::int64_t restart() {
    bench::until_asleep(worker);
    const bench::Target victim{worker};
    const std::int64_t killed = bench::now_ns();
    victim.signal(SIGKILL);
    const Born next = line.receive<Born>();
    worker = next.pid;
    return next.at_ns - killed;
  }
  bench::Line line;
  bench::Target first;
  pid_t worker;
};

void measure(const bench::Arguments& arguments, bench::Report& report) {
  struct Contender {
    std::string what;
    Supervised processes;
    bench::Samples samples{};
  };
  std::array<Contender, 3> contenders{{{"bare waitpid and fork", Supervised{run_bare}},
                                       {"supervised restart: supervise()", Supervised{run_supervise}},
                                       {"supervised restart: compat", Supervised{run_compat}}}};
  constexpr int warm_up = 5;
  const int rounds = arguments.rounds_or(arguments.long_run ? 1'000 : 200);
  for (int round = -warm_up; round < rounds; ++round) {
    for (Contender& contender : contenders) {
      const std::int64_t away = contender.processes.restart();
      if (round >= 0) contender.samples.add(away);
    }
  }
  const bench::Samples& bare = contenders[0].samples;
  constexpr double ratio_max = 2.0;
  for (std::size_t i = 1; i < contenders.size(); ++i) {
    const double ratio = contenders[i].samples.median() / bare.median();
    report.row({.what = contenders[i].what,
                .claimed = "< 100 ms",
                .must_reach = "<= 2x bare",
                .measured = bench::median_and(contenders[i].samples, 95),
                .bare_peer = bench::median_and(bare, 95),
                .ratio = bench::times(ratio),
                .verdict = bench::verdict(ratio <= ratio_max)});
  }
  for (const Contender& contender : contenders)
    report.note(fmt::format("{}: {}", contender.what, bench::all_of(contender.samples)));
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
