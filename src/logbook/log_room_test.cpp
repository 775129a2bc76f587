#include "logbook/log_room.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"
#include "os/fault_plan.hpp"

namespace perdure::logbook {
namespace {

using testing::at;
using ::testing::Each;
using ::testing::Field;
using ::testing::IsEmpty;
using testing::Logs;
using testing::Pipe;

/// A second unit in the same directory of logs.
struct Other {
  explicit Other(Logs& logs) : log(*logs.directory, "quiet.service") {}
  void put(std::string_view text, int second) {
    pipe.write(text);
    EXPECT_THAT(log.take(pipe.out.get(), at(second)).note, IsEmpty());
  }
  UnitLog log;
  Pipe pipe{};
};

std::uint64_t sum_of(const Logs& logs) {
  const UniqueFd directory{::open((logs.scratch / "logs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  std::uint64_t sum = 0;
  for (const StoredSegment& segment : stored_segments(directory.get())) sum += segment.bytes;
  return sum;
}

const std::string kilobyte = std::string(999, 'x') + "\n";

TEST(LogRoom, AllUnitsTogetherTakeNoMoreThanIsAllowed) {
  constexpr std::uint64_t all = 64'000;
  Logs logs{CaptureLimits{.segment_bytes_max = 4'000, .all_bytes_max = all}};
  Other other{logs};
  for (int i = 0; i < 300; ++i) {
    logs.put(kilobyte, at(i));
    other.put(kilobyte, i);
    EXPECT_LE(sum_of(logs), all);
  }
  EXPECT_GE(sum_of(logs), all / 2);
}

TEST(LogRoom, WhatWasWrittenToLongestAgoGoesFirstAlsoWhereItsUnitHoldsItOpen) {
  Logs logs{CaptureLimits{.segment_bytes_max = 4'000, .all_bytes_max = 64'000}};
  Other quiet{logs};
  quiet.put("long ago\n", 0);
  for (int i = 0; i < 300; ++i) logs.put(kilobyte, at(i));
  const UniqueFd directory{::open((logs.scratch / "logs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  EXPECT_THAT(stored_segments(directory.get()), Each(Field(&StoredSegment::unit, "web.service")));
  quiet.put("now\n", 301);  // nothing to complain of, and under a number that was not used
  EXPECT_EQ(testing::read_whole(logs.scratch / "logs/quiet.service/00000002.log"), "now\n");
}

TEST(LogRoom, TheSegmentThatIsBeingWrittenStays) {
  Logs logs{CaptureLimits{.segment_bytes_max = 1'000'000, .all_bytes_max = 1'000}};
  for (int i = 0; i < 5; ++i) logs.put(kilobyte, at(i));
  EXPECT_EQ(testing::read_whole(logs / "00000001.log").size(), 5 * kilobyte.size());
}

TEST(LogRoom, IsATenthOfTheFileSystemAndAGibibyteAtMost) {
  EXPECT_EQ(limits_for(1ULL << 40).all_bytes_max, 1ULL << 30);
  EXPECT_EQ(limits_for(10ULL << 20).all_bytes_max, 1ULL << 20);
  const CaptureLimits small = limits_for(640ULL << 20);
  EXPECT_EQ(small.all_bytes_max, 64ULL << 20);
  EXPECT_EQ(small.unit_bytes_max, 32ULL << 20);
  EXPECT_EQ(small.segment_bytes_max, 4ULL << 20);
  EXPECT_EQ(limits_for(0).all_bytes_max, 1ULL << 20);
}

TEST(LogRoom, AFileSystemThatDoesNotSayHowLargeItIsGetsTheDefaults) {
  os::testing::FaultPlan plan{{.call = os::Call::statvfs, .error = ENOSYS}};
  EXPECT_EQ(limits_of_file_system("/").all_bytes_max, CaptureLimits{}.all_bytes_max);
  EXPECT_TRUE(plan.fired());
}

}  // namespace
}  // namespace perdure::logbook
