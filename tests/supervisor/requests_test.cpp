// What may be asked of an instance, and asked again: other names, mended files, jobs of several askers, what is known of a run
// that is over.
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using nlohmann::json;
using perdure::testing::eventually;
using perdure::testing::has_ended;
using ::testing::HasSubstr;

class Requests : public ::testing::Test {
 protected:
  Requests() {
    instance_.add("idler.service", "idle");
    instance_.start();
  }
  /// The manager is replaced; what it knew is asked of the next one.
  void replace_manager() {
    const auto manager = static_cast<pid_t>(instance_.number("ManagerPID"));
    ASSERT_TRUE(signal_descendant(manager, SIGKILL));
    ASSERT_TRUE(eventually([&] { return instance_.number("ManagerPID") != manager; }));
  }
  std::uint64_t request(const char* verb, const std::string& unit) {
    return instance_.ask({{"verb", verb}, {"units", {unit}}, {"wait", false}}).at("jobs").at(0).at("job");
  }
  std::string result_of(std::uint64_t job) {
    const json answer = instance_.ask({{"verb", "wait"}, {"jobs", {job}}});
    return answer.at("jobs").at(0).value("result", answer.dump());
  }
  Instance instance_{Owner::Ourselves, Parent::Test};
};

TEST_F(Requests, AnotherNameOfAUnitIsTheSameUnit) {
  instance_.add_unit("web.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  std::filesystem::create_symlink("web.service", instance_.path("units/www.service"));
  ASSERT_EQ(instance_.carry_out("start", {"www.service"}), "done");
  const auto pid = instance_.show("web.service").main_pid;
  ASSERT_GT(pid, 1);
  EXPECT_EQ(instance_.carry_out("start", {"www.service"}), "done");
  EXPECT_EQ(instance_.carry_out("start", {"web.service"}), "done");
  EXPECT_EQ(instance_.show("www.service").main_pid, pid);
  EXPECT_EQ(instance_.unit("www.service").at("Id"), "web.service");
  EXPECT_EQ(instance_.number("NServices"), 2);
  replace_manager();
  EXPECT_EQ(instance_.carry_out("stop", {"www.service"}), "done");
  EXPECT_TRUE(has_ended(static_cast<pid_t>(pid)));
}

TEST_F(Requests, AFileThatWasMendedIsReadAgain) {
  instance_.add_unit("web.service", "[Service]\nExecStart=/bin/sleep 1000\nUser=nobody-has-this-name\n");
  EXPECT_THAT(instance_.carry_out("start", {"web.service"}), HasSubstr("nobody-has-this-name"));
  instance_.add_unit("web.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  EXPECT_EQ(instance_.carry_out("start", {"web.service"}), "done");
  EXPECT_EQ(instance_.show("web.service").sub_state, "running");
  EXPECT_EQ(instance_.remarks("web.service"), "");
}

TEST_F(Requests, AUnitIsOrderedAlsoAfterWhatIsLoadedLaterAndByAnyOfItsNames) {
  const std::string go = instance_.path("truth/go");
  ASSERT_EQ(::mkfifo(go.c_str(), 0600), 0);
  instance_.add_unit("maria.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'read line < " + go + "'\n");
  std::filesystem::create_symlink("maria.service", instance_.path("units/mysql.service"));
  instance_.add_unit("named.service", "[Unit]\nAfter=maria.service\n[Service]\nExecStart=/bin/sleep 1000\n");
  ASSERT_EQ(instance_.carry_out("start", {"named.service"}), "done");  // maria.service is not known yet
  ASSERT_EQ(instance_.carry_out("stop", {"named.service"}), "done");
  instance_.ask({{"verb", "start"}, {"units", {"maria.service"}}, {"wait", false}});
  ASSERT_TRUE(eventually([&] { return instance_.show("maria.service").sub_state == "start"; }));
  instance_.add_unit("app.service", "[Unit]\nAfter=mysql.service\n[Service]\nExecStart=/bin/sleep 1000\n");
  instance_.ask({{"verb", "start"}, {"units", {"named.service", "app.service"}}, {"wait", false}});
  for (const char* const name : {"named.service", "app.service"}) {
    EXPECT_EQ(instance_.show(name).sub_state, "dead") << name;
    EXPECT_NE(instance_.unit(name).at("Job"), 0) << name << " waits";
  }
  perdure::testing::write_file(go, "go\n");
  for (const char* const name : {"named.service", "app.service"})
    EXPECT_TRUE(eventually([&] { return instance_.show(name).sub_state == "running"; })) << name;
}

TEST_F(Requests, WhichDropInsCountIsShownAlsoByTheNextManager) {
  instance_.add_unit("web.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  ASSERT_EQ(instance_.carry_out("start", {"web.service"}), "done");
  EXPECT_EQ(instance_.unit("web.service").at("DropInPaths").size(), 0U);
  const std::string drop_in = instance_.path("units/web.service.d/5.conf");
  std::filesystem::create_directory(instance_.path("units/web.service.d"));
  perdure::testing::write_file(drop_in, "[Service]\nRestart=always\n");
  instance_.ask({{"verb", "daemon-reload"}});
  const nlohmann::json expected{drop_in};
  EXPECT_EQ(instance_.unit("web.service").at("DropInPaths"), expected);
  const auto manager = static_cast<pid_t>(instance_.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(manager, SIGKILL));
  ASSERT_TRUE(eventually([&] { return instance_.number("ManagerPID") != manager; }));
  EXPECT_EQ(instance_.unit("web.service").at("DropInPaths"), expected);
}

TEST_F(Requests, WhoeverAsksForTheSameIsToldWhenItIsDone) {
  Service& deaf = instance_.add("deaf.service", "deaf", "", "TimeoutStopSec=300ms\n");
  ASSERT_EQ(instance_.carry_out("start", {deaf.name}), "done");
  ASSERT_TRUE(eventually([&] { return deaf.truth->lives == 1U; }));
  const std::uint64_t first = request("stop", deaf.name);
  const std::uint64_t second = request("stop", deaf.name);
  EXPECT_NE(first, second);
  EXPECT_EQ(result_of(second), "done");
  EXPECT_EQ(result_of(first), "done");
}

TEST_F(Requests, NumbersOfJobsAreNeverUsedAgain) {
  instance_.add_unit("web.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  const std::uint64_t before = request("start", "web.service");
  replace_manager();
  EXPECT_GT(request("stop", "web.service"), before);
}

TEST_F(Requests, WhatARunWasIsKnownAfterItAndAfterTheManager) {
  instance_.add_unit("short.service", "[Service]\nExecStart=/bin/sh -c 'exit 3'\n");
  ASSERT_EQ(instance_.carry_out("start", {"short.service"}), "done");
  ASSERT_TRUE(instance_.wait_for("short.service", "failed"));
  const json before = instance_.unit("short.service");
  EXPECT_NE(before.at("InvocationID"), "");
  EXPECT_GT(before.at("ExecMainPID"), 1);
  EXPECT_EQ(before.at("ExecMainStatus"), 3);
  const std::int64_t started = instance_.number("StartTimestamp");
  replace_manager();
  const json after = instance_.unit("short.service");
  for (const char* const property :
       {"InvocationID", "ExecMainPID", "ExecMainStatus", "Result", "StateChangeTimestampMonotonic"})
    EXPECT_EQ(after.at(property), before.at(property)) << property;
  EXPECT_NEAR(static_cast<double>(instance_.number("StartTimestamp")), static_cast<double>(started), 1000) << "microseconds";
  EXPECT_THAT(instance_.output(), HasSubstr("the manager was started again (start 2); 1 services run on"));
}

TEST_F(Requests, WhatCannotBeStartedIsNotTriedAgainInATightLoop) {
  instance_.add_unit(
      "no.service",
      "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/no/such/program\nRestart=always\nRestartSec=0\n");
  instance_.ask({{"verb", "start"}, {"units", {"no.service"}}, {"wait", false}});
  ASSERT_TRUE(eventually([&] { return instance_.show("no.service").restarts >= 2; }));
  const auto restarts = instance_.show("no.service").restarts;
  ASSERT_TRUE(instance_.wait_for("no.service", "auto-restart"));
  EXPECT_LT(instance_.show("no.service").restarts, restarts + 20);
  EXPECT_THAT(instance_.remarks("no.service"), HasSubstr("/no/such/program"));
}

TEST_F(Requests, WhetherTheKeeperIsSparedWhenMemoryRunsOutIsToldOnceAndNobodyInheritsIt) {
  const auto score_of = [&](const char* process) {
    return perdure::testing::read_file("/proc/" + std::to_string(instance_.number(process)) + "/oom_score_adj").value_or("");
  };
  const json told = instance_.ask({{"verb", "show"}}).at("instance");
  const bool is_spared = told.at("KeeperSpared");
  EXPECT_EQ(is_spared, score_of("KeeperPID") == "-1000\n");
  EXPECT_NE(is_spared, told.at("Remarks").dump().find("oom_score_adj cannot be lowered to -1000 (E") != std::string::npos);
  const std::string ours = perdure::testing::read_file("/proc/self/oom_score_adj").value_or("?");
  EXPECT_EQ(score_of("ManagerPID"), ours);
  replace_manager();
  EXPECT_EQ(score_of("ManagerPID"), ours);
}

TEST_F(Requests, ADirectoryStaysLockedWhenTheKeeperIsReplaced) {
  const auto keeper = static_cast<pid_t>(instance_.number("KeeperPID"));
  const auto manager = instance_.number("ManagerPID");
  ASSERT_TRUE(signal_descendant(keeper, SIGKILL));
  ASSERT_TRUE(eventually([&] { return instance_.number("KeeperPID") == manager; }));
  perdure::testing::Process other{{PERDURE_PROGRAM, "run", "--runtime-dir=" + instance_.path("run2"),
                                   "--state-dir=" + instance_.path("state"), "--log-dir=" + instance_.path("log2"),
                                   "--unit-path=" + instance_.path("units"), "idler.service"}};
  EXPECT_EQ(other.wait(), perdure::ExitStatus::exited(1)) << other.output();
  EXPECT_THAT(other.output(), HasSubstr("(keeper PID " + std::to_string(manager) + ")"));
  EXPECT_EQ(instance_.show("idler.service").sub_state, "running");
}

TEST_F(Requests, WhoAsksWhileThereIsNoManagerIsAnsweredByTheNext) {
  const auto manager = static_cast<pid_t>(instance_.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(manager, SIGSTOP));
  perdure::testing::Process client{
      {PERDURE_PROGRAM, "--runtime-dir=" + instance_.path("run"), "is-active", "idler.service"}};
  ASSERT_TRUE(signal_descendant(manager, SIGKILL));
  EXPECT_EQ(client.wait(), perdure::ExitStatus::exited(0)) << client.output();
  EXPECT_EQ(client.output(), "active\n");
  EXPECT_EQ(instance_.services().front().truth->lives, 1U);
}

TEST_F(Requests, ClientsThatSayNothingKeepNobodyFromAsking) {
  ASSERT_TRUE(eventually([&] { return instance_.services().front().truth->lives > 0; }));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = instance_.path("run/control.sock");
  std::copy(path.begin(), path.end(), address.sun_path);
  std::vector<perdure::UniqueFd> silent;
  for (int i = 0; i < 1000; ++i) {
    silent.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // EAGAIN: the queue is full, which is as much as can be done.
    (void)::connect(silent.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  std::string said;
  EXPECT_TRUE(eventually([&] {
    said = perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + instance_.path("run"), "is-active", "idler.service"})
               .output;
    return said == "active\n";
  })) << said;
  EXPECT_EQ(instance_.services().front().truth->lives, 1U);
}

}  // namespace
}  // namespace supervisor_test
