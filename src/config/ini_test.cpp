#include "config/ini.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "section.key=value" of each entry.
std::vector<std::string> entries(const Parsed<IniFile>& parsed) {
  std::vector<std::string> all;
  for (const IniSection& section : parsed.value.sections)
    for (const IniEntry& entry : section.entries)
      all.push_back((section.name.empty() ? "" : section.name + ".") + entry.key + "=" + entry.value);
  return all;
}

// What a text without faults says.
std::vector<std::string> read(std::string_view text) {
  const auto parsed = parse_ini(text, "f");
  for (const Diagnostic& d : parsed.diagnostics) ADD_FAILURE() << d.text();
  return entries(parsed);
}

std::vector<std::string> faults(std::string_view text) {
  std::vector<std::string> all;
  for (const Diagnostic& d : parse_ini(text, "f").diagnostics) all.push_back(d.text());
  return all;
}

TEST(Ini, ReadsTheSampleOfTheDocuments) {
  EXPECT_THAT(
      read("# Daemon configuration\nport=8080\nlog_level=INFO\nmax_connections=100\npid_file=/var/run/mydaemon.pid\n"),
      ElementsAre("port=8080", "log_level=INFO", "max_connections=100", "pid_file=/var/run/mydaemon.pid"));
}

TEST(Ini, DropsBlanksAroundKeysAndValues) { EXPECT_THAT(read("  a\t =  b c \t\n"), ElementsAre("a=b c")); }

TEST(Ini, AcceptsCrlfBlankLinesAByteOrderMarkAndNoNewlineAtTheEnd) {
  EXPECT_THAT(read("\xEF\xBB\xBF"
                   "a=1\r\n\r\n\n  \nb=2"),
              ElementsAre("a=1", "b=2"));
  EXPECT_THAT(read(""), IsEmpty());
}

TEST(Ini, SkipsCommentsAtTheBeginningOfALine) { EXPECT_THAT(read("# a=1\n; b=2\n   # c=3\nd=4"), ElementsAre("d=4")); }

TEST(Ini, EndsAValueAtABlankAndAHash) {
  EXPECT_THAT(read("a = 1 # one\nb = x#y\nc = 1;2 ; 3\nd = \"4 # 5\"  # six\ne = it's # a comment"),
              ElementsAre("a=1", "b=x#y", "c=1;2 ; 3", "d=4 # 5", "e=it's"));
}

TEST(Ini, UnescapesWithinQuotesOnly) {
  EXPECT_THAT(read("a = \" x\\n\\t\\\\\\\"'\\x41 \"\nb = 'say \"hi\"\\''\nc = C:\\new"),
              ElementsAre("a= x\n\t\\\"'A ", "b=say \"hi\"'", "c=C:\\new"));
}

TEST(Ini, TellsAnEmptyValueFromAnEmptyText) {
  const auto parsed = parse_ini("a =\nb = \"\"\n", "f");
  ASSERT_EQ(parsed.value.sections[0].entries.size(), 2u);
  EXPECT_FALSE(parsed.value.sections[0].entries[0].is_quoted);
  EXPECT_TRUE(parsed.value.sections[0].entries[1].is_quoted);
}

TEST(Ini, SectionsLastUntilTheNextHeader) {
  EXPECT_THAT(read("a=1\n[tls] # comment\nb=2\n[ tls.client ]\nc=3\n[tls]\nd=4"),
              ElementsAre("a=1", "tls.b=2", "tls.client.c=3", "tls.d=4"));
}

TEST(Ini, CountsLinesAndCharacters) {
  const auto parsed = parse_ini("\n  größe =  12\n", "f");
  EXPECT_EQ(parsed.diagnostics.size(), 1u);  // ö and ß are no part of names
  EXPECT_EQ(parsed.diagnostics[0].line, 2);
  EXPECT_EQ(parsed.diagnostics[0].column, 3);
  EXPECT_THAT(faults("a = \"ü\" x"), ElementsAre(testing::StartsWith("f:1:8: text after the closing quote")));
}

TEST(Ini, KeepsTheGoodLinesBesideTheBadOnes) {
  const auto parsed = parse_ini("a=1\nnonsense\nb=2\n", "f");
  EXPECT_THAT(entries(parsed), ElementsAre("a=1", "b=2"));
  EXPECT_EQ(parsed.diagnostics.size(), 1u);
}

TEST(Ini, DropsWhatStandsUnderAHeaderItCannotRead) {
  const auto parsed = parse_ini("[tls\ncert=x\n[web]\nport=1\n", "f");
  EXPECT_THAT(entries(parsed), ElementsAre("web.port=1"));
  EXPECT_EQ(parsed.diagnostics.size(), 1u);
}

TEST(Ini, NamesUtf16AsSuch) {
  for (const std::string_view text :
       {std::string_view{"\xFF\xFE"
                         "a\0=\0",
                         6},
        std::string_view{"\xFE\xFF\0a", 4}, std::string_view{"a\0=\0001\0", 6}, std::string_view{"\0a\0=\0001", 6}})
    EXPECT_THAT(faults(text), ElementsAre("f:1:1: the file is UTF-16; save it as UTF-8"));
}

TEST(Ini, ReadsNothingOfATextWithANul) {
  const auto parsed = parse_ini(std::string_view{"a=1\nbc\0d=2\n", 11}, "f");
  EXPECT_THAT(entries(parsed), IsEmpty());
  ASSERT_EQ(parsed.diagnostics.size(), 1u);
  EXPECT_EQ(parsed.diagnostics[0].text(), "f:2:3: a NUL byte; this is no text");
}

TEST(Ini, RefusesLongLinesAndLargeFiles) {
  EXPECT_THAT(read("a=" + std::string(ini_line_bytes_max - 2, 'x')), testing::SizeIs(1));
  EXPECT_THAT(faults("a=" + std::string(ini_line_bytes_max - 1, 'x')),
              ElementsAre("f:1:1: the line is longer than 65536 bytes"));
  EXPECT_THAT(faults(std::string(ini_bytes_max, '\n')), IsEmpty());
  EXPECT_THAT(faults(std::string(ini_bytes_max + 1, '\n')),
              ElementsAre("f: the file has 1048577 bytes; at most 1048576 are read"));
}

TEST(Ini, ReportsAtMostAHundredFaultsAndSaysThatThereAreMore) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "x\n";
  EXPECT_EQ(faults(text).size(), 100u);
  EXPECT_EQ(faults(text).back(), "f:100:1: \"=\" is missing; a setting is a line \"name = value\"");
  EXPECT_EQ(faults(text + "x\n").size(), 100u);
  EXPECT_THAT(faults(text + "x\n").back(), testing::StartsWith("f:100:1: there are more faults"));
}

TEST(Ini, NeverRepeatsWhatMayBeASecret) {
  for (const char* text : {"password hunter2", "password = \"hunter2", "password = \"hunter2\" x", "hunter2!=1", "[hunter2",
                           "password = \"hunter2\\q\"", "password = hunter2\x01", "password = #hunter2"})
    for (const std::string& fault : faults(text)) EXPECT_EQ(fault.find("hunter2"), std::string::npos) << fault;
}

}  // namespace
}  // namespace perdure::config
