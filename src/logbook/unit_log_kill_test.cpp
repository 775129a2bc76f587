// The promise: SIGKILL whoever captures, at any instant, as often as you like; no line is lost, doubled or torn.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"
#include "logbook/pipe_pacing.hpp"
#include "logbook/segment_reader.hpp"
#include "logbook/unit_log.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

constexpr std::size_t line_bytes = 64;
constexpr std::string_view unit = "web.service";

/// A child of this test, killed and reaped at the end.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) : pid_(::fork()) {
    if (pid_ == 0) {
      body();
      ::_exit(0);
    }
    pidfd_.reset(os::sys::pidfd_open(pid_, 0));
    EXPECT_TRUE(pidfd_);
  }
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void end() {
    if (!pidfd_) return;
    (void)os::sys::pidfd_send_signal(pidfd_.get(), SIGKILL);
    siginfo_t info{};
    (void)os::sys::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
    pidfd_.reset();
  }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
};

/// Numbered lines without end, each in one write(2); `written` is how many.
void write_lines(int pipe, std::atomic<std::uint64_t>& written) {
  char line[line_bytes];
  std::memset(line, '.', sizeof line);
  line[line_bytes - 1] = '\n';
  for (std::uint64_t number = 0;; ++number) {
    *std::to_chars(line, line + 20, number).ptr = ' ';
    if (::write(pipe, line, sizeof line) != ssize_t{sizeof line}) return;
    written.store(number + 1);
  }
}

void capture(int pipe, const std::string& path, const CaptureLimits& limits, std::uint64_t run) {
  const auto directory = LogDirectory::open(path, limits);
  if (!directory) return;
  UnitLog log{**directory, std::string{unit}};
  log.begin_run({.run = run, .main_pid = 1});
  for (;;) {
    pollfd ready{.fd = pipe, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, -1) != 1) return;
    const Taken taken = log.take(pipe, LogTime::now());
    if (taken.end || taken.blocked != 0) return;
  }
}

class UnitLogKilled : public ::testing::TestWithParam<CaptureLimits> {};

TEST_P(UnitLogKilled, TwoHundredTimesLosesDoublesAndTearsNoLine) {
  constexpr int kills = 200;
  const CaptureLimits limits = GetParam();
  const testing::TempDirectory scratch;
  const std::string path = scratch / "logs";
  testing::Pipe pipe;
  void* const shared = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto& written = *new (shared) std::atomic<std::uint64_t>{0};
  {
    Child writer{[&] { write_lines(pipe.in.get(), written); }};
    std::mt19937 random{20'251'121};
    for (int i = 0; i < kills; ++i) {
      Child manager{[&] { capture(pipe.out.get(), path, limits, 1); }};
      // Half of them at successive instants of a manager's life, half at random ones.
      const auto life = i % 2 == 0 ? std::chrono::microseconds{i * 15} : std::chrono::microseconds{random() % 4000};
      std::this_thread::sleep_for(life);
    }
    writer.end();
  }
  const std::uint64_t told = written.load();
  ::munmap(shared, sizeof(std::uint64_t));
  {
    const auto directory = *LogDirectory::open(path, limits);
    UnitLog log{*directory, std::string{unit}};
    pipe.in.reset();
    EXPECT_TRUE(log.drain(pipe.out.get(), LogTime::now()).end);
  }

  std::uint64_t expected = 0;
  SegmentReader reader{UniqueFd{::open((path + "/" + std::string{unit}).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)},
                       Pieces::Cut};
  std::int64_t last_time = 0;
  const LineTaker check = [&](const LinePiece& line) {
    std::uint64_t number = ~0ULL;
    (void)std::from_chars(line.text.data(), line.text.data() + line.text.size(), number);
    EXPECT_EQ(number, expected);
    EXPECT_EQ(line.text.size(), line_bytes - 1);
    EXPECT_EQ(line.origin.run, 1U);
    const std::int64_t time = line.origin.time.value_or(TimeRecord{}).monotonic_ns;
    EXPECT_GT(time, 0);
    EXPECT_GE(time, std::exchange(last_time, time));
    ++expected;
    return !::testing::Test::HasFailure();
  };
  EXPECT_TRUE(*reader.read(check));
  EXPECT_TRUE(reader.finish(check));
  // The writer may have died between a line and the count of it.
  EXPECT_GE(expected, told);
  EXPECT_LE(expected, told + 1);
  EXPECT_GT(expected, 10'000U);
}

INSTANTIATE_TEST_SUITE_P(InOneSegment, UnitLogKilled, ::testing::Values(CaptureLimits{.unit_bytes_max = 1ULL << 40}));
INSTANTIATE_TEST_SUITE_P(WhileItRotates, UnitLogKilled,
                         ::testing::Values(CaptureLimits{.segment_bytes_max = 64U << 10, .unit_bytes_max = 1ULL << 40}));

}  // namespace
}  // namespace perdure::logbook
