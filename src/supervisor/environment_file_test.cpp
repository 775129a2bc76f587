#include "supervisor/environment_file.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> parsed(std::string_view text) {
  auto result = parse_environment(text, "/etc/x");
  EXPECT_TRUE(result) << result.error().message();
  return result ? result->assignments : std::vector<std::string>{};
}

TEST(EnvironmentFile, LinesCommentsAndBlanks) {
  EXPECT_THAT(parsed("A=1\n# B=2\n;C=3\n\n  D  =  4 5\t \nE=\nno assignment\nF=last"),
              ElementsAre("A=1", "D=4 5", "E=", "F=last"));
  EXPECT_THAT(parsed("A=1\r\nB=2\r\n"), ElementsAre("A=1", "B=2"));
  EXPECT_THAT(parsed("A=x=y # no comment\n"), ElementsAre("A=x=y # no comment"));
  EXPECT_THAT(parsed(""), IsEmpty());
}

TEST(EnvironmentFile, QuotesKeepWhatIsInThem) {
  EXPECT_THAT(parsed("A=\"a b\"\nB='a \"b\" \\n'\nC=\"line\nline\"\nD='x'\"y\"z\n"),
              ElementsAre("A=a b", "B=a \"b\" \\n", "C=line\nline", "D=xyz"));
  EXPECT_THAT(parsed("A=a'b'\n"), ElementsAre("A=a'b'")) << "within a bare value a quote is text, as in systemd";
  EXPECT_THAT(parsed("A=\"trail  \"  \n"), ElementsAre("A=trail  "));
  EXPECT_THAT(parsed("A='open\nB=2\n"), ElementsAre("A=open\nB=2\n")) << "to the end of the file";
}

TEST(EnvironmentFile, BackslashesContinueAndEscape) {
  EXPECT_THAT(parsed("A=one\\\ntwo\nB=\\  x\\ \n"), ElementsAre("A=onetwo", "B=  x "));
  EXPECT_THAT(parsed("A=\"\\$HOME \\\\ \\n \\\"q\\\" \\`c\\`\"\n"), ElementsAre("A=$HOME \\ \\n \"q\" `c`"));
  EXPECT_THAT(parsed("A=\"con\\\ntinued\"\n# comment \\\nB=still comment\nC=3\n"), ElementsAre("A=continued", "C=3"));
  EXPECT_THAT(parsed("A=$HOME ${X}\n"), ElementsAre("A=$HOME ${X}"));
  EXPECT_THAT(parsed("A=end\\"), ElementsAre("A=end"));
}

TEST(EnvironmentFile, ImpossibleNamesAreSkippedAndSaid) {
  const auto result = parse_environment("1A=x\nexport B=2\n=3\nOK=4\n", "/etc/x").value();
  EXPECT_THAT(result.assignments, ElementsAre("OK=4"));
  ASSERT_EQ(result.remarks.size(), 2U) << "a line that begins with = has no assignment at all";
  EXPECT_EQ(result.remarks[1], "/etc/x:2: \"export B\" can be no variable's name; the line is skipped");
}

TEST(EnvironmentFile, WhatIsNotTextIsRefused) {
  EXPECT_EQ(parse_environment("A=1\nB=\xff\n", "/etc/x").error().message(),
            "/etc/x:2: what is assigned to \"B\" is not UTF-8 (EINVAL)");
  for (const std::string_view bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"})
    EXPECT_FALSE(parse_environment("A=" + std::string{bad}, "x")) << bad;
  EXPECT_TRUE(parse_environment("A=\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x89", "x"));
  EXPECT_EQ(parse_environment(std::string_view{"A=\0b", 4}, "/etc/x").error().message(),
            "/etc/x: there is a NUL byte at offset 2 (EINVAL)");
}

TEST(EnvironmentFile, NoBytesCanHurt) {
  std::mt19937 random{71};
  constexpr std::string_view alphabet = "A=\"'\\\n\r# ;\t$`b";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::size_t n = random() % 24; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const auto result = parse_environment(text, "x");
    ASSERT_TRUE(result);
    for (const std::string& assignment : result->assignments) ASSERT_NE(assignment.find('='), std::string::npos);
  }
}

class EnvironmentFiles : public ::testing::Test {
 protected:
  os::testing::ScratchDirectory directory;
};

TEST_F(EnvironmentFiles, AreReadInTheirOrderAndPatternsByName) {
  directory.put("b.env", "X=b\n");
  directory.put("a.env", "X=a\n");
  directory.put("first", "X=first\n");
  const std::vector<unit::EnvironmentFile> files{{directory / "first", false}, {directory / "*.env", false}};
  EXPECT_THAT(read_environment_files(files)->assignments, ElementsAre("X=first", "X=a", "X=b"));
}

TEST_F(EnvironmentFiles, AMissingOneIsAnErrorUnlessItMayBeMissing) {
  const std::string path = directory / "none";
  for (const std::string& missing : {path, directory / "*.none"}) {
    const std::vector<unit::EnvironmentFile> needed{{missing, false}};
    const auto refused = read_environment_files(needed);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ENOENT);
    EXPECT_THAT(refused.error().message(), HasSubstr("; make it, or write EnvironmentFile=-" + missing));
    const std::vector<unit::EnvironmentFile> optional{{missing, true}};
    EXPECT_THAT(read_environment_files(optional)->assignments, IsEmpty());
  }
}

TEST_F(EnvironmentFiles, ADirectoryOrAFifoIsNeverWaitedFor) {
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  for (const std::string& path : {directory.path(), directory / "fifo"}) {
    const std::vector<unit::EnvironmentFile> needed{{path, false}};
    EXPECT_FALSE(read_environment_files(needed)) << path;
    const std::vector<unit::EnvironmentFile> optional{{path, true}};
    EXPECT_EQ(read_environment_files(optional)->remarks.size(), 1U) << path;
  }
}

TEST_F(EnvironmentFiles, OneThatIsTooLargeIsRefused) {
  directory.put("large", "A=" + std::string(environment_file_bytes_max, 'x'));
  const std::vector<unit::EnvironmentFile> files{{directory / "large", false}};
  EXPECT_FALSE(read_environment_files(files));
}

}  // namespace
}  // namespace perdure::supervisor
