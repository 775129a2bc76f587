// What an init hears and gives: sd_notify, watchdog, socket activation, under a notify socket of the test's own.
#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.hpp"

namespace probe {
namespace {

class Init : public Daemon {
 protected:
  void SetUp() override {
    Daemon::SetUp();
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir / "notify";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    options.unset_env.erase(options.unset_env.begin());
    options.env.emplace_back("NOTIFY_SOCKET", path);
  }
  void TearDown() override { ::close(socket_); }

  /// The next datagram, or "" when none comes before the hang limit (or `within`).
  std::string next(int within_ms = 30'000) const {
    pollfd fd{socket_, POLLIN, 0};
    if (::poll(&fd, 1, within_ms) <= 0) return "";
    char buffer[4096];
    const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
    return {buffer, static_cast<std::size_t>(size < 0 ? 0 : size)};
  }
  int socket_ = -1;
};

TEST_F(Init, HearsReadyReloadingReadyAndStoppingInThisOrder) {
  Process daemon = foreground();
  EXPECT_THAT(next(), HasSubstr("READY=1"));
  write_file(config, "number = broken\n");
  daemon.signal(SIGHUP);
  const std::string reloading = next();
  EXPECT_THAT(reloading, HasSubstr("RELOADING=1"));
  EXPECT_THAT(reloading, HasSubstr("MONOTONIC_USEC="));
  const std::string refused = next();
  EXPECT_THAT(refused, HasSubstr("READY=1"));
  EXPECT_THAT(refused, HasSubstr("STATUS=reload refused"));
  daemon.signal(SIGTERM);
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  EXPECT_TRUE(daemon.wait().success());
  EXPECT_THAT(daemon.output(), HasSubstr("<6>")) << "priorities for the journal";
}

TEST_F(Init, HearsReadyAlsoWhenItsQueueWasFull) {
  const perdure::UniqueFd other{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const auto fill = [&] {
    return ::sendto(other.get(), "STATUS=full", 11, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), size) > 0;
  };
  while (fill()) {
  }
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("trying again")) << daemon.output();
  std::string heard;
  do heard = next();
  while (heard == "STATUS=full");
  EXPECT_EQ(heard, "READY=1\nSTATUS=serving");
  daemon.signal(SIGTERM);
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Init, ABodyThatNeverWaitsIsNeverAnnounced) {
  Process daemon = foreground({"--do=never-ready", "--within=200ms"});
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  daemon.signal(SIGTERM);
  daemon.signal(SIGTERM);
  EXPECT_NE(daemon.wait().value(), 0);
}

TEST_F(Init, PingsStopWhenTheBodyIsStuck) {
  options.unset_env.clear();
  options.env.emplace_back("WATCHDOG_USEC", "200000");
  Process busy = foreground({"--do=busy"});
  ASSERT_TRUE(busy.wait_for_output("counts as stuck")) << busy.output();
  while (!next(0).empty()) {
  }
  EXPECT_EQ(next(300), "") << "no ping after the body was found stuck";
  busy.signal(SIGTERM);
  EXPECT_TRUE(busy.wait().success());
}

TEST_F(Init, PingsGoOnWhileTheBodyWaitsOrBeats) {
  options.unset_env.clear();
  options.env.emplace_back("WATCHDOG_USEC", "100000");
  for (const char* act : {"--do=serve", "--do=beat"}) {
    Process daemon = foreground({act});
    int pings = 0;
    while (pings < 5) {
      const std::string said = next();
      ASSERT_NE(said, "") << act;
      pings += said.find("WATCHDOG=1") != std::string::npos ? 1 : 0;
    }
    daemon.signal(SIGTERM);
    EXPECT_TRUE(daemon.wait().success());
    while (!next(0).empty()) {
    }
  }
}

TEST_F(Init, IsAskedForPatienceAsLongAsABodyThatStopsMakesProgress) {
  options.env.emplace_back("PROBE_HEARTBEAT_MS", "200");
  Process daemon = foreground({"--do=stop-slowly"});
  EXPECT_THAT(next(), HasSubstr("READY=1"));
  daemon.signal(SIGTERM);
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  for (int i = 0; i < 5; ++i) ASSERT_EQ(next(), "EXTEND_TIMEOUT_USEC=200000") << i;
  write_file(dir / "finish", "");
  EXPECT_TRUE(daemon.wait().success()) << daemon.output();
}

TEST_F(Init, IsNotAskedForPatienceWithABodyThatHangs) {
  options.env.emplace_back("PROBE_HEARTBEAT_MS", "200");
  Process daemon = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(daemon.wait_for_output("counts as stuck")) << daemon.output();
  EXPECT_THAT(next(), HasSubstr("READY=1"));
  daemon.signal(SIGTERM);
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  EXPECT_EQ(next(500), "");
  daemon.signal(SIGTERM);
  EXPECT_NE(daemon.wait().value(), 0);
}

TEST_F(Init, IsAskedForNothingWhereNoHeartbeatTellsOfProgress) {
  Process daemon = foreground({"--do=stop-slowly"});
  EXPECT_THAT(next(), HasSubstr("READY=1"));
  daemon.signal(SIGTERM);
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  write_file(dir / "finish", "");
  EXPECT_TRUE(daemon.wait().success());
  EXPECT_EQ(next(0), "");
}

TEST_F(Init, StartStopAndRestartNameTheInitsCommand) {
  for (const char* verb : {"start", "stop", "restart"}) {
    const Finished refused = run({verb});
    EXPECT_EQ(refused.status, perdure::ExitStatus::exited(64)) << verb;
    EXPECT_THAT(refused.output, HasSubstr("systemctl"));
  }
}

TEST_F(Init, AnAddressThatCannotBeUsedIsAClearError) {
  options.env.back().second = "relative";
  const Finished refused = run({"--foreground"});
  EXPECT_NE(refused.status.value(), 0);
  EXPECT_THAT(refused.output, HasSubstr("NOTIFY_SOCKET"));
}

}  // namespace
}  // namespace probe
