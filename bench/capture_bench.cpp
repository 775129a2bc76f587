// How fast can a service write into a pipe whose other end is captured to disk, beside the same pipe read by `cat > file`?
//
// A pair is one writer into cat and one into the capture, alternating who is first; the ratio is the median over the pairs. The
// capture is a process of its own that waits with epoll and moves bytes as the manager does. Time runs from the writer's first
// write until the reader has seen the end and everything is in its file; lines are counted afterwards. Each line is numbered, so one
// that is lost, doubled or torn shows.
// Also: does the capture's memory stay flat while 1 GB comes without a newline?
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "logbook/log_directory.hpp"
#include "logbook/pipe_pacing.hpp"
#include "logbook/segment_files.hpp"
#include "logbook/unit_log.hpp"
#include "os/system.hpp"
#include "processes.hpp"

namespace {

using namespace perdure;

constexpr std::size_t line_bytes = 100;
constexpr std::string_view unit = "writer.service";

// ---- writers -----------------------------------------------------------------------------------------------------------------

void write_all(int fd, const char* text, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, text, size);
    if (written <= 0) ::_exit(98);
    text += written;
    size -= static_cast<std::size_t>(written);
  }
}

/// Numbered lines, `per_write` of them in each write(2).
int write_lines(int fd, std::uint64_t lines, std::size_t per_write) {
  std::vector<char> text(per_write * line_bytes, '.');
  for (std::size_t i = 1; i <= per_write; ++i) text[i * line_bytes - 1] = '\n';
  for (std::uint64_t line = 0; line < lines; line += per_write) {
    for (std::size_t i = 0; i < per_write; ++i) {
      char* at = text.data() + i * line_bytes;
      const auto end = std::to_chars(at, at + 20, line + i).ptr;
      *end = ' ';
    }
    write_all(fd, text.data(), text.size());
  }
  return 0;
}

int write_without_newline(int fd, std::uint64_t bytes) {
  const std::vector<char> text(65536, 'x');
  for (; bytes > 0; bytes -= std::min<std::uint64_t>(bytes, text.size())) write_all(fd, text.data(), text.size());
  return 0;
}

// ---- readers -----------------------------------------------------------------------------------------------------------------

/// The part of the manager that is measured: a pipe, its log, and the loop around them.
int capture(int pipe, const std::string& directory) {
  (void)::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  auto logs = logbook::LogDirectory::open(directory,
                                          logbook::CaptureLimits{.unit_bytes_max = 1ULL << 40, .all_bytes_max = 1ULL << 40});
  if (!logs) return 1;
  logbook::UnitLog log{**logs, std::string{unit}};
  log.begin_run({.run = 1, .main_pid = 1});
  logbook::PipePacing pacing;

  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event interest{};
  interest.events = EPOLLIN;
  bool watched = false;
  std::optional<base::Instant> look;
  const auto watch = [&](bool wanted) {
    if (watched != wanted) (void)::epoll_ctl(set, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, pipe, &interest);
    watched = wanted;
  };
  watch(true);
  for (;;) {
    epoll_event event{};
    timespec timeout{};
    if (look) {
      const auto left = std::max<std::int64_t>((*look - os::monotonic_now()).count(), 0);
      timeout = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    }
    if (os::sys::epoll_pwait2(set, &event, 1, look ? &timeout : nullptr) < 0) return 2;
    const logbook::LogTime now = logbook::LogTime::now();
    if (look && now.monotonic < *look) continue;
    const logbook::Taken taken = log.take(pipe, now);
    if (taken.end) return 0;
    if (taken.blocked != 0) return 3;
    const auto next = pacing.after_look(now.monotonic, taken.bytes);
    if (next.resize != 0) pacing.resized(logbook::resize_pipe(pipe, next.resize));
    watch(next.how == logbook::PipePacing::How::Watch);
    look = watched ? std::nullopt : std::optional{next.at};
  }
}

using Writer = std::function<int(int)>;

struct Run {
  double seconds = 0;
  long rss_growth_kib = 0;
};

/// Runs a writer into a reader; the reader's process ends at the end of the pipe.
Run run(const Writer& writer, const std::function<int(int)>& reader) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) bench::fail("make a pipe");
  UniqueFd out{ends[0]}, in{ends[1]};
  const bench::Line line;
  const bench::Target reading = bench::fork_running([&] {
    in.reset();
    rusage before{}, after{};
    (void)::getrusage(RUSAGE_SELF, &before);
    line.send(std::int64_t{0});
    const int code = reader(out.get());
    (void)::getrusage(RUSAGE_SELF, &after);
    line.send(bench::now_ns());
    line.send(std::int64_t{after.ru_maxrss - before.ru_maxrss});
    return code;
  });
  (void)line.receive<std::int64_t>();
  bench::until_asleep(reading.pid());
  const std::int64_t begin = bench::now_ns();
  const bench::Target writing = bench::fork_running([&] {
    out.reset();
    return writer(in.get());
  });
  in.reset();
  out.reset();
  Run result;
  result.seconds = static_cast<double>(line.receive<std::int64_t>() - begin) * 1e-9;
  result.rss_growth_kib = static_cast<long>(line.receive<std::int64_t>());
  if (writing.wait() != 0 || reading.wait() != 0) throw std::runtime_error("a writer or a reader has failed");
  return result;
}

/// cat itself, started by the reader's process, whose end is then the reader's.
Run run_cat(const Writer& writer, const std::string& file) {
  return run(writer, [&](int pipe) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int to = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      (void)::dup2(pipe, 0);
      (void)::dup2(to, 1);
      ::execlp("cat", "cat", static_cast<char*>(nullptr));
      ::_exit(127);
    }
    int status = -1;
    (void)::waitpid(pid, &status, 0);
    return status == 0 ? 0 : 1;
  });
}

