#include "logbook/show_log.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"

namespace perdure::logbook {
namespace {

using testing::at;
using ::testing::HasSubstr;
using testing::invocation;
using testing::Logs;

/// What is shown; options without a place are shown from `logs`.
std::string show(const Logs& logs, ShowOptions options) {
  const testing::Utc utc;
  options.log_directory = logs.scratch / "logs";
  if (options.units.empty() && options.patterns.empty()) options.units = {"web.service"};
  options.host = "host1";
  std::string out;
  const auto result = show_log(options, [&out](std::string_view text) {
    out += text;
    return true;
  });
  EXPECT_TRUE(result) << result.error().message();
  return out;
}
std::string cat(const Logs& logs, std::optional<std::uint64_t> last = {}) {
  return show(logs, {.format = ShowFormat::Cat, .last = last});
}

TEST(ShowLog, EveryLineHasTheTimeThePidAndTheNameOfItsService) {
  Logs logs;
  logs.log->begin_run({.run = 1, .main_pid = 4207});
  logs.put("one\ntwo\n", at(0));
  logs.log->begin_run({.run = 2, .main_pid = 5000});
  logs.put("three\n", at(65));
  EXPECT_EQ(show(logs, {}),
            "Nov 21 04:40:10 host1 web[4207]: one\n"
            "Nov 21 04:40:10 host1 web[4207]: two\n"
            "Nov 21 04:41:15 host1 web[5000]: three\n");
}

TEST(ShowLog, ALogWithoutEntriesSaysSo) {
  Logs logs;
  EXPECT_EQ(show(logs, {}), "-- No entries --\n");
  EXPECT_EQ(show(logs, {.units = {"never-heard-of.service"}}), "-- No entries --\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Json}), "");
  logs.put("x\n");
  EXPECT_EQ(show(logs, {.last = 0}), "-- No entries --\n");
}

TEST(ShowLog, ANameThatLeadsElsewhereIsRefused) {
  for (const char* unit : {"..", "a/b", ""}) {
    const auto result = show_log({.log_directory = "/tmp", .units = {unit}}, [](std::string_view) { return true; });
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message(), HasSubstr("that is no name of a unit"));
  }
}

TEST(ShowLog, ALineNeverGoesOnFromOneRunIntoAnother) {
  Logs logs;
  logs.log->begin_run({.run = 1, .main_pid = 1});
  logs.put("torn by a crash");
  logs.log->begin_run({.run = 2, .main_pid = 2});
  logs.put("hello\n");
  EXPECT_EQ(show(logs, {}),
            "Nov 21 04:40:10 host1 web[1]: torn by a crash\n"
            "Nov 21 04:40:10 host1 web[2]: hello\n");
  logs.log->begin_run({.run = 2, .main_pid = 2, .invocation = invocation(1)});
  logs.put("half");
  logs.log->begin_run({.run = 2, .main_pid = 2, .invocation = invocation(2)});  // numbered afresh
  logs.put("whole\n");
  EXPECT_EQ(cat(logs), "torn by a crash\nhello\nhalf\nwhole\n");
}

TEST(ShowLog, ALineThatANewManagerGoesOnWithIsOneLine) {
  Logs logs;
  logs.log->begin_run({.run = 1, .main_pid = 1, .invocation = invocation(1)});
  logs.put("first half, ", at(0));
  logs.open();
  logs.log->begin_run({.run = 1, .main_pid = 1, .invocation = invocation(1)});
  logs.put("second half\n", at(9));
  EXPECT_EQ(show(logs, {}), "Nov 21 04:40:10 host1 web[1]: first half, second half\n");
}

TEST(ShowLog, ALineGoesOnFromOneSegmentIntoTheNext) {
  Logs logs{{.segment_bytes_max = 1000}};
  std::string text;
  for (int i = 0; i < 30; ++i) {
    text += std::string(50'000, static_cast<char>('a' + i % 26));
    logs.put(std::string(50'000, static_cast<char>('a' + i % 26)));
  }
  ASSERT_GT(logs.names().size(), 2U);
  logs.put("\nnext\n");
  EXPECT_EQ(cat(logs), text + "\nnext\n");
  EXPECT_EQ(cat(logs, 1), "next\n");
  EXPECT_EQ(cat(logs, 2), text + "\nnext\n");
}

TEST(ShowLog, TheLastLinesAreExactlyAsManyAsAskedFor) {
  Logs logs{{.segment_bytes_max = 500}};
  std::vector<std::string> lines;
  for (int run = 1; run <= 20; ++run) {
    logs.log->begin_run({.run = static_cast<std::uint64_t>(run), .main_pid = 1});
    for (int i = 0; i < 20; ++i) {
      const std::string line = "run " + std::to_string(run) + " line " + std::to_string(i);
      lines.push_back(line);
      logs.put(i == 19 ? line : line + "\n", at(run * 20 + i));  // each run ends in the middle of a line
    }
  }
  ASSERT_GT(logs.names().size(), 10U);
  for (std::size_t last = 1; last <= lines.size() + 3; ++last) {
    std::string expected;
    for (std::size_t i = lines.size() - std::min(last, lines.size()); i < lines.size(); ++i) expected += lines[i] + "\n";
    ASSERT_EQ(cat(logs, last), expected) << last;
  }
}

TEST(ShowLog, TheLastLinesAreFoundFarFromTheBeginning) {
  Logs logs;
  logs.log->begin_run({.run = 1, .main_pid = 77});
  for (int i = 0; i < 10'000; ++i) logs.put("line " + std::to_string(i) + "\n", at(i));  // several repetitions of the run
  EXPECT_EQ(show(logs, {.last = 1}), "Nov 21 07:26:49 host1 web[77]: line 9999\n");
}

TEST(ShowLog, ALongLineIsCutForPeopleAndWholeForPrograms) {
  Logs logs;
  std::string text;
  for (int i = 0; i < 10; ++i) {
    text += std::string(40'000, 'x');
    logs.put(std::string(40'000, 'x'));
  }
  logs.put("\nnext\n");
  EXPECT_EQ(cat(logs), text + "\nnext\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .terminal = true}),
            std::string(shown_bytes_max, 'x') + "… (334464 more bytes)\nnext\n");
}

TEST(ShowLog, WithoutAnIndexTheLinesAreThereAndTheTimesAreNot) {
  Logs logs;
  logs.put("one\n");
  std::filesystem::remove(logs / "00000001.idx");
  EXPECT_EQ(show(logs, {}), "--- -- --:--:-- host1 web: one\n");
}

TEST(ShowLog, ADamagedIndexCostsOnlyWhatWasInIt) {
  Logs logs;
  logs.log->begin_run({.run = 1, .main_pid = 1});
  logs.put("one\n", at(0));
  logs.put("two\n", at(1));
  logs.put("three\n", at(2));
  std::fstream index{logs / "00000001.idx", std::ios::in | std::ios::out | std::ios::binary};
  index.seekp(3 * record_bytes + 17).put('?');
  index.seekp(0, std::ios::end).write("torn", 4);
  index.close();
  EXPECT_EQ(show(logs, {}),
            "Nov 21 04:40:10 host1 web[1]: one\n"
            "Nov 21 04:40:10 host1 web[1]: two\n"
            "Nov 21 04:40:12 host1 web[1]: three\n");
}

TEST(ShowLog, AMissingSegmentAndOneThatIsNoFileAreLeftOut) {
  Logs logs{{.segment_bytes_max = 4}};
  for (const char* line : {"one\n", "two\n", "three\n", "four\n"}) logs.put(line);
  std::filesystem::remove(logs / "00000002.log");
  std::filesystem::remove(logs / "00000003.log");
  ASSERT_EQ(::mkfifo((logs / "00000003.log").c_str(), 0600), 0);
  EXPECT_EQ(cat(logs), "one\nfour\n");
  EXPECT_EQ(cat(logs, 5), "one\nfour\n");
}

TEST(ShowLog, ASinkThatWantsNoMoreIsAskedNoMore) {
  Logs logs;
  for (int i = 0; i < 40; ++i) logs.put(std::string(9'999, 'x') + "\n");
  int asked = 0;
  const auto result =
      show_log({.log_directory = logs.scratch / "logs", .units = {"web.service"}}, [&asked](std::string_view) {
        ++asked;
        return false;
      });
  ASSERT_TRUE(result);
  EXPECT_EQ(asked, 1);
}

// ---- filters -----------------------------------------------------------------------------------------------------------------

constexpr std::int64_t begin_us = 1'763'700'010'000'000;  // testing::at(0)
constexpr std::int64_t s_us = 1'000'000;

TEST(ShowLog, OnlyWhatIsAsUrgentAsAskedForIsShownWithoutItsPrefix) {
  Logs logs;
  logs.put("<3>failed\n<4>careful\nplain\n<7>detail\n<9>odd\n");
  EXPECT_EQ(cat(logs), "failed\ncareful\nplain\ndetail\n<9>odd\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .priority_to = 4}), "failed\ncareful\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .priority_from = 4, .priority_to = 6}), "careful\nplain\n<9>odd\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .last = 1, .priority_to = 4}), "careful\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat,
                        .priority_to = 4,
                        .settings = {{"web.service", {.priority = 2, .has_level_prefix = false}}}}),
            "<3>failed\n<4>careful\nplain\n<7>detail\n<9>odd\n");
  EXPECT_THAT(show(logs, {.format = ShowFormat::Json}), HasSubstr(R"("PRIORITY":"3","MESSAGE":"failed"})"));
}

TEST(ShowLog, OnlyWhatCameInTheTimesAskedForIsShown) {
  Logs logs;
  for (int i = 0; i < 5'000; ++i) logs.put("line " + std::to_string(i) + "\n", at(i));
  const auto between = [&](std::optional<std::int64_t> since, std::optional<std::int64_t> until) {
    ShowOptions options{.format = ShowFormat::Cat};
    if (since) options.since_us = begin_us + *since * s_us;
    if (until) options.until_us = begin_us + *until * s_us;
    return show(logs, options);
  };
  EXPECT_EQ(between(4'998, {}), "line 4998\nline 4999\n");
  EXPECT_EQ(between({}, 1), "line 0\nline 1\n");
  EXPECT_EQ(between(1'234, 1'235), "line 1234\nline 1235\n");
  EXPECT_EQ(between(9'000, {}), "");
  EXPECT_EQ(between(-9, 0), "line 0\n");
  EXPECT_EQ(between(4'997, {}) + cat(logs, 2), "line 4997\nline 4998\nline 4999\nline 4998\nline 4999\n");
  ShowOptions last{.format = ShowFormat::Cat, .last = 2, .until_us = begin_us + 100 * s_us};
  EXPECT_EQ(show(logs, last), "line 99\nline 100\n");
  last.since_us = begin_us + 100 * s_us;
  EXPECT_EQ(show(logs, last), "line 100\n") << "what is too old does not fill up the number";
}

TEST(ShowLog, ALineThatBeganBeforeTheTimeAskedForIsNotShownInPart) {
  Logs logs{{.segment_bytes_max = 10}};
  logs.put("first half, ", at(0));
  logs.put("second half\n", at(5));
  logs.put("next\n", at(6));
  ASSERT_GT(logs.names().size(), 2U);
  for (const int since : {1, 5, 6})
    EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .since_us = begin_us + since * s_us}), "next\n") << since;
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .since_us = begin_us}), "first half, second half\nnext\n");
}

TEST(ShowLog, WithoutATimeALineIsInNoTime) {
  Logs logs;
  logs.put("one\n");
  std::filesystem::remove(logs / "00000001.idx");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .since_us = 0}), "");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat}), "one\n");
}

TEST(ShowLog, NewestFirstIsTheSameTurnedRound) {
  Logs logs{{.segment_bytes_max = 3'000}};
  std::vector<std::string> lines;
  for (int run = 1; run <= 40; ++run) {
    logs.log->begin_run({.run = static_cast<std::uint64_t>(run), .main_pid = 1});
    for (int i = 0; i < 100; ++i) {
      lines.push_back("run " + std::to_string(run) + " line " + std::to_string(i));
      logs.put(i == 99 ? lines.back() : lines.back() + "\n", at(run * 100 + i));  // each run ends in the middle of a line
    }
  }
  std::string expected;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) expected += *line + "\n";
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .reverse = true}), expected);
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .last = 2, .reverse = true}), "run 40 line 99\nrun 40 line 98\n");
  EXPECT_EQ(show(logs, {.last = 0, .reverse = true}), "-- No entries --\n");
}

