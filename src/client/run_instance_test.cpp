#include "client/run_instance.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/file.hpp"
#include "os/scratch_directory.hpp"

namespace perdure::client {
namespace {

using os::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

std::string refusal(const Arguments& arguments, const Machine& machine = {}) {
  const auto plan = plan_run(arguments, {}, machine);
  return plan ? "ACCEPTED" : plan.error().message();
}

TEST(RunInstance, NamesFilesAndDirectoriesAreToldApart) {
  const ScratchDirectory directory;
  directory.put("own.service", "");
  ::mkdir((directory / "units").c_str(), 0700);
  const auto plan = plan_run({.words = {"web", "db.service", directory / "own.service", directory / "units/"}}, {}, {});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_THAT(plan->units, ElementsAre("web.service", "db.service", directory / "own.service"));
  EXPECT_THAT(plan->unit_path, ElementsAre(directory / "units"));
}

TEST(RunInstance, AUnitThatIsNamedTwiceIsOneUnit) {
  const ScratchDirectory directory;
  directory.put("own.service", "");
  const auto plan =
      plan_run({.words = {"web", directory / "own.service", "web.service", "web", directory / "own.service", "db"},
                .target = "web.service.target"},
               {}, {});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_THAT(plan->units, ElementsAre("web.service", directory / "own.service", "db.service", "web.service.target"));
}

TEST(RunInstance, WithoutAUnitOnlyAMachinesInitStartsWhatTheSystemEnables) {
  EXPECT_EQ(refusal({}, {.has_systemd = true}),
            "systemd manages this machine; name the units to run, or give --unit-path; nothing was started");
  EXPECT_EQ(refusal({}, {}), "nothing to run: name units or unit files, give --unit-path or --target; nothing was started");
  EXPECT_EQ(refusal({}, {.is_pid_1 = true}), "ACCEPTED");
  EXPECT_EQ(refusal({.target = "default"}), "ACCEPTED");
  EXPECT_THAT(plan_run({.target = "default"}, {}, {})->units, ElementsAre("default.target"));
}

TEST(RunInstance, WhatCannotBeRunIsNamed) {
  const ScratchDirectory directory;
  directory.put("notes.txt", "");
  EXPECT_EQ(refusal({.words = {directory / "no.service"}}),
            "cannot run " + directory / "no.service" + ": No such file or directory (ENOENT); nothing was started");
  EXPECT_THAT(refusal({.words = {directory / "notes.txt"}}), HasSubstr("a unit file's name ends in .service"));
  EXPECT_THAT(refusal({.words = {"/dev/null"}}), HasSubstr("neither a unit file nor a directory"));
  EXPECT_THAT(refusal({.words = {"web*"}}), HasSubstr("patterns mean units that an instance knows already"));
  EXPECT_THAT(
      refusal({.words = {"no-such-program", "5"}, .has_command = true}),
      HasSubstr("cannot run \"no-such-program\": no directory of PATH has such a program (ENOENT); nothing was started"));
}

TEST(RunInstance, AUnitPathThatIsNotThereIsRefused) {
  const ScratchDirectory directory;
  const auto plan = plan_run({}, {.unit_path = {directory / "no"}, .unit_path_was_named = true}, {});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().message(),
            "cannot look for units in " + directory / "no" + ": No such file or directory (ENOENT); nothing was started");
}

TEST(RunInstance, DirectoriesAreMadeWithTheirModesWhateverTheUmask) {
  const ScratchDirectory directory;
  const mode_t before = ::umask(0);
  const Places places{.runtime = directory / "a/b/run", .state = directory / "a/b/run/state", .log = directory / "log"};
  const auto made = prepare_directories(places);
  ::umask(before);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(mode_of(places.runtime), 0711U);
  EXPECT_EQ(mode_of(places.state), 0700U);
  EXPECT_EQ(mode_of(places.log), 0750U);
  EXPECT_TRUE(prepare_directories(places)) << "they are accepted as they are";
}

TEST(RunInstance, ADirectoryThatOthersMayWriteInIsRefusedAndLeftAsItIs) {
  const ScratchDirectory directory;
  ::mkdir((directory / "run").c_str(), 0700);
  ::chmod((directory / "run").c_str(), 0777);
  const auto refused = prepare_directories({.runtime = directory / "run", .state = directory / "s", .log = directory / "l"});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), StartsWith("unsafe directory " + directory / "run" + " (mode 777, uid "));
  EXPECT_EQ(mode_of(directory / "run"), 0777U);
  EXPECT_EQ(mode_of(directory / "s"), 0U) << "nothing further was made";
}

