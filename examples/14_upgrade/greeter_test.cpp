#include <perdure/pid_file.hpp>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using perdure::testing::TempDir;
using ::testing::HasSubstr;

namespace {

std::string greeting(const std::string& path) {
  const perdure::UniqueFd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "refused";
  char words[64] = {};
  const ssize_t got = ::recv(client.get(), words, sizeof words - 1, MSG_WAITALL);
  return {words, static_cast<std::size_t>(got > 0 ? got : 0)};
}

}  // namespace

TEST(Greeter, IsReplacedAndGoesOnGreeting) {
  perdure::testing::adopt_orphans();
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}},
                                              .unset_env = {"NOTIFY_SOCKET"}};
  const auto greeter = [&](std::vector<std::string> words) {
    words.insert(words.begin(), EXAMPLE_PROGRAM);
    return perdure::testing::run(words, here);
  };
  const std::string socket = dir / "greetings.sock", pid_file = dir / "greeter.pid";
  const auto started = greeter({"start", "--listen", socket});
  ASSERT_TRUE(started.status.success()) << started.output;
  const pid_t old = perdure::PidFile::holder(pid_file).value_or(0);
  EXPECT_EQ(greeting(socket), "greetings from " + std::to_string(old) + "\n");

  const auto upgraded = greeter({"upgrade"});
  ASSERT_TRUE(upgraded.status.success()) << upgraded.output;
  const pid_t now = perdure::PidFile::holder(pid_file).value_or(0);
  EXPECT_NE(now, old);
  EXPECT_EQ(upgraded.output, "upgraded: pid " + std::to_string(now) + " took over from pid " + std::to_string(old) + "\n");
  EXPECT_EQ(perdure::testing::wait_adopted(old).text(), "exited with 0");
  EXPECT_EQ(greeting(socket), "greetings from " + std::to_string(now) + "\n");
  EXPECT_TRUE(greeter({"stop"}).status.success());
  EXPECT_EQ(greeting(socket), "refused");
}
