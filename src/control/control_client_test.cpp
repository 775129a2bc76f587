
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_test_support.hpp"

namespace perdure::control {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Serves in a thread of its own, because ControlClient waits.
class Background {
 public:
  explicit Background(ControlServerOptions options) : served_(std::move(options)) {
    thread_ = std::thread{[this] {
      while (!stopping_) served_.work();
    }};
  }
  ~Background() {
    stopping_ = true;
    thread_.join();
  }

 private:
  Served served_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// A listener that does with its one client what a test says.
class Impostor {
 public:
  Impostor(const std::string& path, std::string answer) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), 1), 0);
    thread_ = std::thread{[this, answer = std::move(answer)] {
      const UniqueFd client{::accept(fd_.get(), nullptr, nullptr)};
      char request[1024];
      if (::recv(client.get(), request, sizeof request, 0) <= 0) return;
      for (std::string_view rest = answer; !rest.empty();) {
        const ssize_t count = ::send(client.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (count <= 0) return;
        rest.remove_prefix(static_cast<std::size_t>(count));
      }
    }};
  }
  ~Impostor() { thread_.join(); }

 private:
  UniqueFd fd_;
  std::thread thread_;
};

class ControlClientTest : public testing::Test {
 protected:
  /// What a client makes of a daemon that answers with these bytes and closes.
  std::string made_of(const std::string& answer) {
    const std::string there = directory.file("impostor" + std::to_string(++impostors_));
    const Impostor impostor{there, answer};
    auto client = ControlClient::connect(there);
    if (!client) return client.error().message();
    const auto reply = client->request("status", "", hang_limit);
    return reply ? "reply: " + reply->message : reply.error().message();
  }

  TemporaryDirectory directory;
  std::string path = directory.file("control.sock");

 private:
  int impostors_ = 0;
};

TEST_F(ControlClientTest, AsksAnyNumberOfTimesOnOneConnection) {
  const Background server{{.path = path}};
  auto client = ControlClient::connect(path);
  ASSERT_TRUE(client) << client.error().message();
  for (int i = 0; i < 100; ++i) {
    const std::string text = "line " + std::to_string(i) + "\nand \"more\"";
    const auto reply = client->request("echo", text, hang_limit);
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_TRUE(reply->ok);
    EXPECT_EQ(reply->message, text);
  }
  const auto refused = client->request("bogus", "", hang_limit);
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->ok);
  EXPECT_EQ(refused->message, "unknown command");
}

TEST_F(ControlClientTest, ALargeAnswerArrivesWhole) {
  const Background server{{.path = path}};
  auto client = ControlClient::connect(path);
  ASSERT_TRUE(client);
  const auto reply = client->request("bulk", "1000000", hang_limit);
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->message.size(), 1'000'000U);
}

TEST_F(ControlClientTest, NobodyThereIsSaidWithAQuestionThatHelps) {
  const auto absent = ControlClient::connect(path);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), ENOENT);
  EXPECT_EQ(absent.error().message(), "cannot connect to " + path + ": No such file or directory (ENOENT); is it running?");

  const UniqueFd dead{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto refused = ControlClient::connect(path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ECONNREFUSED);
  EXPECT_THAT(refused.error().message(), HasSubstr("(ECONNREFUSED); is it running?"));

  EXPECT_EQ(ControlClient::connect("/tmp/" + std::string(200, 'x')).error().code(), ENAMETOOLONG);
}

TEST_F(ControlClientTest, AFullQueueIsWaitedForNoLongerThanAllowed) {
  const UniqueFd busy{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(busy.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(busy.get(), 0), 0);
  const RawClient takes_the_only_place{path};
  const auto client = ControlClient::connect(path, 30ms);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code(), ETIMEDOUT);
  EXPECT_EQ(client.error().message(),
            "cannot connect to " + path + ": no answer within 30 ms (ETIMEDOUT); it runs, but takes no connections");
}

TEST_F(ControlClientTest, AnAnswerThatDoesNotComeInTimeEndsTheConnection) {
  const Background server{{.path = path}};
  auto client = ControlClient::connect(path);
  ASSERT_TRUE(client);
  const auto late = client->request("hold", "x", 30ms);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().message(), "no answer within 30 ms (ETIMEDOUT)");
  EXPECT_EQ(late.error().code(), ETIMEDOUT);
  const auto after = client->request("status", "", hang_limit);
  ASSERT_FALSE(after) << "the late answer would be taken for this one's";
  EXPECT_EQ(after.error().message(), "the connection to the daemon is closed; connect again");
  EXPECT_EQ(client->fd(), -1);
}

TEST_F(ControlClientTest, WhatItIsToldAtTheDoorIsPassedOn) {
  EXPECT_EQ(made_of("error: too many connections (32); try again later\n"),
            "the daemon refused: too many connections (32); try again later");
}

TEST_F(ControlClientTest, WhatIsNoAnswerIsAnError) {
  EXPECT_EQ(made_of(""), "the daemon closed the connection without an answer");
  EXPECT_EQ(made_of("{\"ok\":true"), "the daemon closed the connection without an answer");
  EXPECT_EQ(made_of("HTTP/1.1 200 OK\r\n"), "the answer is not valid JSON (at byte 1): \"HTTP/1.1 200 OK\\r\"");
  EXPECT_EQ(made_of(std::string(2'000'000, 'x')), "the answer is longer than 1048576 bytes");
  EXPECT_EQ(made_of("{\"ok\":true,\"text\":\"fine\",\"new\":1}\n"), "reply: fine") << "later protocols add members";
}

TEST_F(ControlClientTest, ARequestThatIsTooLongIsNotSent) {
  const Background server{{.path = path}};
  auto client = ControlClient::connect(path);
  ASSERT_TRUE(client);
  const auto refused = client->request("echo", std::string(70'000, 'x'), hang_limit);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "the request is longer than 65536 bytes; nothing was sent");
  EXPECT_TRUE(client->request("status", "", hang_limit)) << "the connection is as good as before";
}

}  // namespace
}  // namespace perdure::control
