#include "client/rendering.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t s = 1'000'000, min = 60 * s, h = 60 * min, day = 24 * h;
const Style plain{false};

TEST(Rendering, TimesAgoAreSystemctls) {
  constexpr std::uint64_t now = 100'000 * day;
  const auto ago = [](std::uint64_t past) { return ago_text(now - past, now); };
  EXPECT_EQ(ago(5 * s), "5s ago");
  EXPECT_EQ(ago(61 * s), "1min 1s ago");
  EXPECT_EQ(ago(6 * min), "6min ago");
  EXPECT_EQ(ago(3 * h + 2 * min), "3h 2min ago");
  EXPECT_EQ(ago(7 * h), "7h ago");
  EXPECT_EQ(ago(26 * h), "1 day 2h ago");
  EXPECT_EQ(ago(3 * day), "3 days ago");
  EXPECT_EQ(ago(8 * day), "1 week 1 day ago");
  EXPECT_EQ(ago(1'100 * day), "3 years 0 months ago");
  EXPECT_EQ(ago_text(now + s, now), "in the future");
}

TEST(Rendering, DropInsStandBelowTheirDirectories) {
  EXPECT_THAT(status_block(
                  {{"Id", "c.service"},
                   {"LoadState", "loaded"},
                   {"DropInPaths", {"/run/x/c.service.d/5.conf", "/etc/x/c.service.d/1.conf", "/run/x/c.service.d/9.conf"}}},
                  plain, 0, ""),
              HasSubstr("     Loaded: loaded\n"
                        "    Drop-In: /etc/x/c.service.d\n"
                        "             └─1.conf\n"
                        "             /run/x/c.service.d\n"
                        "             └─5.conf, 9.conf\n"));
}

TEST(Rendering, ColoursAreSystemctls) {
  const Style colours{true};
  const Json failed{
      {"Id", "b.service"}, {"Description", "B"}, {"LoadState", "loaded"}, {"ActiveState", "failed"}, {"SubState", "failed"}};
  EXPECT_THAT(status_block(failed, colours, 0, ""), HasSubstr("\x1b[0;1;31m×\x1b[0m b.service - B\n"));
  EXPECT_THAT(status_block(failed, colours, 0, ""), HasSubstr("     Active: \x1b[0;1;31mfailed\x1b[0m\n"));
}

TEST(Rendering, TextFromUnitFilesObeysNobody) {
  const Json unit{{"Id", "a.service"}, {"Description", "x\x1b[2J\ny"}, {"ActiveState", "active"}};
  EXPECT_THAT(status_block(unit, plain, 0, "c\x07m"), HasSubstr("a.service - x\\x1b[2J\\ny\n"));
  EXPECT_EQ(property_lines({{"Description", "a\nb"}}, Names::Show, Empty::Hide), "Description=a\\nb\n");
}

TEST(Rendering, EveryEndOfAMainProcessHasWords) {
  const auto line = [](const Json& more) {
    Json unit{{"Id", "a.service"}, {"ActiveState", "inactive"}, {"ExecMainPID", 7}};
    unit.update(more);
    const std::string block = status_block(unit, plain, 0, "");
    const auto at = block.find("Main PID: ");
    return at == std::string::npos ? "" : block.substr(at, block.find('\n', at) - at);
  };
  EXPECT_EQ(line({{"ExecMainCode", 1}, {"ExecMainStatus", 0}}), "Main PID: 7 (code=exited, status=0/SUCCESS)");
  EXPECT_EQ(line({{"ExecMainCode", 1}, {"ExecMainStatus", 203}}), "Main PID: 7 (code=exited, status=203/EXEC)");
  EXPECT_EQ(line({{"ExecMainCode", 1}, {"ExecMainStatus", 42}}), "Main PID: 7 (code=exited, status=42)");
  EXPECT_EQ(line({{"ExecMainCode", 2}, {"ExecMainStatus", 9}}), "Main PID: 7 (code=killed, signal=KILL)");
  EXPECT_EQ(line({{"ExecMainCode", 3}, {"ExecMainStatus", 11}}), "Main PID: 7 (code=dumped, signal=SEGV)");
  EXPECT_EQ(line({{"ExecMainCode", 0}, {"ExecMainExitKnown", false}}),
            "Main PID: 7 (code=unknown: it ended while nobody could see how)");
  EXPECT_EQ(line({{"ExecMainCode", 0}, {"ExecMainExitKnown", true}}), "");
}

TEST(Rendering, AnExitCodeThatIsNotTheProgramsOwnHasAHint) {
  const auto block = [](const Json& more) {
    Json unit{{"Id", "a.service"}, {"ActiveState", "failed"}, {"ExecMainPID", 7}, {"ExecMainCode", 1}};
    unit.update(more);
    return status_block(unit, plain, 0, "");
  };
  EXPECT_THAT(
      block({{"ExecMainStatus", 127}}),
      HasSubstr("   Main PID: 7 (code=exited, status=127)\n       Hint: exit code 127: often a missing shared library, a "
                "missing command in a shell script, or a memory limit (RLIMIT_AS)\n"));
  EXPECT_THAT(block({{"ExecMainStatus", 126}}), HasSubstr("       Hint: exit code 126: "));
  EXPECT_THAT(block({{"ExecMainStatus", 1}}), Not(HasSubstr("Hint")));
  EXPECT_THAT(block({{"ExecMainStatus", 127}, {"ExecMainCode", 2}}), Not(HasSubstr("Hint"))) << "a signal's number";
  EXPECT_THAT(block({{"ExecMainStatus", 127}, {"MainPID", 8}}), Not(HasSubstr("Hint"))) << "it runs again";
}

TEST(Rendering, EmptyPropertiesAreShownOnlyWhereAskedFor) {
  const Json object{{"InvocationID", ""}, {"ExecMainStartTimestamp", 0}, {"MainPID", 0}};
  EXPECT_EQ(property_lines(object, Names::Show, Empty::Hide), "MainPID=0\n");
  EXPECT_EQ(property_lines(object, Names::Show, Empty::Show), "InvocationID=\nExecMainStartTimestamp=\nMainPID=0\n");
  EXPECT_EQ(property_lines({{"A", true}, {"B", {"x", "y"}}}, Names::Hide, Empty::Show), "yes\nx; y\n");
}

TEST(Rendering, AFailedJobSaysWhyAndWhereToLook) {
  const Json unit{
      {"Id", "web.service"}, {"ActiveState", "failed"}, {"Result", "exit-code"}, {"ExecMainCode", 1}, {"ExecMainStatus", 1}};
  EXPECT_EQ(job_failure("restart", unit, "failed"),
            "web.service did not start: its main process ended (code=exited, status=1/FAILURE) (Result: exit-code); see "
            "\"perdure status web.service\" and \"perdure logs -u web.service\"");
  EXPECT_THAT(job_failure("stop", unit, "timeout"), HasSubstr("web.service did not stop: it took too long"));
  EXPECT_THAT(job_failure("start", {{"Id", "web.service"}, {"Result", "start-limit-hit"}}, "failed"),
              HasSubstr("\"perdure reset-failed web.service\" lifts the limit"));
  EXPECT_THAT(job_failure("start", unit, "canceled"), HasSubstr("another request took the place of this one"));
}

TEST(Rendering, WhatTheKeeperAndTheManagerWentThroughIsShown) {
  EXPECT_THAT(instance_block({{"KeeperPID", 11}, {"ManagerPID", 12}}, plain, 0),
              HasSubstr("Keeper PID: 11\nManager PID: 12\n"));
  EXPECT_THAT(
      instance_block({{"KeeperPID", 11}, {"OrphansReaped", 3}, {"ManagerPID", 12}, {"ManagerRestarts", 2}}, plain, 0),
      HasSubstr("Keeper PID: 11 (orphans reaped: 3)\nManager PID: 12 (restarts: 2)\n"));
}

TEST(Rendering, AnswersOfAnotherShapeDoNotHurt) {
  const Json strange{{"Id", 7}, {"MainPID", "x"}, {"Remarks", 1}, {"ActiveState", nullptr}};
  EXPECT_THAT(status_block(strange, plain, 0, ""), HasSubstr("○ \n"));
  EXPECT_THAT(instance_block(strange, plain, 0), HasSubstr("0 loaded"));
}

TEST(Rendering, ATreeIsDrawnAsSystemctlDrawsIt) {
  const Json leaf{{"unit", "db.service"}, {"state", "active"}, {"children", Json::array()}};
  const Json inner{
      {"unit", "base.target"}, {"state", "inactive"}, {"children", {leaf, {{"unit", "x.service"}, {"state", "failed"}}}}};
  const Json root{{"unit", "default.target"}, {"state", "active"}, {"children", {inner, leaf}}};
  EXPECT_EQ(dependency_tree(Json::array({root}), false, plain),
            "default.target\n○ ├─base.target\n● │ ├─db.service\n× │ └─x.service\n● └─db.service\n");
  EXPECT_EQ(dependency_tree(Json::array({root}), true, plain),
            "default.target\n  base.target\n    db.service\n    x.service\n  db.service\n");
  EXPECT_EQ(dependency_tree(Json::array({7, "x"}), false, plain), "\n\n\n") << "whatever it is, it is no crash";
  EXPECT_THAT(dependency_tree(Json::array({root}), false, Style{true}), HasSubstr("\x1b[0;1;31m×\x1b[0m │ └─x.service\n"));
}

TEST(Rendering, FilesAreShownBelowTheirPathsAndObeyNobody) {
  const Json files = Json::array({{{"path", "/u/a.service"}, {"text", "[Service]\nExecStart=/bin/x\t\x1b[2J\n"}},
                                  {{"path", "/u/a.service.d/b.conf"}, {"text", "[Unit]"}}});
  EXPECT_EQ(file_texts(files, plain),
            "# /u/a.service\n[Service]\nExecStart=/bin/x\t\\x1b[2J\n\n# /u/a.service.d/b.conf\n[Unit]\n");
}

}  // namespace
}  // namespace perdure::client
