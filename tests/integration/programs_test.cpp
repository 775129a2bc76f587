// The programs of examples/documents as services: from the unit files they ship, each does what it is for, and stops with success.
//
// The unit files are those that `./dev try` shows (examples/try/units), so what differs from the shipped ones stands there.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iterator>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::HasSubstr;

class Programs : public ::testing::Test {
 public:
  void SetUp() override {
    const Finished installed = perdure::testing::run({UNITS_PROGRAM, BUILD_DIRECTORY, root_});
    ASSERT_TRUE(installed.status.success()) << installed.output;
    std::istringstream lines{read_file(root_ + "/units.txt").value_or("")};
    for (std::string unit; lines >> unit;) units_.push_back(unit);
  }

  void start(const std::vector<std::string>& units) {
    supervisor_test::InstanceOptions options;
    options.run_options = {"--unit-path=" + root_ + "/units"};
    options.run_options.insert(options.run_options.end(), units.begin(), units.end());
    instance_.emplace(supervisor_test::Owner::Ourselves, supervisor_test::Parent::Test, options);
    instance_->start();
    for (const std::string& unit : units) ASSERT_TRUE(instance_->wait_for(unit, "running")) << unit << '\n' << log(unit);
  }
  void expect_stop_with_success(const std::vector<std::string>& units) {
    for (const std::string& unit : units) {
      EXPECT_EQ(instance_->carry_out("stop", {unit}), "done") << unit;
      const auto stopped = instance_->unit(unit);
      EXPECT_EQ(stopped.at("ActiveState"), "inactive") << unit;
      EXPECT_EQ(stopped.at("Result"), "success") << unit << '\n' << log(unit);
      EXPECT_EQ(stopped.at("NRestarts"), 0) << unit;
    }
    EXPECT_EQ(instance_->stop(), ExitStatus::exited(0)) << instance_->output();
    EXPECT_EQ(instance_->leftovers(), "");
  }

  supervisor_test::Instance& instance() { return *instance_; }
  [[nodiscard]] const std::vector<std::string>& units() const { return units_; }
  [[nodiscard]] std::string place(const std::string& path) const { return root_ + path; }
  [[nodiscard]] std::string log(const std::string& unit) const { return instance_->log(unit); }
  /// What stands between `text` and the next blank, quote or newline of the unit's log; "" where the text does not come.
  [[nodiscard]] std::string word_in_log(const std::string& unit, const std::string& text) const {
    std::string word;
    (void)eventually([&] {
      const std::string said = log(unit);
      const std::size_t at = said.find(text);
      const std::size_t end = at == said.npos ? at : said.find_first_of(" '\n", at + text.size());
      if (end != said.npos) word = said.substr(at + text.size(), end - at - text.size());
      return !word.empty();
    });
    return word;
  }
  [[nodiscard]] bool logs(const std::string& unit, const std::string& text) const {
    return eventually([&] { return log(unit).find(text) != std::string::npos; });
  }
  [[nodiscard]] static bool file_has(const std::string& path, const std::string& text) {
    return eventually([&] { return read_file(path).value_or("").find(text) != std::string::npos; });
  }
  /// Another process of a program, as somebody would type it.
  [[nodiscard]] Finished run(const std::string& program, std::vector<std::string> words) const {
    words.insert(words.begin(), place("/usr/local/bin/" + program));
    return perdure::testing::run(std::move(words));
  }

 private:
  perdure::testing::TempDir dir_;
  std::string root_ = dir_ / "root";
  std::vector<std::string> units_{};
  std::optional<supervisor_test::Instance> instance_{};
};

struct Program {
  const char* name;
  std::function<void(Programs&)> does;
};
void PrintTo(const Program& program, std::ostream* out) { *out << program.name; }

void heartbeat(Programs& here) { EXPECT_TRUE(here.logs("heartbeat.service", "heartbeat: alive at ")); }

void signal_service(Programs& here) {
  EXPECT_TRUE(here.logs("signal_service.service", "started"));
  EXPECT_EQ(here.instance().carry_out("reload", {"signal_service.service"}), "done");
  EXPECT_TRUE(here.logs("signal_service.service", "asked to reload"));
}

void service_manager(Programs& here) {
  EXPECT_TRUE(here.logs("service_manager.service", "serving, "));
  const Finished second =
      here.run("service_manager", {"--foreground", "--config", here.place("/etc/service_manager.conf"), "--pid-file",
                                   here.place("/run/service_manager/service_manager.pid")});
  EXPECT_EQ(second.status, ExitStatus::exited(1));
  EXPECT_THAT(second.output, HasSubstr("Service already running"));
}

