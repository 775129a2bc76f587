#include "client/places.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::client {
namespace {

using ::testing::ElementsAre;

Places places(const Arguments& arguments, const Surroundings& surroundings) {
  auto found = places_for(arguments, surroundings);
  EXPECT_TRUE(found) << found.error().message();
  return found ? *std::move(found) : Places{};
}

TEST(Places, OfRootAreTheSystems) {
  const Places root = places({}, {.user = 0});
  EXPECT_EQ(root.control_socket(), "/run/perdure/control.sock");
  EXPECT_EQ(root.state, "/var/lib/perdure");
  EXPECT_EQ(root.log, "/var/log/perdure");
  EXPECT_EQ(root.unit_path.front(), "/etc/perdure/system");
  EXPECT_FALSE(root.unit_path_was_named);
}

TEST(Places, OptionsComeBeforeTheEnvironment) {
  const Surroundings environment{.runtime_dir = "/e/run", .state_dir = "/e/state", .log_dir = "/e/log", .user = 0};
  const Places from_environment = places({}, environment);
  EXPECT_EQ(from_environment.lock(), "/e/run/lock");
  EXPECT_EQ(from_environment.state, "/e/state");
  EXPECT_EQ(from_environment.log, "/e/log");
  const Places from_options = places({.runtime_dir = "/o/run/", .state_dir = "/o/state", .log_dir = "/o/log"}, environment);
  EXPECT_EQ(from_options.runtime, "/o/run");
  EXPECT_EQ(from_options.state, "/o/state");
  EXPECT_EQ(from_options.log, "/o/log");
}

TEST(Places, TwoInstancesNeverShareWhatTheyWriteByDefault) {
  const Places beside = places({.runtime_dir = "/run/second"}, {.user = 0});
  EXPECT_EQ(beside.state, "/run/second/state");
  EXPECT_EQ(beside.log, "/run/second/log");
  EXPECT_TRUE(beside.log_was_named);
}

TEST(Places, OfAUserAreBelowTheXdgDirectories) {
  const Surroundings user{.xdg_state_home = "/home/u/st", .home = "/home/u", .tmpdir = "/tmp", .user = 4'000'000'000};
  const Places of_user = places({.runtime_dir = "/r", .log_dir = "/l"}, user);
  EXPECT_THAT(of_user.unit_path,
              ElementsAre("/home/u/.config/perdure/user", "/home/u/.config/systemd/user", "/etc/systemd/user",
                          "/home/u/.local/share/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"));
}

TEST(Places, TheOptionsOfSystemctlNameRootsInstanceOrAUsers) {
  const Surroundings user{.home = "/home/u", .tmpdir = "/tmp", .user = 4'000'000'000}, root{.user = 0};
  const Places system = places({.scope = Scope::System}, user);
  EXPECT_EQ(system.runtime, "/run/perdure");
  EXPECT_EQ(system.log, "/var/log/perdure");
  EXPECT_EQ(places({.runtime_dir = "/r", .scope = Scope::System}, user).runtime, "/r");
  EXPECT_FALSE(places_for({.scope = Scope::User}, root)) << "root's own would be another one than meant";
  EXPECT_FALSE(places_for({.verb = Verb::Run, .scope = Scope::System}, user));
}

TEST(Places, AnEmptyNameIsNoDirectory) {
  const auto refused = places_for({.runtime_dir = ""}, {.user = 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "the name of a directory is empty; nothing was done");
}

TEST(Places, RelativeDirectoriesAreMadeAbsolute) {
  const Places relative = places({.runtime_dir = "r", .unit_path = {"units/"}}, {.user = 0});
  EXPECT_TRUE(relative.runtime.starts_with('/'));
  EXPECT_TRUE(relative.unit_path.front().starts_with('/'));
  EXPECT_TRUE(relative.unit_path.front().ends_with("/units"));
  EXPECT_TRUE(relative.unit_path_was_named);
}

}  // namespace
}  // namespace perdure::client
