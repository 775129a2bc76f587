// What the library says of its life under systemd, seen from systemd: the real one, version 252, in a room of its own. Units are
// those that the programs print with --print-unit, with drop-ins for what a test is about.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../integration/upgrade_probe.hpp"
#include "systemd_room.hpp"

namespace daemons_test {
namespace {

using nlohmann::json;
using perdure::UniqueFd;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using upgrade_probe::ask;
using upgrade_probe::is_answer;
using upgrade_probe::Load;

constexpr std::uint16_t port = 7100;  // of the room's own network
constexpr std::string_view local_path = "/run/room/local.sock";

std::string words(const json& text) { return text.is_string() ? text.get<std::string>() : text.dump(); }

class UnderSystemd : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_systemd_room(); !why.empty()) GTEST_SKIP() << why;
    room_.emplace();
    shell("mkdir -m 777 /run/room");
  }
  void TearDown() override {
    if (!room_) return;
    if (HasFailure()) std::printf("%s\n", room_->log().c_str());
    EXPECT_EQ(room_->end(), "");
  }

  std::string shell(const std::string& command) {
    const Finished done = room_->shell(command);
    EXPECT_TRUE(done.status.success()) << command << ": " << done.status.text() << '\n' << done.output;
    return done.output;
  }
  /// The unit that the program prints of itself, and these settings of [Service] after it.
  void install(const std::string& unit, const std::string& command, const std::string& settings = "") {
    room_->add_unit(unit, shell(command + " --print-unit"));
    add_settings(unit, settings);
  }
  void add_settings(const std::string& unit, const std::string& settings) {
    room_->add_unit(unit + ".d/room.conf",
                    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nWorkingDirectory=/run/room\n" + settings);
  }
  void write(const std::string& path, const std::string& text) { write_file(room_->outside(path), text); }

  [[nodiscard]] auto to_port() {
    return [this] {
      room_->enter_network();
      return upgrade_probe::connect_to_port(port);
    };
  }
  [[nodiscard]] auto to_path() {
    return [path = room_->outside(std::string{local_path})] { return upgrade_probe::connect_to_path(path); };
  }
  [[nodiscard]] static std::string served(const std::string& words = "") {
    return UPGRADE_PROBE " --tcp 127.0.0.1:" + std::to_string(port) + " --local " + std::string{local_path} + ' ' + words;
  }
  UniqueFd listen_in_room() {
    room_->enter_network();
    UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd.get(), 1), 0);
    return fd;
  }
  [[nodiscard]] static std::string forking_unit() {
    return "[Service]\nType=forking\nPIDFile=/run/probe.pid\nRestart=on-failure\nExecStart=" + served("--daemon") +
           "\nExecReload=" UPGRADE_PROBE " reload\n";
  }
  /// Whom a PID file names, as the room numbers it.
  int named_by(const std::string& pid_file) { return std::stoi(read_file(room_->outside(pid_file)).value_or("0")); }
  /// Who of the program lives, a pid each.
  std::string processes() {
    return shell("for exe in /proc/[0-9]*/exe; do [ \"$(readlink $exe)\" != " UPGRADE_PROBE
                 " ] || echo $exe; done | "
                 "sed 's|/proc/||; s|/exe||'");
  }
  /// It is the same run of the unit: nothing was started again.
  void expect_steady(const std::string& unit, const std::string& invocation) {
    EXPECT_EQ(room_->property(unit, "ActiveState"), "active");
    EXPECT_EQ(room_->property(unit, "SubState"), "running");
    EXPECT_EQ(room_->property(unit, "NRestarts"), "0");
    EXPECT_EQ(room_->property(unit, "Result"), "success");
    EXPECT_EQ(room_->property(unit, "InvocationID"), invocation);
  }
  /// The main process ends by a stop, and with it all of the unit.
  void stop(const std::string& unit) {
    shell("systemctl stop " + unit);
    EXPECT_EQ(room_->property(unit, "ActiveState"), "inactive");
    EXPECT_EQ(room_->property(unit, "Result"), "success");
    EXPECT_EQ(room_->property(unit, "NRestarts"), "0");
    EXPECT_EQ(processes(), "") << "somebody is left";
  }
  /// `upgrades` upgrades by the verb, under clients that ask without a pause.
  void expect_upgrades_without_a_gap(const std::string& unit, const std::string& verb, const std::string& pid_file,
                                     int upgrades) {
    const std::string invocation = room_->property(unit, "InvocationID");
    Load tcp{to_port()}, local{to_path()};
    for (int i = 0; i < upgrades; ++i) {
      const int old = room_->main_pid(unit);
      ASSERT_GT(old, 1);
      const Finished upgraded = room_->shell(verb);
      ASSERT_TRUE(upgraded.status.success()) << i << ": " << upgraded.output;
      const int now = named_by(pid_file);
      EXPECT_NE(now, old);
      ASSERT_TRUE(room_->wait_for(unit, "MainPID", std::to_string(now))) << i << ": " << room_->main_pid(unit);
    }
    EXPECT_THAT(tcp.end(), IsEmpty());
    EXPECT_THAT(local.end(), IsEmpty());
    EXPECT_GT(tcp.asked(), 20U);
    EXPECT_GT(local.asked(), 20U);
    expect_steady(unit, invocation);
  }

  std::optional<SystemdRoom> room_{};
};