void web_server(Programs& here) {
  const std::string port = here.word_in_log("web_server.service", "listening on 127.0.0.1:");
  const Finished answer = perdure::testing::run(
      {"/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'GET /status HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3",
       "bash", port});
  EXPECT_THAT(answer.output, HasSubstr(" 200 OK\r\n"));
  EXPECT_TRUE(answer.output.ends_with("\r\n\r\nOK")) << answer.output;
}

void file_processor(Programs& here) {
  const std::string data = here.place("/var/lib/file_processor");
  write_file(data + "/input/a", "hello\n");
  EXPECT_TRUE(here.file_has(data + "/processed/a", "hello\n"));
  EXPECT_EQ(read_file(data + "/output/a"), "hello\n");
}

void mydaemon(Programs& here) {
  write_file(here.place("/etc/mydaemon.conf"), "perod = 1s\n");
  EXPECT_NE(here.instance().carry_out("reload", {"mydaemon.service"}), "done");
  write_file(here.place("/etc/mydaemon.conf"), "period = 1s\n");
  EXPECT_EQ(here.instance().carry_out("reload", {"mydaemon.service"}), "done");
  EXPECT_TRUE(here.file_has(here.place("/var/log/mydaemon/mydaemon.log"), "changed: period"));
}

void single_instance(Programs& here) {
  const auto pid = here.instance().show("single_instance.service").main_pid;
  EXPECT_TRUE(here.logs("single_instance.service", "Daemon running with PID " + std::to_string(pid)));
  const Finished second = here.run(
      "single_instance", {"--pid-file=" + here.place("/run/single_instance/single_instance.pid"), "--control=none"});
  EXPECT_EQ(second.status, ExitStatus::exited(1));
  EXPECT_EQ(second.output,
            "Another instance is running with PID: " + std::to_string(pid) + "\nDaemon already running. Exiting.\n");
}

void resource_watchdog(Programs& here) {
  EXPECT_TRUE(here.logs("resource_watchdog.service", "file descriptors open, limit=1"));
}

void metrics_collector(Programs& here) {
  const std::string socket = here.word_in_log("metrics_collector.service", "listening on abstract socket '");
  const Finished reported = here.run("metrics_collector", {"--report", socket});
  EXPECT_THAT(reported.output, HasSubstr("cpu: avg=48.75\n"));
}

void queue_service(Programs& here) {
  const std::string log = here.place("/var/log/queue_service/queue_service.log");
  write_file(here.place("/var/lib/queue_service/queue.txt"), "build project\n");
  const Finished queued =
      here.run("queue_service", {"queue", "--control=" + here.place("/run/queue_service/queue_service.sock"), "run tests"});
  EXPECT_TRUE(queued.status.success()) << queued.output;
  EXPECT_TRUE(here.file_has(log, "processing job: build project"));
  EXPECT_TRUE(here.file_has(log, "processing job: run tests"));
}

void service_supervisor(Programs& here) {
  const std::string log = here.place("/var/log/service_supervisor/service_supervisor.log");
  EXPECT_TRUE(here.file_has(log, "watching " + here.place("/run/queue_service/health")));
  EXPECT_TRUE(here.file_has(log, "the service is stopped on purpose"));
  EXPECT_EQ(here.instance().carry_out("start", {"queue_service.service"}), "done");
  EXPECT_TRUE(here.file_has(log, "the service runs again"));
}

void daemon_server(Programs& here) {
  const std::string port = here.word_in_log("daemon_server.service", "serving address=127.0.0.1:");
  const Finished answer = perdure::testing::run(
      {"/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'hello\\n/primes 100\\n' >&3 && head -n 2 <&3", "bash",
       port});
  EXPECT_EQ(answer.output, "hello\n25\n");
  write_file(here.place("/etc/daemon_server/daemon.conf"), "port=0\nmax_connections=200\n");
  EXPECT_EQ(here.instance().carry_out("reload", {"daemon_server.service"}), "done");
  EXPECT_TRUE(here.logs("daemon_server.service", "configuration changed log_level=INFO max_connections=200"));
}

void sigterm_daemon(Programs& here) { EXPECT_TRUE(here.logs("sigterm_daemon.service", "Daemon started")); }

