#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::TempDir;

namespace {

/// Head and body of the answer; "" where nobody listens.
std::string get(int port, const std::string& path) {
  const perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  if (::write(fd.get(), request.data(), request.size()) < 0) return "";
  std::string answer;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::read(fd.get(), buffer, sizeof buffer)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(count));
  return answer;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST(Http, AMonitorLearnsHealthReadinessAndMetrics) {
  TempDir dir;
  Process program{
      {EXAMPLE_PROGRAM, "--foreground", "--port", "0"},
      {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}, .working_directory = dir.path()}};
  ASSERT_TRUE(program.wait_for_output("/healthz, /readyz, /metrics\n")) << program.output();
  const std::string log = program.output();
  const int port = std::atoi(log.c_str() + log.find("http://127.0.0.1:") + 17);

  EXPECT_TRUE(eventually([&] { return has(get(port, "/readyz"), "200 OK"); })) << get(port, "/readyz");
  EXPECT_TRUE(has(get(port, "/healthz"), "\r\n\r\nok\n")) << get(port, "/healthz");
  EXPECT_TRUE(has(get(port, "/metrics"), "\nperdure_up 1\n")) << get(port, "/metrics");
  EXPECT_TRUE(eventually([&] {
    const std::string metrics = get(port, "/metrics");
    return has(metrics, "# TYPE http_readings_total counter\n") && !has(metrics, "http_readings_total 0\n");
  }));

  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0") << program.output();
  EXPECT_EQ(get(port, "/healthz"), "");
}
