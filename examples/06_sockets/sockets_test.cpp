#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;

namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void expect_an_echo_from(int port, int times) {
  const perdure::UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_in address = loopback(port);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  for (int i = 0; i < times; ++i) {
    char answer[6] = {};
    ASSERT_EQ(::send(client.get(), "hello", 5, MSG_NOSIGNAL), 5);
    ASSERT_EQ(::recv(client.get(), answer, 5, MSG_WAITALL), 5);
    ASSERT_STREQ(answer, "hello");
  }
}

}  // namespace

TEST(Sockets, EchoesAndStopsWhileAClientIsConnected) {
  TempDir dir;
  Process program{{EXAMPLE_PROGRAM, "--foreground"},
                  {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}}};
  ASSERT_TRUE(program.wait_for_output("127.0.0.1:")) << program.output();
  const std::string output = program.output();
  const int port = std::stoi(output.substr(output.find("127.0.0.1:") + 10));

  perdure::UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_in address = loopback(port);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  for (int i = 0; i < 100; ++i) {
    char answer[6] = {};
    ASSERT_EQ(::send(client.get(), "hello", 5, MSG_NOSIGNAL), 5);
    ASSERT_EQ(::recv(client.get(), answer, 5, MSG_WAITALL), 5);
    ASSERT_STREQ(answer, "hello");
  }
  program.signal(SIGINT);
  EXPECT_EQ(program.wait().text(), "exited with 0");
}

TEST(Sockets, ASocketThatAnInitOpenedIsServedAfterDetaching) {
  TempDir dir;
  perdure::testing::adopt_orphans();
  const perdure::UniqueFd opened{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(opened.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(opened.get(), 8), 0);
  ASSERT_EQ(::getsockname(opened.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);

  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LISTEN_FDS", "1"}},
                                              .pass_fds = {{opened.get(), 3}}};
  // LISTEN_PID names the process that executes the program: the shell, before it becomes that.
  const auto started = perdure::testing::run(
      {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" --daemon --log-file \"$1\"", EXAMPLE_PROGRAM, dir / "log"}, here);
  ASSERT_TRUE(started.status.success()) << started.output;
  const std::string port = std::to_string(ntohs(address.sin_port));
  ASSERT_TRUE(perdure::testing::eventually([&] {
    return perdure::testing::read_file(dir / "log").value_or("").find("echo on 127.0.0.1:" + port + "\n") !=
           std::string::npos;
  })) << perdure::testing::read_file(dir / "log").value_or("");
  expect_an_echo_from(ntohs(address.sin_port), 3);
  const auto stopped = perdure::testing::run({EXAMPLE_PROGRAM, "stop"}, {.env = {{"RUNTIME_DIRECTORY", dir.path()}}});
  EXPECT_TRUE(stopped.status.success()) << stopped.output;
}