void tick_daemon(Programs& here) {
  EXPECT_TRUE(here.file_has(here.place("/var/log/tick_daemon/tick_daemon.log"), "\ntick 0\n"));
}

void signal_control(Programs& here) {
  EXPECT_EQ(here.instance().carry_out("reload", {"signal_control.service"}), "done");
  EXPECT_TRUE(here.logs("signal_control.service", "[daemon] new interval: 1500ms, verbose: true"));
}

void foreground_daemon(Programs& here) { EXPECT_TRUE(here.logs("foreground_daemon.service", "Working... tick 2")); }

void watchdog_demo(Programs& here) { EXPECT_TRUE(here.logs("watchdog_demo.service", "[0] healthy (last kick 0s ago)")); }

void config_reload(Programs& here) {
  const std::string control = "--control=" + here.place("/run/config_reload/config_reload.sock");
  EXPECT_THAT(here.run("config_reload", {"show", control}).output, HasSubstr("max_connections=50"));
  write_file(here.place("/etc/daemon.conf"), "max_connections = 60\n");
  EXPECT_EQ(here.instance().carry_out("reload", {"config_reload.service"}), "done");
  EXPECT_THAT(here.run("config_reload", {"show", control}).output, HasSubstr("max_connections=60"));
  write_file(here.place("/etc/daemon.conf"), "max_connections = none\n");
  EXPECT_NE(here.instance().carry_out("reload", {"config_reload.service"}), "done");
}

void supervised(Programs& here) { EXPECT_TRUE(here.file_has(here.place("/run/supervised/starts"), "\n")); }

void child_reaper(Programs& here) {
  EXPECT_TRUE(here.logs("child_reaper.service", "50 of 50 statuses are those that were expected"));
}

void security_scanner(Programs& here) {
  EXPECT_TRUE(here.file_has(here.place("/var/log/security_scanner/security_scanner.log"), "Scan complete: "));
}

void simple_daemon(Programs& here) {
  EXPECT_TRUE(here.file_has(here.place("/var/log/simple_daemon/simple_daemon.log"), "Daemon started with PID "));
}

void network_scanner(Programs& here) {
  EXPECT_TRUE(here.file_has(here.place("/var/log/network_scanner/network_scanner.log"), "Scan complete for 127.0.0.1"));
}

void wireless_monitor(Programs& here) {
  EXPECT_TRUE(here.file_has(here.place("/var/log/wireless_monitor/wireless_monitor.log"), "Wireless monitor started"));
}

/// What a server at a Unix socket answers to one message.
std::string answer_at(const std::string& path, const std::string& message) {
  return perdure::testing::run(
             {"/bin/sh", "-c", "printf %s \"$1\" | socat -t 30 - UNIX-CONNECT:\"$2\"", "sh", message, path})
      .output;
}

void chat_server(Programs& here) {
  EXPECT_EQ(answer_at(here.place("/run/chat_server/chat.sock"), "hello"), "") << "nobody hears herself";
  EXPECT_TRUE(here.logs("chat_server.service", " joined (1 total)"));
}

void fd_proxy(Programs& here) { EXPECT_EQ(answer_at(here.place("/run/fd_proxy/requests.sock"), "/etc/shadow"), "DENIED"); }

const Program programs[] = {{"heartbeat", heartbeat},
                            {"signal_service", signal_service},
                            {"service_manager", service_manager},
                            {"web_server", web_server},
                            {"file_processor", file_processor},
                            {"mydaemon", mydaemon},
                            {"daemon_server", daemon_server},
                            {"single_instance", single_instance},
                            {"resource_watchdog", resource_watchdog},
                            {"metrics_collector", metrics_collector},
                            {"queue_service", queue_service},
                            {"service_supervisor", service_supervisor},
                            {"sigterm_daemon", sigterm_daemon},
                            {"tick_daemon", tick_daemon},
                            {"signal_control", signal_control},
                            {"foreground_daemon", foreground_daemon},
                            {"watchdog_demo", watchdog_demo},
                            {"config_reload", config_reload},
                            {"supervised", supervised},
                            {"child_reaper", child_reaper},
                            {"security_scanner", security_scanner},
                            {"simple_daemon", simple_daemon},
                            {"network_scanner", network_scanner},
                            {"wireless_monitor", wireless_monitor},
                            {"chat_server", chat_server},
                            {"fd_proxy", fd_proxy}};

class EachProgram : public Programs, public ::testing::WithParamInterface<Program> {};

