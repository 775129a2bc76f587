// What does a daemon use while nothing happens: processor time, wake-ups, descriptors?
//
// Watchdog and resource watch are off. A wake-up is a voluntary context switch of any thread. Of the compat daemon both
// processes count, the supervising parent and the worker.
#include <string>
#include <vector>

#include "measure.hpp"
#include "processes.hpp"

namespace {

struct Idle {
  std::string what;
  std::vector<pid_t> processes;
  std::vector<bench::Activity> before{};
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  std::vector<std::string> environment;
  for (const char* name : {"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY", "XDG_RUNTIME_DIR", "HOME"})
    environment.push_back(fmt::format("{}={}", name, directory.path()));

  const auto start = [](const bench::Program& program) { return bench::start_detached(program).daemon.pid(); };
  std::vector<Idle> all;
  const pid_t run = start({{bench::sibling("run_daemon"), "--daemon"}, environment});
  all.push_back({"idle: perdure::run --daemon", {run}});
  const pid_t parent = start({{bench::sibling("compat_daemon"), directory / "compat.pid"}, environment});
  const std::vector<pid_t> workers = bench::children_of(parent);
  if (workers.size() != 1) throw std::runtime_error("the compat daemon has no worker");
  all.push_back({"idle: compat parent + worker", {parent, workers[0]}});
  const pid_t bare = start({{bench::sibling("bare_daemon")}, {}});
  all.push_back({"idle: bare, in pause(2)", {bare}});

  constexpr int settle_ms = 1'000;
  const int seconds = arguments.long_run ? 30 : 5;
  bench::pause_ms(settle_ms);
  for (Idle& idle : all) {
    for (const pid_t pid : idle.processes) idle.before.push_back(bench::activity_of(pid));
  }
  bench::pause_ms(seconds * 1'000);
  std::string bare_use;
  for (auto idle = all.rbegin(); idle != all.rend(); ++idle) {  // the bare one first
    std::uint64_t ticks = 0, wakeups = 0;
    unsigned threads = 0;
    for (std::size_t i = 0; i < idle->processes.size(); ++i) {
      const bench::Activity after = bench::activity_of(idle->processes[i]);
      ticks += after.cpu_ticks - idle->before[i].cpu_ticks;
      wakeups += after.wakeups - idle->before[i].wakeups;
      threads += after.threads;
    }
    const double percent =
        100.0 * static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK)) / static_cast<double>(seconds);
    const std::string use = fmt::format("{} wake-ups, {:.2f} % CPU in {} s", wakeups, percent, seconds);
    if (bare_use.empty()) {
      bare_use = use;
      continue;
    }
    report.row({.what = idle->what,
                .claimed = "< 0.05 % CPU",
                .must_reach = "0 wake-ups",
                .measured = fmt::format("{}, {} threads", use, threads),
                .bare_peer = bare_use,
                .verdict = bench::verdict(wakeups == 0)});
  }

  struct Held {
    std::string what;
    pid_t pid;
    std::string must_reach;
    std::size_t max;
  };
  constexpr std::size_t no_limit = ~std::size_t{0};
  for (const Held& held :
       {Held{"descriptors: compat worker", workers[0], "<= 5", 5}, Held{"descriptors: compat parent", parent, "", no_limit},
        Held{"descriptors: perdure::run", run, "documented", no_limit}}) {
    const std::vector<std::string> targets = bench::descriptors_of(held.pid);
    report.row({.what = held.what,
                .claimed = "3 to 5",
                .must_reach = held.must_reach,
                .measured = std::to_string(targets.size()),
                .verdict = held.max == no_limit ? "" : bench::verdict(targets.size() <= held.max)});
    report.note(fmt::format("{}: {} KiB resident; {}", held.what, bench::rss_kib(held.pid), joined(targets)));
  }
  for (const pid_t pid : {run, parent, bare}) bench::Target{pid}.stop();
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
