#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/pid_file.hpp>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using perdure::testing::Finished;
using perdure::testing::proc_status;
using ::testing::HasSubstr;

/// A port that nobody uses at this moment.
int free_port() {
  const perdure::UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

std::string ask(int port) {
  const perdure::UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char answer[32] = {};
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "nobody answers";
  (void)::recv(client.get(), answer, sizeof answer - 1, MSG_WAITALL);
  return answer;
}

struct RightsExample : ::testing::Test {
  perdure::testing::TempDir dir;
  int port = free_port();

  Finished run(std::vector<std::string> words) const {
    words.insert(words.begin(), EXAMPLE_PROGRAM);
    words.insert(words.end(), {"--pid-file", dir / "own/rights.pid", "--control", dir / "own/rights.sock", "--log-file",
                               dir / "own/log", "--port", std::to_string(port)});
    return perdure::testing::run(words);
  }
};

TEST_F(RightsExample, OpensItsPortAsRootAndServesAsNobody) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ::chmod(dir.path().c_str(), 0755);
  const Finished started = run({"start"});
  ASSERT_TRUE(started.status.success()) << started.output;
  EXPECT_EQ(ask(port), "uid 65534\n");
  const pid_t pid = perdure::PidFile::holder(dir / "own/rights.pid").value_or(0);
  EXPECT_EQ(proc_status(pid, "CapEff"), "0000000000000000");
  EXPECT_EQ(proc_status(pid, "Seccomp"), "2");
  EXPECT_THAT(run({"status"}).output, HasSubstr("rights: user nobody"));
  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_FALSE(perdure::testing::read_file(dir / "own/rights.pid").has_value());
}

TEST_F(RightsExample, SaysToAnOrdinaryUserWhyItCannot) {
  if (::geteuid() == 0) GTEST_SKIP() << "needs an ordinary user";
  const Finished refused = run({"start", "--user", "root"});
  EXPECT_EQ(refused.status.value(), 77);
  EXPECT_THAT(refused.output, HasSubstr("cannot become the user root: this process is uid"));
}

TEST_F(RightsExample, AnOrdinaryUserMayStayItself) {
  if (::geteuid() == 0) GTEST_SKIP() << "needs an ordinary user";
  ::mkdir((dir / "own").c_str(), 0755);
  const Finished started = run({"start", "--user", std::to_string(::geteuid())});
  ASSERT_TRUE(started.status.success()) << started.output;
  EXPECT_EQ(ask(port), "uid " + std::to_string(::geteuid()) + "\n");
  EXPECT_TRUE(run({"stop", "--user", std::to_string(::geteuid())}).status.success());
}

TEST(AppArmorProfile, IsOneThatItsParserTakes) {
  const std::string profile = EXAMPLE_DIR "/../../packaging/apparmor/usr.local.bin.rights";
  for (const char* parser : {"/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"}) {
    if (::access(parser, X_OK) != 0) continue;
    const Finished parsed = perdure::testing::run({parser, "--skip-kernel-load", "--skip-cache", profile});
    EXPECT_TRUE(parsed.status.success()) << parsed.output;
    return;
  }
  GTEST_SKIP() << "apparmor_parser is not installed";
}

}  // namespace
