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
  EXPECT_NE(run({"--daemon"}).status.value(), 0);
  ::unlink(pid_file.c_str());

  ::mkdir(pid_file.c_str(), 0700);
  EXPECT_NE(run({"--daemon"}).status.value(), 0);
  ::rmdir(pid_file.c_str());

  for (const char* garbage : {"", "abc\n", "-1\n", "99999999999999999999\n", "1\n2\n"}) {
    write_file(pid_file, garbage);
    ASSERT_TRUE(run({"--daemon"}).status.success()) << "garbage never blocks a start: " << garbage;
    ASSERT_TRUE(run({"stop"}).status.success());
  }
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
