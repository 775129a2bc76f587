#include <fcntl.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/connection.hpp"
#include "control/control_test_support.hpp"
#include "control/listening_socket.hpp"

namespace perdure::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(served.is_up()) << served.error(); }

  TemporaryDirectory directory;
  std::string path = directory.file("control.sock");
  Served served{{.path = path}};
};

TEST_F(ControlServerTest, APlainLineIsAnsweredInPlainTextAndTheConnectionClosed) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "status\n"));
  EXPECT_EQ(client.read_to_end(served), "running\n");
  EXPECT_EQ(served.last().json, "");
  EXPECT_EQ(served.last().peer.uid, ::geteuid());
  EXPECT_EQ(served.last().peer.pid, ::getpid());
}

TEST_F(ControlServerTest, TheNewlineMayBeMissingAtTheEndAndACarriageReturnMayStandBeforeIt) {
  EXPECT_EQ(ask(served, path, "status"), "running\n");
  EXPECT_EQ(ask(served, path, "status\r\n"), "running\n");
  EXPECT_EQ(ask(served, path, R"({"verb":"status"})"), "{\"ok\":true,\"text\":\"running\",\"protocol\":1}\n");
  EXPECT_EQ(ask(served, path, "echo build project\n"), "build project\n");
}

TEST_F(ControlServerTest, WithAnotherListenerWhoIsConnectedOrWaitsIsStillServed) {
  RawClient connected{path};
  ASSERT_TRUE(connected.send(served, "{\"verb\":\"status\"}\n"));
  EXPECT_THAT(connected.read_lines(served), HasSubstr("running"));
  RawClient waiting{path};  // nobody has let it in yet
  ::unlink(path.c_str());
  auto fresh = ListeningSocket::at(path);
  ASSERT_TRUE(fresh);
  std::vector<Request> requests;
  ASSERT_TRUE(served->listen_at(fresh->fd(), requests));
  fresh->release();
  EXPECT_THAT(requests, testing::IsEmpty());
  ASSERT_TRUE(connected.send(served, "{\"verb\":\"status\"}\n"));
  EXPECT_THAT(connected.read_lines(served), HasSubstr("running"));
  ASSERT_TRUE(waiting.send(served, "status\n"));
  EXPECT_EQ(waiting.read_to_end(served), "running\n");
  EXPECT_EQ(ask(served, path, "status"), "running\n");
  EXPECT_FALSE(served->listen_at(STDIN_FILENO, requests)) << "it is no listening socket";
  EXPECT_EQ(ask(served, path, "status"), "running\n");
}

TEST_F(ControlServerTest, ARequestMayArriveInAnyTwoParts) {
  for (const std::string line : {"echo two words\n", "{\"verb\":\"echo\",\"text\":\"two words\"}\n"}) {
    const std::string whole = ask(served, path, line);
    EXPECT_THAT(whole, HasSubstr("two words"));
    for (std::size_t cut = 1; cut < line.size(); ++cut) {
      RawClient client{path};
      const auto before = served.served();
      ASSERT_TRUE(client.send(served, line.substr(0, cut)));
      ASSERT_TRUE(served.work_until([&] { return served->connections() == 1 && served.is_quiet(); }));
      EXPECT_EQ(served.served(), before) << "half a line is no request, cut at " << cut;
      EXPECT_EQ(client.ask(served, line.substr(cut)), whole) << cut;
    }
  }
}

TEST_F(ControlServerTest, JsonRequestsOfOneConnectionAreAnsweredInTheirOrder) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served,
                          "{\"verb\":\"hold\",\"text\":\"1\"}\n{\"verb\":\"hold\",\"text\":\"2\"}\n"
                          "{\"verb\":\"echo\",\"text\":\"3\"}\n{\"verb\":4}\n{\"verb\":\"nonsense\"}\n"));
  ASSERT_TRUE(served.work_until([&] { return served.served() == 4; }));
  served.release(1);
  served.release(0);
  EXPECT_EQ(client.read_lines(served, 5),
            "{\"ok\":true,\"text\":\"released 1\",\"protocol\":1}\n"
            "{\"ok\":true,\"text\":\"released 2\",\"protocol\":1}\n"
            "{\"ok\":true,\"text\":\"3\",\"protocol\":1}\n"
            "{\"ok\":false,\"text\":\"the request has a number where \\\"verb\\\" must be a string\",\"protocol\":1}\n"
            "{\"ok\":false,\"text\":\"unknown command\",\"protocol\":1}\n");
  EXPECT_EQ(client.ask(served, "status\n"), "running\n") << "a plain line is the last one";
}

