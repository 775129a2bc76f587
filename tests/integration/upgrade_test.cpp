// A daemon that replaces itself: what its clients, its init, its PID file and whoever asked for it see, whatever goes wrong.
#include <poll.h>

#include <csignal>

#include "upgrade_probe.hpp"

namespace upgrade_probe {
namespace {

ino_t inode_of(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

TEST_F(Upgradable, TheNewProcessServesOnTheSameSocketsAndTheOldOneEnds) {
  const pid_t old = start();
  expect_served_by(old);
  const ino_t socket = inode_of(local), control = inode_of(dir / "probe.sock");

  const Finished upgraded = upgrade();
  ASSERT_TRUE(upgraded.status.success()) << upgraded.output << log_text();
  const pid_t now = running();
  EXPECT_EQ(upgraded.output, "upgraded: pid " + std::to_string(now) + " took over from pid " + std::to_string(old) + "\n");
  EXPECT_EQ(perdure::testing::wait_adopted(old).text(), "exited with 0");
  expect_served_by(now);
  EXPECT_EQ(inode_of(local), socket);
  EXPECT_EQ(inode_of(dir / "probe.sock"), control);

  ASSERT_TRUE(upgrade().status.success()) << "and once more: " << log_text();
  EXPECT_NE(running(), now);
  expect_served_by(running());
  stop();
}

TEST_F(Upgradable, ByWhichVerbItWasStartedDoesNotMatterAndRelativePathsMeanTheSame) {
  config = "probe.conf";
  const Finished restarted = run(start_words("restart"));
  ASSERT_TRUE(restarted.status.success()) << restarted.output;
  ASSERT_TRUE(upgrade().status.success()) << log_text();
  expect_served_by(running());
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(running()) + "/cwd"), dir.path());
  stop();
}

TEST_F(Upgradable, InTheForegroundTheNewOneOutlivesTheProcessThatTheShellWaitsFor) {
  Process first{command(start_words("--foreground")), options};
  ASSERT_TRUE(eventually([&] { return run({"health"}).status.success(); })) << first.output();
  const Finished upgraded = upgrade();
  ASSERT_TRUE(upgraded.status.success()) << upgraded.output;
  EXPECT_EQ(first.wait().text(), "exited with 0");
  expect_served_by(running());
  stop();
}

TEST_F(Upgradable, NoClientIsRefusedNoRequestIsLostAndNoPidFileIsPartial) {
  constexpr int upgrades = 20;
  const pid_t first = start();
  // The line to the process that waited for the start is the last to go.
  ASSERT_TRUE(eventually([&] { return open_fds_of(first) <= 12; })) << open_fds_of(first);
  const std::size_t fds = open_fds_of(first);
  Load tcp{[this] { return connect_to_port(port); }}, unix_socket{[this] { return connect_to_path(local); }};
  std::vector<std::string> partial;
  std::jthread reader{[&](const std::stop_token& end) {
    while (!end.stop_requested()) {
      const auto text = read_file(pid_file);
      if (!text || text->empty() || text->back() != '\n') partial.push_back(text.value_or("no file"));
    }
  }};
  for (int i = 0; i < upgrades; ++i) {
    const pid_t old = running();
    const Finished upgraded = upgrade();
    ASSERT_TRUE(upgraded.status.success()) << i << ": " << upgraded.output << log_text();
    const Finished status = run({"status"});
    ASSERT_TRUE(status.status.success()) << i << ": " << status.output;
    perdure::testing::wait_adopted(old);
  }
  EXPECT_THAT(tcp.end(), ::testing::IsEmpty());
  EXPECT_THAT(unix_socket.end(), ::testing::IsEmpty());
  reader.request_stop();
  reader.join();
  EXPECT_THAT(partial, ::testing::IsEmpty());
  EXPECT_GT(tcp.asked(), 100U);
  EXPECT_TRUE(eventually([&] { return open_fds_of(running()) <= fds; }))
      << "descriptors leak: " << fds << " became " << open_fds_of(running());
  stop();
}

TEST_F(Upgradable, ThePrintedUnitLetsItMakeItsSockets) {
  const Finished unit = run(start_words("--print-unit"));
  ASSERT_TRUE(unit.status.success()) << unit.output;
  const auto paths = unit.output.substr(unit.output.find("ReadWritePaths="));
  EXPECT_THAT(paths.substr(0, paths.find('\n')), HasSubstr("-" + dir.path()));
  const Finished elsewhere = run({"--print-unit", "--tcp", "127.0.0.1:0", "--local", "/srv/sockets/local.sock"});
  EXPECT_THAT(elsewhere.output, HasSubstr("ReadWritePaths=-/srv/sockets "));
}

TEST_F(Upgradable, WhatHasBegunIsFinishedByTheOldOne) {
  const pid_t old = start();
  const UniqueFd client = connect_to_port(port);
  ASSERT_TRUE(is_answer(ask(client)));
  ASSERT_EQ(::send(client.get(), "slow\n", 5, MSG_NOSIGNAL), 5);
  ASSERT_TRUE(upgrade().status.success()) << log_text();
  expect_served_by(running());
  EXPECT_FALSE(perdure::testing::has_ended(old)) << "it owes an answer";
  write_file(dir / "go", "");
  EXPECT_THAT(ask(client, ""), StartsWith(std::to_string(old) + " "));
  ::shutdown(client.get(), SHUT_RDWR);
  EXPECT_EQ(perdure::testing::wait_adopted(old).text(), "exited with 0");
  stop();
}

class BadUpgrade : public Upgradable {
 protected:
  /// The upgrade is refused with these words, and nothing else has changed.
  void expect_refused(const std::string& why) {
    const pid_t old = running();
    const auto fds = open_fds_of(old);
    const auto socket = inode_of(local);
    const Finished refused = upgrade();
    EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1)) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr("upgrade refused: "));
    EXPECT_THAT(refused.output, HasSubstr(why));
    EXPECT_THAT(refused.output, HasSubstr("pid " + std::to_string(old) + " serves on"));
    expect_served_by(old);
    EXPECT_EQ(inode_of(local), socket);
    EXPECT_TRUE(eventually([&] { return open_fds_of(old) <= fds; })) << fds << " became " << open_fds_of(old);
    EXPECT_THAT(perdure::testing::read_file("/proc/" + std::to_string(old) + "/task/" + std::to_string(old) + "/children")
                    .value_or(""),
                "")
        << "a process is left";
  }
};

