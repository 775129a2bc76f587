// A whole machine: perdure as process 1 of a Debian on which packages have enabled their services, as on any Debian.
#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemons.hpp"
#include "room.hpp"

namespace daemons_test {
namespace {

using perdure::testing::eventually;

bool has_difference(const Daemon& daemon, Step step) {
  return std::any_of(daemon.differences.begin(), daemon.differences.end(),
                     [&](const Difference& difference) { return difference.step == step; });
}

/// A room in which perdure runs what /etc enables.
class Machine : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_room(); !why.empty()) GTEST_SKIP() << why;
  }

  /// Requires: not called before. `left_out`: besides those that another one's port or a difference keeps from running.
  void boot(std::optional<Step> left_out = std::nullopt) {
    // The administrator has masked one of each two that want the same port. Instances are not enabled by their packages: postgresql's
    // come from a generator, which perdure does not run, and stunnel's from the administrator.
    static const std::set<std::string_view> masked{"lighttpd", "unbound", "bind"};
    static const std::set<std::string_view> instances{"postgresql", "stunnel"};
    std::string setup;
    for (const Daemon& daemon : daemons()) {
      if (masked.contains(daemon.name) || has_difference(daemon, Step::Start) ||
          (left_out && has_difference(daemon, *left_out))) {
        setup += "ln -sf /dev/null /etc/systemd/system/" + std::string{daemon.unit} + '\n';
        if (!masked.contains(daemon.name)) std::printf("left out: %s\n", std::string{daemon.unit}.c_str());
      } else if (!instances.contains(daemon.name)) {
        if (daemon.name == "cron") setup += daemon.setup;
        running_.push_back(&daemon);
      }
    }
    room_.emplace(std::vector<std::string>{}, RoomOptions{.setup = setup});
  }

  void expect_all_work() {
    for (const Daemon* daemon : running_) {
      const std::string unit{daemon->unit};
      std::string said;
      EXPECT_TRUE(room_->answers(daemon->question, &said)) << said << room_->shell("perdure status " + unit).output;
      // It may answer while its ExecStartPost= still runs.
      EXPECT_TRUE(perdure::testing::eventually([&] { return room_->show(unit).sub == "running"; }))
          << unit << " is " << room_->show(unit).sub;
    }
  }

  std::map<std::string_view, int> main_pids() {
    std::map<std::string_view, int> pids;
    for (const Daemon* daemon : running_) pids[daemon->unit] = room_->show(std::string{daemon->unit}).main_pid;
    return pids;
  }

  void expect_a_clean_end() {
    EXPECT_EQ(room_->end(), perdure::ExitStatus::exited(0)) << room_->output();
    EXPECT_EQ(room_->leftovers(), "");
  }

  std::vector<const Daemon*> running_{};
  std::optional<Room> room_{};
};

TEST_F(Machine, RunsWhatItsPackagesHaveEnabled) {
  boot();
  expect_all_work();
  EXPECT_EQ(room_->shell("perdure list-units --failed --no-legend --plain").output, "");
  expect_a_clean_end();
}

TEST_F(Machine, RunsOnWhenItsManagerIsKilled) {
  boot(Step::Recover);
  expect_all_work();
  const auto before = main_pids();
  const std::string manager = room_->shell("perdure show -p ManagerPID --value").output;
  room_->end_by_force(std::stoi(manager));
  EXPECT_TRUE(eventually([&] { return room_->shell("perdure show -p ManagerPID --value").output != manager; }));
  EXPECT_EQ(main_pids(), before);
  expect_all_work();
  for (const Daemon* daemon : running_) EXPECT_EQ(room_->show(std::string{daemon->unit}).restarts, 0) << daemon->unit;
  expect_a_clean_end();
}

}  // namespace
}  // namespace daemons_test