// ── Readiness, the watchdog, reloads ──────────────────────────────────────────────────────────────────────────────────────

TEST_F(UnderSystemd, AStartReturnsOnceTheDaemonIsReadyAndItsStateIsShown) {
  install("probe.service", served("--how wait-for-go"));
  Process starting = room_->start("systemctl start probe.service");
  ASSERT_FALSE(room_->wait_for_entry("probe.service", "is wait-for-go").is_null());
  EXPECT_EQ(room_->property("probe.service", "ActiveState"), "activating");
  EXPECT_FALSE(starting.poll()) << starting.output();
  write("/run/room/go", "");
  EXPECT_TRUE(starting.wait().success()) << starting.output();
  EXPECT_EQ(room_->property("probe.service", "ActiveState"), "active");
  EXPECT_EQ(room_->property("probe.service", "SubState"), "running");
  EXPECT_EQ(room_->property("probe.service", "StatusText"), "serving");
  EXPECT_EQ(room_->main_pid("probe.service"), named_by("/run/probe.pid"));
  const std::string status = shell("systemctl status probe.service");
  EXPECT_THAT(status, HasSubstr("Active: active (running)"));
  EXPECT_THAT(status, HasSubstr("Status: \"serving\""));
  EXPECT_THAT(ask(to_path()()), StartsWith(std::to_string(room_->main_pid("probe.service")) + ' '));
  stop("probe.service");
}

TEST_F(UnderSystemd, ASimpleUnitIsWatchedStartedAgainAndStopped) {
  room_->add_unit("probe.service",
                  "[Service]\nType=simple\nRestart=on-failure\nExecStart=" PROBE " --foreground --do exit-later\n");
  add_settings("probe.service", "RestartSec=100ms\n");
  shell("systemctl start probe.service");
  EXPECT_FALSE(room_->wait_for_entry("probe.service", "code=exited, status=5").is_null()) << "its exit code reaches systemd";
  EXPECT_TRUE(eventually([&] { return std::stoi(room_->property("probe.service", "NRestarts")) >= 2; }));
  room_->add_unit("probe.service", "[Service]\nType=simple\nExecStart=" PROBE " --foreground\n");
  shell("systemctl restart probe.service");
  EXPECT_FALSE(room_->wait_for_entry("probe.service", "serving, number 1").is_null());
  shell("systemctl stop probe.service");
  EXPECT_FALSE(room_->wait_for_entry("probe.service", "stopping, reason 1").is_null()) << "by SIGTERM";
  EXPECT_EQ(room_->property("probe.service", "Result"), "success");
}

TEST_F(UnderSystemd, AStartThatIsRefusedFailsWithTheReasonInTheJournal) {
  install("probe.service", served(), "Restart=no\n");
  UniqueFd other;
  std::jthread{[&] { other = listen_in_room(); }}.join();
  EXPECT_FALSE(room_->shell("systemctl start probe.service").status.success());
  EXPECT_EQ(room_->property("probe.service", "Result"), "exit-code");
  EXPECT_EQ(room_->property("probe.service", "ExecMainStatus"), "73");
  const json entry = room_->wait_for_entry("probe.service", "another program listens there");
  ASSERT_FALSE(entry.is_null());
  EXPECT_EQ(entry["PRIORITY"], "3");
}

