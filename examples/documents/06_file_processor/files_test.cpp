#include "files.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::HasSubstr;

struct FilesTest : testing::Test {
  perdure::testing::TempDir dir;
  const FilePair files{dir / "in", dir / "out", dir / ".hidden"};
  perdure::Result<void, Fault> run() const {
    return transform(
        files, [](std::string& line) { line = "<" + line + ">"; }, [] { return true; });
  }
};

TEST_F(FilesTest, EachLineIsTransformedAndEndsWithANewline) {
  for (const auto& [in, out] : {std::pair<std::string, std::string>{"", ""},
                                {"\n", "<>\n"},
                                {"a", "<a>\n"},
                                {"a\nb\n", "<a>\n<b>\n"},
                                {"a\n\nb", "<a>\n<>\n<b>\n"},
                                {std::string("a\0b\r\n", 5), std::string("<a\0b\r>\n", 7)}}) {
    write_file(files.from, in);
    EXPECT_TRUE(run());
    EXPECT_EQ(read_file(files.to), out);
    EXPECT_FALSE(read_file(files.hidden)) << "renamed";
  }
}

TEST_F(FilesTest, LinesMayCrossChunksAndHaveTheGreatestLength) {
  const std::string longest(line_bytes_max, 'x');
  write_file(files.from, longest + "\n" + std::string(70'000, 'y') + "\n" + longest);
  ASSERT_TRUE(run());
  EXPECT_EQ(read_file(files.to), "<" + longest + ">\n<" + std::string(70'000, 'y') + ">\n<" + longest + ">\n");
}

TEST_F(FilesTest, ALineThatIsTooLongIsTheInputsFaultAndLeavesNoOutput) {
  for (const char* end : {"", "\n", "\nmore\n"}) {
    write_file(files.from, "fine\n" + std::string(line_bytes_max + 1, 'x') + end);
    const auto done = run();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().of, Fault::Of::Input);
    EXPECT_EQ(done.error().error.message(), "a line of " + files.from + " is longer than 1 MiB");
    EXPECT_FALSE(read_file(files.to));
  }
}

TEST_F(FilesTest, WhatIsNoRegularFileIsTheInputsFault) {
  ASSERT_EQ(mkfifo(files.from.c_str(), 0600), 0);
  EXPECT_EQ(run().error().of, Fault::Of::Input);
  std::filesystem::remove(files.from);
  write_file(dir / "secret", "secret\n");
  std::filesystem::create_symlink(dir / "secret", files.from);
  EXPECT_EQ(run().error().of, Fault::Of::Input);
  std::filesystem::remove(files.from);
  std::filesystem::create_directory(files.from);
  EXPECT_EQ(run().error().of, Fault::Of::Input);
  EXPECT_FALSE(read_file(files.to));
}

TEST_F(FilesTest, NoRoomForTheOutputIsNotTheInputsFault) {
  write_file(files.from, "a\n");
  const auto nowhere = transform(
      {files.from, dir / "no/out", dir / "no/.hidden"}, [](std::string&) {}, [] { return true; });
  EXPECT_EQ(nowhere.error().of, Fault::Of::Rest);
  EXPECT_THAT(nowhere.error().error.message(), HasSubstr("(ENOENT)"));
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const auto full = transform(
      {files.from, files.to, "/dev/full"}, [](std::string&) {}, [] { return true; });
  EXPECT_EQ(full.error().of, Fault::Of::Rest);
  EXPECT_THAT(full.error().error.message(), HasSubstr("(ENOSPC)"));
}

TEST_F(FilesTest, GivingUpLeavesTheOldOutput) {
  write_file(files.from, "new\n");
  write_file(files.to, "old\n");
  EXPECT_EQ(transform(
                files, [](std::string&) {}, [] { return false; })
                .error()
                .of,
            Fault::Of::Rest);
  EXPECT_EQ(read_file(files.to), "old\n");
}

TEST_F(FilesTest, AMoveToAnotherFileSystemCopies) {
  struct stat here {
  }, there{};
  if (stat(dir.path().c_str(), &here) != 0 || stat("/dev/shm", &there) != 0 || here.st_dev == there.st_dev)
    GTEST_SKIP() << "no second file system";
  const std::string other = "/dev/shm/" + std::filesystem::path{dir.path()}.filename().string();
  std::filesystem::create_directory(other);
  write_file(files.from, "content");
  EXPECT_TRUE(move_file({files.from, other + "/out", other + "/.hidden"}));
  EXPECT_EQ(read_file(other + "/out"), "content");
  EXPECT_FALSE(read_file(files.from));
  EXPECT_FALSE(read_file(other + "/.hidden"));
  std::filesystem::remove_all(other);
}

TEST_F(FilesTest, AFailedMoveNamesBothPlaces) {
  EXPECT_EQ(move_file(files).error().message(),
            "cannot move " + files.from + " to " + files.to + ": No such file or directory (ENOENT)");
}

}  // namespace