TEST_F(ControlServerTest, AHundredPipelinedRequestsAreAllAnswered) {
  RawClient client{path};
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "{\"verb\":\"echo\",\"text\":\"" + std::to_string(i) + "\"}\n";
  ASSERT_TRUE(client.send(served, lines));
  client.half_close();
  const std::string answers = client.read_to_end(served);
  EXPECT_EQ(std::count(answers.begin(), answers.end(), '\n'), 100);
  EXPECT_THAT(answers, HasSubstr("\"text\":\"99\",\"protocol\":1}\n"));
}

TEST_F(ControlServerTest, ARequesterThatHalfClosedStillGetsAnAnswerThatComesLater) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  client.half_close();
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  served.work();
  served.release();
  EXPECT_EQ(client.read_to_end(served), "released x\n");
}

TEST_F(ControlServerTest, AnAnswerIsOnItsWayBeforeReplyReturns) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  served.release();
  char bytes[64];
  EXPECT_EQ(::recv(client.fd(), bytes, sizeof bytes, MSG_DONTWAIT), 11);
}

TEST_F(ControlServerTest, ALargeAnswerArrivesWholeThoughTheSocketTakesItInParts) {
  EXPECT_EQ(ask(served, path, "bulk 1000000\n").size(), 1'000'001U);
  EXPECT_THAT(ask(served, path, "bulk 2000000\n"),
              StartsWith("error: the command's answer cannot be sent: it has 2000001 bytes"));
}

TEST_F(ControlServerTest, AnAnswerIsUsedOnceAndAnUnknownOneIgnored) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  const auto id = served.held().front().id;
  served.release();
  served->reply(id, Reply::text("again"));
  served->reply(424242, Reply::text("never asked"));
  EXPECT_EQ(client.read_to_end(served), "released x\n");
}

TEST_F(ControlServerTest, NothingToDoMeansThatItsDescriptorIsSilent) {
  EXPECT_TRUE(served.is_quiet());
  EXPECT_FALSE(served->next_deadline());
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  client.half_close();
  EXPECT_TRUE(served.is_quiet()) << "while the owner thinks, a half-closed requester wakes nobody";
  EXPECT_FALSE(served->next_deadline());
  served.release();
  EXPECT_EQ(client.read_to_end(served), "released x\n");
  ASSERT_TRUE(served.work_until([&] { return served->connections() == 0; }));
  EXPECT_TRUE(served.is_quiet());
}

TEST_F(ControlServerTest, TheSocketIsPrivateAndGoesWithTheServer) {
  struct stat status {};
  ASSERT_EQ(::lstat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, mode_t{S_IFSOCK | 0600});
  RawClient client{path};
  served.work();
  { const ControlServer gone = std::move(*served); }
  EXPECT_THAT(directory.names(), ElementsAre());
  char byte = 0;
  EXPECT_EQ(::recv(client.fd(), &byte, 1, 0), 0);
}

TEST(ControlServerAdoption, AHandedOverListenerIsServedAndItsPathStays) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd, 5), 0);
  {
    Served served{{.listener = fd}};
    ASSERT_TRUE(served.is_up()) << served.error();
    EXPECT_EQ(served->listener(), fd);
    EXPECT_EQ(ask(served, path, "status\n"), "running\n");
  }
  EXPECT_THAT(directory.names(), ElementsAre("s"));
}

