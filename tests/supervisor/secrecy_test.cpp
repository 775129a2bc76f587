// Who may know and who may ask: values of the environment stay between a unit and its service, and strangers are turned away.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::read_file;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

TEST(Secrecy, AValueOfTheEnvironmentIsInNoAnswerNoCommandLineAndNoFileOfOthers) {
  const std::string value = "between-us-and-the-service";
  Instance instance{Owner::Ourselves, Parent::Test};
  Service& service = instance.add("secret.service", "idle", "", "Environment=SECRET=" + value + "\n");
  instance.start();
  ASSERT_TRUE(eventually([&] { return service.truth->lives > 0; }));
  const std::string pid = std::to_string(instance.show(service.name).main_pid);
  ASSERT_THAT(read_file("/proc/" + pid + "/environ").value_or(""), HasSubstr("SECRET=" + value)) << "it has it";

  for (const char* verb : {"status", "show"}) {
    EXPECT_THAT(instance.ask({{"verb", verb}, {"units", {service.name}}}).dump(), Not(HasSubstr(value)));
    EXPECT_THAT(instance.ask({{"verb", verb}}).dump(), Not(HasSubstr(value)));
  }
  EXPECT_THAT(instance.ask({{"verb", "list-units"}}).dump(), Not(HasSubstr(value)));
  for (const char* process : {"KeeperPID", "ManagerPID"}) {
    const std::string directory = "/proc/" + std::to_string(instance.number(process));
    EXPECT_THAT(read_file(directory + "/cmdline").value_or(value), Not(HasSubstr(value))) << process;
    EXPECT_THAT(read_file(directory + "/environ").value_or(value), Not(HasSubstr(value))) << process;
  }
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator{instance.path("state")}) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(entry.status().permissions(), fs::perms{0600}) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 2U) << "the journal and the units";
}

TEST(Secrecy, AnotherUserIsTurnedAwayEvenWhereTheSocketIsOpenToAll) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  Instance instance{Owner::Ourselves, Parent::Test};
  Service& service = instance.add("guarded.service", "idle");
  instance.start();
  ASSERT_TRUE(instance.wait_for(service.name, "running"));
  fs::permissions(instance.path("."), fs::perms{0711});
  fs::permissions(instance.path("run/control.sock"), fs::perms{0777});
  for (const std::string verb : {"stop", "show"}) {
    const auto stranger =
        perdure::testing::run({"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PERDURE_PROGRAM,
                               "--runtime-dir=" + instance.path("run"), verb, service.name});
    EXPECT_FALSE(stranger.status.success()) << verb;
    EXPECT_THAT(stranger.output, HasSubstr("permission denied: uid 65534 may not " + verb + " guarded.service")) << verb;
  }
  EXPECT_TRUE(instance.wait_for_output("perdure: permission denied: uid 65534 (pid ")) << instance.output();
  EXPECT_TRUE(instance.wait_for_output(") may not stop guarded.service; nothing was changed\n")) << instance.output();
  EXPECT_EQ(instance.show(service.name).sub_state, "running");
  EXPECT_EQ(service.truth->lives, 1U);
}

}  // namespace
}  // namespace supervisor_test
