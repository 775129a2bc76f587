// What does #include <perdure/perdure.hpp> cost a user's compile, beside <fmt/core.h> and beside nothing at all?
//
// The compiler of this build, -std=c++20 -fsyntax-only; its user time, the best of the rounds, because everything that disturbs
// a compiler only makes it slower.
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>
#include <string>

#include "measure.hpp"
#include "processes.hpp"

namespace {

double compile_ns(const std::string& source) {
  const pid_t pid = bench::spawn({{BENCH_COMPILER, "-std=c++20", "-fsyntax-only", "-I", BENCH_INCLUDE, source}, {}});
  int status = -1;
  rusage use{};
  if (::wait4(pid, &status, 0, &use) != pid || status != 0) throw std::runtime_error("the compiler refused " + source);
  return static_cast<double>(use.ru_utime.tv_sec) * 1e9 + static_cast<double>(use.ru_utime.tv_usec) * 1e3;
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  struct Contender {
    std::string header;
    bench::Samples samples{};
  };
  std::array<Contender, 4> contenders{{{""}, {"fmt/core.h"}, {"perdure/perdure.hpp"}, {"perdure/compat/daemon.hpp"}}};
  const int rounds = arguments.rounds_or(5);
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const std::string source = directory / fmt::format("include_{}.cpp", i);
      const std::string include = contenders[i].header.empty() ? "" : fmt::format("#include <{}>\n", contenders[i].header);
      std::ofstream{source} << include << "int main() {}\n";
      contenders[i].samples.add(compile_ns(source));
    }
  }
  const auto& [empty, fmt_core, ours, compat] = contenders;
  constexpr double best_max = 0.6e9;
  report.row({.what = "#include <perdure/perdure.hpp>",
              .must_reach = "<= 0.6 s",
              .measured = fmt::format("best of {}: {}", rounds, bench::duration(ours.samples.min())),
              .bare_peer = fmt::format("<fmt/core.h> {}", bench::duration(fmt_core.samples.min())),
              .ratio = bench::times(ours.samples.min() / fmt_core.samples.min()),
              .verdict = bench::verdict(ours.samples.min() <= best_max)});
  report.note(
      fmt::format("user time of {} -fsyntax-only, best of {}: empty main {}, <fmt/core.h> {}, <perdure/perdure.hpp> {}, "
                  "<perdure/compat/daemon.hpp> {}",
                  BENCH_COMPILER, rounds, bench::duration(empty.samples.min()), bench::duration(fmt_core.samples.min()),
                  bench::duration(ours.samples.min()), bench::duration(compat.samples.min())));
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
