#include <perdure/spdlog.hpp>
#include <perdure/testing/process.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include <sstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using perdure::Level;
using perdure::Log;
using perdure::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Spdlog, EachOthersLinesArriveWithTheirLevels) {
  TempDir dir;
  const auto done =
      perdure::testing::run({EXAMPLE_PROGRAM, "--foreground", "--log-file", dir / "ours", "--", dir / "theirs"},
                            {.env = {{"RUNTIME_DIRECTORY", dir.path()}}});
  EXPECT_TRUE(done.status.success()) << done.output;
  EXPECT_THAT(perdure::testing::read_file(dir / "ours").value_or(""), HasSubstr("WARN  3 rows are locked logger=db\n"));
  EXPECT_THAT(perdure::testing::read_file(dir / "theirs").value_or(""), HasSubstr("[all] [error] the disk is 97 % full\n"));
}

TEST(Spdlog, TheirLevelsBecomeOursAndBothLogsMayRefuseALine) {
  std::vector<std::string> lines;
  Log log{"thermod"};
  log.add_target([&](const perdure::LogLine& line) -> perdure::Result<void> {
    lines.push_back(std::string{perdure::level_name(line.level)} + " " + std::string{line.text});
    return {};
  });
  spdlog::logger logger{"", perdure::spdlog_sink(log)};
  logger.set_level(spdlog::level::trace);
  logger.debug("our level is Info");
  log.set_level(Level::Debug);
  logger.trace("a");
  logger.info("b\nc");
  logger.critical("{not a format}");
  logger.set_level(spdlog::level::err);
  logger.warn("their level is error");
  EXPECT_THAT(lines, ElementsAre("DEBUG a", "INFO b\\nc", "CRITICAL {not a format}"));
}

TEST(Spdlog, OurLinesAreNoFormatsOfTheirs) {
  std::ostringstream out;
  auto logger = std::make_shared<spdlog::logger>("all", std::make_shared<spdlog::sinks::ostream_sink_st>(out));
  logger->set_pattern("%l %v");
  Log log{"thermod"};
  log.info("kept {}", "{}");
  perdure::send_to_spdlog(log, logger);
  log.critical("{}", "100 % {s}");
  EXPECT_EQ(out.str(), "info kept {}\ncritical 100 % {s}\n");
}
