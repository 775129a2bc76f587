// Four lines, and each of them in both places.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::read_file;
using testing::HasSubstr;
using testing::MatchesRegex;

struct LoggerDemo : testing::Test {
  perdure::testing::TempDir dir;
  std::string log = dir / "log", syslog = dir / "syslog";
  trial::Datagrams heard{syslog};

  /// How it ended; `pid` is that of the process.
  perdure::ExitStatus run(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {EXAMPLE_PROGRAM, "--log-file", log});
    perdure::testing::Process demo{more, {.env = {{"PERDURE_SYSLOG_SOCKET", syslog}}}};
    pid = std::to_string(demo.pid());
    const auto status = demo.wait();
    output = demo.output();
    return status;
  }
  std::string pid, output;
};

TEST_F(LoggerDemo, SaysFourLinesToTheFileAndToSyslog) {
  ASSERT_EQ(run().text(), "exited with 0");
  EXPECT_EQ(output, "Log written to " + log + "\nCheck syslog: journalctl -t zig-daemon --no-pager\n");
  EXPECT_THAT(*read_file(log), MatchesRegex("\\[[0-9]+\\] \\[INFO\\] daemon starting, pid=" + pid +
                                            "\n"
                                            "\\[[0-9]+\\] \\[WARN\\] this is a warning message\n"
                                            "\\[[0-9]+\\] \\[ERROR\\] something went wrong: code=42\n"
                                            "\\[[0-9]+\\] \\[INFO\\] daemon shutting down\n"));
  EXPECT_EQ(heard.next(), "<30>zig-daemon[" + pid + "]: daemon starting, pid=" + pid);
  EXPECT_EQ(heard.next(), "<28>zig-daemon[" + pid + "]: this is a warning message");
  EXPECT_EQ(heard.next(), "<27>zig-daemon[" + pid + "]: something went wrong: code=42");
  EXPECT_EQ(heard.next(), "<30>zig-daemon[" + pid + "]: daemon shutting down");
  EXPECT_TRUE(heard.is_empty()) << "each once";
}

TEST_F(LoggerDemo, AppendsToWhatIsThere) {
  perdure::testing::write_file(log, "of an earlier run\n");
  ASSERT_EQ(run().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), testing::StartsWith("of an earlier run\n["));
}

TEST_F(LoggerDemo, ALongMessageReachesBothWholeAndANewlineForgesNoLine) {
  const std::string text(2000, 'x');
  ASSERT_EQ(run({"--warning", text + "\n[1] [INFO] forged %s"}).text(), "exited with 0");
  EXPECT_THAT(*read_file(log), HasSubstr("[WARN] " + text + "\\n[1] [INFO] forged %s\n"));
  (void)heard.next();
  EXPECT_THAT(heard.next(), HasSubstr("]: " + text + "\\n[1] [INFO] forged %s"));
}

TEST_F(LoggerDemo, WritesTheFileAlsoWhereThereIsNoSyslog) {
  syslog = dir / "nobody";
  ASSERT_EQ(run().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), HasSubstr("daemon shutting down\n"));
}

TEST_F(LoggerDemo, AFileThatCannotBeOpenedIsSaid) {
  log = dir / "missing/log";
  EXPECT_EQ(run().text(), "exited with 73");
  EXPECT_THAT(output, HasSubstr(log + ": No such file or directory (ENOENT)"));
}

}  // namespace
