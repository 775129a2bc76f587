#include "spool.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using namespace std::chrono_literals;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::HasSubstr;

struct SpoolTest : testing::Test {
  perdure::testing::TempDir dir;
  const Directories paths{dir / "in", dir / "claimed", dir / "out", dir / "processed", dir / "failed"};
  Spool spool{paths};
  Spool::Clock::time_point now{1000s};
  Jobs jobs{10};

  void SetUp() override { ASSERT_TRUE(spool.prepare()); }
  /// What is claimed `later`.
  bool claims(const std::string& name, std::chrono::milliseconds later) {
    now += later;
    EXPECT_TRUE(spool.claim(1s, now));
    return std::filesystem::exists(paths.claimed + "/" + name);
  }
  perdure::Result<void, Fault> process(const std::string& name) {
    return spool.process(
        name, 1, [](std::string&) {}, [] { return true; });
  }
};

TEST_F(SpoolTest, AFileIsClaimedOnceItIsUnchangedForLongEnough) {
  write_file(paths.input + "/a", "one\n");
  EXPECT_FALSE(claims("a", 0s));
  EXPECT_FALSE(claims("a", 999ms));
  write_file(paths.input + "/a", "one\ntwo\n");
  EXPECT_FALSE(claims("a", 1ms)) << "changed";
  EXPECT_FALSE(claims("a", 999ms));
  EXPECT_TRUE(claims("a", 1ms));
  EXPECT_FALSE(std::filesystem::exists(paths.input + "/a"));
}

TEST_F(SpoolTest, AFileThatIsOpenForWritingWaitsForItsWriter) {
  perdure::UniqueFd writer{open((paths.input + "/a").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
  ASSERT_EQ(write(writer.get(), "half a li", 9), 9);
  const perdure::UniqueFd probe{open((paths.input + "/a").c_str(), O_RDONLY | O_CLOEXEC)};
  if (fcntl(probe.get(), F_SETLEASE, F_RDLCK) == 0 || errno != EAGAIN) GTEST_SKIP() << "the file system grants no leases";
  claims("a", 0s);
  EXPECT_FALSE(claims("a", 1h));
  writer.reset();
  EXPECT_TRUE(claims("a", 1s));
}

TEST_F(SpoolTest, WhatIsHiddenOrNoRegularFileStays) {
  write_file(paths.input + "/.hidden", "x");
  std::filesystem::create_directory(paths.input + "/directory.txt");
  ASSERT_EQ(mkfifo((paths.input + "/fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("/etc/passwd", paths.input + "/link");
  claims("", 0s);
  claims("", 1h);
  EXPECT_TRUE(std::filesystem::is_empty(paths.claimed));
}

TEST_F(SpoolTest, ASecondFileOfANameWaitsForTheFirst) {
  write_file(paths.claimed + "/a", "first\n");
  write_file(paths.input + "/a", "second\n");
  claims("a", 0s);
  claims("a", 1h);
  EXPECT_EQ(read_file(paths.claimed + "/a"), "first\n");
  ASSERT_TRUE(process("a"));
  claims("a", 1s);
  EXPECT_EQ(read_file(paths.claimed + "/a"), "second\n");
}

TEST_F(SpoolTest, WhatIsClaimedIsOfferedWhileThereIsRoom) {
  for (int i = 0; i < 12; ++i) write_file(paths.claimed + "/" + std::to_string(i), "");
  EXPECT_FALSE(spool.offer_to(jobs));
  for (int i = 0; i < 10; ++i) {
    const auto name = jobs.take();
    EXPECT_TRUE(process(*name));
    jobs.done(*name);
  }
  EXPECT_TRUE(spool.offer_to(jobs));
}

TEST_F(SpoolTest, ABadFileIsPutAside) {
  write_file(paths.claimed + "/bad", std::string(line_bytes_max + 1, 'x'));
  EXPECT_EQ(process("bad").error().of, Fault::Of::Input);
  EXPECT_TRUE(std::filesystem::exists(paths.failed + "/bad"));
  EXPECT_TRUE(std::filesystem::is_empty(paths.claimed));
  EXPECT_FALSE(std::filesystem::exists(paths.output + "/bad"));
}

TEST_F(SpoolTest, AFileWhoseOutputCannotBeWrittenStays) {
  write_file(paths.claimed + "/a", "x\n");
  std::filesystem::remove(paths.output);
  EXPECT_EQ(process("a").error().of, Fault::Of::Rest);
  EXPECT_TRUE(std::filesystem::exists(paths.claimed + "/a"));
  EXPECT_TRUE(spool.prepare()) << "makes it again";
  EXPECT_TRUE(process("a"));
  EXPECT_EQ(read_file(paths.output + "/a"), "x\n");
  EXPECT_EQ(read_file(paths.processed + "/a"), "x\n");
}

TEST_F(SpoolTest, OneProcessWorksOnTheClaimedFiles) {
  Spool second{paths};
  EXPECT_THAT(second.prepare().error().message(), HasSubstr("another process works on it"));
  std::filesystem::remove(paths.claimed);
  EXPECT_TRUE(spool.prepare());
  EXPECT_FALSE(second.prepare()) << "also on a new directory of that name";
}

TEST_F(SpoolTest, WhatACrashLeftHalfWrittenIsRemovedAtTheNextStart) {
  const perdure::testing::TempDir other;
  const Directories fresh{other / "in", other / "claimed", other / "out", other / "processed", other / "failed"};
  std::filesystem::create_directory(fresh.output);
  write_file(fresh.output + "/.file_processor.1", "half");
  write_file(fresh.output + "/.mine", "");
  ASSERT_TRUE(Spool{fresh}.prepare());
  EXPECT_FALSE(read_file(fresh.output + "/.file_processor.1"));
  EXPECT_TRUE(read_file(fresh.output + "/.mine"));
}

}  // namespace