TEST_F(UnderSystemd, ADaemonThatWaitsIsLeftAloneByTheWatchdog) {
  install("probe.service", served(), "WatchdogSec=2\n");
  shell("systemctl start probe.service");
  const int pid = room_->main_pid("probe.service");
  std::string last = room_->property("probe.service", "WatchdogTimestampMonotonic");
  for (int pings = 0; pings < 5; ++pings) {  // of which there are two in a period
    ASSERT_TRUE(eventually([&] { return room_->property("probe.service", "WatchdogTimestampMonotonic") != last; }));
    last = room_->property("probe.service", "WatchdogTimestampMonotonic");
  }
  EXPECT_EQ(room_->main_pid("probe.service"), pid);
  EXPECT_EQ(room_->property("probe.service", "NRestarts"), "0");
  stop("probe.service");
}

TEST_F(UnderSystemd, OneThatHangsIsEndedByTheWatchdogAndStartedAgain) {
  install("probe.service", PROBE " --do busy", "WatchdogSec=500ms\nRestartSec=100ms\nTimeoutAbortSec=2\nLimitCORE=0\n");
  shell("systemctl start probe.service");
  const int first = room_->main_pid("probe.service");
  ASSERT_FALSE(room_->wait_for_entry("probe.service", "Failed with result 'watchdog'").is_null());
  EXPECT_TRUE(eventually([&] { return room_->property("probe.service", "NRestarts") != "0"; }));
  EXPECT_TRUE(eventually([&] {
    const int now = room_->main_pid("probe.service");
    return now > 1 && now != first;
  }));
  const json stuck = room_->wait_for_entry("probe.service", "stuck");
  EXPECT_FALSE(stuck.is_null()) << "it says itself which thread it is";
}

TEST_F(UnderSystemd, AReloadSucceedsOrFailsWithTheReasonAndTheDaemonServesOn) {
  write("/run/room/probe.conf", "number = 1\n");
  const std::string command = PROBE " --config /run/room/probe.conf";
  install("probe.service", command);
  shell("systemctl start probe.service");
  const int pid = room_->main_pid("probe.service");
  const auto number = [&] { return shell(PROBE " number --config /run/room/probe.conf"); };

  write("/run/room/probe.conf", "number = 2\n");
  shell("systemctl reload probe.service");
  EXPECT_EQ(number(), "2\n");
  EXPECT_EQ(room_->property("probe.service", "StatusText"), "serving");

  write("/run/room/probe.conf", "number = many\n");
  const Finished refused = room_->shell("systemctl reload probe.service");
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1)) << refused.output;
  const json reason = room_->wait_for_entry("probe.service", "reload refused");
  ASSERT_FALSE(reason.is_null());
  EXPECT_THAT(words(reason["MESSAGE"]), HasSubstr("/run/room/probe.conf:1"));
  EXPECT_TRUE(eventually([&] { return room_->property("probe.service", "ActiveState") == "active"; }));
  EXPECT_THAT(room_->property("probe.service", "StatusText"), StartsWith("reload refused: "));
  EXPECT_EQ(room_->main_pid("probe.service"), pid);

  write("/run/room/probe.conf", "number = 3\n");
  shell("systemctl reload probe.service");
  EXPECT_EQ(number(), "3\n");
  EXPECT_EQ(room_->property("probe.service", "StatusText"), "serving");
  EXPECT_EQ(room_->property("probe.service", "NRestarts"), "0");
}

// ── Sockets ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(UnderSystemd, TheFirstClientStartsADaemonWhoseSocketsSystemdHolds) {
  install("probe.service", served(), "Sockets=tcp.socket local.socket\n");
  const std::string of_service = "\nService=probe.service\n";
  room_->add_unit("tcp.socket",
                  "[Socket]\nListenStream=127.0.0.1:" + std::to_string(port) + "\nFileDescriptorName=tcp" + of_service);
  room_->add_unit("local.socket",
                  "[Socket]\nListenStream=" + std::string{local_path} + "\nFileDescriptorName=local" + of_service);
  shell("systemctl start tcp.socket local.socket");
  EXPECT_EQ(room_->property("probe.service", "ActiveState"), "inactive");
  const auto inode = [&] { return shell("stat -c %i " + std::string{local_path}); };
  const std::string socket = inode();

  const std::string answer = ask(to_path()());
  EXPECT_TRUE(is_answer(answer)) << answer;
  EXPECT_TRUE(room_->wait_for("probe.service", "ActiveState", "active"));
  const int first = room_->main_pid("probe.service");
  EXPECT_THAT(answer, StartsWith(std::to_string(first) + ' '));

  // Whoever comes while nobody runs, waits; nobody is turned away.
  Load tcp{to_port()}, local{to_path()};
  for (int i = 0; i < 3; ++i) {
    shell("systemctl stop probe.service && systemctl start probe.service");
    EXPECT_EQ(inode(), socket);
  }
  for (Load* load : {&tcp, &local}) {
    const auto before = load->asked();
    EXPECT_TRUE(eventually([&] { return load->asked() > before + 10; }));
    EXPECT_THAT(load->end(), Each(Not(StartsWith("no connection"))));
  }
  expect_upgrades_without_a_gap("probe.service", UPGRADE_PROBE " upgrade", "/run/probe.pid", 3);
  EXPECT_EQ(inode(), socket);
  shell("systemctl stop tcp.socket local.socket");
  stop("probe.service");
}

