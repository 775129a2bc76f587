// Does a daemon grow when it gets 10,000 signals and 1,000 reloads, every second of these refused?
//
// Resident memory is counted page by page and looked at along the way; the slope is that of the line through the last nine
// tenths, because the first rounds bring caches and arenas to their size. The compat daemon gets 10,000 signals through its
// supervising parent. With --minutes=N they are spread over that time.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "measure.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "processes.hpp"

using namespace std::chrono_literals;

namespace soak {

struct Settings {
  int limit = 1;
  std::string greeting = "hello";
};

void describe(perdure::Fields& fields, Settings& settings) {
  fields("limit", settings.limit).range(0, 1'000'000).help("a number");
  fields("greeting", settings.greeting).help("a text");
}

}  // namespace soak

namespace {

enum class Said : char { Ready, Signal, Reloaded, Refused };

int run_daemon(const bench::Line& line, const bench::Directory& directory) {
  std::string name = "soak-bench";
  char* argv[] = {name.data(), nullptr};
  perdure::Config<soak::Settings> config;
  const perdure::Options options{
      .name = name,
      .verbs = perdure::Verbs::Off,
      .config = config,
      .config_file = directory / "soak.conf",
      .pid_file = directory / "soak.pid",
      .control = directory / "soak.sock",
      .log = {.path = directory / "soak.log", .max_bytes = 65'536},
      .on_reload =
          [&line](const perdure::Reloaded& reload) { line.send(reload.refused.empty() ? Said::Reloaded : Said::Refused); },
      .on_user_signal = [&line] { line.send(Said::Signal); }};
  return perdure::run(1, argv, options, [&line](perdure::Context& ctx) {
    ctx.ready();
    line.send(Said::Ready);
    while (ctx.wait(24h)) continue;
  });
}

int run_compat(const bench::Line& line) {
  std::string name = "soak-bench";
  std::array<char*, 2> argv{name.data(), nullptr};
  atom::async::DaemonGuard daemon;
  const auto work = [&line](int, char**) {
    sigset_t hup, before;
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    (void)::sigprocmask(SIG_BLOCK, &hup, &before);
    if (!atom::async::registerSignalHandlers()) return 1;
    line.send(Said::Ready);
    while (!atom::async::stopRequested()) {
      (void)::sigsuspend(&before);
      if (atom::async::takeSignal(SIGHUP)) line.send(Said::Signal);
    }
    return 0;
  };
  return daemon.startDaemon(1, argv.data(), work, true);
}

void expect(const bench::Line& line, Said said) {
  if (line.receive<Said>() != said) throw std::runtime_error("the daemon did something else than it was asked for");
}

void write_settings(const bench::Directory& directory, const std::string& text) {
  const std::string path = directory / "soak.conf";
  std::ofstream{path + ".new"} << text;
  std::filesystem::rename(path + ".new", path);
}

/// The first hook makes the thread that hooks run on.
constexpr std::size_t hook_threads = 1;

std::size_t threads_of(pid_t pid) {
  const std::filesystem::directory_iterator threads{fmt::format("/proc/{}/task", pid)};
  return static_cast<std::size_t>(std::distance(begin(threads), end(threads)));
}

/// What a process has had along the way.
class Growth {
 public:
  explicit Growth(pid_t pid) : pid_(pid), descriptors_(bench::descriptors_of(pid).size()), threads_(threads_of(pid)) {}
  void look() { rss_.push_back(static_cast<double>(bench::rss_kib(pid_))); }
  /// KiB from one look to the next, by least squares over the last nine tenths.
  [[nodiscard]] double slope() const {
    const std::size_t skipped = rss_.size() / 10, n = rss_.size() - skipped;
    double x_mean = 0, y_mean = 0, above = 0, below = 0;
    for (std::size_t i = 0; i < n; ++i) x_mean += static_cast<double>(i), y_mean += rss_[skipped + i];
    x_mean /= static_cast<double>(n), y_mean /= static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(i) - x_mean;
      above += x * (rss_[skipped + i] - y_mean);
      below += x * x;
    }
    return below > 0 ? above / below : 0;
  }
  void report_to(bench::Report& report, const std::string& what, double thousands_per_look) const {
    const double per_thousand = slope() / thousands_per_look;
    const std::size_t now = bench::descriptors_of(pid_).size();
    // Half a page in a thousand events is below what a page-wise count can tell from nothing.
    constexpr double noise_kib = 2.0;
    report.row({.what = what,
                .must_reach = "slope 0, same descriptors, no more threads",
                .measured = fmt::format("{:+.2f} KiB per 1000, {} -> {} descriptors, {} -> {} threads", per_thousand,
                                        descriptors_, now, threads_, threads_of(pid_)),
                .verdict = bench::verdict(per_thousand < noise_kib && now == descriptors_ &&
                                          threads_of(pid_) <= threads_ + hook_threads)});
    report.note(fmt::format("{}: resident {} KiB at first, {} KiB after a tenth, {} KiB at the end", what, rss_.front(),
                            rss_[rss_.size() / 10], rss_.back()));
  }

 private:
  pid_t pid_;
  std::size_t descriptors_;
  std::size_t threads_;
  std::vector<double> rss_;
};

constexpr int signals_per_round = 10;  // and one reload
constexpr int rounds_per_look = 10;

/// A daemon of run().
class SoakRun {
 public:
  SoakRun() {
    write_settings(directory_, "limit = 1\n");
    daemon_.emplace(bench::fork_running([this] { return run_daemon(line_, directory_); }));
    expect(line_, Said::Ready);
    bench::until_asleep(daemon_->pid());
    growth_.emplace(daemon_->pid());
  }
  void round(int number) {
    for (int i = 0; i < signals_per_round; ++i) {
      daemon_->signal(SIGUSR2);
      expect(line_, Said::Signal);
    }
    const bool good = number % 2 == 0;
    write_settings(directory_,
                   good ? fmt::format("limit = {}\ngreeting = hello {}\n", number, number % 100) : "limit = many\n");
    daemon_->signal(SIGHUP);
    expect(line_, good ? Said::Reloaded : Said::Refused);
    if (number % rounds_per_look == 0) growth_->look();
  }
  void finish(int rounds, const std::string& pace, bench::Report& report) {
    bench::until_asleep(daemon_->pid());
    growth_->report_to(report,
                       fmt::format("{} signals, {} reloads{}: perdure::run", rounds * signals_per_round, rounds, pace),
                       rounds_per_look * (signals_per_round + 1) / 1000.0);
    daemon_->stop();
  }

