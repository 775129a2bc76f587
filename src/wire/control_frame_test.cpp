#include "wire/control_frame.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::wire {
namespace {

using testing::HasSubstr;

std::string fault_of(std::string_view line) {
  const auto request = parse_control_request(line);
  return request ? "accepted" : request.error().message();
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(ControlFrame, APlainLineIsAVerbAndTheRest) {
  const auto request = parse_control_request("queue build project\n");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->dialect, Dialect::Plain);
  EXPECT_EQ(request->verb, "queue");
  EXPECT_EQ(request->text, "build project");
  EXPECT_EQ(request->json, "");
}

TEST(ControlFrame, NewlineCarriageReturnAndBlanksAroundAPlainLineDoNotMatter) {
  for (const std::string_view line : {"status", "status\n", "status\r\n", "status\r", "  status \t\n", "\tstatus"}) {
    const auto request = parse_control_request(line);
    ASSERT_TRUE(request) << line;
    EXPECT_EQ(request->verb, "status") << line;
    EXPECT_EQ(request->text, "") << line;
  }
  EXPECT_EQ(parse_control_request("queue \t a  b \r\n")->text, "a  b");
}

TEST(ControlFrame, AVerbIsCaseSensitiveAndOtherWordsAreUnknownCommands) {
  for (const std::string_view line : {"STATUS", "Status", "1st", "-x", "sta_tus", "st/atus", "\xc3\xa4", "ab\x1b[1m"}) {
    EXPECT_EQ(fault_of(line), "unknown command") << line;
  }
  EXPECT_EQ(fault_of(std::string(control_verb_max, 'a')), "accepted");
  EXPECT_EQ(fault_of(std::string(control_verb_max + 1, 'a')), "unknown command");
  EXPECT_EQ(fault_of(R"({"verb":"STATUS"})"), "unknown command");
}

TEST(ControlFrame, AJsonObjectCarriesVerbTextAndWhateverElseTheCommandKnows) {
  const auto request =
      parse_control_request("  {\"text\":\"a\\u00e4\\n\",\"verb\":\"queue\",\"protocol\":1,\"more\":[1,{\"verb\":2}]}\r\n");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->dialect, Dialect::Json);
  EXPECT_EQ(request->verb, "queue");
  EXPECT_EQ(request->text, "a\xc3\xa4\n");
  EXPECT_EQ(request->json, R"({"text":"a\u00e4\n","verb":"queue","protocol":1,"more":[1,{"verb":2}]})");
}