// ── The journal ───────────────────────────────────────────────────────────────────────────────────────────────────────────

class Journal : public UnderSystemd {
 protected:
  void expect_priorities() {
    for (const auto& [words, priority] : {std::pair{"at level debug", "7"},
                                          {"at level info", "6"},
                                          {"at level warning", "4"},
                                          {"at level error", "3"},
                                          {"at level critical", "2"}}) {
      const json entry = room_->wait_for_entry("log-probe.service", words);
      ASSERT_FALSE(entry.is_null()) << words;
      EXPECT_EQ(entry["PRIORITY"], priority) << words;
      EXPECT_EQ(entry["_PID"], std::to_string(room_->main_pid("log-probe.service")));
    }
    EXPECT_THAT(shell("journalctl -q -o cat -u log-probe -p err"), Not(HasSubstr("level warning")));
    EXPECT_THAT(shell("journalctl -q -o cat -u log-probe -p err"), HasSubstr("level error"));
  }
};

TEST_F(Journal, HasThePriorityOfEachLineOnStderr) {
  install("log-probe.service", LOG_PROBE);
  shell("systemctl start log-probe.service");
  expect_priorities();
  const json entry = room_->wait_for_entry("log-probe.service", "with fields");
  EXPECT_EQ(entry["_TRANSPORT"], "stdout");
  EXPECT_THAT(words(entry["MESSAGE"]), HasSubstr("port=22"));
}

TEST_F(Journal, HasPrioritiesAndFieldsInItsOwnProtocol) {
  install("log-probe.service", LOG_PROBE " --to-journal");
  shell("systemctl start log-probe.service");
  expect_priorities();
  const json entry = room_->wait_for_entry("log-probe.service", "with fields");
  ASSERT_FALSE(entry.is_null());
  EXPECT_EQ(entry["_TRANSPORT"], "journal");
  EXPECT_EQ(entry["SYSLOG_IDENTIFIER"], "log-probe");
  EXPECT_EQ(entry["ACCOUNT"], "al\nice");
  EXPECT_EQ(entry["PORT"], "22");
  EXPECT_THAT(shell("journalctl -q -o cat PORT=22"), HasSubstr("with fields"));
}

TEST_F(Journal, ThatIsStartedAgainHasWhatIsSaidAfterwards) {
  install("log-probe.service", LOG_PROBE);
  install("other.service", LOG_PROBE " --instance other --to-journal");
  shell("systemctl start log-probe.service other.service");
  // systemd keeps the streams of those that write to stderr meanwhile.
  shell("systemctl restart systemd-journald.service && systemctl reload log-probe.service");
  EXPECT_FALSE(room_->wait_for_entry("log-probe.service", "reload").is_null());
  // Another socket at the same path.
  const std::string sockets = "systemd-journald.socket systemd-journald-dev-log.socket";
  shell("systemctl stop systemd-journald.service " + sockets + " && systemctl start " + sockets +
        " systemd-journald.service");
  shell("systemctl reload other.service");
  EXPECT_FALSE(room_->wait_for_entry("other.service", "reload").is_null());
}

// ── Upgrades ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

constexpr int upgrades = 20;