// ---- what has arrived --------------------------------------------------------------------------------------------------------

/// How many of the lines 0, 1, 2 … are in the segments, in order and whole; throws at the first that is not.
std::uint64_t count_lines(const std::string& directory) {
  std::uint64_t expected = 0;
  std::string rest;
  std::vector<char> buffer(1 << 20);
  std::vector<std::string> segments;
  for (const auto& entry : std::filesystem::directory_iterator{directory}) {
    if (entry.path().extension() == logbook::data_suffix) segments.push_back(entry.path().string());
  }
  std::sort(segments.begin(), segments.end());
  for (const std::string& segment : segments) {
    std::ifstream file{segment, std::ios::binary};
    for (;;) {
      file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      rest.append(buffer.data(), static_cast<std::size_t>(file.gcount()));
      std::size_t at = 0;
      for (; rest.size() - at >= line_bytes; at += line_bytes, ++expected) {
        std::uint64_t number = 0;
        const auto end = std::from_chars(rest.data() + at, rest.data() + at + line_bytes, number);
        if (end.ec != std::errc{} || number != expected || rest[at + line_bytes - 1] != '\n')
          throw std::runtime_error(fmt::format("line {} is lost or torn", expected));
      }
      rest.erase(0, at);
      if (!file) break;
    }
  }
  if (!rest.empty()) throw std::runtime_error("the last line is torn");
  return expected;
}

// ---- the benchmark -----------------------------------------------------------------------------------------------------------

struct Case {
  std::string_view what;
  std::size_t lines_per_write;
  double ratio_min;
};

void measure_pairs(const bench::Arguments& arguments, bench::Report& report, const Case& kind, const std::string& place,
                   const std::string& base) {
  const std::uint64_t lines = arguments.long_run ? 10'000'000 : 2'000'000;
  const int pairs = arguments.rounds_or(7);
  bench::Samples cat, ours, ratios;
  const double megabytes = static_cast<double>(lines * line_bytes) / 1e6;
  const Writer writer = [&](int fd) { return write_lines(fd, lines, kind.lines_per_write); };
  for (int pair = -1; pair < pairs; ++pair) {
    const bench::Directory directory{base};
    double cat_seconds = 0, our_seconds = 0;
    const auto with_cat = [&] {
      cat_seconds = run_cat(writer, directory / "cat").seconds;
      std::filesystem::remove(directory / "cat");
    };
    const auto with_capture = [&] {
      our_seconds = run(writer, [&](int pipe) { return capture(pipe, directory / "logs"); }).seconds;
      const std::uint64_t arrived = count_lines(fmt::format("{}/logs/{}", directory.path(), unit));
      if (arrived != lines) throw std::runtime_error(fmt::format("{} of {} lines have arrived", arrived, lines));
      std::filesystem::remove_all(directory / "logs");
    };
    if (pair % 2 == 0) {
      with_cat();
      with_capture();
    } else {
      with_capture();
      with_cat();
    }
    if (pair < 0) continue;  // warms up the page cache's free lists and the programs
    cat.add(megabytes / cat_seconds);
    ours.add(megabytes / our_seconds);
    ratios.add(cat_seconds / our_seconds);
  }
  report.row({.what = fmt::format("log capture, {}, {}", kind.what, place),
              .claimed = "",
              .must_reach = fmt::format(">= {} of cat", bench::times(kind.ratio_min)),
              .measured = fmt::format("{:.0f} MB/s, 0 of {} lines lost", ours.median(), lines),
              .bare_peer = fmt::format("{:.0f} MB/s", cat.median()),
              .ratio = bench::times(ratios.median()),
              .verdict = bench::verdict(ratios.median() >= kind.ratio_min)});
  report.note(fmt::format(
      "log capture, {}, {}: ratio {:.2f} to {:.2f} over {} pairs; capture {:.0f} to {:.0f} MB/s, cat {:.0f} to "
      "{:.0f} MB/s",
      kind.what, place, ratios.min(), ratios.max(), ratios.count(), ours.min(), ours.max(), cat.min(), cat.max()));
}

void measure_memory(bench::Report& report) {
  constexpr long growth_max_kib = 256;
  const auto growth = [](std::uint64_t bytes) {
    const bench::Directory directory{"/tmp"};
    return run([bytes](int fd) { return write_without_newline(fd, bytes); },
               [&](int pipe) { return capture(pipe, directory / "logs"); })
        .rss_growth_kib;
  };
  // What both have in common are the pages of programs and libraries that are used for the first time.
  const long little = growth(10'000'000);
  const long much = growth(1'000'000'000);
  report.row({.what = "log capture, memory: 1 GB without a newline over 10 MB",
              .must_reach = fmt::format("<= {} KiB", growth_max_kib),
              .measured = fmt::format("{} KiB more", much - little),
              .verdict = bench::verdict(much - little <= growth_max_kib)});
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  constexpr Case cases[] = {{.what = "one write per 100-byte line", .lines_per_write = 1, .ratio_min = 0.8},
                            {.what = "100-byte lines in 4,000-byte writes", .lines_per_write = 40, .ratio_min = 0.65}};
  for (const Case& kind : cases) {
    measure_pairs(arguments, report, kind, "in memory", bench::memory_base());
    measure_pairs(arguments, report, kind, "on disk", "/tmp");
  }
  measure_memory(report);
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