TEST(ShowLog, TheLastLinesOfAKindAreExactlyAsManyAsAskedFor) {
  Logs logs;
  std::string expected;
  for (int i = 0; i < 9'000; ++i) logs.put((i % 1'000 == 0 ? "<3>" : "") + std::to_string(i) + "\n", at(i));
  for (int i = 3'000; i < 9'000; i += 1'000) expected += std::to_string(i) + "\n";
  EXPECT_EQ(show(logs, {.format = ShowFormat::Cat, .last = 6, .priority_to = 3}), expected);
}

// ---- several units -----------------------------------------------------------------------------------------------------------

/// Beside web.service of `logs`.
struct Another {
  Another(const Logs& logs, const std::string& unit) : log{*logs.directory, unit} {}
  void put(std::string_view text, int seconds) {
    pipe.write(text);
    log.take(pipe.out.get(), at(seconds));
  }
  UnitLog log;
  testing::Pipe pipe;
};

TEST(ShowLog, LinesOfSeveralUnitsComeInTheOrderOfTheirTimes) {
  Logs logs;
  Another db{logs, "db.service"}, mail{logs, "mail.service"};
  logs.put("web 0\n", at(0));
  db.put("db 1\n", 1);
  logs.put("web 2\n", at(2));
  mail.put("mail 2\n", 2);
  db.put("db 3\n", 3);
  const std::vector<std::string> both{"web.service", "db.service"};
  EXPECT_EQ(show(logs, {.units = both}),
            "Nov 21 04:40:10 host1 web: web 0\nNov 21 04:40:11 host1 db: db 1\n"
            "Nov 21 04:40:12 host1 web: web 2\nNov 21 04:40:13 host1 db: db 3\n");
  EXPECT_EQ(show(logs, {.units = both, .format = ShowFormat::Cat, .last = 2}), "web 2\ndb 3\n");
  EXPECT_EQ(show(logs, {.units = both, .format = ShowFormat::Cat, .reverse = true}), "db 3\nweb 2\ndb 1\nweb 0\n");
  EXPECT_EQ(show(logs, {.patterns = {"*"}, .format = ShowFormat::Cat}), "web 0\ndb 1\nmail 2\nweb 2\ndb 3\n");
  EXPECT_EQ(show(logs, {.patterns = {"[md]*"}, .format = ShowFormat::Cat}), "db 1\nmail 2\ndb 3\n");
  EXPECT_EQ(show(logs, {.patterns = {"*"}, .format = ShowFormat::Cat, .identifiers = {"mail", "x"}}), "mail 2\n");
  EXPECT_EQ(
      show(logs, {.patterns = {"*"}, .identifiers = {"postfix"}, .settings = {{"mail.service", {.identifier = "postfix"}}}}),
      "Nov 21 04:40:12 host1 postfix: mail 2\n");
}