TEST_P(EachProgram, RunsFromItsUnitFileDoesItsWorkAndStopsWithSuccess) {
  const std::string unit = std::string{GetParam().name} + ".service";
  if (std::find(units().begin(), units().end(), unit) == units().end()) GTEST_SKIP() << unit << ": the program is not built";
  ASSERT_NO_FATAL_FAILURE(start({unit}));
  GetParam().does(*this);
  expect_stop_with_success({unit});
}

INSTANTIATE_TEST_SUITE_P(Documents, EachProgram, ::testing::ValuesIn(programs),
                         [](const auto& program) { return std::string{program.param.name}; });

/// It has PROGRAM-forking.service with Restart=always, and its PID file in a directory of its own.
void expect_main_process_from_pid_file(Programs& here, const std::string& program) {
  const std::string unit = program + "-forking.service", pid_file = here.place("/run/" + program + "/" + program + ".pid");
  ASSERT_NO_FATAL_FAILURE(here.start({unit}));
  const auto pid = here.instance().show(unit).main_pid;
  EXPECT_EQ(read_file(pid_file), std::to_string(pid) + "\n");
  EXPECT_EQ(here.instance().carry_out("reload", {unit}), "done");
  ASSERT_TRUE(supervisor_test::signal_descendant(static_cast<pid_t>(pid), SIGKILL));
  EXPECT_TRUE(eventually([&] {
    const auto next = here.instance().show(unit).main_pid;
    return next != pid && next != 0 && read_file(pid_file) == std::to_string(next) + "\n";
  })) << "Restart=always";
  ASSERT_TRUE(here.instance().wait_for(unit, "running"));
  EXPECT_EQ(here.instance().carry_out("stop", {unit}), "done");
  EXPECT_FALSE(read_file(pid_file).has_value());
  EXPECT_EQ(here.instance().stop(), ExitStatus::exited(0)) << here.instance().output();
}

TEST_F(Programs, AForkingUnitKnowsItsMainProcessFromThePidFile) { expect_main_process_from_pid_file(*this, "mydaemon"); }

TEST_F(Programs, TheServersForkingUnitKnowsItToo) { expect_main_process_from_pid_file(*this, "daemon_server"); }

TEST_F(Programs, AUnitOfAFewLinesReplacesAServiceThatHangs) {
  const std::string unit = "queue_service-watched.service", drop_ins = place("/units/") + unit + ".d";
  ASSERT_TRUE(std::filesystem::create_directory(drop_ins));
  std::string options;
  for (const char* option : {"--pid-file", "--control", "--health-file", "--queue-file", "--log-file"})
    options += std::string{" "} + option + "=" + place("/run/queue_service/") + (option + 2);
  write_file(drop_ins + "/test.conf", "[Service]\nWatchdogSec=500ms\nTimeoutAbortSec=100ms\nExecStart=\nExecStart=" +
                                          place("/usr/local/bin/queue_service") + " --foreground" + options + "\n");
  ASSERT_NO_FATAL_FAILURE(start({unit}));
  const auto hung = instance().show(unit).main_pid;
  ASSERT_TRUE(supervisor_test::signal_descendant(static_cast<pid_t>(hung), SIGSTOP));
  EXPECT_TRUE(eventually([&] {
    const auto next = instance().show(unit).main_pid;
    return next != hung && next != 0;
  }));
  ASSERT_TRUE(instance().wait_for(unit, "running"));
  EXPECT_GE(instance().unit(unit).at("NRestarts"), 1);
  EXPECT_EQ(instance().carry_out("stop", {unit}), "done");
  EXPECT_EQ(instance().unit(unit).at("Result"), "success");
  EXPECT_EQ(instance().stop(), ExitStatus::exited(0)) << instance().output();
}

TEST_F(Programs, AllRunSideBySideDoTheirWorkAndStopWithSuccess) {
  ASSERT_GE(units().size(), std::size(programs) - 2)
      << "all but web_server and security_scanner, which need libraries, are built";
  ASSERT_NO_FATAL_FAILURE(start(units()));
  for (const Program& program : programs) {
    const std::string unit = std::string{program.name} + ".service";
    // Its work is seen when queue_service has not been started, so not here.
    if (unit == "service_supervisor.service" || std::find(units().begin(), units().end(), unit) == units().end()) continue;
    SCOPED_TRACE(unit);
    program.does(*this);
  }
  expect_stop_with_success(units());
}

}  // namespace