TEST_F(UnderSystemd, TwentyUpgradesOfANotifyUnitAreSeenAsOneRunAndByNoClient) {
  install("probe.service", served(), "WatchdogSec=10\n");
  shell("systemctl start probe.service");
  expect_upgrades_without_a_gap("probe.service", UPGRADE_PROBE " upgrade", "/run/probe.pid", upgrades);
  shell("systemctl reload probe.service");
  const int last = room_->main_pid("probe.service");
  EXPECT_EQ(processes(), std::to_string(last) + '\n') << "and nobody else";
  EXPECT_THAT(room_->log(), Not(HasSubstr("not our child"))) << "systemd would not hear of its end";

  // The last one is watched as the first one was.
  shell("kill -KILL " + std::to_string(last));
  EXPECT_TRUE(room_->wait_for("probe.service", "NRestarts", "1"));
  EXPECT_TRUE(room_->wait_for("probe.service", "ActiveState", "active"));
  const auto pings = room_->property("probe.service", "WatchdogTimestampMonotonic");
  ASSERT_TRUE(room_->shell(UPGRADE_PROBE " upgrade").status.success());
  EXPECT_TRUE(eventually([&] { return room_->property("probe.service", "WatchdogTimestampMonotonic") != pings; }));
  shell("systemctl stop probe.service");
  EXPECT_EQ(room_->property("probe.service", "ActiveState"), "inactive");
  EXPECT_EQ(room_->property("probe.service", "Result"), "success");
}

TEST_F(UnderSystemd, AnUpgradeThatIsRefusedChangesNothing) {
  install("probe.service", served());
  shell("systemctl start probe.service");
  const int pid = room_->main_pid("probe.service");
  const std::string invocation = room_->property("probe.service", "InvocationID");
  write("/run/room/how", "throw\n");
  const Finished refused = room_->shell(UPGRADE_PROBE " upgrade");
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(refused.output, HasSubstr("the new version does not like it here"));
  EXPECT_EQ(room_->main_pid("probe.service"), pid);
  expect_steady("probe.service", invocation);
  EXPECT_THAT(ask(to_path()()), StartsWith(std::to_string(pid) + ' '));
  stop("probe.service");
}

TEST_F(UnderSystemd, AStopRightAfterAnUpgradeEndsTheSuccessorByItsOwnWill) {
  install("notify.service", served());
  room_->add_unit("forking.service", forking_unit());
  add_settings("forking.service", "");
  for (const std::string unit : {"notify.service", "forking.service"}) {
    for (int i = 0; i < 5; ++i) {
      shell("systemctl start " + unit + " && " UPGRADE_PROBE " upgrade && systemctl stop " + unit);
      EXPECT_EQ(room_->property(unit, "Result"), "success") << unit;
      EXPECT_FALSE(std::filesystem::exists(room_->outside(std::string{local_path}))) << unit << ": it was killed";
    }
  }
}

TEST_F(UnderSystemd, AStopInTheMiddleOfAnUpgradeEndsBoth) {
  install("probe.service", served());
  shell("systemctl start probe.service");
  write("/run/room/how", "wait-for-go\n");
  Process asking = room_->start(UPGRADE_PROBE " upgrade");
  ASSERT_FALSE(room_->wait_for_entry("probe.service", "is wait-for-go").is_null());
  stop("probe.service");
  EXPECT_EQ(asking.wait(), perdure::ExitStatus::exited(1)) << asking.output();
}

TEST_F(UnderSystemd, IfTheOldOneIsKilledInTheMiddleTheServiceIsStartedAgain) {
  install("probe.service", served(), "RestartSec=100ms\n");
  shell("systemctl start probe.service");
  const int old = room_->main_pid("probe.service");
  write("/run/room/how", "wait-for-go\n");
  Process asking = room_->start(UPGRADE_PROBE " upgrade");
  ASSERT_FALSE(room_->wait_for_entry("probe.service", "is wait-for-go").is_null());
  write("/run/room/how", "serve\n");
  shell("kill -KILL " + std::to_string(old));
  EXPECT_TRUE(room_->wait_for("probe.service", "NRestarts", "1")) << "systemd knows of the old one only";
  EXPECT_TRUE(room_->wait_for("probe.service", "ActiveState", "active"));
  EXPECT_EQ(asking.wait(), perdure::ExitStatus::exited(1)) << asking.output();
  const int now = room_->main_pid("probe.service");
  EXPECT_EQ(processes(), std::to_string(now) + '\n');
  EXPECT_THAT(ask(to_path()()), StartsWith(std::to_string(now) + ' '));
}

