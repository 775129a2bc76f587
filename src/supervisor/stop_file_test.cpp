#include "supervisor/stop_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include <gtest/gtest.h>

namespace perdure::supervisor {
namespace {

constexpr base::Instant noon{std::chrono::hours{12}};

UniqueFd copy_of(const StopFile& stop) { return UniqueFd{::fcntl(stop.fd(), F_DUPFD_CLOEXEC, 0)}; }

TEST(StopFile, WhoAdoptsItKnowsWhenTheStopBeganAndItsCode) {
  StopFile stop = StopFile::create(noon);
  ASSERT_GE(stop.fd(), 0);
  UniqueFd parked = copy_of(stop);
  EXPECT_EQ(StopFile::adopt(copy_of(stop)).began(), noon);
  EXPECT_EQ(StopFile::adopt(copy_of(stop)).code(), std::nullopt);
  stop.set_code(0);
  stop.set_code(7);
  const StopFile next = StopFile::adopt(std::move(parked));
  EXPECT_EQ(next.began(), noon);
  EXPECT_EQ(next.code(), 7) << "what was parked is the file, not what was in it then";
}

TEST(StopFile, AnythingElseTellsNothing) {
  const auto expect_nothing = [](UniqueFd file) {
    const StopFile stop = StopFile::adopt(std::move(file));
    EXPECT_EQ(stop.began(), std::nullopt);
    EXPECT_EQ(stop.code(), std::nullopt);
    EXPECT_EQ(stop.fd(), -1);
  };
  expect_nothing(UniqueFd{});
  expect_nothing(UniqueFd{::open("/dev/null", O_RDONLY | O_CLOEXEC)});
  expect_nothing(UniqueFd{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)});
}

TEST(StopFile, WithoutAFileTheCodeIsKnownToThisManagerAlone) {
  StopFile none;
  none.set_code(3);
  EXPECT_EQ(none.code(), 3);
  EXPECT_EQ(none.began(), std::nullopt);
}

}  // namespace
}  // namespace perdure::supervisor
