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

TEST(Sockets, EchoesAndStopsWhileAClientIsConnected) {
  TempDir dir;
  Process program{{EXAMPLE_PROGRAM, "--foreground"},
                  {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}}};
  ASSERT_TRUE(program.wait_for_output("127.0.0.1:")) << program.output();
  const std::string output = program.output();
  const int port = std::stoi(output.substr(output.find("127.0.0.1:") + 10));

  perdure::UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  for (int i = 0; i < 100; ++i) {
    char answer[6] = {};
    ASSERT_EQ(::send(client.get(), "hello", 5, MSG_NOSIGNAL), 5);
    ASSERT_EQ(::recv(client.get(), answer, 5, MSG_WAITALL), 5);
    ASSERT_STREQ(answer, "hello");
  }
  program.signal(SIGINT);
  EXPECT_EQ(program.wait().text(), "exited with 0");
}