TEST_F(BadUpgrade, AProgramThatDoesNotComeUpIsRefusedWithItsOwnWords) {
  start({"--within=400ms", "--patience=300ms"});
  next_is("throw");
  expect_refused("the new version does not like it here");
  next_is("crash");
  expect_refused("was killed by SIGSEGV");
  next_is("never-ready");
  expect_refused("not ready within 400 ms");
  write_file(config, "generation = many\n");
  expect_refused("generation");
  write_file(config, "generation = 1\n");
  next_is("serve");
  ASSERT_TRUE(upgrade().status.success()) << "and then it is good again: " << log_text();
  stop();
}

TEST_F(BadUpgrade, AFileThatIsNoProgramOfOursIsRefusedByName) {
  start({"--within=400ms", "--patience=300ms"});
  install("not a program\n");
  expect_refused("cannot start " + program + ": executing it failed: Exec format error (ENOEXEC)");
  install("#!/bin/sh\necho who are you >&2; exit 3\n");
  expect_refused("exited with 3 before it was in charge: who are you; " + program + " did not take the descriptors");
  install("#!/bin/sh\nexit 0\n", 0644);
  expect_refused("executing it failed: Permission denied (EACCES)");
  std::filesystem::remove(program);
  expect_refused("executing it failed: No such file or directory (ENOENT)");
  install("#!/bin/sh\nexec sleep 1000\n");
  expect_refused("was not in charge in time");
  install_again();
  ASSERT_TRUE(upgrade().status.success()) << "and then it is good again: " << log_text();
  stop();
}

