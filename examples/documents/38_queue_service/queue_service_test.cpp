// The document's walk through the queue service, and its exercises 1 and 2: control socket and log rotation.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::AllOf;
using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

struct QueueService : testing::Test {
  perdure::testing::TempDir dir;
  std::string pid_file = dir / "service.pid", log = dir / "service.log", health = dir / "service.health",
              queue = dir / "queue.txt", socket = dir / "service.sock";

  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM};
    words.insert(words.end(), more.begin(), more.end());
    for (const std::string& word : {"--pid-file=" + pid_file, "--log-file=" + log, "--health-file=" + health,
                                    "--queue-file=" + queue, "--control=" + socket})
      words.push_back(word);
    return words;
  }
  /// Also what has just been rotated away.
  std::string logged() const { return read_file(log + ".1").value_or("") + read_file(log).value_or(""); }
  /// In the foreground, once it serves.
  perdure::testing::Process start(std::vector<std::string> more) const {
    more.insert(more.begin(), "--foreground");
    perdure::testing::Process service{command(more)};
    const std::string started = "daemon started, pid=" + std::to_string(service.pid());
    if (!eventually([&] { return logged().find(started) != std::string::npos && trial::exists(socket); }))
      throw std::runtime_error{"the service does not start: " + service.output()};
    return service;
  }
  /// `job` is in the queue file at once, whole.
  void append(const std::string& jobs) const {
    const perdure::UniqueFd file{open(queue.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)};
    ASSERT_EQ(write(file.get(), jobs.data(), jobs.size()), static_cast<ssize_t>(jobs.size()));
  }
  static std::size_t count(const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  }
};

TEST_F(QueueService, GoesThroughTheDocumentsWalk) {
  const auto started = perdure::testing::run(command({"--tick=50ms"}));
  ASSERT_EQ(started.status.text(), "exited with 0") << started.output;
  EXPECT_THAT(started.output, HasSubstr("Starting service daemon...\n"));
  const pid_t pid = trial::pid_in(pid_file);
  ASSERT_GT(pid, 0);
  EXPECT_THAT(*read_file(health), MatchesRegex("[0-9]+\n"));

  append("build project\nrun tests\ndeploy staging\n");
  ASSERT_TRUE(trial::file_says(log, "processed 3 jobs (total: 3)"));
  EXPECT_FALSE(trial::exists(queue));
  trial::send_signal(pid, SIGHUP);
  ASSERT_TRUE(trial::file_says(log, "SIGHUP received, reloading config"));
  ASSERT_TRUE(trial::file_says(log, "configuration reloaded"));  // or its line may come after those of the stop
  EXPECT_EQ(trial::pid_in(pid_file), pid) << "the same process goes on";

  EXPECT_EQ(perdure::testing::kill_adopted(pid, SIGTERM).text(), "exited with 0");
  EXPECT_FALSE(trial::exists(pid_file));
  EXPECT_FALSE(trial::exists(health));
  EXPECT_FALSE(trial::exists(socket));
  EXPECT_THAT(*read_file(log), ContainsRegex("^\\[[0-9]+\\] \\[INFO\\] daemon started, pid=" + std::to_string(pid) +
                                             "\n"
                                             "(.*\n)*\\[[0-9]+\\] \\[INFO\\] processing job: build project\n"
                                             "\\[[0-9]+\\] \\[INFO\\] processing job: run tests\n"
                                             "\\[[0-9]+\\] \\[INFO\\] processing job: deploy staging\n"
                                             "\\[[0-9]+\\] \\[INFO\\] tick [0-9]+: processed 3 jobs \\(total: 3\\)\n"
                                             "(.*\n)*\\[[0-9]+\\] \\[INFO\\] SIGHUP received, reloading config\n"
                                             "(.*\n)*\\[[0-9]+\\] \\[INFO\\] SIGTERM received, stopping\n"
                                             "\\[[0-9]+\\] \\[INFO\\] daemon stopped, processed 3 total jobs\n$"));
}

TEST_F(QueueService, AMonitorReadsTheAgeOfTheHealthFileThatTheSettingsName) {
  auto service = start({});
  const auto fresh = perdure::testing::run(command({"health", "--max-age=60"}));
  EXPECT_EQ(fresh.status.text(), "exited with 0") << fresh.output;
  EXPECT_THAT(fresh.output, MatchesRegex("queue_service: last sign of life [0-9]+ s ago\n")) << "and not what a start says";
  service.signal(SIGTERM);
  EXPECT_EQ(service.wait().text(), "exited with 0");
  const auto gone = perdure::testing::run(command({"health", "--max-age=60"}));
  EXPECT_EQ(gone.status.text(), "exited with 2");
  EXPECT_THAT(gone.output, HasSubstr(health));
}

