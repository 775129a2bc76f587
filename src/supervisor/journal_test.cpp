#include "supervisor/journal.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string boot(32, 'b');
constexpr std::size_t record = journal_record_bytes;

JournalEntry entry_of(core::UnitId unit, std::uint64_t run, core::ServiceState state = core::ServiceState::Running) {
  JournalEntry entry;
  entry.record.unit = unit;
  entry.record.run = run;
  entry.record.state = state;
  entry.record.main_running = true;
  entry.record.last_exit = {core::ExitKind::Killed, 9};
  entry.record.restarts = 3;
  entry.record.deadline = base::Instant{base::Duration{123'456'789}};
  entry.process = {.pid = 4711, .invocation = {1, 2, 3}};
  return entry;
}

class JournalTest : public ::testing::Test {
 protected:
  [[nodiscard]] Journal open() const { return Journal::open(directory.path(), boot); }
  /// Three units, the first one twice.
  std::string written() {
    Journal journal = open();
    EXPECT_TRUE(journal.append(entries));
    return directory.get("journal");
  }
  os::testing::ScratchDirectory directory;
  const std::vector<JournalEntry> entries{entry_of(1, 1), entry_of(2, 1), entry_of(3, 1), entry_of(1, 2)};
};

TEST_F(JournalTest, TheLastEntryOfEveryUnitComesBack) {
  written();
  EXPECT_THAT(open().load(), ElementsAre(entries[3], entries[1], entries[2]));
}