TEST_F(BadUpgrade, AnotherInstanceThanTheRunningOneIsRefused) {
  start();
  install("#!/bin/sh\nexec " UPGRADE_PROBE " \"$@\" --pid-file " + dir / "other.pid" + "\n");
  expect_refused("the PID file would be " + dir / "other.pid" + ", and the running daemon's is " + pid_file);
  stop();
}

TEST_F(BadUpgrade, OneThatGivesUpOtherRightsIsRefusedBecauseNothingCouldBeChanged) {
  start();
  install("#!/bin/sh\nPROBE_WITHOUT_CORE=1 exec " UPGRADE_PROBE " \"$@\"\n");
  expect_refused("this program gives up other rights than the running one has given up");
  stop();
}

TEST_F(Upgradable, TheFileOfAListenerThatMovedDoesNotStayBehind) {
  start();
  install("#!/bin/sh\nexec " UPGRADE_PROBE " \"$@\" --local " + dir / "moved.sock" + "\n");
  const Finished upgraded = upgrade();
  ASSERT_TRUE(upgraded.status.success()) << upgraded.output << log_text();
  EXPECT_TRUE(std::filesystem::exists(dir / "moved.sock"));
  EXPECT_FALSE(std::filesystem::exists(local));
  stop();
  EXPECT_FALSE(std::filesystem::exists(dir / "moved.sock"));
}

TEST_F(Upgradable, AStopWinsOverAnUpgrade) {
  const pid_t old = start({"--patience=500ms"});
  next_is("never-ready");
  Process asking{command({"upgrade"}), options};
  ASSERT_TRUE(eventually([&] { return log_text().find("Taken -> starting") != std::string::npos; })) << log_text();

  const Finished second = upgrade();
  EXPECT_EQ(second.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(second.output, HasSubstr("upgrade refused: another one is under way"));
  expect_served_by(old);

  stop();
  EXPECT_EQ(asking.wait(), perdure::ExitStatus::exited(1));
  EXPECT_THAT(asking.output(), HasSubstr("asked to stop meanwhile"));
}

TEST_F(Upgradable, AReloadMeanwhileReachesTheSuccessorToo) {
  const pid_t old = start();
  next_is("wait-for-go");
  Process asking{command({"upgrade"}), options};
  ASSERT_TRUE(eventually([&] { return log_text().find("is wait-for-go") != std::string::npos; })) << log_text();
  write_file(config, "generation = 2\n");
  const Finished reloaded = run({"reload"});
  ASSERT_TRUE(reloaded.status.success()) << reloaded.output;
  EXPECT_THAT(ask(connect_to_path(local)), StartsWith(std::to_string(old) + " 2 "));
  write_file(dir / "go", "");
  EXPECT_TRUE(asking.wait().success()) << asking.output();
  const std::string expected = std::to_string(running()) + " 2 ";
  EXPECT_TRUE(eventually([&] { return ask(connect_to_path(local)).starts_with(expected); })) << log_text();
  stop();
}

TEST_F(Upgradable, IfTheOldOneIsKilledInTheMiddleTheNewOneCarriesOn) {
  const pid_t old = start();
  next_is("wait-for-go");
  Process asking{command({"upgrade"}), options};
  ASSERT_TRUE(eventually([&] { return log_text().find("is wait-for-go") != std::string::npos; })) << log_text();
  perdure::testing::kill_adopted(old, SIGKILL);
  EXPECT_EQ(asking.wait(), perdure::ExitStatus::exited(1));
  write_file(dir / "go", "");
  ASSERT_TRUE(eventually([&] { return running() != 0 && running() != old; })) << log_text();
  expect_served_by(running());
  EXPECT_THAT(log_text(), HasSubstr("ended before it handed over; this process carries on"));
  stop();
}

TEST_F(Upgradable, AListenerThatIsNotThereIsABugThatSaysSo) {
  const Finished refused = run(start_words("--foreground", {"--how=unknown-listener"}));
  EXPECT_EQ(refused.status.text(), "was killed by SIGABRT") << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("Options::listeners has none of that name"));
  EXPECT_THAT(log_text(), HasSubstr("listener(\"htpp\") was asked for, Options::listeners has: tcp, local"));
}

