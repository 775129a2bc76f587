#include "unit/unit_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace perdure::unit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// "line section key=value" of every assignment.
std::vector<std::string> read(std::string_view text) {
  std::vector<std::string> all;
  for (const Assignment& a : parse_unit_file(text, "x").value.assignments)
    all.push_back(std::to_string(a.line) + ' ' + a.section + ' ' + a.key + '=' + a.value);
  return all;
}
std::vector<std::string> complaints(std::string_view text) {
  std::vector<std::string> all;
  for (const Diagnostic& d : parse_unit_file(text, "x").diagnostics) all.push_back(d.text());
  return all;
}

TEST(UnitFile, IsSectionsOfAssignments) {
  EXPECT_THAT(read("[Unit]\nDescription = A  # b \"c\" \n\n[Service]\n ExecStart=/bin/a b=c\n[Unit]\nAfter=\n"),
              ElementsAre("2 Unit Description=A  # b \"c\"", "5 Service ExecStart=/bin/a b=c", "7 Unit After="));
}

TEST(UnitFile, EndsLinesInLfCrOrCrlfAndSkipsAByteOrderMark) {
  EXPECT_THAT(read("\xEF\xBB\xBF[A]\r\nb=c\rd=e"), ElementsAre("2 A b=c", "3 A d=e"));
}

TEST(UnitFile, GoesOnAfterABackslashAsSystemd252Does) {
  // Checked against the dump of systemd 252: the backslash becomes a blank, the next line keeps its own.
  EXPECT_THAT(read("[A]\nb=a\\\n   b\\\n# c\n ; d\n  e \\\\\nf=g"), ElementsAre("2 A b=a    b   e \\\\", "7 A f=g"));
  EXPECT_THAT(read("[A]\nb=c\\"), ElementsAre("2 A b=c"));
  EXPECT_THAT(read("[A]\nb=c\\ \nd=e"), ElementsAre("2 A b=c\\", "3 A d=e"));
  EXPECT_THAT(read("[A]\nb=c\\\n\nd=e"), ElementsAre("2 A b=c", "4 A d=e"));
  EXPECT_THAT(read("[A]\n# c \\\nd=e"), ElementsAre("3 A d=e"));
}

TEST(UnitFile, LeavesOutWhatItCannotReadAndSaysSo) {
  EXPECT_THAT(read("a=b\n[A]\nhello\n=x\nk=\xFF\nk=v\n"), ElementsAre("6 A k=v"));
  EXPECT_THAT(complaints("a=b\n[A]\nhello\n=x\nk=\xFF\nk=v\n"),
              ElementsAre("x:1: warning: a= stands before the first [section] and is left out",
                          "x:3: warning: \"=\" is missing; the line is left out",
                          "x:4: warning: the name before \"=\" is missing; the line is left out",
                          "x:5: warning: the line is no UTF-8 and is left out"));
}

TEST(UnitFile, IsRefusedWholeWhereALineCannotBeTrusted) {
  const std::string with_nul{"[A]\nb=c\0d\n", 10};
  const std::string too_long = "[A]\nb=c\nd=" + std::string(unit_line_bytes_max, 'x') + "\n";
  std::string too_long_in_pieces = "[A]\nd=\\\n";
  while (too_long_in_pieces.size() < 2 * unit_line_bytes_max) too_long_in_pieces += "xxxxxxxxxxxxxxx\\\n";
  const std::string too_large(unit_file_bytes_max + 1, '\n');
  const std::string utf16{"\xFF\xFE[\0A\0", 6};
  for (const std::string& text :
       {with_nul, too_long, too_long_in_pieces, too_large, utf16, std::string{"[A]\nb=c\n[B\nd=e\n"}}) {
    const auto file = parse_unit_file(text, "x");
    EXPECT_FALSE(file.value.is_usable);
    EXPECT_THAT(file.value.assignments, IsEmpty());
    ASSERT_EQ(file.diagnostics.size(), 1U);
    EXPECT_FALSE(file.diagnostics.front().is_warning) << file.diagnostics.front().text();
  }
  EXPECT_THAT(complaints(too_long).front(), HasSubstr("x:3: the line is longer than 65536 bytes"));
  EXPECT_TRUE(parse_unit_file("[A]\nd=" + std::string(unit_line_bytes_max - 2, 'x') + "\n", "x").value.is_usable);
}

TEST(UnitFile, KeepsItsWordAboutUsabilityBehindAHundredWarnings) {
  std::string text = "[A]\n";
  for (int i = 0; i < 500; ++i) text += "nonsense\n";
  const auto file = parse_unit_file(text + "[B\n", "x");
  EXPECT_FALSE(file.value.is_usable);
  EXPECT_LE(file.diagnostics.size(), config::diagnostics_max);
}

RC_GTEST_PROP(UnitFile, TakesAnyBytes, (const std::string& text)) { (void)parse_unit_file(text, "x"); }

RC_GTEST_PROP(UnitFile, TakesAnyMixtureOfWhatMatters, ()) {
  const auto parts = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("[Unit]", "\n", "\r", "\\", "=", "#", ";", "a", " ", "\xC3", "\xA9", "[", "]", "\t"));
  std::string text;
  for (const std::string& part : parts) text += part;
  const auto file = parse_unit_file(text, "x");
  for (const Assignment& a : file.value.assignments) RC_ASSERT(a.line > 0 && !a.key.empty() && !a.section.empty());
}

}  // namespace
}  // namespace perdure::unit
