// The judges of the kill tests: a judge that cannot find anything proves nothing.
#include "truth.hpp"

#include <perdure/testing/process.hpp>

#include <gtest/gtest.h>

namespace supervisor_test {
namespace {

constexpr std::uint32_t seed = 7;
constexpr std::uint64_t lines = 100;

std::string stream() {
  std::string text;
  for (std::uint64_t i = 0; i < lines; ++i) text += stream_line(seed, i);
  return text;
}
std::size_t begin_of(std::uint64_t line) {
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < line; ++i) at += stream_line(seed, i).size();
  return at;
}

TEST(LogVerdict, TheStreamItselfIsRight) {
  const std::string log = stream();
  const LogVerdict verdict = check_log(log, seed, log.size());
  EXPECT_TRUE(verdict.is_right()) << verdict.text();
  EXPECT_EQ(verdict.lines, lines);
}

TEST(LogVerdict, OneByteLessAnywhereIsSeen) {
  const std::string log = stream();
  for (std::size_t at = 0; at < log.size(); at += 13) {
    std::string doctored = log;
    doctored.erase(at, 1);
    EXPECT_FALSE(check_log(doctored, seed, log.size()).is_right()) << at;
  }
}

TEST(LogVerdict, ALineThatIsMissingDoubledOrMovedIsSeen) {
  const std::string log = stream();
  const std::string line = stream_line(seed, 40);
  std::string missing = log;
  missing.erase(begin_of(40), line.size());
  EXPECT_EQ(check_log(missing, seed, log.size()).lost, 1U);
  std::string doubled = log;
  doubled.insert(begin_of(40), line);
  EXPECT_EQ(check_log(doubled, seed, log.size()).repeated, 1U);
  std::string moved = missing;
  moved.insert(begin_of(60) - line.size(), line);
  EXPECT_EQ(check_log(moved, seed, log.size()).repeated, 1U);
  EXPECT_EQ(check_log({}, seed, log.size()).lost, lines);
  EXPECT_EQ(check_log(std::string_view{log}.substr(0, begin_of(90)), seed, log.size()).lost, 10U);
}

TEST(LogVerdict, MoreThanWasWrittenOrHolesAreSeen) {
  const std::string log = stream();
  EXPECT_FALSE(check_log(log + stream_line(seed, lines), seed, log.size()).is_right());
  EXPECT_FALSE(check_log(log + std::string(10, '\0'), seed, log.size()).is_right());
  EXPECT_FALSE(check_log(log, seed + 1, log.size()).is_right());
}

struct Lives : ::testing::Test {
  perdure::testing::TempDir dir;
  TruthFile truth = TruthFile::create(dir / "truth");
  void live(std::int32_t pid, EndKind end, int status) { truth->life[truth->lives++] = {pid, end, status}; }
};

TEST_F(Lives, EndsAsTheyWereAreRight) {
  live(10, EndKind::Exited, 3);
  EXPECT_EQ(check_end(*truth, 0, {.code = 1, .status = 3}, UnknownEnds::Wrong), "");
  live(11, EndKind::Killed, 9);
  live(12, EndKind::None, 0);
  EXPECT_EQ(check_end(*truth, 1, {.code = 2, .status = 9}, UnknownEnds::Wrong), "");
  EXPECT_EQ(check_lives(*truth, {.main_pid = 12, .restarts = 2}), "");
}

TEST_F(Lives, AnotherStatusIsSeen) {
  live(10, EndKind::Exited, 3);
  for (const Shown& wrong : {Shown{.code = 1, .status = 4}, Shown{.code = 2, .status = 3}, Shown{.code = 0, .status = 0}}) {
    EXPECT_NE(check_end(*truth, 0, wrong, UnknownEnds::Allowed), "");
  }
  EXPECT_NE(check_end(*truth, 1, {.code = 1, .status = 3}, UnknownEnds::Allowed), "") << "a life that nobody lived";
  const Shown unseen{.code = 0, .status = 0, .is_known = false};
  EXPECT_NE(check_end(*truth, 0, unseen, UnknownEnds::Wrong), "");
  EXPECT_EQ(check_end(*truth, 0, unseen, UnknownEnds::Allowed), "");
}

TEST_F(Lives, ARestartThatNothingExplainsIsSeen) {
  live(10, EndKind::None, 0);
  live(11, EndKind::None, 0);
  EXPECT_NE(check_lives(*truth, {.main_pid = 11, .restarts = 1}), "");
  EXPECT_NE(check_lives(*truth, {.main_pid = 11, .restarts = 0}), "");
}

TEST_F(Lives, ASecondProcessAndAWrongPidAreSeen) {
  live(10, EndKind::None, 0);
  EXPECT_NE(check_lives(*truth, {.main_pid = 11, .restarts = 0}), "");
  const TruthFile same = TruthFile::open(dir / "truth");
  EXPECT_TRUE(truth.lock());
  EXPECT_FALSE(same.lock());
  ++truth->duplicates;
  EXPECT_NE(check_lives(*truth, {.main_pid = 10, .restarts = 0}), "");
}

}  // namespace
}  // namespace supervisor_test
