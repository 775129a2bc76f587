// QueueFile and MemoryQueue without a daemon around them.
#include "queue.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace {

using perdure::UniqueFd;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct QueueFileTest : testing::Test {
  perdure::testing::TempDir dir;
  std::string path = dir / "queue";
  QueueFile queue{path};
  std::vector<std::string> done;

  QueueFile::Round drain() { return drain(queue); }
  QueueFile::Round drain(QueueFile& which) {
    return which.drain([this](const std::string& job) {
      done.push_back(job);
      return true;
    });
  }
  void append(const std::string& text) const {
    const UniqueFd file{open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)};
    ASSERT_EQ(write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  bool nothing_is_left() const { return std::filesystem::is_empty(dir.path()); }
};

TEST_F(QueueFileTest, ItsLinesAreJobsAndItIsRemovedWhenTheyAreDone) {
  append("build project\n  run tests\t\r\n\n \t\r\ndeploy staging\n");
  EXPECT_EQ(drain().jobs, 3u);
  EXPECT_THAT(done, ElementsAre("build project", "run tests", "deploy staging"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, AMissingOrEmptyOneIsNoProblem) {
  EXPECT_EQ(drain().problem, "");
  append("");
  EXPECT_EQ(drain().problem, "");
  EXPECT_THAT(done, IsEmpty());
}

TEST_F(QueueFileTest, TenThousandJobsAreEachDoneOnce) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "job " + std::to_string(i) + "\n";
  append(text);
  EXPECT_EQ(drain().jobs, 10'000u);
  ASSERT_EQ(done.size(), 10'000u);
  for (std::size_t i = 0; i < done.size(); ++i) ASSERT_EQ(done[i], "job " + std::to_string(i));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, AnIncompleteLastLineGoesBackAndIsAJobOnceItsEndCame) {
  append("one\ntwo\nthr");
  EXPECT_EQ(drain().jobs, 2u);
  EXPECT_THAT(*read_file(path), testing::EndsWith("\nthr"));
  EXPECT_EQ(drain().jobs, 0u) << "nothing new";
  append("ee\nfour\n");
  drain();
  EXPECT_THAT(done, ElementsAre("one", "two", "three", "four"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, WhatAWriterAppendsAfterTheFileWasTakenIsNotLost) {
  const UniqueFd writer{open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)};
  ASSERT_EQ(write(writer.get(), "one\ntw", 6), 6);
  drain();
  EXPECT_THAT(done, ElementsAre("one"));
  ASSERT_EQ(write(writer.get(), "o\n", 2), 2);
  append("from somebody else\n");  // a new file: the old one is private by now
  drain();
  EXPECT_THAT(done, ElementsAre("one", "two", "from somebody else"));
  EXPECT_TRUE(std::filesystem::exists(queue.slot_path(0))) << "its writer may still go on";
}

TEST_F(QueueFileTest, APrivateFileIsRemovedOnceItsWriterIsGone) {
  UniqueFd writer{open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)};
  ASSERT_EQ(write(writer.get(), "one\n", 4), 4);
  drain();
  writer.reset();
  drain();
  drain();  // where the file system grants no leases, a quiet round has to pass
  EXPECT_THAT(done, ElementsAre("one"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, AppendingDuringTheWorkIsDoneInTheSameOrTheNextRound) {
  append("first\n");
  queue.drain([this](const std::string& job) {
    done.push_back(job);
    append("second\n");
    return true;
  });
  drain();
  EXPECT_THAT(done, ElementsAre("first", "second"));
}

TEST_F(QueueFileTest, WhatAStopLeavesOverIsDoneByTheNextStartAndNothingTwice) {
  append("one\ntwo\nthree\n");
  queue.drain([this](const std::string& job) {
    done.push_back(job);
    return done.size() < 2;
  });
  EXPECT_THAT(done, ElementsAre("one", "two"));
  QueueFile next_start{path};
  drain(next_start);
  EXPECT_THAT(done, ElementsAre("one", "two", "three"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, WritersThatNeverCloseItAreBoundedAndTheRestWaits) {
  std::vector<UniqueFd> writers;
  for (unsigned i = 0; i <= QueueFile::slots_max; ++i) {
    writers.emplace_back(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    const std::string job = "job " + std::to_string(i) + "\n";
    ASSERT_EQ(write(writers.back().get(), job.data(), job.size()), static_cast<ssize_t>(job.size()));
    const auto round = drain();
    EXPECT_EQ(round.problem.empty(), i < QueueFile::slots_max) << round.problem;
  }
  EXPECT_EQ(done.size(), QueueFile::slots_max);
  writers.clear();
  for (int round = 0; round < 3; ++round) drain();
  EXPECT_EQ(done.size(), QueueFile::slots_max + 1);
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, AJobThatIsTooLongIsReportedAndSkipped) {
  append("before\n" + std::string(job_bytes_max + 1, 'x') + "\nafter\n");
  const auto round = drain();
  EXPECT_THAT(done, ElementsAre("before", "after"));
  EXPECT_EQ(round.problem, "a job in " + path + " is longer than 65536 bytes; it was skipped");
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(QueueFileTest, AJobOfTheGreatestLengthIsDone) {
  append(std::string(job_bytes_max, 'x') + "\n");
  EXPECT_EQ(drain().jobs, 1u);
  EXPECT_EQ(done.at(0).size(), job_bytes_max);
}

TEST_F(QueueFileTest, WhatIsNoRegularFileStaysWhereItIs) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(drain().problem, "cannot take " + path + ": it is not a regular file; it stays as it is");
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_THAT(drain().problem, HasSubstr("it stays as it is"));
  std::filesystem::remove(path);
  write_file(dir / "secret", "job\n");
  std::filesystem::create_symlink(dir / "secret", path);
  EXPECT_THAT(drain().problem, HasSubstr("(ELOOP); it stays as it is"));
  EXPECT_THAT(done, IsEmpty());
}

TEST_F(QueueFileTest, TwoWritersThatLeaveIncompleteLinesLoseNothing) {
  append("alp");
  drain();
  {
    QueueFile other{path};  // as after a restart: the kept line is not remembered
    write_file(queue.slot_path(0), "bet");
    for (int round = 0; round < 3; ++round) drain(other);
  }
  EXPECT_THAT(done, IsEmpty());
  std::string left;
  for (const auto& entry : std::filesystem::directory_iterator{dir.path()}) left += *read_file(entry.path()) + ";";
  EXPECT_THAT(left, HasSubstr("alp"));
  EXPECT_THAT(left, HasSubstr("bet"));
}

TEST(MemoryQueue, TakesThirtyTwoJobsAndNoMoreUntilTheyAreTaken) {
  MemoryQueue queue;
  for (std::size_t i = 1; i <= 32; ++i) EXPECT_EQ(queue.add("job"), i);
  EXPECT_EQ(queue.add("one too many"), 0u);
  EXPECT_EQ(queue.take_all().size(), 32u);
  EXPECT_EQ(queue.add("room again"), 1u);
}

TEST(MemoryQueue, TakesNothingOnceItIsClosed) {
  MemoryQueue queue;
  queue.add("last");
  EXPECT_THAT(queue.close(), ElementsAre("last"));
  EXPECT_EQ(queue.add("late"), 0u);
}

}  // namespace
