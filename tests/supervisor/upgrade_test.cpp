// A daemon that replaces itself, run by perdure from the unit that it prints: the unit stays one run, its main process follows, and
// no client notices. What the same unit does under the real systemd: tests/daemons/systemd_test.cpp.
#include "../integration/upgrade_probe.hpp"
#include "instance.hpp"

namespace supervisor_test {
namespace {

using namespace upgrade_probe;

class UnderPerdure : public Upgradable {
 protected:
  void SetUp() override {
    Upgradable::SetUp();
    places_ = {"--pid-file", pid_file, "--control", dir / "probe.sock", "--config", config};
  }
  void start(InstanceOptions instance_options, const std::string& more = "") {
    const Finished printed = ask_program({"--print-unit", "--tcp", "127.0.0.1:" + std::to_string(port), "--local", local});
    ASSERT_TRUE(printed.status.success()) << printed.output;
    instance_.emplace(Owner::Ourselves, Parent::Test, std::move(instance_options));
    instance_->add("idler.service", "idle");
    instance_->add_unit("probe.service", printed.output + more);
    instance_->start();
    ASSERT_EQ(instance_->carry_out("start", {"probe.service"}), "done") << text();
  }
  Finished ask_program(std::vector<std::string> words) {
    words.insert(words.begin(), program);
    words.insert(words.end(), places_.begin(), places_.end());
    return perdure::testing::run(std::move(words), {.env = {{"NO_COLOR", "1"}}});
  }
  [[nodiscard]] std::string text() { return instance_->log("probe.service") + log_text() + instance_->output(); }
  [[nodiscard]] bool main_pid_is(pid_t pid) {
    return eventually([&] { return instance_->show("probe.service").main_pid == pid; });
  }

  void upgrade_under_load(int upgrades) {
    Load tcp{[this] { return connect_to_port(port); }}, unix_socket{[this] { return connect_to_path(local); }};
    for (int i = 0; i < upgrades; ++i) {
      const pid_t old = running();
      const Finished upgraded = ask_program({"upgrade"});
      ASSERT_TRUE(upgraded.status.success()) << i << ": " << upgraded.output << text();
      EXPECT_NE(running(), old);
      ASSERT_TRUE(main_pid_is(running())) << i << ": " << text();
    }
    EXPECT_THAT(tcp.end(), ::testing::IsEmpty());
    EXPECT_THAT(unix_socket.end(), ::testing::IsEmpty());
    EXPECT_GT(tcp.asked(), 20U);
    const ShownUnit shown = instance_->show("probe.service");
    EXPECT_EQ(shown.restarts, 0U);
    EXPECT_EQ(shown.sub_state, "running");
  }
  void expect_a_whole_life(InstanceOptions instance_options) {
    start(std::move(instance_options), "[Service]\nWatchdogSec=10\nRestartSec=100ms\n");
    upgrade_under_load(20);
    EXPECT_EQ(instance_->carry_out("reload", {"probe.service"}), "done");
    expect_watched_and_stopped();
  }
  void expect_watched_and_stopped() {
    // The last one is watched as the first one was.
    const pid_t last = running();
    ASSERT_TRUE(signal_descendant(last, SIGKILL));
    ASSERT_TRUE(eventually([&] {
      const ShownUnit shown = instance_->show("probe.service");
      return shown.restarts == 1 && shown.sub_state == "running";
    })) << text();
    ASSERT_TRUE(ask_program({"upgrade"}).status.success());

    const pid_t successor = running();
    ASSERT_TRUE(main_pid_is(successor)) << text();
    EXPECT_EQ(instance_->carry_out("stop", {"probe.service"}), "done");
    EXPECT_TRUE(perdure::testing::has_ended(successor));
    const nlohmann::json stopped = instance_->unit("probe.service");
    EXPECT_EQ(stopped.at("ActiveState"), "inactive") << text();
    EXPECT_EQ(stopped.at("Result"), "success") << text();
    EXPECT_EQ(stopped.at("NRestarts"), 1);
    EXPECT_FALSE(std::filesystem::exists(local)) << "it was ended by force";
    EXPECT_EQ(instance_->stop(), perdure::ExitStatus::exited(0)) << text();
    EXPECT_EQ(instance_->leftovers(), "");
  }

  void expect_forking_unit_followed(InstanceOptions instance_options) {
    std::string words = " --log-level debug --log-file " + log;
    for (const std::string& word : places_) words += ' ' + word;
    instance_.emplace(Owner::Ourselves, Parent::Test, std::move(instance_options));
    instance_->add("idler.service", "idle");
    instance_->add_unit("probe.service",
                        "[Service]\nType=forking\nRestart=on-failure\nRestartSec=100ms\nPIDFile=" + pid_file +
                            "\nExecStart=" + program + " --daemon --tcp 127.0.0.1:" + std::to_string(port) + " --local " +
                            local + words + '\n');
    instance_->start();
    ASSERT_EQ(instance_->carry_out("start", {"probe.service"}), "done") << text();
    ASSERT_TRUE(main_pid_is(running()));
    upgrade_under_load(20);
    expect_watched_and_stopped();
  }

  std::vector<std::string> places_;
  std::optional<Instance> instance_;
};

TEST_F(UnderPerdure, TwentyUpgradesAreOneRunOfTheUnitAndNoClientIsRefused) { expect_a_whole_life({}); }

TEST_F(UnderPerdure, AlsoWhereThereAreNoCgroupsToTellWhoseAProcessIs) { expect_a_whole_life(best_effort()); }

TEST_F(UnderPerdure, AForkingUnitIsFollowedByItsPidFile) { expect_forking_unit_followed({}); }

TEST_F(UnderPerdure, AForkingUnitIsFollowedAlsoWhereThereAreNoCgroups) { expect_forking_unit_followed(best_effort()); }

}  // namespace
}  // namespace supervisor_test
