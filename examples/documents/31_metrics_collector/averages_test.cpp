// What the collector answers to each request, well formed or not.
#include "averages.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Averages, AnswersTheDocumentsFiveRequests) {
  Averages averages;
  EXPECT_EQ(averages.take(R"({"name":"cpu","value":42.5})").reply, "cpu: avg=42.50\n");
  EXPECT_EQ(averages.take(R"({"name":"cpu","value":55.0})").reply, "cpu: avg=48.75\n");
  EXPECT_EQ(averages.take(R"({"name":"mem","value":71.2})").reply, "mem: avg=71.20\n");
  EXPECT_EQ(averages.take(R"({"name":"mem","value":68.8})").reply, "mem: avg=70.00\n");
  const Answer dump = averages.take(R"({"name":"dump","value":0})");
  EXPECT_EQ(dump.reply, "dumped");
  EXPECT_THAT(dump.dump, ElementsAre(" cpu: avg=48.75 (n=2)", " mem: avg=70.00 (n=2)"));
}

TEST(Averages, TakeEveryJsonNumberAndAnyLayout) {
  Averages averages;
  EXPECT_EQ(averages.take("  { \"value\" : -1.5e2 ,\n\t\"name\" : \"t\" }\r\n").reply, "t: avg=-150.00\n");
  EXPECT_EQ(averages.take(R"({"name":"n","value":7})").reply, "n: avg=7.00\n");
  EXPECT_EQ(averages.take(R"({"name":"u","value":18446744073709551615})").reply, "u: avg=18446744073709551616.00\n");
  EXPECT_EQ(averages.take(R"({"name":"\u00e4","value":1})").reply, "\xc3\xa4: avg=1.00\n");
  EXPECT_EQ(averages.take(R"({"name":"dump"})").reply, "dumped");
}

TEST(Averages, RefuseWhatIsNoRequest) {
  Averages averages;
  for (const char* bad : {
           R"({"value":1})",
           R"({"name":"x"})",
           R"({"name":"x","value":"1"})",
           R"({"name":"x","value":null})",
           R"({"name":7,"value":1})",
           R"({"name":"","value":1})",
           R"({"name":"a\nb","value":1})",
           R"([1,2])",
           "GET / HTTP/1.1",
           R"({"name":"x","value":1}})",
           R"({"name":"x","value":+1})",
           R"({"name":"x","value":1e999})",
           R"({name:"x"})",
           "{\"name\":\"\xff\",\"value\":1}",
       }) {
    const Answer answer = averages.take(bad);
    EXPECT_EQ(answer.kind, Answer::Kind::Refused) << bad;
    EXPECT_EQ(answer.reply, "") << bad;
  }
  EXPECT_THAT(averages.take(R"({"name":"dump"})").dump, IsEmpty());
}

TEST(Averages, AskForTheRestOfWhatIsCutOff) {
  const std::string whole = R"({"name":"cpu","value":42.5})";
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    Averages averages;
    EXPECT_EQ(averages.take(whole.substr(0, cut)).kind, Answer::Kind::Incomplete) << cut;
  }
}

TEST(Averages, AreBoundedInLengthDepthAndNumber) {
  Averages averages;
  EXPECT_EQ(averages.take(std::string(request_bytes_max, '{')).kind, Answer::Kind::Refused);
  EXPECT_EQ(averages.take("{\"name\":" + std::string(500, '[')).kind, Answer::Kind::Incomplete);
  EXPECT_EQ(averages.take(R"({"name":")" + std::string(name_bytes_max + 1, 'x') + R"(","value":1})").kind,
            Answer::Kind::Refused);
  for (std::size_t i = 0; i < names_max; ++i) averages.take(R"({"name":"n)" + std::to_string(i) + R"(","value":1})");
  EXPECT_EQ(averages.take(R"({"name":"more","value":1})").reply, "error: no room for another name (256 at most)\n");
  EXPECT_EQ(averages.take(R"({"name":"n0","value":3})").reply, "n0: avg=2.00\n") << "those that are known go on";
}

TEST(Averages, AreNotSpoiledByASumThatNoDoubleHolds) {
  Averages averages;
  averages.take(R"({"name":"big","value":1.7e308})");
  EXPECT_EQ(averages.take(R"({"name":"big","value":1.7e308})").kind, Answer::Kind::Refused);
  EXPECT_EQ(averages.take(R"({"name":"big","value":-1.7e308})").reply, "big: avg=0.00\n");
}

}  // namespace