TEST(ControlFrame, EveryFaultOfARequestHasItsOneLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "the request is empty; send VERB [TEXT], for example: status"},
      {" \t\r\n", "the request is empty; send VERB [TEXT], for example: status"},
      {std::string("sta\0tus", 7), "the request has a NUL byte (byte 4)"},
      {"queue \xff", "the request is not valid UTF-8 (byte 7)"},
      {std::string("s\0t\0", 4), "the request has a NUL byte (byte 2)"},
      {"\xff\xfes", "the request is not valid UTF-8 (byte 1)"},
      {std::string(control_request_max + 1, 'a'), "the request is longer than 65536 bytes"},
      {"{", "the request is not valid JSON (at byte 2)"},
      {R"({"verb":"status"} x)", "the request is not valid JSON (at byte 19)"},
      {R"({"verb":"status"}{"verb":"status"})", "the request is not valid JSON (at byte 18)"},
      {R"({"verb":"status",})", "the request is not valid JSON (at byte 18)"},
      {R"({"verb":'status'})", "the request is not valid JSON (at byte 9)"},
      {"{\"verb\":\"sta\ttus\"}", "the request is not valid JSON (at byte 13)"},
      {R"({"verb":"\ud800"})", "the request is not valid JSON (at byte 16)"},
      {R"({"verb":"status","n":1e999})", "the request has a number that is too large"},
      {R"({})", "the request has no \"verb\""},
      {R"({"text":"x"})", "the request has no \"verb\""},
      {R"({"verb":1})", "the request has a number where \"verb\" must be a string"},
      {R"({"verb":null})", "the request has null where \"verb\" must be a string"},
      {R"({"verb":["status"]})", "the request has an array where \"verb\" must be a string"},
      {R"({"verb":"status","text":{}})", "the request has an object where \"text\" must be a string"},
      {R"({"verb":"status","text":true})", "the request has a boolean where \"text\" must be a string"},
      {R"({"verb":"status","text":"a\u0000"})", "the request has a NUL character in \"text\""},
      {R"({"verb":"status","verb":"stop"})", "the request has the member \"verb\" twice"},
      {R"({"verb":"status","x":{"a":1,"a":1}})", "the request has the member \"a\" twice"},
      {R"({"verb":"status","protocol":2})", "the request is in a protocol other than 1"},
      {R"({"verb":"status","protocol":"1"})", "the request has a string where \"protocol\" must be a number"},
      {R"(["status"])", "the request is an array, not an object"},
      {R"({"verb":"status","x":)" + nested(8) + "}", "the request is nested deeper than 8"},
      {std::string(10'000, '['), "the request is an array, not an object"},
      {R"({"x":)" + std::string(10'000, '['), "the request is nested deeper than 8"},
  };
  for (const auto& [line, fault] : cases) EXPECT_EQ(fault_of(line), fault) << line.substr(0, 60);
}

TEST(ControlFrame, TheBoundsThemselvesAreAllowed) {
  EXPECT_EQ(fault_of(R"({"verb":"status","x":)" + nested(7) + "}"), "accepted");
  EXPECT_EQ(fault_of("queue " + std::string(control_request_max - 6, 'a') + "\n"), "accepted");
  EXPECT_EQ(fault_of(R"({"verb":"status","x":"[[[[[[[[[[[{{{{{{{{{{{\"[["})"), "accepted");
}

TEST(ControlFrame, TheDialectIsKnownFromTheFirstByteThatIsNotBlank) {
  EXPECT_EQ(control_dialect("  {"), Dialect::Json);
  EXPECT_EQ(control_dialect("[[["), Dialect::Json);
  EXPECT_EQ(control_dialect("status {"), Dialect::Plain);
  EXPECT_EQ(control_dialect(""), Dialect::Plain);
}

TEST(ControlFrame, APlainAnswerEndsInExactlyOneNewline) {
  EXPECT_EQ(control_answer(Dialect::Plain, {.text = "OK"}), "OK\n");
  EXPECT_EQ(control_answer(Dialect::Plain, {.text = "a\nb\n\n"}), "a\nb\n");
  EXPECT_EQ(control_answer(Dialect::Plain, {.text = ""}), "\n");
  EXPECT_EQ(control_answer(Dialect::Plain, {.ok = false, .text = "unknown command"}), "error: unknown command\n");
  EXPECT_EQ(control_answer(Dialect::Plain, {.text = "x", .data = "{}"}), "x\n");
}

TEST(ControlFrame, AJsonAnswerIsOneLineWithTheProtocolsNumber) {
  EXPECT_EQ(control_answer(Dialect::Json, {.text = "a\n\"b\""}),
            "{\"ok\":true,\"text\":\"a\\n\\\"b\\\"\",\"protocol\":1}\n");
  EXPECT_EQ(control_answer(Dialect::Json, {.ok = false, .text = "no", .data = "{\n  \"z\": 1,\r\n  \"a\": 1.50\n}"}),
            "{\"ok\":false,\"text\":\"no\",\"data\":{   \"z\": 1,    \"a\": 1.50 },\"protocol\":1}\n");
}

TEST(ControlFrame, BytesThatAreNotTextAreReplacedRatherThanSent) {
  EXPECT_EQ(control_answer(Dialect::Json, {.text = "a\xff"}), "{\"ok\":true,\"text\":\"a\xef\xbf\xbd\",\"protocol\":1}\n");
  EXPECT_EQ(control_request("queue", "\xff"), "{\"verb\":\"queue\",\"text\":\"\xef\xbf\xbd\"}\n");
}

TEST(ControlFrame, AnAnswerThatCannotBeSentSaysSoInstead) {
  const std::string cannot = "the command's answer cannot be sent: ";
  const auto said = [](const ControlAnswer& answer) {
    const auto back = parse_control_answer(control_answer(Dialect::Json, answer));
    return back ? (back->ok ? "ok " : "no ") + back->text : back.error().message();
  };
  for (const std::string data : {"{", "nonsense", "1,\"ok\":true", "1}", "{} {}", "\"\xff\""}) {
    EXPECT_EQ(said({.text = "x", .data = data}), "no " + cannot + "its data is not valid JSON") << data;
  }
  EXPECT_EQ(said({.text = "x", .data = nested(100'000)}), "no " + cannot + "the answer is nested deeper than 64");
  EXPECT_EQ(said({.text = std::string(control_answer_max, 'a')}),
            "no " + cannot + "it has 1048611 bytes, the limit is 1048576");
  EXPECT_EQ(control_answer(Dialect::Plain, {.text = std::string(control_answer_max, 'a')}),
            "error: " + cannot + "it has 1048577 bytes, the limit is 1048576\n");
}

TEST(ControlFrame, RequestsAndAnswersComeBackAsTheyWere) {
  const auto request = parse_control_request(control_request("queue", "a \"b\"\n\t\\ \xc3\xa4 "));
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->text, "a \"b\"\n\t\\ \xc3\xa4 ");
  EXPECT_EQ(control_request("status", ""), "{\"verb\":\"status\"}\n");

  const ControlAnswer sent{.ok = false, .text = std::string("x\0y\n", 4), .data = R"({"z":[1,2.5,"\u0000"],"a":null})"};
  const auto answer = parse_control_answer(control_answer(Dialect::Json, sent));
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_FALSE(answer->ok);
  EXPECT_EQ(answer->text, sent.text);
  EXPECT_EQ(answer->data, sent.data);
}

TEST(ControlFrame, WhatIsNoAnswerIsQuotedInTheError) {
  const auto fault = [](std::string_view line) {
    const auto answer = parse_control_answer(line);
    return answer ? "accepted" : answer.error().message();
  };
  EXPECT_EQ(fault("hello\n"), "the answer is not valid JSON (at byte 1): \"hello\"");
  EXPECT_EQ(fault("[]"), "the answer is an array, not an object: \"[]\"");
  EXPECT_EQ(fault(R"({"ok":true})"), R"(the answer has no "ok" and "text": "{"ok":true}")");
  EXPECT_EQ(fault(R"({"ok":1,"text":""})"), R"(the answer has a number where "ok" must be a boolean: "{"ok":1,"text":""}")");
  EXPECT_THAT(fault(R"({"ok":true,"text":"","data":)" + nested(64) + "}"), HasSubstr("nested deeper than 64"));
  EXPECT_EQ(fault(R"({"ok":true,"text":"","data":)" + nested(63) + R"(,"protocol":1,"new":0})"), "accepted");
}

}  // namespace
}  // namespace perdure::wire
