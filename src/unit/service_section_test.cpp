#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/load_unit_testing.hpp"

namespace perdure::unit {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;

Loaded only(const std::string& lines) { return load({"[Service]\n" + lines}); }

std::vector<std::string> paths(const std::vector<ExecCommand>& commands) {
  std::vector<std::string> all;
  for (const ExecCommand& command : commands) all.push_back(command.path);
  return all;
}

TEST(ServiceSection, ReadsEveryListOfCommands) {
  const ServiceSpec s = service(
      "ExecCondition=/bin/a\nExecStartPre=-/bin/b ; /bin/c\nExecStartPre=+/bin/d\nExecStartPost=/bin/e\nExecReload=/bin/f\n"
      "ExecStop=!/bin/g\nExecStopPost=:/bin/h $X\n");
  EXPECT_THAT(paths(s.exec_condition), ElementsAre("/bin/a"));
  EXPECT_THAT(paths(s.exec_start_pre), ElementsAre("/bin/b", "/bin/c", "/bin/d"));
  EXPECT_TRUE(s.exec_start_pre[0].ignores_failure);
  EXPECT_FALSE(s.exec_start_pre[1].ignores_failure);
  EXPECT_EQ(s.exec_start_pre[2].rights, Rights::Full);
  EXPECT_THAT(paths(s.exec_start_post), ElementsAre("/bin/e"));
  EXPECT_THAT(paths(s.exec_reload), ElementsAre("/bin/f"));
  EXPECT_THAT(paths(s.exec_stop), ElementsAre("/bin/g"));
  EXPECT_EQ(s.exec_stop[0].rights, Rights::KeepUser);
  EXPECT_THAT(paths(s.exec_stop_post), ElementsAre("/bin/h"));
  EXPECT_FALSE(s.exec_stop_post[0].expands_variables);
  EXPECT_THAT(service("ExecStop=/bin/a\nExecStop=\n").exec_stop, IsEmpty());
}

TEST(ServiceSection, NeedsACommandThatMakesSenseForItsType) {
  EXPECT_TRUE(only("Type=oneshot\nExecStart=/bin/x\nExecStart=/bin/y\n").value.is_startable);
  EXPECT_TRUE(only("ExecStop=/bin/x\nRemainAfterExit=yes\n").value.is_startable);
  EXPECT_FALSE(only("ExecStop=/bin/x\n").value.is_startable);
  EXPECT_FALSE(only("RemainAfterExit=yes\n").value.is_startable);
  EXPECT_FALSE(only("Type=simple\nExecStop=/bin/x\nRemainAfterExit=yes\n").value.is_startable);
  EXPECT_FALSE(only("ExecStartPre=/bin/x\n").value.is_startable);
  EXPECT_FALSE(only("Type=forking\nExecStart=/bin/x\nExecStart=/bin/y\n").value.is_startable);
}

TEST(ServiceSection, RefusesAOneshotThatWouldNeverEnd) {
  for (const char* restart : {"always", "on-success"}) {
    const Loaded loaded = load_service("Type=oneshot\nRestart=" + std::string{restart} + "\n");
    EXPECT_THAT(texts(loaded), ElementsAre(HasSubstr("/u/web.service:4: Restart=" + std::string{restart})));
    EXPECT_FALSE(loaded.value.is_startable);
  }
  for (const char* restart : {"no", "on-failure", "on-abnormal", "on-watchdog", "on-abort"})
    EXPECT_TRUE(load_service("Type=oneshot\nRestart=" + std::string{restart} + "\n").value.is_startable) << restart;
  EXPECT_FALSE(load_service("Type=oneshot\nRestartForceExitStatus=3\n").value.is_startable);
  EXPECT_TRUE(load_service("Restart=always\nRestartForceExitStatus=3\n").value.is_startable);
}

TEST(ServiceSection, GivesAOneshotAllTheTimeItWants) {
  EXPECT_EQ(service("Type=oneshot\n").timeout_start, std::nullopt);
  EXPECT_EQ(service("TimeoutStartSec=5\nType=oneshot\n").timeout_start, base::Duration{5s});
  EXPECT_EQ(service("TimeoutSec=5\nType=oneshot\n").timeout_start, base::Duration{5s});
  EXPECT_EQ(service("Type=oneshot\n").timeout_stop, base::Duration{90s});
  EXPECT_EQ(service("Type=notify\n").timeout_start, base::Duration{90s});
}

TEST(ServiceSection, ReadsTheOtherTimes) {
  const ServiceSpec s = service("TimeoutAbortSec=3\nRuntimeMaxSec=1h\nWatchdogSec=20\nRestartSec=7\n");
  EXPECT_TRUE(s.has_timeout_abort);
  EXPECT_EQ(s.timeout_abort, base::Duration{3s});
  EXPECT_EQ(s.runtime_max, base::Duration{1h});
  EXPECT_EQ(s.watchdog, base::Duration{20s});
  EXPECT_EQ(s.restart_sec, 7s);
  EXPECT_TRUE(s.has_restart_sec);
  const ServiceSpec defaults = service("");
  EXPECT_FALSE(defaults.has_timeout_abort);
  EXPECT_FALSE(defaults.runtime_max);
  EXPECT_FALSE(defaults.watchdog);
  EXPECT_FALSE(defaults.has_restart_sec);
}

TEST(ServiceSection, KnowsWhatZeroEmptyAndInfinityMeanForEachTime) {
  EXPECT_EQ(service("TimeoutAbortSec=0\n").timeout_abort, base::Duration{0s});
  EXPECT_TRUE(service("TimeoutAbortSec=infinity\n").has_timeout_abort);
  EXPECT_FALSE(service("TimeoutAbortSec=infinity\n").timeout_abort);
  EXPECT_FALSE(service("TimeoutAbortSec=3\nTimeoutAbortSec=\n").has_timeout_abort);
  EXPECT_EQ(service("RuntimeMaxSec=0\n").runtime_max, base::Duration{0s});
  EXPECT_FALSE(service("RuntimeMaxSec=5\nRuntimeMaxSec=infinity\n").runtime_max);
  EXPECT_FALSE(service("WatchdogSec=5\nWatchdogSec=0\n").watchdog);
  EXPECT_FALSE(service("WatchdogSec=infinity\n").watchdog);
}

TEST(ServiceSection, ListensToTheMainProcessWhereSomebodyHasToBeHeard) {
  EXPECT_EQ(service("").notify_access, NotifyAccess::None);
  EXPECT_EQ(service("Type=notify\n").notify_access, NotifyAccess::Main);
  EXPECT_EQ(service("Type=notify\nNotifyAccess=none\n").notify_access, NotifyAccess::Main);
  EXPECT_EQ(service("Type=notify\nNotifyAccess=all\n").notify_access, NotifyAccess::All);
  EXPECT_EQ(service("WatchdogSec=5\n").notify_access, NotifyAccess::Main);
  EXPECT_EQ(service("WatchdogSec=0\n").notify_access, NotifyAccess::None);
  EXPECT_EQ(service("NotifyAccess=exec\n").notify_access, NotifyAccess::Exec);
}

TEST(ServiceSection, ReadsHowAServiceIsKilled) {
  const ServiceSpec s = service(
      "KillMode=process\nKillSignal=SIGINT\nRestartKillSignal=USR2\nFinalKillSignal=SIGQUIT\nWatchdogSignal=6\nSendSIGHUP="
      "yes\n"
      "SendSIGKILL=no\n");
  EXPECT_EQ(s.kill_mode, KillMode::Process);
  EXPECT_EQ(s.kill_signal, SIGINT);
  EXPECT_EQ(s.restart_kill_signal, SIGUSR2);
  EXPECT_EQ(s.final_kill_signal, SIGQUIT);
  EXPECT_EQ(s.watchdog_signal, SIGABRT);
  EXPECT_TRUE(s.send_sighup);
  EXPECT_FALSE(s.send_sigkill);
  const ServiceSpec defaults = service("");
  EXPECT_FALSE(defaults.restart_kill_signal);
  EXPECT_EQ(defaults.final_kill_signal, SIGKILL);
  EXPECT_EQ(defaults.watchdog_signal, SIGABRT);
  EXPECT_EQ(service("WatchdogSignal=SIGKILL\n").watchdog_signal, SIGKILL);
}

TEST(ServiceSection, LooksForAPidFileInTheRuntimeDirectory) {
  EXPECT_EQ(service("PIDFile=web.pid\n").pid_file, "/run/web.pid");
  EXPECT_EQ(service("PIDFile=/var/run/%p.pid\n").pid_file, "/run/web.pid");
  EXPECT_EQ(service("PIDFile=/srv//web.pid\n").pid_file, "/srv/web.pid");
  EXPECT_EQ(service("PIDFile=/srv/web.pid\nPIDFile=\n").pid_file, "");
}

TEST(ServiceSection, ReadsWhatRemainsAndWhoIsMain) {
  EXPECT_TRUE(service("RemainAfterExit=yes\n").remain_after_exit);
  EXPECT_FALSE(service("").remain_after_exit);
  EXPECT_FALSE(service("GuessMainPID=no\n").guess_main_pid);
  EXPECT_TRUE(service("").guess_main_pid);
}

TEST(ServiceSection, GivesAllRightsToWhatOnlyPrepares) {
  const ServiceSpec s = service("PermissionsStartOnly=yes\nExecStartPre=!/bin/a\nExecStopPost=/bin/b\n");
  EXPECT_EQ(s.exec_start_pre[0].rights, Rights::Full);
  EXPECT_EQ(s.exec_stop_post[0].rights, Rights::Full);
  EXPECT_EQ(s.exec_start[0].rights, Rights::OfUnit);
  EXPECT_EQ(service("PermissionsStartOnly=no\nExecStartPre=/bin/a\n").exec_start_pre[0].rights, Rights::OfUnit);
}

TEST(ServiceSection, DoesNotCallUnsetWhatAFileOrTheManagerMaySet) {
  EXPECT_THAT(texts(load_service("ExecReload=/bin/kill $MAINPID\nExecStopPost=/bin/y $SERVICE_RESULT\n")), IsEmpty());
  EXPECT_THAT(texts(load_service("ExecReload=/bin/y $X\n")),
              ElementsAre(HasSubstr("/u/web.service:3: warning: ExecReload=: $X is set nowhere")));
  EXPECT_THAT(texts(load_service("ExecReload=/bin/y $X\nEnvironmentFile=-/etc/default/x\n")), IsEmpty());
  EXPECT_THAT(texts(load_service("ExecReload=/bin/y $X\nPassEnvironment=X\n")), IsEmpty());
}

}  // namespace
}  // namespace perdure::unit
