// Reload: a transaction by signal and by command.
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <set>
#include <system_error>

#include "probe.hpp"

namespace probe {
namespace {

TEST_F(Daemon, AGoodFileIsTakenAndABadOneRefusedWithTheReason) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  write_file(config, "number = 2\n");
  EXPECT_EQ(run({"reload"}).output, "OK\n");
  EXPECT_EQ(run({"number"}).output, "2\n");

  write_file(config, "number = two\n");
  const Finished refused = run({"reload"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(refused.output, HasSubstr("probe.conf:1:"));
  EXPECT_THAT(refused.output, HasSubstr("the settings stay as they were"));
  EXPECT_EQ(run({"number"}).output, "2\n");
  EXPECT_THAT(run({"status"}).output, HasSubstr("last reload refused"));
}

TEST_F(Daemon, AWatchedFileIsReloadedByItselfAndABadOneRefused) {
  options.env.push_back({"PROBE_WATCH", "1"});
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  write_file(config + ".new", "number = 2\n");
  std::filesystem::rename(config + ".new", config);
  ASSERT_TRUE(daemon.wait_for_output("probe.conf has changed")) << daemon.output();
  ASSERT_TRUE(daemon.wait_for_output("configuration reloaded, changed: number")) << daemon.output();
  EXPECT_EQ(run({"number"}).output, "2\n");
  write_file(config, "number = two\n");
  ASSERT_TRUE(daemon.wait_for_output("reload refused: ")) << daemon.output();
  EXPECT_EQ(run({"number"}).output, "2\n");
}

TEST_F(Daemon, AWatchThatIsNotAskedForCostsNoDescriptor) {
  const auto has_inotify = [](const Process& daemon) {
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(daemon.pid()) + "/fd"}) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry, gone) == "anon_inode:inotify") return true;
    }
    return false;
  };
  {
    Process daemon = foreground();
    ASSERT_TRUE(daemon.wait_for_output("serving"));
    EXPECT_FALSE(has_inotify(daemon));
  }
  options.env.push_back({"PROBE_WATCH", "1"});
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  EXPECT_TRUE(has_inotify(daemon));
}

TEST_F(Daemon, EveryKindOfRefusalLeavesTheSettingsAsTheyWere) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"number = 9\nlistener = 1\n", "restart"},        {"number = 9\nhook = refuse\n", "the hook will not have it"},
      {"number = 9\nhook = throw\n", "the hook broke"}, {"number = 9\nnumbr = 1\n", "number"},
      {"number = 9\nno equals sign\n", ":2:"},          {"number = 2000000\n", "out of range"},
      {std::string{"number = 9\n\0", 12}, "NUL"},       {"\xff\xfen\0u\0m\0", "UTF-16"},
  };
  for (const auto& [text, why] : cases) {
    write_file(config, text);
    const Finished refused = run({"reload"});
    EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1)) << text;
    EXPECT_THAT(refused.output, HasSubstr(why));
    EXPECT_EQ(run({"number"}).output, "1\n");
  }
}

TEST_F(Daemon, AFileThatIsGoneADirectoryOrAFifoIsRefused) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  ::unlink(config.c_str());
  EXPECT_THAT(run({"reload"}).output, HasSubstr("Config file not found"));
  ::mkdir(config.c_str(), 0700);
  EXPECT_EQ(run({"reload"}).status.value(), 1);
  ::rmdir(config.c_str());
  ::mkfifo(config.c_str(), 0600);
  EXPECT_EQ(run({"reload"}).status.value(), 1) << "a FIFO must not block it";
  EXPECT_EQ(run({"number"}).output, "1\n");
}