TEST_F(QueueService, TheLogSaysWhatAReloadWasAskedForByAndNothingOfOneThatWasRefused) {
  const std::string config = dir / "service.conf";
  write_file(config, "tick = 1h\n");
  auto service = start({"--config=" + config});
  EXPECT_TRUE(perdure::testing::run(command({"reload"})).status.success());
  EXPECT_EQ(count(logged(), "reload requested, reloading config\n"), 1u) << logged();
  EXPECT_EQ(count(logged(), "SIGHUP"), 0u);

  write_file(config, "tick = soon\n");
  EXPECT_EQ(perdure::testing::run(command({"reload"})).status.value(), 1);
  service.signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return count(logged(), "reload refused: ") == 2; })) << logged();
  EXPECT_EQ(count(logged(), "reloading config"), 1u);

  write_file(config, "tick = 2h\n");
  service.signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return count(logged(), "configuration reloaded") == 2; })) << logged();
  EXPECT_EQ(count(logged(), "SIGHUP received, reloading config\n"), 1u);
}

TEST_F(QueueService, HasTheDocumentsPathsAndPeriodByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  EXPECT_THAT(printed.output, HasSubstr("queue_file = /tmp/zig_service_queue.txt"));
  EXPECT_THAT(printed.output, HasSubstr("health_file = /tmp/zig_service.health"));
  EXPECT_THAT(printed.output, HasSubstr("tick = 3s"));
}

TEST_F(QueueService, WithoutOptionsItsFilesAreThoseOfTheDocument) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can have a /tmp of its own";
  const std::string program = EXAMPLE_PROGRAM;
  if (program.starts_with("/tmp/")) GTEST_SKIP() << "the program is in the /tmp that would be hidden";
  const auto ran = perdure::testing::run(
      {"unshare", "--mount", "/bin/sh", "-c",
       R"(mount -t tmpfs tmpfs /tmp || exit 77; "$0" && echo 'it has:' && ls /tmp && "$0" stop && echo 'is left:' && ls /tmp)",
       program});
  if (ran.status.value() == 77 || ran.status.value() == 127) GTEST_SKIP() << "no mounts here: " << ran.output;
  EXPECT_EQ(ran.status.text(), "exited with 0") << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("it has:\nzig_service.health\nzig_service.log\nzig_service.pid\nzig_service.sock\n"));
  EXPECT_THAT(ran.output, EndsWith("is left:\nzig_service.log\n"));
}

TEST_F(QueueService, ASecondStartIsRefused) {
  auto first = start({});
  const auto second = perdure::testing::run(command({}));
  EXPECT_EQ(second.status.text(), "exited with 75");
  EXPECT_THAT(second.output, HasSubstr(std::to_string(first.pid())));
}

TEST_F(QueueService, TenThousandJobsInOneFileAreEachDoneOnce) {
  auto service = start({"--tick=50ms"});
  std::string jobs;
  for (int i = 0; i < 10'000; ++i) jobs += "job " + std::to_string(i) + "\n";
  append(jobs);
  EXPECT_TRUE(eventually([&] { return trial::ask(socket, "status").find("jobs=10000\n") != std::string::npos; }));
  EXPECT_FALSE(trial::exists(queue));
}

TEST_F(QueueService, NoJobIsLostOrRepeatedWhenItIsStoppedInTheMiddle) {
  std::string jobs;
  constexpr std::size_t all = 5'000;
  for (std::size_t i = 0; i < all; ++i) jobs += "job " + std::to_string(i) + "\n";
  write_file(queue, jobs);
  std::size_t done = 0;
  for (int starts = 0; done < all && starts < 100; ++starts) {
    auto service = start({"--tick=10ms"});
    ASSERT_TRUE(eventually([&] { return trial::ask(socket, "status").find("jobs=0\n") == std::string::npos; }));
    service.signal(SIGTERM);
    ASSERT_EQ(service.wait().text(), "exited with 0");
    const std::string text = logged();
    const auto at = text.rfind("daemon stopped, processed ");
    ASSERT_NE(at, std::string::npos);
    done += std::stoul(text.substr(at + std::string{"daemon stopped, processed "}.size()));
  }
  EXPECT_EQ(done, all);
  EXPECT_FALSE(trial::exists(queue));
}

TEST_F(QueueService, StatusTellsPidUptimeAndJobsAtOnceAndCloses) {
  auto service = start({"--tick=1h"});
  for (const char* request : {"status\n", "status\r\n", "status"})
    EXPECT_THAT(trial::ask(socket, request),
                MatchesRegex("pid=" + std::to_string(service.pid()) + " uptime=[0-9]+s jobs=0\n"));
  const auto client = perdure::testing::run(command({"status"}));
  EXPECT_EQ(client.status.text(), "exited with 0");
  EXPECT_THAT(client.output, HasSubstr("pid=" + std::to_string(service.pid()) + " "));
}

TEST_F(QueueService, QueueTakesThirtyTwoJobsInMemoryAndRefusesTheNextUntilATick) {
  auto service = start({"--tick=1h"});
  for (int i = 1; i <= 32; ++i)
    ASSERT_EQ(trial::ask(socket, "queue job " + std::to_string(i) + "\n"), "queued (" + std::to_string(i) + "/32)\n");
  EXPECT_EQ(trial::ask(socket, "queue one too many\n"), "error: queue full\n");
  EXPECT_FALSE(trial::exists(queue)) << "memory only";
  service.signal(SIGHUP);  // also a tick
  ASSERT_TRUE(trial::file_says(log, "processed 32 jobs (total: 32)"));
  EXPECT_THAT(*read_file(log), AllOf(HasSubstr("processing job: job 1\n"), HasSubstr("processing job: job 32\n")));
  EXPECT_EQ(trial::ask(socket, "queue room again\n"), "queued (1/32)\n");
  EXPECT_THAT(trial::ask(socket, "status\n"), EndsWith(" jobs=32\n"));
}

TEST_F(QueueService, AJobThatWasAcceptedIsDoneBeforeTheEnd) {
  auto service = start({"--tick=1h"});
  EXPECT_EQ(trial::ask(socket, "queue last wish"), "queued (1/32)\n");
  EXPECT_EQ(trial::ask(socket, "stop\n"), "stopping\n");
  EXPECT_EQ(service.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), HasSubstr("processing job: last wish\n"));
  EXPECT_THAT(*read_file(log), EndsWith("daemon stopped, processed 1 total jobs\n"));
}