TEST_F(JournalTest, ItIsForItsOwnerOnly) {
  written();
  struct stat status {};
  ASSERT_EQ(::stat((directory / "journal").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(JournalTest, AnEntrySurvivesItsBytes) {
  JournalEntry entry = entry_of(7, ~std::uint64_t{0}, core::ServiceState::Failed);
  entry.record.result = core::ServiceResult::StartLimitHit;
  entry.record.job_type = core::JobType::Restart;
  entry.record.job = core::JobId{~0U};
  entry.record.last_exit = {core::ExitKind::Unknown, -1};
  entry.record.state_since = base::Instant{base::Duration::min()};
  entry.record.window_began = base::Instant{base::Duration::max()};
  entry.record.main_ended = entry.record.retry_spawn = entry.record.main_executed = true;
  JournalEntry back;
  ASSERT_TRUE(decode(encode(entry), back));
  EXPECT_EQ(back, entry);
}

TEST_F(JournalTest, AJournalTornAtAnyByteGivesWhatWasWhole) {
  const std::string whole = written();
  ASSERT_EQ(whole.size(), 5 * record);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    directory.put("journal", whole.substr(0, size));
    Journal journal = open();
    const std::vector<JournalEntry> found = journal.load();
    const std::size_t count = size < record ? 0 : size / record - 1;
    ASSERT_EQ(found.size(), std::min<std::size_t>(count, 3)) << size;
    for (const JournalEntry& entry : found)
      ASSERT_NE(std::find(entries.begin(), entries.end(), entry), entries.end()) << size;
    const bool is_torn = size >= record && size % record != 0;
    ASSERT_EQ(journal.wants_rewrite(3), is_torn) << size;
  }
}

TEST_F(JournalTest, AfterATornEndARewriteMakesRoomForWhatFollows) {
  const std::string whole = written();
  directory.put("journal", whole.substr(0, whole.size() - 5));
  Journal journal = open();
  journal.rewrite(journal.load());
  EXPECT_FALSE(journal.wants_rewrite(3));
  ASSERT_TRUE(journal.append(std::array{entry_of(2, 9)}));
  EXPECT_THAT(open().load(), ElementsAre(entries[0], entry_of(2, 9), entries[2]));
}

TEST_F(JournalTest, AFlippedBitCostsItsRecordAndInventsNothing) {
  const std::string whole = written();
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const UniqueFd file{::memfd_create("journal", MFD_CLOEXEC)};
    ASSERT_EQ(::write(file.get(), flipped.data(), flipped.size()), static_cast<ssize_t>(flipped.size()));
    Journal journal = Journal::adopt(UniqueFd{::fcntl(file.get(), F_DUPFD_CLOEXEC, 0)}, directory.path(), boot);
    const std::vector<JournalEntry> found = journal.load();
    for (const JournalEntry& entry : found)
      ASSERT_NE(std::find(entries.begin(), entries.end(), entry), entries.end()) << bit;
    const bool is_head = bit / 8 < record;
    ASSERT_EQ(journal.damaged(), is_head ? 0U : 1U) << bit;
    if (is_head) {
      ASSERT_THAT(found, IsEmpty()) << bit;
    } else {
      ASSERT_GE(found.size(), 2U) << bit;
    }
  }
}

TEST_F(JournalTest, NoiseIsRefused) {
  std::mt19937 random{7};
  for (int round = 0; round < 300; ++round) {
    std::string noise = written().substr(0, record);  // behind a good head
    for (std::size_t i = 0; i < 3 * record + random() % record; ++i) noise += static_cast<char>(random());
    directory.put("journal", noise);
    ASSERT_THAT(open().load(), IsEmpty());
  }
}

TEST_F(JournalTest, AValueThatNoStateHasIsRefusedThoughItsChecksumIsRight) {
  JournalEntry back;
  JournalEntry entry = entry_of(1, 1);
  entry.record.state = static_cast<core::ServiceState>(99);
  EXPECT_FALSE(decode(encode(entry), back));
  entry = entry_of(1, 1);
  entry.record.last_exit.kind = static_cast<core::ExitKind>(99);
  EXPECT_FALSE(decode(encode(entry), back));
  entry = entry_of(1, 1);
  entry.record.job_type = static_cast<core::JobType>(99);
  EXPECT_FALSE(decode(encode(entry), back));
}

TEST_F(JournalTest, AnotherBootStartsEmpty) {
  written();
  Journal journal = Journal::open(directory.path(), std::string(32, 'c'));
  EXPECT_THAT(journal.load(), IsEmpty());
  EXPECT_FALSE(journal.is_volatile());
  EXPECT_THAT(open().load(), IsEmpty()) << "what was of another boot is gone from the file too";
}

TEST_F(JournalTest, WithoutAStateDirectoryItLivesInMemoryAndSaysSo) {
  Journal journal = Journal::open(directory / "missing", boot);
  EXPECT_TRUE(journal.is_volatile());
  EXPECT_EQ(journal.note(), "cannot write " + directory.path() +
                                "/missing/journal: No such file or directory (ENOENT); the state is "
                                "kept in memory; it survives the manager, not the keeper");
  ASSERT_TRUE(journal.append(entries));
  EXPECT_THAT(journal.load(), ElementsAre(entries[3], entries[1], entries[2]));
  Journal next = Journal::adopt(UniqueFd{::fcntl(journal.fd(), F_DUPFD_CLOEXEC, 0)}, directory / "missing", boot);
  EXPECT_EQ(next.load().size(), 3U);
}

TEST_F(JournalTest, AReadOnlyDirectoryLeavesItInMemory) {
  const os::testing::FaultPlan plan{{.call = os::Call::open, .error = EROFS, .times = 2}};
  Journal journal = open();
  EXPECT_TRUE(journal.is_volatile());
  EXPECT_THAT(journal.note(), HasSubstr("Read-only file system (EROFS)"));
  EXPECT_TRUE(journal.append(entries));
}

TEST_F(JournalTest, AFullDiskIsToldWithItsNameAndNothingIsLost) {
  Journal journal = open();
  ASSERT_TRUE(journal.append(entries));
  {
    const os::testing::FaultPlan plan{{.call = os::Call::write, .error = ENOSPC, .times = 2}};
    const auto failed = journal.append(std::array{entry_of(9, 9)});
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message(), HasSubstr("/journal: No space left on device (ENOSPC)"));
    journal.rewrite(entries);
    EXPECT_TRUE(journal.is_volatile());
    EXPECT_THAT(journal.note(), HasSubstr("(ENOSPC)"));
  }
  EXPECT_THAT(directory.names(), ElementsAre("journal")) << "no unfinished file stays behind";
  EXPECT_EQ(open().load().size(), 3U) << "the old file is whole";
}

TEST_F(JournalTest, WhatStandsInItsPlaceIsNotFollowed) {
  directory.put("precious", "precious");
  ASSERT_EQ(::symlink((directory / "precious").c_str(), (directory / "journal").c_str()), 0);
  ASSERT_EQ(::symlink((directory / "precious").c_str(), (directory / "journal.new").c_str()), 0);
  Journal journal = open();
  EXPECT_FALSE(journal.is_volatile());
  ASSERT_TRUE(journal.append(entries));
  EXPECT_EQ(directory.get("precious"), "precious");
}

TEST_F(JournalTest, AFifoInItsPlaceIsReplacedAndNotWaitedFor) {
  ASSERT_EQ(::mkfifo((directory / "journal").c_str(), 0600), 0);
  EXPECT_FALSE(open().is_volatile());
}

TEST_F(JournalTest, ALongLifeIsWrittenAnew) {
  Journal journal = open();
  const std::vector<JournalEntry> many(1000, entry_of(1, 1));
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(journal.append(many));
  EXPECT_FALSE(journal.wants_rewrite(1));
  ASSERT_TRUE(journal.append(many));
  EXPECT_TRUE(journal.wants_rewrite(1));
  journal.rewrite(journal.load());
  EXPECT_FALSE(journal.wants_rewrite(1));
  EXPECT_EQ(directory.get("journal").size(), 2 * record);
}

}  // namespace
}  // namespace perdure::supervisor