 private:
  bench::Directory directory_{bench::memory_base()};
  bench::Line line_;
  std::optional<bench::Target> daemon_;
  std::optional<Growth> growth_;
};

/// A daemon of the compat header: the parent that supervises, and its worker.
class SoakCompat {
 public:
  SoakCompat() {
    const std::vector<pid_t> before = bench::children_of(::getpid());
    const bench::Target first = bench::fork_running([this] { return run_compat(line_); });
    expect(line_, Said::Ready);
    (void)first.wait();
    std::vector<pid_t> parents;
    for (const pid_t pid : bench::children_of(::getpid()))
      if (std::count(before.begin(), before.end(), pid) == 0) parents.push_back(pid);
    const std::vector<pid_t> workers = parents.size() == 1 ? bench::children_of(parents[0]) : std::vector<pid_t>{};
    if (workers.size() != 1) throw std::runtime_error("the compat daemon is not one parent and one worker");
    parent_.emplace(parents[0]);
    bench::until_asleep(parents[0]);
    parents_growth_.emplace(parents[0]);
    workers_growth_.emplace(workers[0]);
  }
  void round(int number) {
    for (int i = 0; i < signals_per_round; ++i) {
      parent_->signal(SIGHUP);
      expect(line_, Said::Signal);
    }
    if (number % rounds_per_look == 0) parents_growth_->look(), workers_growth_->look();
  }
  void finish(int rounds, const std::string& pace, bench::Report& report) {
    const double thousands_per_look = rounds_per_look * signals_per_round / 1000.0;
    const auto what = [&](const char* who) {
      return fmt::format("{} signals{}: {}", rounds * signals_per_round, pace, who);
    };
    parents_growth_->report_to(report, what("compat parent"), thousands_per_look);
    workers_growth_->report_to(report, what("compat worker"), thousands_per_look);
    parent_->stop();
  }

 private:
  bench::Line line_;
  std::optional<bench::Target> parent_;
  std::optional<Growth> parents_growth_, workers_growth_;
};

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const int rounds = std::max(arguments.rounds_or(arguments.long_run ? 10'000 : 1'000), 100);
  const std::string pace = arguments.minutes > 0 ? fmt::format(" in {} minutes", arguments.minutes) : "";
  SoakRun run;
  SoakCompat compat;
  for (int round = 0; round < rounds; ++round) {
    run.round(round);
    compat.round(round);
    std::this_thread::sleep_for(std::chrono::nanoseconds{std::chrono::minutes{arguments.minutes}} / rounds);
  }
  run.finish(rounds, pace, report);
  compat.finish(rounds, pace, report);
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
