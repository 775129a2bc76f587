// Files and peers that mean harm, or are just broken.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.hpp"

namespace probe {
namespace {

TEST_F(Daemon, AHostilePidFileIsRefusedInOneLineAndLeftAlone) {
  const std::string victim = dir / "victim";
  write_file(victim, "precious\n");
  ASSERT_EQ(::symlink(victim.c_str(), pid_file.c_str()), 0);
  Finished refused = run({"--daemon"});
  EXPECT_EQ(refused.status.value(), 73) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr(pid_file));
  EXPECT_EQ(read_file(victim), "precious\n");
  ::unlink(pid_file.c_str());

  ::mkfifo(pid_file.c_str(), 0600);
  refused = run({"--daemon"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73));
  EXPECT_EQ(refused.output, "probe: cannot lock " + pid_file + ": it is not a regular file; nothing was started\n");
  ::unlink(pid_file.c_str());

  ::mkdir(pid_file.c_str(), 0700);
  refused = run({"--daemon"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73));
  EXPECT_EQ(refused.output, "probe: cannot lock " + pid_file + ": it is a directory; nothing was started\n");
  ::rmdir(pid_file.c_str());
}

TEST_F(Daemon, GarbageInThePidFileBlocksNoStart) {
  const std::string utf16{
      "\xff\xfe"
      "1\0"
      "2\0\n\0",
      8};
  const std::string numbers[] = {"", "abc\n", "-1\n", "99999999999999999999\n", "1\n2\n", utf16, std::string(100, '1')};
  for (const std::string& garbage : numbers) {
    write_file(pid_file, garbage);
    EXPECT_EQ(run({"stop", "--control=none"}).status, perdure::ExitStatus::exited(7)) << garbage;
    ASSERT_TRUE(run({"--daemon"}).status.success()) << garbage;
    ASSERT_TRUE(run({"stop"}).status.success());
  }
}

TEST_F(Daemon, APidFileOfAGigabyteIsNeitherReadNorInTheWay) {
  const auto grow = [&] { ASSERT_EQ(::truncate(pid_file.c_str(), 1'000'000'000), 0); };
  write_file(pid_file, "1\n");
  grow();
  const pid_t pid = detached();
  EXPECT_EQ(read_file(pid_file), std::to_string(pid) + "\n");
  grow();  // under the feet of the one that runs: the lock still says that it does, the number nothing
  EXPECT_EQ(run({"--daemon"}).status, perdure::ExitStatus::exited(75));
  EXPECT_EQ(run({"status", "--control=none"}).output, "probe: running\n");
  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_FALSE(read_file(pid_file).has_value());
}

TEST_F(Daemon, AConfigurationMayBeALinkButNotALoop) {
  const std::string target = dir / "target.conf";
  write_file(target, "number = 5\n");
  ::unlink(config.c_str());
  ASSERT_EQ(::symlink("target.conf", config.c_str()), 0);
  Process daemon = foreground();
  EXPECT_TRUE(daemon.wait_for_output("serving, number 5")) << daemon.output();

  ::unlink(target.c_str());
  ASSERT_EQ(::symlink("probe.conf", target.c_str()), 0);
  const Finished reload = run({"reload"});
  EXPECT_EQ(reload.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(reload.output, HasSubstr("(ELOOP); the settings stay as they were"));
  EXPECT_EQ(run({"number"}).output, "5\n");
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());

  const Finished refused = run({"--foreground"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(78));
  EXPECT_THAT(refused.output, HasSubstr("cannot read " + config + ": Too many levels of symbolic links (ELOOP)"));
}

TEST_F(Daemon, APidFileOfAnotherProcessIsNeverSignalled) {
  Process innocent{{"/bin/sleep", "60"}};
  write_file(pid_file, std::to_string(innocent.pid()) + "\n");
  EXPECT_EQ(run({"stop", "--control=none"}).status, perdure::ExitStatus::exited(7));
  EXPECT_EQ(run({"reload", "--control=none"}).status, perdure::ExitStatus::exited(7));
  EXPECT_FALSE(innocent.poll().has_value()) << "it was killed";
}

TEST_F(Daemon, AHostileConfigurationIsRefusedBeforeAnythingStarts) {
  const auto refuse = [&](const std::string& why) {
    const Finished refused = run({"--daemon"});
    EXPECT_EQ(refused.status, perdure::ExitStatus::exited(78)) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(why));
  };
  write_file(config, std::string(300, 'x'));
  refuse(":1:");
  // 1 GB, without having it: the size alone is refused.
  const int big = ::open(config.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::ftruncate(big, 1'000'000'000), 0);
  ::close(big);
  refuse(config);
  ::unlink(config.c_str());
  ::mkfifo(config.c_str(), 0600);
  refuse(config);
  ::unlink(config.c_str());
  ::mkdir(config.c_str(), 0700);
  refuse(config);
  ::rmdir(config.c_str());
  refuse("Config file not found");
  EXPECT_FALSE(perdure::PidFile::is_locked(pid_file));
}

TEST_F(Daemon, ALogThatCannotBeOpenedFailsTheStartWithItsPath) {
  ::mkdir(log.c_str(), 0700);
  const Finished refused = run({"--daemon"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73)) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr(log));
  EXPECT_FALSE(perdure::PidFile::is_locked(pid_file));
}

TEST_F(Daemon, SomethingElseAtTheSocketsPlaceIsLeftAlone) {
  write_file(dir / "probe.sock", "mine\n");
  const Finished refused = run({"--daemon"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73)) << refused.output;
  EXPECT_EQ(read_file(dir / "probe.sock"), "mine\n");
}

TEST_F(Daemon, AMuteClientDelaysNobody) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  std::vector<int> mute;
  for (int i = 0; i < 10; ++i) {
    mute.push_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (dir / "probe.sock").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(mute.back(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  // Its body serves a moment before it counts as ready, which is what `health` asks.
  EXPECT_TRUE(perdure::testing::eventually([&] { return run({"health"}).status.success(); }));
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
  for (const int fd : mute) ::close(fd);
}

}  // namespace
}  // namespace probe
