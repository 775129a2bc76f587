// The supervisor beside a real queue service: hung, killed, stopped on purpose.
#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

struct ServiceSupervisor : testing::Test {
  perdure::testing::TempDir dir;
  std::string pid_file = dir / "service.pid", health = dir / "service.health", log = dir / "supervisor.log";

  std::vector<std::string> service() const {
    return {QUEUE_SERVICE,
            "--daemon",
            "--pid-file=" + pid_file,
            "--health-file=" + health,
            "--queue-file=" + dir.path() + "/queue",
            "--log-file=" + dir.path() + "/service.log",
            "--control=none"};
  }
  pid_t start_service() const {
    const auto started = perdure::testing::run(service());
    EXPECT_EQ(started.status.text(), "exited with 0") << started.output;
    return trial::pid_in(pid_file);
  }
  /// Quicker than the document; but the service kicks every second, so an age below two would be a matter of luck.
  Process supervise(std::vector<std::string> more, std::vector<std::string> command) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM,
                                   "--foreground",
                                   "--pid-file=" + dir.path() + "/supervisor.pid",
                                   "--control=none",
                                   "--log-file=" + log,
                                   "--health-file=" + health,
                                   "--service-pid-file=" + pid_file,
                                   "--every=100ms",
                                   "--max-age=3s",
                                   "--kill-after=300ms"};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back("--");
    words.insert(words.end(), command.begin(), command.end());
    return Process{words};
  }
};

TEST_F(ServiceSupervisor, ReplacesAServiceThatHangs) {
  const pid_t hung = start_service();
  ASSERT_GT(hung, 0);
  Process supervisor = supervise({}, service());
  ASSERT_TRUE(trial::file_says(log, "watching "));
  trial::send_signal(hung, SIGSTOP);

  ASSERT_TRUE(trial::file_says(log, "service started again, pid ")) << *read_file(log);
  const pid_t next = trial::pid_in(pid_file);
  EXPECT_NE(next, hung);
  EXPECT_FALSE(perdure::testing::has_ended(next));
  EXPECT_TRUE(perdure::testing::has_ended(hung));
  const std::string old = std::to_string(hung);
  EXPECT_THAT(*read_file(log), ContainsRegex("\\[WARN\\] health check failed \\(1 of 3\\): last sign of life [0-9]+ s ago\n"
                                             ".*\\[WARN\\] health check failed \\(2 of 3\\): .*\n"
                                             ".*\\[ERROR\\] health check failed \\(3 of 3\\): .*; replacing the service\n"
                                             ".*\\[WARN\\] sending SIGTERM to pid " +
                                             old +
                                             "\n"
                                             ".*\\[WARN\\] pid " +
                                             old +
                                             " did not end within 300 ms: sending SIGKILL\n"
                                             ".*\\[INFO\\] pid " +
                                             old +
                                             " has ended\n"
                                             ".*\\[INFO\\] service started again, pid " +
                                             std::to_string(next) + "\n"));
}

TEST_F(ServiceSupervisor, BringsAServiceBackThatWasKilled) {
  const pid_t killed = start_service();
  Process supervisor = supervise({}, service());
  ASSERT_TRUE(trial::file_says(log, "watching "));
  perdure::testing::kill_adopted(killed, SIGKILL);
  ASSERT_TRUE(trial::file_says(log, "service started again, pid ")) << *read_file(log);
  EXPECT_NE(trial::pid_in(pid_file), killed);
  EXPECT_THAT(*read_file(log), HasSubstr("nobody holds " + pid_file + ": no process to end\n"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("SIGTERM")));
}

TEST_F(ServiceSupervisor, LeavesAServiceAloneThatWasStoppedOnPurpose) {
  const pid_t service_pid = start_service();
  Process supervisor = supervise({}, service());
  ASSERT_TRUE(trial::file_says(log, "watching "));
  perdure::testing::kill_adopted(service_pid, SIGTERM);
  EXPECT_TRUE(trial::file_says(log, pid_file + " is gone: the service is stopped on purpose"));
  ASSERT_GT(start_service(), 0);
  EXPECT_TRUE(trial::file_says(log, "the service runs again"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("health check failed")));
}

TEST_F(ServiceSupervisor, BringsItBackAllTheSameWhereThatIsAskedFor) {
  const pid_t service_pid = start_service();
  Process supervisor = supervise({"--revive"}, service());
  ASSERT_TRUE(trial::file_says(log, "watching "));
  perdure::testing::kill_adopted(service_pid, SIGTERM);
  EXPECT_TRUE(trial::file_says(log, "service started again, pid ")) << *read_file(log);
}

TEST_F(ServiceSupervisor, SignalsNobodyWhoDoesNotHoldTheLock) {
  Process bystander{{"cat"}};
  perdure::testing::write_file(pid_file, std::to_string(bystander.pid()) + "\n");
  perdure::testing::write_file(health, "1\n");
  Process supervisor = supervise({}, service());
  ASSERT_TRUE(trial::file_says(log, "service started again, pid ")) << *read_file(log);
  EXPECT_EQ(bystander.poll(), std::nullopt);
}

TEST_F(ServiceSupervisor, OneGoodReadingForgivesTheFailuresBefore) {
  const pid_t service_pid = start_service();
  Process supervisor = supervise({"--strikes=100"}, service());
  ASSERT_TRUE(trial::file_says(log, "watching "));
  trial::send_signal(service_pid, SIGSTOP);
  ASSERT_TRUE(trial::file_says(log, "health check failed (2 of 100)"));
  trial::send_signal(service_pid, SIGCONT);
  EXPECT_TRUE(trial::file_says(log, "healthy again"));
  EXPECT_EQ(trial::pid_in(pid_file), service_pid);
}

TEST_F(ServiceSupervisor, SaysWhyAStartFailsAndGivesUpInTheEnd) {
  perdure::testing::write_file(pid_file, "");
  Process supervisor = supervise({"--replacements=2"}, {QUEUE_SERVICE, "--no-such-option"});
  EXPECT_EQ(supervisor.wait().text(), "exited with 70");
  EXPECT_THAT(*read_file(log), ContainsRegex("the start failed: it exited with 64: .*--no-such-option.*[^n]\n"));
  EXPECT_THAT(*read_file(log), HasSubstr("replaced 2 times within an hour, and it fails again: giving up"));
}

TEST_F(ServiceSupervisor, HasTheDocumentsNumbersByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  for (const char* line : {"health_file = /tmp/zig_service.health", "service_pid_file = /tmp/zig_service.pid", "every = 5s",
                           "max_age = 15s", "strikes = 3", "kill_after = 5s"})
    EXPECT_THAT(printed.output, HasSubstr(line));
}

}  // namespace