TEST_F(Daemon, AStormOfGoodAndBadReloadsNeverMixesThem) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  for (int i = 0; i < 200; ++i) {
    write_file(config, i % 2 == 0 ? "number = 7\n" : "number = 8\nhook = refuse\n");
    daemon.signal(SIGHUP);
    if (i % 20 == 0) {
      const std::string number = run({"number"}).output;
      ASSERT_TRUE(number == "1\n" || number == "7\n") << number;
    }
  }
  write_file(config, "number = 9\n");
  EXPECT_EQ(run({"reload"}).output, "OK\n");
  EXPECT_EQ(run({"number"}).output, "9\n");
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, AStormOfHangupsCountsGenerationsUpAndKeepsEveryListener) {
  const perdure::UniqueFd opened{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (dir / "listener").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(opened.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(opened.get(), 1), 0);
  options.pass_fds = {{opened.get(), 3}};
  options.unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM"};
  options.env.emplace_back("LISTEN_FDS", "1");
  Process daemon{{"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" --foreground --config \"$1\"", PROBE, config}, options};
  options.pass_fds = {};
  ASSERT_TRUE(daemon.wait_for_output("serving")) << daemon.output();

  const auto sockets = [&] {
    std::set<std::string> inodes;
    for (const auto& fd : std::filesystem::directory_iterator{"/proc/" + std::to_string(daemon.pid()) + "/fd"}) {
      std::error_code gone;
      if (const std::string target = std::filesystem::read_symlink(fd, gone); target.starts_with("socket:"))
        inodes.insert(target);
    }
    return inodes;
  };
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat((dir / "probe.sock").c_str(), &before), 0);
  std::set<std::string> listeners;
  ASSERT_TRUE(eventually([&] { return (listeners = sockets()).size() == 2; })) << "the init's and the control socket's";

  unsigned long last = std::stoul(run({"generation"}).output);
  const unsigned long first = last;
  for (int i = 0; i < 200; ++i) {
    write_file(config, i % 2 == 0 ? "number = " + std::to_string(i) + "\n" : "number = bad\n");
    daemon.signal(SIGHUP);
    if (i % 10 != 0) continue;
    const unsigned long now = std::stoul(run({"generation"}).output);
    EXPECT_GE(now, last);
    last = now;
  }
  write_file(config, "number = 777\n");
  EXPECT_EQ(run({"reload"}).output, "OK\n");
  EXPECT_GT(std::stoul(run({"generation"}).output), first);
  EXPECT_LE(std::stoul(run({"generation"}).output), first + 201) << "one for each that was taken, at most";
  EXPECT_TRUE(eventually([&] { return sockets() == listeners; })) << "listeners are neither closed nor opened anew";
  ASSERT_EQ(::stat((dir / "probe.sock").c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, AHangupInTheFirstMomentIsSurvived) {
  for (int round = 0; round < 20; ++round) {
    Process daemon = foreground();
    while (perdure::testing::proc_status(daemon.pid(), "SigCgt").find("4a03") == std::string::npos && !daemon.poll()) {
    }
    daemon.signal(SIGHUP);
    ASSERT_TRUE(daemon.wait_for_output("reloaded")) << daemon.output();
    daemon.signal(SIGTERM);
    EXPECT_TRUE(daemon.wait().success()) << daemon.output();
  }
}

TEST_F(Daemon, AHangupAsSoonAsThePidFileIsThereIsSurvived) {
  for (int round = 0; round < 20; ++round) {
    Process daemon = foreground();
    const std::string line = std::to_string(daemon.pid()) + "\n";
    while (read_file(pid_file) != line && !daemon.poll()) {
    }
    daemon.signal(SIGHUP);
    ASSERT_TRUE(daemon.wait_for_output("reloaded")) << daemon.output();
    daemon.signal(SIGTERM);
    EXPECT_TRUE(daemon.wait().success()) << daemon.output();
  }
}

TEST_F(Daemon, AStopDuringAReloadWaitsForItsHook) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  write_file(config, "hook = slow\n");
  daemon.signal(SIGHUP);
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success()) << daemon.output();
}

}  // namespace
}  // namespace probe