TEST(ControlServerAdoption, ASuccessorServesOnTheSameSocketAndTheFileGoesWithIt) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  auto former = std::make_unique<Served>(ControlServerOptions{.path = path});
  const auto file = (*former)->file();
  EXPECT_EQ(file.path, path);
  {
    Served successor{{.listener = ::fcntl((*former)->listener(), F_DUPFD_CLOEXEC, 0)}};
    ASSERT_TRUE(successor.is_up()) << successor.error();
    (*former)->leave_to_successor();
    EXPECT_EQ((*former)->listener(), -1);
    successor->take_over(file);
    former.reset();
    EXPECT_THAT(directory.names(), ElementsAre("s"));
    EXPECT_EQ(ask(successor, path, "status\n"), "running\n");
  }
  EXPECT_THAT(directory.names(), ElementsAre());
}

TEST(PeerCredentials, AreThoseOfTheProcessAtTheOtherEnd) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours{ends[0]};
  const UniqueFd theirs{ends[1]};
  const auto peer = peer_credentials(ours.get());
  ASSERT_TRUE(peer) << peer.error().message();
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->uid, ::getuid());
  EXPECT_EQ(peer->gid, ::getgid());
  EXPECT_THAT(peer_credentials(-1).error().message(), HasSubstr("(EBADF)"));
}

/// What requesters and callers read when something is wrong, word for word. PERDURE_UPDATE_GOLDEN=1 rewrites the file; read the
/// difference before you keep it.
TEST_F(ControlServerTest, ErrorTextsAreThoseOfTheGoldenFile) {
  std::ostringstream said;
  const auto hear = [&](std::string_view name, std::string_view line) {
    said << "# " << name << '\n' << ask(served, path, line);
  };
  const auto fails = [&](std::string_view name, const ControlServerOptions& options) {
    const auto server = ControlServer::listen(options);
    std::string text = server ? "listens" : server.error().message();
    for (auto at = text.find(directory.path()); at != std::string::npos; at = text.find(directory.path())) {
      text.replace(at, directory.path().size(), "/DIR");
    }
    said << "# " << name << '\n' << text << '\n';
  };
  hear("unknown command", "bogus\n");
  hear("unknown command, JSON", "{\"verb\":\"bogus\"}\n");
  hear("empty line", "\n");
  hear("empty object", "{}\n");
  hear("a command's own error", "fail queue full\n");
  hear("10,000 bytes of garbage", std::string(10'000, 'x') + "\n");
  hear("1 MB of garbage without a newline", std::string(1'000'000, 'x'));
  hear("1 MB of JSON without a newline", "{\"x\":\"" + std::string(1'000'000, 'x'));
  hear("10,000 brackets", std::string(10'000, '[') + "\n");
  hear("10,000 brackets in an object", "{\"verb\":\"status\",\"x\":" + std::string(10'000, '[') + "\n");
  hear("NUL", std::string_view("status\0\n", 8));
  hear("not UTF-8", "echo \xff\xfe\n");
  hear("wrong type", "{\"verb\":[]}\n");
  hear("twice the same member", "{\"verb\":\"status\",\"verb\":\"stop\"}\n");
  hear("more after the object", "{\"verb\":\"status\"} and more\n");
  hear("another protocol", "{\"verb\":\"status\",\"protocol\":2}\n");

  std::ofstream{directory.file("file")} << "precious";
  fails("no path", {});
  fails("a regular file in the way", {.path = directory.file("file")});
  fails("no directory", {.path = directory.file("missing/s")});
  fails("a file where a directory should be", {.path = directory.file("file/s")});
  fails("too long", {.path = "/run/" + std::string(200, 'x')});
  fails("not a listener", {.listener = 0x7fff'0000});
  fails("no connections", {.path = path, .connections_max = 0});

  if (std::getenv("PERDURE_UPDATE_GOLDEN") != nullptr) std::ofstream{PERDURE_CONTROL_GOLDEN} << said.str();
  std::ostringstream golden;
  golden << std::ifstream{PERDURE_CONTROL_GOLDEN}.rdbuf();
  EXPECT_EQ(said.str(), golden.str());
}

}  // namespace
}  // namespace perdure::control
