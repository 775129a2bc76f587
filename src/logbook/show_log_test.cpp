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
  if (options.unit.empty()) options.unit = "web.service";
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
  EXPECT_EQ(show(logs, {.unit = "never-heard-of.service"}), "-- No entries --\n");
  EXPECT_EQ(show(logs, {.format = ShowFormat::Json}), "");
  logs.put("x\n");
  EXPECT_EQ(show(logs, {.last = 0}), "-- No entries --\n");
}

TEST(ShowLog, ANameThatLeadsElsewhereIsRefused) {
  for (const char* unit : {"..", "a/b", ""}) {
    const auto result = show_log({.log_directory = "/tmp", .unit = unit}, [](std::string_view) { return true; });
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
  const auto result = show_log({.log_directory = logs.scratch / "logs", .unit = "web.service"}, [&asked](std::string_view) {
    ++asked;
    return false;
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(asked, 1);
}

// ---- following ---------------------------------------------------------------------------------------------------------------

/// show_log() in a thread of its own, with what it has shown so far.
class Follower {
 public:
  Follower(const Logs& logs, std::optional<std::uint64_t> last) {
    ShowOptions options{.log_directory = logs.scratch / "logs",
                        .unit = "web.service",
                        .format = ShowFormat::Cat,
                        .last = last,
                        .follow = true,
                        .stop = stop_.out.get()};
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
  Follower follower{logs, {}};
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
  Follower follower{logs, {}};
  EXPECT_EQ(follower.wait_for("before\n"), "before\n");
  std::filesystem::remove_all(logs.scratch / "logs");
  logs.put("after\n");
  EXPECT_EQ(follower.wait_for("after\n"), "before\nafter\n");
}

TEST(ShowLog, FollowingEndsWhenItIsTold) {
  Logs logs;
  Follower follower{logs, {}};
  follower.stop();
}

}  // namespace
}  // namespace perdure::logbook
