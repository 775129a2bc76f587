#include "perdure/resources.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"

namespace perdure {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Resources, CountsDescriptorsWithoutItsOwn) {
  const auto before = open_fds();
  ASSERT_TRUE(before);
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(open_fds(), *before + 1);
  ::close(fd);
  EXPECT_EQ(open_fds(), before);
}

TEST(Resources, SeesMemoryThatIsTouched) {
  const auto before = rss();
  ASSERT_TRUE(before);
  constexpr std::size_t size = 32 << 20;
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, size);
  EXPECT_GE(*rss(), *before + size * 9 / 10);
  ::munmap(memory, size);
}

TEST(Resources, SayWhatTheKernelSays) {
  std::ifstream status{"/proc/self/status"};
  std::string word;
  std::uint64_t kib = 0;
  while (status >> word && word != "VmRSS:") {
  }
  ASSERT_TRUE(status >> kib);
  const double said = static_cast<double>(kib) * 1024;
  EXPECT_NEAR(static_cast<double>(*rss()), said, said / 20);
}

TEST(Resources, WithoutProcTheAnswersAreEmpty) {
  for (const auto ask : {&rss, &open_fds, &threads}) {
    const os::testing::FaultPlan no_proc{{.error = ENOENT, .times = 100}};
    EXPECT_EQ(ask(), std::nullopt);
  }
}

TEST(Resources, CountsThreads) {
  const auto before = threads();
  ASSERT_TRUE(before);
  std::promise<void> end;
  std::thread other{[done = end.get_future()] { done.wait(); }};
  EXPECT_EQ(threads(), *before + 1);
  end.set_value();
  other.join();
}

TEST(ResourceWatch, WarnsOncePerCrossing) {
  ResourceWatch watch{{.rss_max = 51200 << 10, .open_fds_max = 100}};
  EXPECT_THAT(watch.check({.rss = 51200 << 10, .open_fds = 100}), IsEmpty());
  EXPECT_THAT(watch.check({.rss = 61440 << 10, .open_fds = 123}),
              ElementsAre("MEMORY WARNING: RSS=61440 KB exceeds limit 51200 KB",
                          "FD WARNING: 123 file descriptors open, limit=100 - possible leak!"));
  EXPECT_THAT(watch.check({.rss = 61441 << 10, .open_fds = 124}), IsEmpty());
  EXPECT_THAT(watch.check({.rss = 1, .open_fds = 1}), IsEmpty());
  EXPECT_THAT(watch.check({.rss = 61440 << 10, .open_fds = 1}),
              ElementsAre("MEMORY WARNING: RSS=61440 KB exceeds limit 51200 KB"));
}

TEST(ResourceWatch, WithoutLimitsOrFiguresThereIsNoWarning) {
  ResourceWatch unlimited{{}};
  EXPECT_THAT(unlimited.check({.rss = UINT64_MAX, .open_fds = UINT64_MAX}), IsEmpty());
  ResourceWatch watch{{.rss_max = 1, .open_fds_max = 1, .growing_looks = 1}};
  EXPECT_THAT(watch.check({}), IsEmpty());
}

TEST(ResourceWatch, WarnsWhenDescriptorsOnlyEverGrow) {
  ResourceWatch watch{{.growing_looks = 3}};
  for (const std::uint64_t count : {5U, 6U, 7U, 7U, 8U, 9U}) EXPECT_THAT(watch.check({.open_fds = count}), IsEmpty());
  EXPECT_THAT(watch.check({.open_fds = 10}),
              ElementsAre("FD WARNING: 10 file descriptors open, more in each of the last 3 looks - possible leak!"));
  EXPECT_THAT(watch.check({.open_fds = 11}), IsEmpty());
}

}  // namespace
}  // namespace perdure
