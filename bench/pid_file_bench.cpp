// How long do writing and checking a PID file take, in memory and on disk?
//
// Write: a new file, locked, renamed over the old one. Check: who holds it, from the lock and the number. There is no fsync: a
// PID file means nothing after a power cut. The bare peer truncates, writes and reads back one file, without a lock and in
// place, so that readers see partial content.
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "measure.hpp"
#include "perdure/pid_file.hpp"
#include "processes.hpp"

namespace {

void write_and_read_bare(const std::string& path) {
  const std::string text = std::to_string(::getpid()) + "\n";
  const perdure::UniqueFd out{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (!out || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    bench::fail("write " + path);
  const perdure::UniqueFd in{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  char back[32];
  if (!in || ::read(in.get(), back, sizeof back) <= 0) bench::fail("read " + path);
}

void add_row(bench::Report& report, const std::string& where, const std::string& base, int rounds) {
  const bench::Directory directory{base};
  const std::string path = directory / "bench.pid";
  auto lock = perdure::PidFile::acquire(path);
  if (!lock) throw std::runtime_error(lock.error().message());
  bench::Samples ours, bare;
  constexpr int warm_up = 20;
  for (int round = -warm_up; round < rounds; ++round) {
    const std::int64_t begin = bench::now_ns();
    if (const auto written = lock->write(); !written) throw std::runtime_error(written.error().message());
    if (perdure::PidFile::holder(path) != ::getpid()) throw std::runtime_error(path + " names somebody else");
    const std::int64_t middle = bench::now_ns();
    write_and_read_bare(directory / "bare.pid");
    const std::int64_t end = bench::now_ns();
    if (round < 0) continue;
    ours.add(middle - begin);
    bare.add(end - middle);
  }
  constexpr double mean_max = 0.1e6;
  const bool in_memory = bench::is_tmpfs(base);
  report.row(
      {.what = "PID file write + check, " + where,
       .claimed = "0.3 ms",
       .must_reach = in_memory ? "mean <= 0.1 ms" : "",
       .measured = fmt::format("mean {}, p95 {}", bench::duration(ours.mean()), bench::duration(ours.percentile(95))),
       .bare_peer = fmt::format("mean {}, p95 {}", bench::duration(bare.mean()), bench::duration(bare.percentile(95))),
       .ratio = bench::times(ours.median() / bare.median()),
       .verdict = in_memory ? bench::verdict(ours.mean() <= mean_max) : ""});
  report.note(fmt::format("PID file in {}: {}", base, bench::all_of(ours)));
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const int rounds = arguments.rounds_or(arguments.long_run ? 10'000 : 1'000);
  if (const std::string memory = bench::memory_base(); bench::is_tmpfs(memory)) add_row(report, "tmpfs", memory, rounds);
  else report.note("PID file: this machine has no tmpfs that we may write to; not measured there");
  for (const std::string disk : {"/var/tmp", "/tmp"}) {
    if (!bench::is_tmpfs(disk) && ::access(disk.c_str(), W_OK) == 0) {
      add_row(report, "disk", disk, rounds);
      break;
    }
  }
  report.note("PID file: no fsync is made; the ratio is of medians, the bare peer has neither lock nor rename");
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
