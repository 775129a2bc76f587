// What is shipped for inits: unit files in which systemd finds no fault and little to attack, an init script that keeps the rules of the
// Linux Standard Base, an AppArmor profile.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../../examples/documents/support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Finished;
using perdure::testing::read_file;
using perdure::testing::run;
using perdure::testing::write_file;
using testing::HasSubstr;

std::vector<std::filesystem::path> shipped_units() {
  std::vector<std::filesystem::path> units;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(EXAMPLES_DIRECTORY))
    if (entry.path().extension() == ".service") units.push_back(entry.path());
  std::sort(units.begin(), units.end());
  return units;
}

bool is_installed(const std::string& tool) {
  return run({"/bin/sh", "-c", "command -v \"$1\"", "sh", tool}).status.success();
}

TEST(ShippedUnits, SystemdFindsNoFault) {
  if (!is_installed("systemd-analyze")) GTEST_SKIP() << "systemd-analyze is not installed";
  const perdure::testing::TempDir dir;
  // The programs need not be installed: only whether they can be executed is looked at.
  const auto verify = [&dir](const std::string& name, std::string text) {
    text = std::regex_replace(text, std::regex{"/usr/local/bin/[a-z_]+"}, "/bin/true");
    text = std::regex_replace(text, std::regex{"Documentation=[^\n]*\n"}, "");
    write_file(dir / name, text);
    return run({"systemd-analyze", "verify", "--man=no", dir / name},
               {.env = {{"SYSTEMD_LOG_LEVEL", "warning"}, {"XDG_RUNTIME_DIR", dir.path()}}});
  };
  if (const auto good = verify("good.service", "[Service]\nExecStart=/bin/true\n"); !good.status.success())
    GTEST_SKIP() << "systemd-analyze cannot verify here: " << good.output;
  ASSERT_THAT(verify("bad.service", "[Service]\nExecStart=/bin/true\nRestrat=no\n").output, HasSubstr("Restrat"));
  for (const auto& unit : shipped_units()) {
    const Finished verified = verify(unit.filename(), *read_file(unit));
    EXPECT_TRUE(verified.status.success()) << unit << '\n' << verified.output;
    EXPECT_EQ(verified.output, "") << unit;
  }
}

TEST(ShippedUnits, LeaveLittleToAttack) {
  if (!is_installed("systemd-analyze")) GTEST_SKIP() << "systemd-analyze is not installed";
  // Exposure, from 0 to 10. The learning path shows what --print-unit makes for programs that nothing is known of.
  const auto bound = [](const std::filesystem::path& unit) {
    if (unit.string().find("/documents/") == std::string::npos) return 8.2;
    if (unit.filename() == "service_supervisor.service")
      return 7.6;  // who starts programs of others takes away what none needs
    if (unit.filename() == "queue_service-watched.service") return 9.6;  // a watchdog in a few lines, and nothing else
    return 2.1;  // who talks to the network or runs other programs needs more than those at 1.6
  };
  std::size_t judged = 0;
  for (const auto& unit : shipped_units()) {
    const Finished security = run({"systemd-analyze", "security", "--offline=true", "--no-pager", unit});
    std::smatch score;
    if (!std::regex_search(security.output, score, std::regex{"exposure level for [^:]*: ([0-9.]+)"})) {
      if (judged == 0) GTEST_SKIP() << "systemd-analyze cannot judge here: " << security.output.substr(0, 200);
      FAIL() << unit << '\n' << security.output;
    }
    ++judged;
    std::cout << score[1] << "  " << unit.filename().string() << '\n';
    EXPECT_LE(std::stod(score[1]), bound(unit)) << unit;
  }
  EXPECT_GT(judged, 10u);
}

struct InitScript : testing::Test {
  perdure::testing::TempDir dir;
  std::string pid_file = dir / "pid";

  void SetUp() override {
    perdure::testing::adopt_orphans();
    write_file(dir / "conf", "period = 1h\n");
    write_file(dir / "defaults", "DAEMON=" MYDAEMON "\nOPTIONS='--config=" + (dir / "conf") + " --pid-file=" + pid_file +
                                     " --control=" + (dir / "sock") + " --log-file=" + (dir / "log") + "'\n");
  }
  Finished script(const std::string& verb) const {
    return run({"/bin/sh", INIT_SCRIPT, verb}, {.env = {{"DEFAULTS", dir / "defaults"}}});
  }
};

TEST_F(InitScript, IsFreeOfSyntaxErrors) {
  const Finished checked = run({"/bin/sh", "-n", INIT_SCRIPT});
  EXPECT_TRUE(checked.status.success()) << checked.output;
  EXPECT_THAT(*read_file(INIT_SCRIPT), HasSubstr("### BEGIN INIT INFO"));
}

TEST_F(InitScript, KeepsTheRulesOfTheStandard) {
  EXPECT_EQ(script("status").status.value(), 3);
  EXPECT_EQ(script("stop").status.value(), 0) << "stopping what does not run is success";
  EXPECT_EQ(script("try-restart").status.value(), 0);
  EXPECT_FALSE(trial::exists(pid_file)) << "and starts nothing";

  const Finished started = script("start");
  ASSERT_EQ(started.status.value(), 0) << started.output;
  const pid_t first = trial::pid_in(pid_file);
  ASSERT_GT(first, 0);
  EXPECT_EQ(script("start").status.value(), 0) << "starting what runs is success";
  EXPECT_EQ(trial::pid_in(pid_file), first);
  EXPECT_EQ(script("status").status.value(), 0);
  EXPECT_EQ(script("reload").status.value(), 0);

  write_file(dir / "conf", "perod = 1h\n");
  EXPECT_NE(script("reload").status.value(), 0);
  EXPECT_NE(script("restart").status.value(), 0);
  EXPECT_EQ(trial::pid_in(pid_file), first) << "a bad configuration stops nobody";
  write_file(dir / "conf", "period = 1h\n");
  EXPECT_EQ(script("restart").status.value(), 0);
  EXPECT_NE(trial::pid_in(pid_file), first);

  EXPECT_EQ(script("stop").status.value(), 0);
  EXPECT_EQ(script("status").status.value(), 3);
  EXPECT_EQ(script("sing").status.value(), 2);
}

TEST(AppArmor, TheProfileParses) {
  if (!is_installed("apparmor_parser")) GTEST_SKIP() << "apparmor_parser is not installed";
  const Finished parsed = run({"apparmor_parser", "-Q", "-K", APPARMOR_PROFILE});
  EXPECT_TRUE(parsed.status.success()) << parsed.output;
}

}  // namespace
