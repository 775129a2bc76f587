// The program, over real sockets.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include "../support/trial.hpp"
#include "perdure/command.hpp"
#include "perdure/testing/process.hpp"

namespace {

using namespace std::chrono_literals;
using perdure::UniqueFd;
using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

UniqueFd connect_to(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!socket || connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error{"cannot connect to port " + std::to_string(port)};
  return socket;
}

std::string ask(int port, const std::string& request) {
  const UniqueFd socket = connect_to(port);
  trial::say(socket, request);
  return trial::hear(socket);
}

struct WebServer : testing::Test {
  perdure::testing::TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}}, .working_directory = dir.path()};
  int port = 0;

  /// In the foreground on a free port, once it listens.
  Process start(std::vector<std::string> more = {}) {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--foreground", "--port=0"};
    words.insert(words.end(), more.begin(), more.end());
    Process server{words, here};
    const std::string before = "listening on 127.0.0.1:";
    if (!server.wait_for_output(before)) throw std::runtime_error{"the server does not start: " + server.output()};
    eventually([&] { return server.output().find('\n', server.output().find(before)) != std::string::npos; });
    port = std::stoi(server.output().substr(server.output().find(before) + before.size()));
    return server;
  }
  nlohmann::json metrics() const { return nlohmann::json::parse(httplib::Client{"127.0.0.1", port}.Get("/metrics")->body); }
};

TEST_F(WebServer, AnswersWhatTheDocumentSays) {
  Process server = start();
  httplib::Client client{"127.0.0.1", port};
  const auto status = client.Get("/status");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->status, 200);
  EXPECT_EQ(status->body, "OK");
  EXPECT_EQ(status->get_header_value("Content-Type"), "text/plain");

  const auto before = metrics();
  ASSERT_TRUE(eventually([&] { return metrics()["uptime"] > before["uptime"]; }));
  EXPECT_EQ(before["requests_served"], 1);
  const double resident = std::stod(perdure::testing::proc_status(server.pid(), "VmRSS")) * 1024;
  EXPECT_NEAR(before["memory_usage"].get<double>(), resident, resident / 2);

  EXPECT_EQ(client.Get("/health")->status, 200);
  EXPECT_EQ(nlohmann::json::parse(client.Get("/health")->body)["status"], "OK");
}

TEST_F(WebServer, RefusesWhatItDoesNotKnow) {
  Process server = start();
  httplib::Client client{"127.0.0.1", port};
  EXPECT_EQ(client.Get("/nowhere")->status, 404);
  EXPECT_EQ(client.Get("/status/%0a..%2f")->status, 404);
  const auto post = client.Post("/status", "x=1", "text/plain");
  EXPECT_EQ(post->status, 405);
  EXPECT_EQ(post->get_header_value("Allow"), "GET, HEAD");
  EXPECT_THAT(client.Head("/status")->body, IsEmpty());
  EXPECT_THAT(ask(port, "dance\r\n\r\n"), AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("error 400\n")));
  EXPECT_THAT(ask(port, "BREW /status HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(port, "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 414 "));
  EXPECT_THAT(ask(port, "POST /status HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(client.Get("/status")->body, "OK") << "and goes on";
}

TEST_F(WebServer, TheBodyOfAGetIsNotTakenForARequest) {
  Process server = start();
  const std::string hidden = "GET /metrics HTTP/1.1\r\n\r\n";
  const auto answer =
      ask(port, "GET /status HTTP/1.1\r\nContent-Length: " + std::to_string(hidden.size()) + "\r\n\r\n" + hidden);
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\nOK"));
}

TEST_F(WebServer, CountsAThousandRequestsFromManyClients) {
  Process server = start();
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int i = 0; i < 10; ++i)
    clients.emplace_back([&] {
      httplib::Client client{"127.0.0.1", port};
      for (int k = 0; k < 100; ++k)
        if (const auto answer = client.Get("/status"); answer && answer->body == "OK") ++answered;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 1000);
  EXPECT_EQ(metrics()["requests_served"], 1000);
}

TEST_F(WebServer, HealthBecomesStaleAndAReloadMayChangeWhen) {
  perdure::testing::write_file(dir / "web.conf", "stale_after = 1ms\n");
  Process server = start({"--config", dir / "web.conf"});
  httplib::Client client{"127.0.0.1", port};
  ASSERT_TRUE(eventually([&] { return client.Get("/health")->status == 503; }));
  EXPECT_EQ(nlohmann::json::parse(client.Get("/health")->body)["status"], "STALE");
  perdure::testing::write_file(dir / "web.conf", "stale_after = 1h\n");
  server.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return client.Get("/health")->status == 200; }));
}

