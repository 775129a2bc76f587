// Settings that change while threads use them: the document's file, good and bad changes, and a hundred reloads under load.
#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/control.hpp"
#include "perdure/testing/process.hpp"

namespace {

using namespace std::chrono_literals;
using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

struct ConfigReload : testing::Test {
  perdure::testing::TempDir dir;
  std::string config = dir / "daemon.conf", log = dir / "log", socket = dir / "sock", pid_file = dir / "pid";

  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM};
    words.insert(words.end(), more.begin(), more.end());
    for (const std::string& word :
         {"--config=" + config, "--pid-file=" + pid_file, "--control=" + socket, "--log-file=" + log})
      words.push_back(word);
    return words;
  }
  Process start(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "--foreground");
    Process daemon{command(more)};
    if (!eventually([&] { return trial::exists(socket) && trial::pid_in(pid_file) == daemon.pid(); }))
      throw std::runtime_error{"it does not start: " + daemon.output()};
    return daemon;
  }
  std::string show() const { return trial::ask(socket, "show\n"); }
  std::string reload() const { return trial::ask(socket, "reload\n"); }
};

TEST_F(ConfigReload, ReadsTheDocumentsFile) {
  config = std::string{EXAMPLE_DIR} + "/daemon.conf";
  const auto printed = perdure::testing::run(command({"--print-config"}));
  for (const char* line : {"port = 8080\n", "log_level = INFO\n", "max_connections = 100\n"})
    EXPECT_THAT(printed.output, HasSubstr(line));
  EXPECT_THAT(printed.output, HasSubstr("pid_file = /var/run/mydaemon.pid\n"));
}

TEST_F(ConfigReload, ThePidFileIsWhereTheSettingsSay) {
  pid_file = dir / "from-the-file";
  write_file(config, "pid_file=" + pid_file + "\n");
  const Process daemon{{EXAMPLE_PROGRAM, "--foreground", "--config=" + config, "--control=none", "--log-file=" + log}};
  EXPECT_TRUE(eventually([&] { return trial::pid_in(pid_file) == daemon.pid(); }));
}

TEST_F(ConfigReload, AReloadBringsTheNewValuesOnSighupAndOnRequest) {
  write_file(config, "port=8080\nmax_connections=100\n");
  auto daemon = start();
  EXPECT_THAT(show(), StartsWith("port=8080 log_level=INFO max_connections=100 reserved_connections=10 "));

  write_file(config,
             "# with blanks, comments and the line ends of another system\r\n\r\n port = 9090 \r\nmax_connections=200\r\n");
  daemon.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return show().starts_with("port=9090 log_level=INFO max_connections=200 "); })) << show();
  EXPECT_TRUE(trial::file_says(log, "Configuration reloaded successfully\n"));

  write_file(config, "port=7070\n");
  EXPECT_EQ(reload(), "OK\n");
  EXPECT_THAT(show(), StartsWith("port=7070 log_level=INFO max_connections=100 "))
      << "what the file leaves out is at its default";
}

TEST_F(ConfigReload, ABadFileIsRefusedWithItsLineAndTheOldSettingsStay) {
  const std::string good = "port=8080\nmax_connections=50\nreserved_connections=5\n";
  write_file(config, good);
  auto daemon = start();
  const std::pair<const char*, const char*> bad[] = {
      {"port=8081\nmax_connections=many\n", ":2:"},                            // no number
      {"port=8081\nmax_conections=60\n", ":2:"},                               // no such key
      {"port 8081\n", ":1:"},                                                  // no '='
      {"port=70000\n", ":1:"},                                                 // out of range
      {"port=8081\nlog_level=LOUD\n", "no log level"},                         // no such word
      {"port=8081\nmax_connections=5\n", "more than max_connections cannot"},  // each good, together not
      {"port=8081\npid_file=/elsewhere\n", "pid_file"},                        // only a restart may change it
  };
  for (const auto& [text, where] : bad) {
    write_file(config, text);
    const std::string answer = reload();
    EXPECT_THAT(answer, StartsWith("error: reload refused: ")) << text;
    EXPECT_THAT(answer, HasSubstr(where)) << text;
    EXPECT_THAT(show(), StartsWith("port=8080 log_level=INFO max_connections=50 reserved_connections=5 ")) << text;
  }
  const auto before = read_file(log)->size();
  daemon.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return read_file(log)->find("reload refused: ", before) != std::string::npos; }));
  EXPECT_THAT(*read_file(log), testing::Not(HasSubstr("Configuration reloaded")));
  write_file(config, good);
  EXPECT_EQ(reload(), "OK\n");
}

TEST_F(ConfigReload, ABadFileRefusesTheStart) {
  write_file(config, "port=8080\nport=none\n");
  const auto refused = perdure::testing::run(command({"--daemon"}));
  EXPECT_EQ(refused.status.text(), "exited with 78");
  EXPECT_THAT(refused.output, HasSubstr(config + ":2:"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(ConfigReload, TheLogLevelFollowsTheFile) {
  write_file(config, "log_level=ERROR\n");
  auto daemon = start();
  EXPECT_EQ(trial::ask(socket, "log-level\n"), "ERROR\n");
  write_file(config, "log_level=DEBUG\n");
  EXPECT_EQ(reload(), "OK\n");
  EXPECT_EQ(trial::ask(socket, "log-level\n"), "DEBUG\n");
}

TEST_F(ConfigReload, AHundredReloadsUnderLoadTearNothingAndDropNoConnection) {
  const std::string large = "max_connections=1000\nreserved_connections=500\n",
                    small = "max_connections=10\nreserved_connections=5\n";
  write_file(config, small);
  auto daemon = start({"--readers=8"});
  auto connection = perdure::ControlClient::connect(socket);
  ASSERT_TRUE(connection) << connection.error().message();
  std::string last;
  for (int i = 0; i < 100; ++i) {
    const bool to_large = i % 2 == 0;
    write_file(dir / "new", to_large ? large : small);
    ASSERT_EQ(rename((dir / "new").c_str(), config.c_str()), 0);
    daemon.signal(SIGHUP);  // as well: it may come between, or be one with the request
    const auto reloaded = connection->request("reload", "", 30s);
    ASSERT_TRUE(reloaded && reloaded->ok) << i << ": " << (reloaded ? reloaded->message : reloaded.error().message());
    const auto shown = connection->request("show", "", 30s);
    ASSERT_TRUE(shown && shown->ok) << i;
    EXPECT_THAT(shown->message, HasSubstr(to_large ? "max_connections=1000 reserved_connections=500 "
                                                   : "max_connections=10 reserved_connections=5 "));
    last = shown->message;
  }
  EXPECT_THAT(last, ContainsRegex("looks=[1-9][0-9]* torn=0$"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
}

}  // namespace