TEST_F(Upgradable, WhatCannotBeListenedOnReachesTheTerminalAndNothingIsLeft) {
  const UniqueFd other{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(other.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(other.get(), 1), 0);
  const std::string in_use = "cannot listen on 127.0.0.1:" + std::to_string(port) +
                             " (listener tcp): Address already in use (EADDRINUSE); another program listens there (ss -ltnp "
                             "names it); nothing was started";
  for (const char* mode : {"--daemon", "--foreground"}) {
    const Finished refused = run(start_words(mode));
    EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73)) << mode;
    EXPECT_THAT(refused.output, HasSubstr(in_use)) << mode;
    EXPECT_FALSE(std::filesystem::exists(pid_file));
  }
  const Finished text = run({"--daemon", "--tcp", "localhost:80", "--local", local});
  EXPECT_EQ(text.status, perdure::ExitStatus::exited(78));
  EXPECT_THAT(text.output, HasSubstr("listener tcp: cannot listen on \"localhost:80\": names are not looked up"));
  const Finished path = run({"--daemon", "--tcp", "127.0.0.1:0", "--local", "/" + std::string(107, 'x')});
  EXPECT_EQ(path.status, perdure::ExitStatus::exited(78));
  EXPECT_THAT(path.output, HasSubstr("it has 108 bytes, a Unix socket's at most 107"));
}

TEST_F(Upgradable, ASocketFileThatNobodyListensOnIsReplacedAndOneThatServesIsNot) {
  start();
  perdure::testing::kill_adopted(running(), SIGKILL);
  ASSERT_TRUE(std::filesystem::exists(local));
  const pid_t next = start();
  expect_served_by(next);
  const Finished other = run({"--daemon", "--instance", "other", "--tcp", "127.0.0.1:0", "--local", local});
  EXPECT_EQ(other.status, perdure::ExitStatus::exited(73));
  EXPECT_THAT(other.output, HasSubstr("another program listens there (ss -xlp names it)"));
  expect_served_by(next);
  stop();
}

// ── Under an init ─────────────────────────────────────────────────────────────────────────────────────────────────────────

class UnderInit : public Upgradable {
 protected:
  void SetUp() override {
    Upgradable::SetUp();
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (dir / "notify").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const int on = 1;
    ASSERT_EQ(::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    client_ = options;
    options.unset_env = {"JOURNAL_STREAM"};
    options.env.emplace_back("NOTIFY_SOCKET", dir / "notify");
  }

  struct Said {
    pid_t pid = 0;
    std::string text{};
  };
  /// The next datagram that is no ping, but one of `awaited`'s. A barrier's descriptor is closed, as an init does it.
  Said next(pid_t awaited = 0) {
    for (;;) {
      pollfd fd{socket_.get(), POLLIN, 0};
      if (::poll(&fd, 1, 30'000) <= 0) return {};
      char text[4096], control[256];
      iovec part{text, sizeof text};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t size = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
      Said said{0, {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))}};
      for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_type == SCM_CREDENTIALS) {
          ucred peer{};
          std::memcpy(&peer, CMSG_DATA(header), sizeof peer);
          said.pid = peer.pid;
        } else if (header->cmsg_type == SCM_RIGHTS) {
          int barrier = -1;
          std::memcpy(&barrier, CMSG_DATA(header), sizeof barrier);
          ::close(barrier);
        }
      }
      if (said.text == "WATCHDOG=1") last_ping = said.pid;
      if (said.text != "WATCHDOG=1" || said.pid == awaited) return said;
    }
  }
  Finished client(std::vector<std::string> words) { return perdure::testing::run(command(std::move(words)), client_); }

  UniqueFd socket_;
  perdure::testing::ProcessOptions client_;
  pid_t last_ping = 0;
};