TEST(RunInstance, ALinkIsNoRuntimeDirectory) {
  const ScratchDirectory directory;
  ::mkdir((directory / "elsewhere").c_str(), 0700);
  ::symlink("elsewhere", (directory / "run").c_str());
  EXPECT_FALSE(prepare_directories({.runtime = directory / "run", .state = directory / "s", .log = directory / "l"}));
}

TEST(RunInstance, ARuntimeDirectoryWithoutRoomForASocketsNameIsRefused) {
  const auto refused = prepare_directories({.runtime = "/tmp/" + std::string(90, 'x'), .state = "/s", .log = "/l"});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("its path has 95 bytes, and 83 is the most"));
}

TEST(RunInstance, ACommandBecomesAUnitBelowTheRuntimeDirectory) {
  const ScratchDirectory directory;
  const Places places{.runtime = directory / "run", .state = directory / "s", .log = directory / "l"};
  const auto plan =
      plan_run({.words = {"/bin/sh", "-c", "exit 3"}, .has_command = true, .target = "base"}, places, {.has_systemd = true});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_THAT(plan->units, ElementsAre(directory / "run/transient/sh.service", "base.target"));
  ASSERT_TRUE(prepare_directories(places));
  ASSERT_TRUE(write_transient_unit(*plan, places));
  EXPECT_THAT(*os::read_file(directory / "run/transient/sh.service", 4096), HasSubstr("ExecStart=/bin/sh -c \"exit 3\"\n"));
  EXPECT_EQ(mode_of(directory / "run/transient"), 0700U);
  EXPECT_EQ(mode_of(directory / "run/transient/sh.service"), 0600U);
}

TEST(RunInstance, WhatIsForTheManagerIsPassedOnInOrder) {
  const auto plan = plan_run({.words = {"a"},
                              .console = "json",
                              .syslog = "/d/log",
                              .isolation = "strict",
                              .stop_timeout = "2500000",
                              .pass_env = {"A*", "B"}},
                             {}, {});
  ASSERT_TRUE(plan);
  const auto words = keeper_arguments(*plan, {.runtime = "/r", .state = "/s", .log = "/l"});
  EXPECT_THAT(words, ElementsAre("perdure-keeper", "--runtime-dir=/r", "--state-dir=/s", "--log-dir=/l", "--console=json",
                                 "--syslog=/d/log", "--pass-env=A*", "--pass-env=B", "--stop-timeout=2500000",
                                 "--isolation=strict", "--enabled=no", "--", "a.service"));
}

TEST(RunInstance, WhatAMachineHasEnabledIsForWhoStartsTheMachine) {
  const auto options = [](const Arguments& arguments, const Places& places, const Machine& machine) {
    const auto plan = plan_run(arguments, places, machine);
    EXPECT_TRUE(plan);
    return plan ? plan->options : std::vector<std::string>{};
  };
  EXPECT_THAT(options({}, {}, {.is_pid_1 = true}), ElementsAre("--enabled=yes"));
  EXPECT_THAT(options({.target = "x"}, {}, {}), ElementsAre("--enabled=yes"));
  EXPECT_THAT(options({.words = {"a"}}, {}, {.is_pid_1 = true}), ElementsAre("--enabled=no"));
  const Arguments command{.words = {"/bin/true"}, .has_command = true};
  EXPECT_THAT(options(command, {}, {}), ElementsAre("--enabled=no"));
  EXPECT_THAT(options({.words = {"/bin/true"}, .has_command = true, .target = "x"}, {}, {}), ElementsAre("--enabled=yes"));
  EXPECT_THAT(options(command, {.unit_path = {"/"}, .unit_path_was_named = true}, {}), ::testing::IsEmpty());
  EXPECT_THAT(options({.words = {"a"}}, {.unit_path = {"/"}, .unit_path_was_named = true}, {}), ::testing::IsEmpty());
}

TEST(RunInstance, TheKeeperIsToldEverythingInAbsolutePaths) {
  const Places places{.runtime = "/r", .state = "/s", .log = "/l", .cgroup_root = "/sys/fs/cgroup/x"};
  EXPECT_THAT(keeper_arguments({.units = {"a.service", "/u/b.service"}, .unit_path = {"/u", "/v"}}, places),
              ElementsAre("perdure-keeper", "--runtime-dir=/r", "--state-dir=/s", "--log-dir=/l", "--unit-path=/u",
                          "--unit-path=/v", "--cgroup-root=/sys/fs/cgroup/x", "--", "a.service", "/u/b.service"));
}

}  // namespace
}  // namespace perdure::client