TEST_F(WebServer, SlowClientsDelayNobodyAndAreCutOff) {
  Process server = start({"--request-within=2s"});
  std::vector<UniqueFd> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(connect_to(port));
    if (i % 2 == 0) trial::say(slow.back(), "GET /status HTTP/1.1\r\nX-Slow: ");
  }
  EXPECT_EQ(httplib::Client("127.0.0.1", port).Get("/status")->body, "OK");
  // One drips a byte whenever it can, and so never is silent for long.
  EXPECT_TRUE(eventually([&] { return send(slow.front().get(), "x", 1, MSG_NOSIGNAL) < 0; })) << "cut off";
  for (const UniqueFd& client : slow) EXPECT_THAT(trial::hear(client), testing::Not(HasSubstr("200")));
}

TEST_F(WebServer, SigtermFinishesWhatIsInFlightAndIsNotHeldUp) {
  Process server = start();
  const UniqueFd mute = connect_to(port), half = connect_to(port);
  trial::say(half, "GET /status HTTP/1.1\r\n");
  EXPECT_EQ(httplib::Client("127.0.0.1", port).Get("/status")->body, "OK") << "both are accepted by now";
  server.signal(SIGTERM);
  ASSERT_TRUE(server.wait_for_output("Shutdown requested"));
  trial::say(half, "\r\n");
  EXPECT_THAT(trial::hear(half), testing::EndsWith("\r\n\r\nOK"));
  EXPECT_EQ(server.wait().text(), "exited with 0") << server.output();
  EXPECT_EQ(trial::hear(mute), "");
}

TEST_F(WebServer, APortInUseEndsTheLauncherWithOneAndALogLine) {
  Process server = start();
  const std::string log = dir / "log";
  const auto second = perdure::testing::run({EXAMPLE_PROGRAM, "--daemon", "--port=" + std::to_string(port),
                                             "--log-file=" + log, "--pid-file=" + dir / "second.pid", "--control=none"},
                                            here);
  EXPECT_EQ(second.status.value(), 1) << second.output;
  const std::string why =
      "Failed to start server: cannot listen on 127.0.0.1:" + std::to_string(port) + ": Address already in use (EADDRINUSE)";
  EXPECT_THAT(second.output, HasSubstr(why));
  EXPECT_THAT(*read_file(log), HasSubstr(why));
  EXPECT_EQ(httplib::Client("127.0.0.1", port).Get("/status")->body, "OK") << "the first one goes on";
}

TEST_F(WebServer, TheTerminalGetsItBackOnceClientsCanConnect) {
  const std::string log = dir / "log";
  const auto started = perdure::testing::run({EXAMPLE_PROGRAM, "--daemon", "--port=0", "--log-file=" + log}, here);
  ASSERT_TRUE(started.status.success()) << started.output;
  const std::string text = *read_file(log), before = "listening on 127.0.0.1:";
  ASSERT_THAT(text, HasSubstr(before));
  EXPECT_EQ(httplib::Client("127.0.0.1", std::stoi(text.substr(text.find(before) + before.size()))).Get("/status")->body,
            "OK");
  EXPECT_TRUE(perdure::testing::run({EXAMPLE_PROGRAM, "stop"}, here).status.success());
  EXPECT_THAT(*read_file(log), HasSubstr("Shutdown requested"));
}

TEST_F(WebServer, SpeaksTlsWithACertificate) {
  const auto made = perdure::Command{"openssl"}
                        .args({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                               "-keyout", dir / "key.pem", "-out", dir / "cert.pem"})
                        .output();
  if (!made || !made->status.success()) GTEST_SKIP() << "no openssl to make a certificate with";
  Process server = start({"--tls-cert=cert.pem", "--tls-key=key.pem"});
  httplib::SSLClient client{"127.0.0.1", port};
  client.enable_server_certificate_verification(false);
  const auto status = client.Get("/status");
  ASSERT_TRUE(status) << httplib::to_string(status.error());
  EXPECT_EQ(status->body, "OK");
  EXPECT_THAT(ask(port, "GET /status HTTP/1.1\r\n\r\n"), testing::Not(HasSubstr("OK"))) << "not in the clear";
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait().text(), "exited with 0");
}

TEST_F(WebServer, ACertificateWithoutKeyIsRefused) {
  for (const char* option : {"--tls-cert=no.pem", "--tls-key=no.pem"}) {
    const auto refused = perdure::testing::run({EXAMPLE_PROGRAM, "--foreground", "--port=0", option}, here);
    EXPECT_EQ(refused.status.value(), 1);
    EXPECT_THAT(refused.output, HasSubstr("Failed to start server: cannot use certificate "));
  }
}

}  // namespace