TEST_F(QueueService, StopEndsItAsSigtermDoes) {
  auto service = start({});
  EXPECT_EQ(trial::ask(socket, "stop"), "stopping\n");
  EXPECT_EQ(service.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), HasSubstr("SIGTERM received, stopping\n"));
  for (const std::string& path : {pid_file, health, socket}) EXPECT_FALSE(trial::exists(path)) << path;
}

TEST_F(QueueService, RefusesWhatItDoesNotKnow) {
  auto service = start({});
  EXPECT_EQ(trial::ask(socket, "dance\n"), "error: unknown command\n");
  EXPECT_THAT(trial::ask(socket, "queue\n"), StartsWith("error: "));
  EXPECT_THAT(trial::ask(socket, "queue  \t\n"), StartsWith("error: "));
}

TEST_F(QueueService, ASilentClientDelaysNobody) {
  auto service = start({"--tick=50ms"});
  const auto silent = trial::connect_to(socket);
  const auto half = trial::connect_to(socket);
  trial::say(half, "stat");
  append("while somebody is silent\n");
  EXPECT_TRUE(trial::file_says(log, "processing job: while somebody is silent"));
  EXPECT_THAT(trial::ask(socket, "status\n"), EndsWith(" jobs=1\n"));
  service.signal(SIGTERM);
  EXPECT_EQ(service.wait().text(), "exited with 0");
}

TEST_F(QueueService, AStaleSocketIsReplacedAndAnIncompleteLineWaitsForItsEnd) {
  {
    auto crashed = start({"--tick=50ms"});
    crashed.signal(SIGKILL);
    crashed.wait();
  }
  ASSERT_TRUE(trial::exists(socket));
  append("whole\nha");
  auto service = start({"--tick=50ms"});
  EXPECT_TRUE(trial::file_says(log, "processing job: whole"));
  append("lf\n");
  EXPECT_TRUE(trial::file_says(log, "processing job: half\n"));
}

TEST_F(QueueService, AJobCannotForgeALogLine) {
  auto service = start({"--tick=50ms"});
  append("one\x1b[2J {} %n two\r[1] [ERROR] forged\n");
  EXPECT_TRUE(trial::file_says(log, "processed 1 jobs"));
  EXPECT_THAT(*read_file(log), HasSubstr("processing job: one\\x1b[2J {} %n two\\r[1] [ERROR] forged\n"));
}

TEST_F(QueueService, TheLogRotatesWithTheLineThatMakesItLargerThanTenThousandBytes) {
  auto service = start({"--tick=1h"});
  const std::string job(200, 'x');
  for (int i = 1; !trial::exists(log + ".1") && i < 100; ++i) {
    ASSERT_THAT(trial::ask(socket, "queue " + job + "\n"), StartsWith("queued"));
    service.signal(SIGHUP);
    ASSERT_TRUE(eventually(
        [&] { return trial::ask(socket, "status\n").find("jobs=" + std::to_string(i) + "\n") != std::string::npos; }));
    ASSERT_TRUE(eventually([&] { return count(logged(), "(total: " + std::to_string(i) + ")\n") == 1; }))
        << "each line is in one of the two files";
  }
  const auto size = std::filesystem::file_size(log + ".1");
  EXPECT_GT(size, 10'000u);
  EXPECT_LE(size, 10'300u) << "at most one line more";
  EXPECT_THAT(*read_file(log + ".1"), EndsWith("\n")) << "no line is split";
  EXPECT_FALSE(trial::exists(log + ".2"));
}

TEST_F(QueueService, Sigusr1RotatesAtAnySizeAndReplacesTheOldFile) {
  write_file(log + ".1", "an older one\n");
  auto service = start({"--tick=1h"});
  service.signal(SIGUSR1);
  ASSERT_TRUE(trial::file_says(log + ".1", "daemon started"));
  EXPECT_THAT(*read_file(log + ".1"), Not(HasSubstr("an older one")));
  service.signal(SIGHUP);
  EXPECT_TRUE(trial::file_says(log, "SIGHUP received"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("daemon started")));
}

}  // namespace