TEST_F(UnderInit, TheOldOneNamesTheNewOneBeforeThatSpeaksAndNeverSaysThatItStops) {
  options.env.emplace_back("WATCHDOG_USEC", "100000");
  Process old{command(start_words("--foreground")), options};
  EXPECT_THAT(next().text, StartsWith("READY=1"));
  Process asking{command({"upgrade"}), client_};
  const Said main_pid = next();
  EXPECT_EQ(main_pid.pid, old.pid());
  EXPECT_EQ(last_ping, old.pid());
  const pid_t now = running();
  EXPECT_EQ(main_pid.text, "MAINPID=" + std::to_string(now));
  EXPECT_EQ(perdure::testing::proc_status(now, "PPid"), std::to_string(::getpid()))
      << "systemd kills at once in a stop what was not its child when it heard of it";
  EXPECT_EQ(next().text, "BARRIER=1");
  const Said ready = next();
  EXPECT_EQ(ready.pid, now);
  EXPECT_THAT(ready.text, StartsWith("READY=1"));
  EXPECT_TRUE(asking.wait().success()) << asking.output();
  EXPECT_EQ(old.wait().text(), "exited with 0");

  EXPECT_EQ(next(now).text, "WATCHDOG=1") << "it has a WATCHDOG_PID of its own";
  ASSERT_TRUE(client({"stop"}).status.success());
  const Said stopping = next();
  EXPECT_EQ(stopping.pid, now);
  EXPECT_THAT(stopping.text, StartsWith("STOPPING=1"));
}

TEST_F(UnderInit, SocketsOfTheInitSurviveDetachingAndUpgradesByTheirNames) {
  const UniqueFd opened{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)},
      extra{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  for (const auto* fd : {&opened, &extra}) {
    ASSERT_EQ(::bind(fd->get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(fd->get(), 8), 0);
  }
  ASSERT_EQ(::getsockname(opened.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  client_.env.insert(client_.env.end(), {{"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "extra:tcp"}});
  client_.unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM"};
  client_.pass_fds = {{extra.get(), 3}, {opened.get(), 4}};
  auto words = command(start_words("--daemon"));
  words.insert(words.begin(), {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""});
  const Finished started = perdure::testing::run(words, client_);
  ASSERT_TRUE(started.status.success()) << started.output;
  port = ntohs(address.sin_port);  // what the init opened, and not what the options say
  options = client_;
  options.pass_fds.clear();
  expect_served_by(running());
  const auto has_extra = [&](pid_t pid) {
    struct stat wanted {};
    EXPECT_EQ(::fstat(extra.get(), &wanted), 0);
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"}) {
      struct stat status {};
      if (::stat(entry.path().c_str(), &status) == 0 && status.st_ino == wanted.st_ino) return true;
    }
    return false;
  };
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(upgrade().status.success()) << log_text();
    expect_served_by(running());
    EXPECT_TRUE(has_extra(running()));
  }
  stop();
}

TEST_F(UnderInit, AnInitThatCannotBeToldIsAReasonToRefuse) {
  options.env.pop_back();
  client_ = options;
  // What systemd sets for Type=simple: only that it has started this process.
  auto words = command(start_words("--foreground"));
  words.insert(words.begin(), {"/bin/sh", "-c", "SYSTEMD_EXEC_PID=$$ exec \"$0\" \"$@\""});
  options.unset_env.emplace_back("NOTIFY_SOCKET");
  Process daemon{words, options};
  ASSERT_TRUE(eventually([&] { return client({"health"}).status.success(); })) << daemon.output();
  const Finished refused = client({"upgrade"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(refused.output, HasSubstr("run it with Type=notify"));
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

}  // namespace
}  // namespace upgrade_probe