TEST_F(UnderSystemd, AnUpgradeMayBeWhatAReloadOfTheUnitDoes) {
  install("probe.service", served(), "ExecReload=\nExecReload=" UPGRADE_PROBE " upgrade\n");
  shell("systemctl start probe.service");
  expect_upgrades_without_a_gap("probe.service", "systemctl reload probe.service", "/run/probe.pid", 5);
  write("/run/room/how", "throw\n");
  EXPECT_FALSE(room_->shell("systemctl reload probe.service").status.success());
  EXPECT_FALSE(room_->wait_for_entry("probe.service", "the new version does not like it here").is_null());
  stop("probe.service");
}

TEST_F(UnderSystemd, AForkingUnitIsFollowedByItsPidFile) {
  room_->add_unit("probe.service", forking_unit());
  add_settings("probe.service", "");
  shell("systemctl start probe.service");
  EXPECT_EQ(room_->main_pid("probe.service"), named_by("/run/probe.pid"));
  expect_upgrades_without_a_gap("probe.service", UPGRADE_PROBE " upgrade", "/run/probe.pid", upgrades);
  shell("systemctl reload probe.service");
  stop("probe.service");
}

TEST_F(UnderSystemd, ASimpleUnitIsRefusedAnUpgradeBecauseSystemdWouldTakeItsEndForTheServices) {
  room_->add_unit("probe.service", "[Service]\nType=simple\nExecStart=" + served("--foreground") + '\n');
  add_settings("probe.service", "");
  shell("systemctl start probe.service");
  ASSERT_TRUE(eventually([&] { return is_answer(ask(to_path()())); }));
  const int pid = room_->main_pid("probe.service");
  const Finished refused = room_->shell(UPGRADE_PROBE " upgrade");
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(refused.output, HasSubstr("run it with Type=notify"));
  EXPECT_EQ(room_->main_pid("probe.service"), pid);
  stop("probe.service");
}

// ── Rights ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

class RightsUnderSystemd : public UnderSystemd {
 protected:
  void expect_run_by_nobody() {
    EXPECT_EQ(shell("stat -c %U /proc/" + std::to_string(room_->main_pid("probe.service"))), "nobody\n");
  }
  std::string pid_file = "/run/probe/probe.pid";
  std::string verb = "RUNTIME_DIRECTORY=/run/probe " UPGRADE_PROBE " upgrade";
};

TEST_F(RightsUnderSystemd, ADaemonThatDropsThemItselfIsUpgradedInADirectoryThatItMadeForTheUser) {
  install("probe.service",
          served("--user nobody --group nogroup --pid-file /run/probe/probe.pid --control /run/probe/probe.sock"));
  shell("systemctl start probe.service");
  expect_run_by_nobody();
  expect_upgrades_without_a_gap("probe.service", verb, pid_file, upgrades);
  expect_run_by_nobody();
  shell("systemctl reload probe.service");
  stop("probe.service");
}

TEST_F(RightsUnderSystemd, OneThatSystemdStartsAsTheUserIsUpgradedInItsRuntimeDirectory) {
  install("probe.service", served(), "User=nobody\nRuntimeDirectory=probe\n");
  shell("systemctl start probe.service");
  expect_run_by_nobody();
  expect_upgrades_without_a_gap("probe.service", verb, pid_file, upgrades);
  expect_run_by_nobody();
  shell("systemctl reload probe.service");
  stop("probe.service");
}

TEST_F(RightsUnderSystemd, ARuntimeDirectoryOfRootsIsAReasonToRefuseAnUpgrade) {
  install("probe.service", served("--user nobody --group nogroup"), "RuntimeDirectory=probe\n");
  shell("systemctl start probe.service");
  const int pid = room_->main_pid("probe.service");
  const std::string invocation = room_->property("probe.service", "InvocationID");
  const Finished refused = room_->shell(verb);
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(refused.output,
              HasSubstr("cannot create a file beside /run/probe/probe.pid: Permission denied (EACCES); pid " +
                        std::to_string(pid) + " serves on"));
  EXPECT_EQ(named_by(pid_file), pid);
  EXPECT_THAT(room_->log(), Not(HasSubstr("the PID file may name another one")));
  EXPECT_THAT(ask(to_path()()), StartsWith(std::to_string(pid) + ' '));
  expect_steady("probe.service", invocation);
  stop("probe.service");
}

}  // namespace
}  // namespace daemons_test