TEST(ShowLog, ManyLinesOfSeveralUnitsAreAllThereOnceAndInOrder) {
  Logs logs{{.segment_bytes_max = 20'000}};
  std::vector<std::unique_ptr<Another>> others;
  for (int i = 0; i < 5; ++i) others.push_back(std::make_unique<Another>(logs, "n" + std::to_string(i) + ".service"));
  std::string expected, reversed;
  for (int i = 0; i < 20'000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    others[static_cast<std::size_t>(i * 7 / 3 % 5)]->put(line, i);
    expected += line;
    reversed.insert(0, line);
  }
  EXPECT_EQ(show(logs, {.patterns = {"n*"}, .format = ShowFormat::Cat}), expected);
  EXPECT_EQ(show(logs, {.patterns = {"n*"}, .format = ShowFormat::Cat, .reverse = true}), reversed);
}

TEST(ShowLog, WhatIsNoDirectoryHasNoLog) {
  Logs logs;
  logs.put("x\n");
  std::ofstream{logs.scratch / "logs/lock"} << "1\n";
  ASSERT_EQ(::symlink("web.service", (logs.scratch / "logs/link.service").c_str()), 0);
  const auto units = units_with_logs(logs.scratch / "logs");
  ASSERT_TRUE(units);
  EXPECT_THAT(*units, ::testing::ElementsAre("web.service"));
  EXPECT_THAT(*units_with_logs(logs.scratch / "none"), ::testing::IsEmpty());
}

// ---- following ---------------------------------------------------------------------------------------------------------------

/// show_log() in a thread of its own, with what it has shown so far.
class Follower {
 public:
  Follower(const Logs& logs, std::optional<std::uint64_t> last) : Follower(logs, {.units = {"web.service"}, .last = last}) {}
  Follower(const Logs& logs, ShowOptions options) {
    options.log_directory = logs.scratch / "logs";
    options.format = ShowFormat::Cat;
    options.follow = true;
    options.stop = stop_.out.get();
    thread_ = std::thread{[this, options] {
      const auto result = show_log(options, [this](std::string_view text) {
        const std::lock_guard lock{mutex_};
        text_ += text;
        changed_.notify_all();
        return true;
      });
      EXPECT_TRUE(result);
    }};
  }
  ~Follower() { stop(); }
  void stop() {
    stop_.in.reset();
    if (thread_.joinable()) thread_.join();
  }
  /// Waits until it has been shown; what was shown before and with it.
  std::string wait_for(std::string_view text) {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, std::chrono::seconds{30}, [&] { return text_.find(text) != std::string::npos; });
    return text_;
  }

 private:
  testing::Pipe stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::thread thread_;
};

TEST(ShowLog, FollowingShowsLinesAsTheyAreCompleted) {
  Logs logs;
  logs.put("old\nrecent\nhalf");
  Follower follower{logs, 1};
  EXPECT_EQ(follower.wait_for("recent\n"), "recent\n");
  logs.put(" a line\nanother\n");
  EXPECT_EQ(follower.wait_for("another\n"), "recent\nhalf a line\nanother\n");
}

TEST(ShowLog, FollowingGoesOnIntoFreshSegmentsAndPastWhatIsRemoved) {
  Logs logs{{.segment_bytes_max = 100, .unit_bytes_max = 1000}};
  logs.put("begin\n");
  Follower follower{logs, std::nullopt};
  std::string expected = follower.wait_for("begin\n");
  for (int i = 0; i < 50; ++i) {
    const std::string line = "line " + std::to_string(i) + std::string(50, '.') + "\n";
    logs.put(line);
    expected += line;
    ASSERT_EQ(follower.wait_for(line), expected);
  }
}

TEST(ShowLog, FollowingWaitsForALogThatIsNotThereYet) {
  Logs logs;
  Follower follower{logs, 10};
  logs.put("first words\n");
  EXPECT_EQ(follower.wait_for("first words\n"), "first words\n");
}

TEST(ShowLog, FollowingSurvivesThatTheDirectoryIsTakenAway) {
  Logs logs;
  logs.put("before\n");
  Follower follower{logs, std::nullopt};
  EXPECT_EQ(follower.wait_for("before\n"), "before\n");
  std::filesystem::remove_all(logs.scratch / "logs");
  logs.put("after\n");
  EXPECT_EQ(follower.wait_for("after\n"), "before\nafter\n");
}

TEST(ShowLog, FollowingAPatternShowsUnitsThatComeLater) {
  Logs logs;
  logs.put("old\nweb\n", at(0));
  Another db{logs, "db.service"};
  db.put("db\nha", 1);
  Follower follower{logs, {.patterns = {"*.service"}, .last = 2}};
  EXPECT_EQ(follower.wait_for("db\n"), "web\ndb\n");
  db.put("lf\n", 2);
  EXPECT_EQ(follower.wait_for("half\n"), "web\ndb\nhalf\n");
  Another mail{logs, "mail.service"};
  mail.put("mail\n", 3);
  EXPECT_EQ(follower.wait_for("mail\n"), "web\ndb\nhalf\nmail\n");
  logs.put("web again\n", at(4));
  EXPECT_EQ(follower.wait_for("again\n"), "web\ndb\nhalf\nmail\nweb again\n");
}

TEST(ShowLog, FollowingLeavesOutWhatIsNotWanted) {
  Logs logs;
  logs.put("<3>first\nnoise\n");
  Follower follower{logs, {.units = {"web.service"}, .last = 5, .priority_to = 3}};
  EXPECT_EQ(follower.wait_for("first\n"), "first\n");
  logs.put("noise\n<2>second\n");
  EXPECT_EQ(follower.wait_for("second\n"), "first\nsecond\n");
}

TEST(ShowLog, FollowingEndsWhenItIsTold) {
  Logs logs;
  Follower follower{logs, std::nullopt};
  follower.stop();
}

}  // namespace
}  // namespace perdure::logbook
