// The judge of ledgers sees what must not be.
#include "ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace supervisor_test {
namespace {

using ::testing::HasSubstr;

const std::string whole =
    "a condition\na start-pre\na main 12\na start-post\na reload\na reload\na end exited 3 exit-code\na stop-post exited 3 "
    "exit-code\n";
const std::string next =
    "b condition\nb start-pre\nb main 13\nb asked\nb end exited 0 success\nb stop\nb stop-post exited 0 success\n";

std::string wrong(const std::string& ledger) { return check_ledger(ledger, UnknownEnds::Wrong).wrong; }
std::string without(std::string ledger, const std::string& line) { return ledger.erase(ledger.find(line), line.size()); }

TEST(LedgerVerdict, WholeRunsAreRightAndCounted) {
  const LedgerVerdict verdict = check_ledger(whole + next, UnknownEnds::Wrong);
  EXPECT_EQ(verdict.wrong, "");
  EXPECT_EQ(verdict.runs, 2U);
  EXPECT_EQ(verdict.reloads, 2U);
  EXPECT_EQ(verdict.asked, 1U);
}

TEST(LedgerVerdict, WhatBeginsTwiceOrAfterTheNextRunIsSeen) {
  EXPECT_THAT(wrong(whole + next + "b stop-post exited 0 success\n"), HasSubstr("has stop-post twice"));
  EXPECT_THAT(wrong("a condition\n" + whole), HasSubstr("has condition twice"));
  EXPECT_THAT(wrong(whole + "b condition\na start-post\n" + next), HasSubstr("goes on with start-post after the next one"));
  EXPECT_THAT(wrong(without(whole, "a main 12\n") + "a main 12\n"), HasSubstr("goes on after stop-post with main"));
  EXPECT_THAT(wrong("a condition\na start-pre beside another one\na stop-post\n"), HasSubstr("while a main process lives"));
}

TEST(LedgerVerdict, WhatIsMissingIsSeen) {
  EXPECT_THAT(wrong(without(whole, "a condition\n")), HasSubstr("begins with start-pre"));
  EXPECT_THAT(wrong(without(whole, "a start-pre\n")), HasSubstr("goes on with main"));
  EXPECT_THAT(wrong(without(whole, "a stop-post exited 3 exit-code\n") + next), HasSubstr("ends without stop-post"));
  EXPECT_THAT(wrong(without(whole, "a end exited 3 exit-code\n")), HasSubstr("could not say how it ended"));
}

TEST(LedgerVerdict, AnEndThatIsToldWronglyIsSeen) {
  const std::string told = "a stop-post exited 3 exit-code\n";
  EXPECT_THAT(wrong(without(whole, told) + "a stop-post killed KILL signal\n"),
              HasSubstr("was told \"killed KILL signal\""));
  EXPECT_THAT(wrong(without(whole, told) + "a stop-post\n"), HasSubstr("was told \"\""));
  EXPECT_EQ(check_ledger(without(whole, told) + "a stop-post\n", UnknownEnds::Allowed).wrong, "");
}

}  // namespace
}  // namespace supervisor_test
