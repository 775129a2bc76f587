#include "logbook/unit_log.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"
#include "logbook/pipe_pacing.hpp"

namespace perdure::logbook {
namespace {

using testing::at;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::invocation;
using ::testing::IsEmpty;
using testing::Logs;
using testing::mode_of;
using testing::open_descriptors;
using testing::read_whole;
using testing::records_of;

TEST(UnitLog, StoresTheBytesAsTheyAre) {
  Logs logs;
  const std::string text{"one\ntwo\0\x1b[31m\xff\xfe no newline", 27};
  const Taken taken = logs.put(text);
  EXPECT_EQ(taken.bytes, text.size());
  EXPECT_FALSE(taken.end);
  EXPECT_EQ(taken.blocked, 0);
  EXPECT_THAT(taken.note, IsEmpty());
  EXPECT_EQ(read_whole(logs / "00000001.log"), text);
}

TEST(UnitLog, MakesFilesForTheGroupAndDirectoriesLikewiseWhateverTheUmask) {
  const mode_t mask = ::umask(0);
  for (const mode_t set : {mode_t{0}, mode_t{077}}) {
    ::umask(set);
    Logs logs;
    logs.put("x\n");
    EXPECT_EQ(mode_of(logs / "00000001.log"), 0640U);
    EXPECT_EQ(mode_of(logs / "00000001.idx"), 0640U);
    EXPECT_EQ(mode_of(logs / ""), 0750U);
    EXPECT_EQ(mode_of(logs.scratch / "logs"), 0750U);
  }
  ::umask(mask);
}

TEST(UnitLog, ASilentUnitHasNeitherADescriptorNorAFile) {
  Logs logs;
  const std::size_t before = open_descriptors();
  EXPECT_EQ(logs.log->take(logs.pipe.out.get(), at(0)).bytes, 0U);
  logs.pipe.in.reset();
  EXPECT_TRUE(logs.log->take(logs.pipe.out.get(), at(0)).end);
  EXPECT_EQ(open_descriptors(), before - 1);
  EXPECT_FALSE(std::filesystem::exists(logs / ""));
  static_assert(sizeof(UnitLog) + sizeof(PipePacing) <= 200, "what an idle log costs");
}

TEST(UnitLog, TheEndIsToldOnlyWhenEverythingIsTaken) {
  Logs logs;
  logs.pipe.write("last words");
  logs.pipe.in.reset();
  Taken taken = logs.log->take(logs.pipe.out.get(), at(0));
  EXPECT_EQ(taken.bytes, 10U);
  EXPECT_TRUE(logs.log->take(logs.pipe.out.get(), at(0)).end);
  EXPECT_EQ(logs.bytes(), "last words");
}

TEST(UnitLog, DrainTakesEverythingAndSaysThatItIsTheEnd) {
  Logs logs;
  logs.pipe.write(std::string(60'000, 'x'));
  logs.pipe.in.reset();
  const Taken taken = logs.log->drain(logs.pipe.out.get(), at(0));
  EXPECT_EQ(taken.bytes, 60'000U);
  EXPECT_TRUE(taken.end);
}

TEST(UnitLog, ANewManagerGoesOnAtTheEnd) {
  Logs logs;
  logs.put("first half, ");
  logs.open();
  logs.put("second half\n");
  EXPECT_EQ(read_whole(logs / "00000001.log"), "first half, second half\n");
  EXPECT_THAT(logs.names(), ElementsAre("00000001.idx", "00000001.log"));
}

TEST(UnitLog, TheIndexSaysWhenBytesCameAndWhichRunWroteThem) {
  Logs logs;
  logs.log->begin_run({.run = 7, .main_pid = 812, .invocation = invocation(1)});
  logs.put("one\n", at(0));
  logs.put("two\n", at(5));
  logs.log->begin_run({.run = 8, .main_pid = 813, .invocation = invocation(2)});
  logs.put("three\n", at(6));
  const auto time = [](std::uint64_t offset, int seconds) {
    return Record{TimeRecord{.offset = offset,
                             .realtime_ns = at(seconds).wall.time_since_epoch().count(),
                             .monotonic_ns = at(seconds).monotonic.time_since_epoch().count()}};
  };
  EXPECT_THAT(records_of(logs / "00000001.idx"),
              ElementsAre(time(0, 0), Record{RunRecord{.offset = 0, .run = 7, .main_pid = 812}},
                          Record{InvocationRecord{.offset = 0, .id = invocation(1)}}, time(4, 5), time(8, 6),
                          Record{RunRecord{.offset = 8, .run = 8, .main_pid = 813}},
                          Record{InvocationRecord{.offset = 8, .id = invocation(2)}}));
}

TEST(UnitLog, ABusyLogHasARecordPerMillisecondAtMost) {
  Logs logs;
  LogTime now = at(0);
  for (int i = 0; i < 100; ++i) {
    logs.put("x\n", now);
    now.monotonic += std::chrono::microseconds{100};
  }
  EXPECT_EQ(records_of(logs / "00000001.idx").size(), 10U);
}

TEST(UnitLog, ATornRecordAtTheEndOfTheIndexIsOverwritten) {
  Logs logs;
  logs.put("one\n", at(0));
  std::ofstream{logs / "00000001.idx", std::ios::binary | std::ios::app} << "torn";
  logs.open();
  logs.put("two\n", at(1));
  EXPECT_EQ(records_of(logs / "00000001.idx").size(), 2U);
  EXPECT_EQ(read_whole(logs / "00000001.idx").size() % record_bytes, 0U);
}

// ---- rotation ----------------------------------------------------------------------------------------------------------------

TEST(UnitLog, AFullSegmentIsFollowedByAFreshOneWhereALineEnds) {
  Logs logs{{.segment_bytes_max = 100}};
  logs.put(std::string(99, 'x') + "\n");
  logs.put("next\n");
  EXPECT_EQ(read_whole(logs / "00000001.log").size(), 100U);
  EXPECT_EQ(read_whole(logs / "00000002.log"), "next\n");
}

TEST(UnitLog, ALineThatHasBegunIsEndedInItsSegment) {
  Logs logs{{.segment_bytes_max = 100}};
  logs.put(std::string(150, 'x'));
  logs.put("xxx\nnext\nand next\n");
  EXPECT_EQ(read_whole(logs / "00000001.log"), std::string(153, 'x') + "\n");
  EXPECT_EQ(read_whole(logs / "00000002.log"), "next\nand next\n");
}

TEST(UnitLog, ALineWithoutAnEndIsSplitAfterAWhile) {
  Logs logs{{.segment_bytes_max = 1000}};
  for (int i = 0; i < 40; ++i) logs.put(std::string(60'000, 'x'));
  EXPECT_EQ(logs.bytes(), std::string(40U * 60'000, 'x'));
  EXPECT_GT(read_whole(logs / "00000001.log").size(), 1U << 20);
  EXPECT_LT(read_whole(logs / "00000001.log").size(), (1U << 20) + 100'000);
}

TEST(UnitLog, AFreshSegmentSaysAgainWhichRunItIs) {
  Logs logs{{.segment_bytes_max = 10}};
  logs.log->begin_run({.run = 3});
  logs.put("0123456789\n");
  logs.put("next\n");
  EXPECT_EQ(records_of(logs / "00000002.idx")[1], (Record{RunRecord{.offset = 0, .run = 3}}));
}

TEST(UnitLog, TheOldestSegmentsGoBeforeTheUnitTakesTooMuch) {
  Logs logs{{.segment_bytes_max = 1000, .unit_bytes_max = 5000}};
  const std::string line = std::string(999, 'x') + "\n";
  for (int i = 0; i < 20; ++i) {
    logs.put(line, at(i));
    std::uint64_t sum = 0;
    for (const std::string& name : logs.names()) sum += std::filesystem::file_size(logs / name);
    EXPECT_LE(sum, 5000U);
  }
  EXPECT_THAT(logs.names(), ElementsAre("00000017.idx", "00000017.log", "00000018.idx", "00000018.log", "00000019.idx",
                                        "00000019.log", "00000020.idx", "00000020.log"));
}

TEST(UnitLog, NamesThatAreNotOursAreLeftAlone) {
  Logs logs{{.segment_bytes_max = 10, .unit_bytes_max = 20}};
  logs.put("0123456789\n");
  for (const char* name : {"1.log", "000000099.log", "00000009.log.gz", "99999999999.log", "00000000.log"})
    std::ofstream{logs / name} << "0123456789";
  for (int i = 0; i < 3; ++i) logs.put("0123456789\n");
  EXPECT_THAT(logs.names(), ElementsAre("00000000.log", "00000004.idx", "00000004.log", "00000009.log.gz", "000000099.log",
                                        "1.log", "99999999999.log"));
}

// ---- what others do to the files ---------------------------------------------------------------------------------------------

TEST(UnitLog, ARemovedSegmentIsNoticedBeforeAnythingIsWrittenToIt) {
  Logs logs;
  logs.put("gone\n");
  std::filesystem::remove(logs / "00000001.log");
  const Taken taken = logs.put("kept\n");
  EXPECT_EQ(taken.bytes, 5U);
  EXPECT_THAT(taken.note, HasSubstr("somebody has removed the log file"));
  EXPECT_THAT(taken.note, HasSubstr("with 5 bytes in it"));
  EXPECT_EQ(logs.bytes(), "kept\n");
  EXPECT_THAT(logs.put("more\n").note, IsEmpty());
}

TEST(UnitLog, ARemovedDirectoryIsMadeAgain) {
  Logs logs;
  logs.put("gone\n");
  std::filesystem::remove_all(logs.scratch / "logs");
  logs.put("kept\n");
  EXPECT_EQ(logs.bytes(), "kept\n");
  EXPECT_EQ(mode_of(logs.scratch / "logs"), 0750U);
}

TEST(UnitLog, ACutSegmentGetsNoHole) {
  Logs logs;
  logs.log->begin_run({.run = 3});
  logs.put("0123456789\n");
  std::filesystem::resize_file(logs / "00000001.log", 0);
  const Taken taken = logs.put("next\n");
  EXPECT_THAT(taken.note, HasSubstr("somebody has cut the log file"));
  EXPECT_EQ(logs.bytes(), "next\n");
}

TEST(UnitLog, ASegmentCutWhileNobodyLookedGetsNoHoleEither) {
  Logs logs;
  logs.put("0123456789\n");
  logs.put("9876543210\n", at(1));
  std::filesystem::resize_file(logs / "00000001.log", 3);
  logs.open();
  EXPECT_THAT(logs.put("next\n").note, HasSubstr("has cut the log file"));
  EXPECT_EQ(logs.bytes(), "012next\n");
  EXPECT_EQ(read_whole(logs / "00000002.log"), "next\n");
}

TEST(UnitLog, WhatSomebodyHasAppendedIsNotOverwritten) {
  Logs logs;
  logs.put("one\n");
  std::ofstream{logs / "00000001.log", std::ios::app} << "by hand\n";
  logs.put("two\n");
  EXPECT_EQ(logs.bytes(), "one\nby hand\ntwo\n");
}

TEST(UnitLog, AnythingButAFileOfOursIsRefusedAndTheLogGoesOnBesideIt) {
  struct Trap {
    const char* what;
    void (*set)(const std::string& path, const std::string& target);
  };
  const Trap traps[] = {
      {"a symbolic link",
       [](const std::string& path, const std::string& to) { ASSERT_EQ(::symlink(to.c_str(), path.c_str()), 0); }},
      {"a second name",
       [](const std::string& path, const std::string& to) { ASSERT_EQ(::link(to.c_str(), path.c_str()), 0); }},
      {"a FIFO", [](const std::string& path, const std::string&) { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); }},
      {"a directory", [](const std::string& path, const std::string&) { ASSERT_EQ(::mkdir(path.c_str(), 0700), 0); }},
  };
  for (const Trap& trap : traps) {
    SCOPED_TRACE(trap.what);
    Logs logs;
    logs.put("one\n");
    logs.open();
    std::ofstream{logs.scratch / "precious"} << "precious";
    std::filesystem::remove(logs / "00000001.log");
    trap.set(logs / "00000001.log", logs.scratch / "precious");
    const Taken taken = logs.put("two\n");
    EXPECT_EQ(taken.bytes, 4U);
    EXPECT_THAT(taken.note, HasSubstr("cannot use the log file"));
    EXPECT_THAT(taken.note, HasSubstr("goes on in"));
    EXPECT_EQ(read_whole(logs.scratch / "precious"), "precious");
    EXPECT_EQ(read_whole(logs / "00000002.log"), "two\n");
  }
}

TEST(UnitLog, AFileOfSomebodyElseIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  Logs logs;
  logs.put("one\n");
  logs.open();
  ASSERT_EQ(::chown((logs / "00000001.log").c_str(), 12345, 12345), 0);
  EXPECT_THAT(logs.put("two\n").note, HasSubstr("it belongs to uid 12345"));
  EXPECT_EQ(read_whole(logs / "00000002.log"), "two\n");
}

TEST(UnitLog, AnIndexThatCannotBeUsedCostsTimesOnly) {
  Logs logs;
  logs.put("one\n");
  logs.open();
  std::filesystem::remove(logs / "00000001.idx");
  ASSERT_EQ(::symlink("/dev/null", (logs / "00000001.idx").c_str()), 0);
  const Taken taken = logs.put("two\n");
  EXPECT_THAT(taken.note, HasSubstr("the lines in it have no times"));
  EXPECT_EQ(logs.bytes(), "one\ntwo\n");
}

TEST(UnitLog, ADirectoryThatIsALinkIsRefusedAndTheBytesWait) {
  Logs logs;
  std::filesystem::create_directory(logs.scratch / "elsewhere");
  std::filesystem::create_symlink(logs.scratch / "elsewhere", logs.scratch / "logs/web.service");
  const Taken taken = logs.put("waits\n");
  EXPECT_NE(taken.blocked, 0);
  EXPECT_THAT(taken.note, HasSubstr("waits in its pipe, nothing is lost"));
  EXPECT_THAT(logs.log->take(logs.pipe.out.get(), at(1)).note, IsEmpty()) << "said once";
  std::filesystem::remove(logs.scratch / "logs/web.service");
  EXPECT_THAT(logs.log->take(logs.pipe.out.get(), at(2)).note, HasSubstr("is written again"));
  EXPECT_EQ(logs.bytes(), "waits\n");
  EXPECT_TRUE(std::filesystem::is_empty(logs.scratch / "elsewhere"));
}

TEST(UnitLog, ANameThatLeadsElsewhereIsRefused) {
  Logs logs;
  for (const char* name : {"", ".", "..", "../x", "a/b", ".hidden"}) {
    UnitLog log{*logs.directory, name};
    testing::Pipe pipe;
    pipe.write("x\n");
    EXPECT_EQ(log.take(pipe.out.get(), at(0)).blocked, EINVAL) << name;
  }
}

TEST(LogDirectory, OneThatOthersMayWriteInIsRefused) {
  testing::TempDirectory scratch;
  std::filesystem::create_directory(scratch / "logs");
  std::filesystem::permissions(scratch / "logs", std::filesystem::perms::all);
  const auto opened = LogDirectory::open(scratch / "logs");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), HasSubstr(scratch / "logs"));
}

// ---- bounds ------------------------------------------------------------------------------------------------------------------

TEST(LogDirectory, OnlySoManyUnitsStayOpenAndTheOthersComeBack) {
  testing::TempDirectory scratch;
  const auto directory = *LogDirectory::open(scratch / "logs", CaptureLimits{.open_units_max = 3});
  std::vector<std::unique_ptr<UnitLog>> logs;
  testing::Pipe pipe;
  const std::size_t before = open_descriptors();
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < 10; ++i) {
      if (logs.size() <= i) logs.push_back(std::make_unique<UnitLog>(*directory, "u" + std::to_string(i) + ".service"));
      pipe.write("x\n");
      EXPECT_EQ(logs[i]->take(pipe.out.get(), at(round)).bytes, 2U);
      EXPECT_LE(directory->open_units(), 3U);
      EXPECT_LE(open_descriptors(), before + 6);
    }
  }
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(read_whole(scratch / ("logs/u" + std::to_string(i) + ".service/00000001.log")), "x\nx\nx\n");
}

TEST(UnitLog, AFileSizeLimitLeadsToAFreshSegment) {
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    // In the manager every signal is blocked.
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_BLOCK, &all, nullptr);
    const rlimit limit{.rlim_cur = 10'000, .rlim_max = 10'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    Logs logs;
    std::string written;
    bool well = true;
    for (int i = 0; i < 30; ++i) {
      const std::string line = std::to_string(i) + std::string(900, 'x') + "\n";
      written += line;
      well = logs.put(line).blocked == 0 && well;
    }
    well = well && logs.bytes() == written && logs.names().size() >= 6;
    std::filesystem::remove_all(logs.scratch.path());
    ::_exit(well ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace perdure::logbook
