// Clients that mean no good, or are broken: none may delay the others, cost more than its share, or kill the server.
#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/connection.hpp"
#include "control/control_test_support.hpp"

namespace perdure::control {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

class HostileClientTest : public testing::Test {
 protected:
  /// Patient enough for a machine that is busy elsewhere.
  explicit HostileClientTest(std::chrono::milliseconds line_within = 3 * hang_limit)
      : served{{.path = path, .line_within = line_within, .connections_max = 8}} {}
  void SetUp() override { ASSERT_TRUE(served.is_up()) << served.error(); }

  void expect_still_serving() { EXPECT_EQ(ask(served, path, "status\n"), "running\n"); }
  bool is_empty() {
    return served.work_until([&] { return served->connections() == 0; });
  }

  TemporaryDirectory directory;
  std::string path = directory.file("control.sock");
  Served served;
};

/// For the tests of deadlines. Between two steps of this one thread, time may pass: a line that is late is tried again.
class DeadlineTest : public HostileClientTest {
 protected:
  DeadlineTest() : HostileClientTest(100ms) {}
  void expect_still_serving() {
    constexpr int attempts = 100;
    for (int i = 0; i < attempts; ++i) {
      if (ask(served, path, "status\n") == "running\n") return;
    }
    ADD_FAILURE() << "it serves nobody any more";
  }
};

long resident_kib() {
  std::ifstream statm{"/proc/self/statm"};
  long size = 0;
  long resident = 0;
  statm >> size >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

TEST_F(DeadlineTest, AMuteOneIsToldAndClosedAndDelaysNobody) {
  RawClient mute{path};
  served.work();
  ASSERT_TRUE(served->next_deadline());
  expect_still_serving();
  EXPECT_EQ(mute.read_to_end(served), "error: no whole line arrived within 100 ms\n");
}

TEST_F(DeadlineTest, ASlowOneIsToldInItsDialectHoweverOftenItSendsAByte) {
  RawClient slow{path};
  ASSERT_TRUE(slow.send(served, "{"));
  ASSERT_TRUE(served.work_until([&] { return slow.send_some(" ") != 1; })) << "each byte would have bought it time";
  EXPECT_EQ(slow.read_to_end(served), "{\"ok\":false,\"text\":\"no whole line arrived within 100 ms\",\"protocol\":1}\n");
  expect_still_serving();
}

TEST_F(DeadlineTest, ASecondLineMustArriveInTimeAsWell) {
  RawClient slow{path};
  ASSERT_TRUE(slow.send(served, "{\"verb\":\"status\"}\n"));
  EXPECT_THAT(slow.read_lines(served), HasSubstr("running"));
  ASSERT_TRUE(slow.send(served, "{\"verb\""));
  EXPECT_THAT(slow.read_to_end(served), HasSubstr("no whole line arrived"));
}

TEST_F(HostileClientTest, TheTimeThatACommandTakesIsNotTheClients) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  EXPECT_FALSE(served->next_deadline());
}

TEST_F(HostileClientTest, AFloodingOneWaitsInItsSocketWhileOthersAreServed) {
  RawClient flood{path};
  std::string lines;
  for (int i = 0; i < 5'000; ++i) lines += "{\"verb\":\"hold\"}\n";
  while (flood.send_some(lines) > 0) served.work(0ms);
  served.work();
  EXPECT_EQ(served.held().size(), unanswered_max);
  EXPECT_TRUE(served.is_quiet()) << "what we do not read must not wake us";
  expect_still_serving();
  served.release();
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == unanswered_max; }));
}

TEST_F(HostileClientTest, SixtyFourRequestsInAllAreInFlightEvenIfTheirClientsLeft) {
  for (int i = 0; i < 20; ++i) {
    RawClient client{path};
    for (std::size_t n = 0; n < unanswered_max; ++n) client.send_some("{\"verb\":\"hold\"}\n");
    ASSERT_TRUE(served.work_until([&] { return served.is_quiet(); }));
  }
  ASSERT_TRUE(is_empty());
  EXPECT_EQ(served.held().size(), 64U);

  RawClient waiting{path};
  ASSERT_TRUE(waiting.send(served, "status\n"));
  ASSERT_TRUE(served.work_until([&] { return served->connections() == 1 && served.is_quiet(); }));
  EXPECT_FALSE(served->next_deadline()) << "it is we who keep it waiting";
  served.release();
  EXPECT_EQ(waiting.read_to_end(served), "running\n");
}

TEST_F(DeadlineTest, OneThatNeverReadsIsClosed) {
  RawClient deaf{path};
  ASSERT_TRUE(deaf.send(served, "{\"verb\":\"bulk\",\"text\":\"1000000\"}\n"));
  EXPECT_TRUE(is_empty());
  expect_still_serving();
}

TEST_F(HostileClientTest, OneThatLetsAnswersPileUpIsClosedAtTheBound) {
  RawClient deaf{path};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(deaf.send(served, "{\"verb\":\"hold\"}\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 3; }));
  for (const auto& request : served.held()) served->reply(request.id, Reply::text(std::string(900'000, 'x')));
  EXPECT_EQ(served->connections(), 0U);
}

TEST_F(HostileClientTest, AnOversizedLineIsRefusedAndItsSenderStillReadsWhy) {
  for (const std::string start : {"", "echo ", "{\"verb\":\""}) {
    const std::string answer = ask(served, path, start + std::string(1'000'000, 'x') + "\n");
    EXPECT_THAT(answer, HasSubstr("the request is longer than 65536 bytes")) << start;
    EXPECT_EQ(answer.front(), start.starts_with('{') ? '{' : 'e');
  }
  EXPECT_EQ(ask(served, path, "echo " + std::string(65'531, 'x') + "\r\n").size(), 65'532U) << "the bound itself is allowed";
}

TEST_F(HostileClientTest, OneThatSendsForEverIsHungUpOn) {
  RawClient endless{path};
  const std::string garbage(100'000, 'x');
  EXPECT_TRUE(served.work_until([&] { return endless.send_some(garbage) < 0 && errno != EAGAIN; }));
  EXPECT_TRUE(is_empty());
}

TEST_F(HostileClientTest, DeepJsonCostsAnErrorAndNoStack) {
  for (const char bracket : {'[', '{'}) {
    const std::string answer = ask(served, path, "{\"verb\":\"status\",\"x\":" + std::string(60'000, bracket) + "\n");
    EXPECT_THAT(answer, StartsWith("{\"ok\":false,\"text\":\"the request is")) << answer;
  }
  EXPECT_THAT(ask(served, path, std::string(10'000, '[')), HasSubstr("an array, not an object"));
}

TEST_F(HostileClientTest, OneThatDiesInTheMiddleOfALineHasAskedNothing) {
  for (const std::string_view part : {"sta", "status", "{\"verb\":\"status\"}", "{\"ver"}) {
    RawClient client{path};
    ASSERT_TRUE(client.send(served, part));
    client.close();
    EXPECT_TRUE(is_empty());
  }
  EXPECT_EQ(served.served(), 0U) << "an end that nobody waits behind may be missing";
}

TEST_F(HostileClientTest, OneThatDiesBeforeTheAnswerHasAskedAllTheSame) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  client.close();
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  EXPECT_TRUE(is_empty());
  served.release();
  expect_still_serving();
}

TEST_F(HostileClientTest, OneThatDiesWhileItsRequestIsWorkedOnIsForgotten) {
  RawClient client{path};
  ASSERT_TRUE(client.send(served, "hold x\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  client.close();
  EXPECT_TRUE(is_empty());
  served.release();
  expect_still_serving();
}

TEST_F(HostileClientTest, WhoComesWhenAllPlacesAreTakenIsToldSo) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<RawClient>(path));
    ASSERT_TRUE(clients.back()->is_connected());
    served.work();
  }
  EXPECT_EQ(served->connections(), 8U);
  for (std::size_t i = 8; i < clients.size(); ++i) {
    EXPECT_EQ(clients[i]->read_to_end(served), "error: too many connections (8); try again later\n");
  }
  clients.clear();
  EXPECT_TRUE(is_empty());
  expect_still_serving();
}

TEST_F(HostileClientTest, WhoHasBeenAnsweredAndLingersMakesWay) {
  std::vector<std::unique_ptr<RawClient>> lingering;
  for (int i = 0; i < 8; ++i) {
    lingering.push_back(std::make_unique<RawClient>(path));
    ASSERT_TRUE(lingering.back()->send(served, "status\n"));
    EXPECT_EQ(lingering.back()->read_to_end(served), "running\n");
  }
  EXPECT_EQ(served->connections(), 8U);
  expect_still_serving();
}

/// What uid 65534 reads that sends these bytes. Requires: we are root.
std::string answer_to_nobody(Served& served, const std::string& path, const std::string& bytes) {
  // Let in by the file's mode on purpose: the check of the credentials itself is what must refuse.
  const std::string directory = path.substr(0, path.rfind('/'));
  if (::chmod(directory.c_str(), 0755) != 0 || ::chmod(path.c_str(), 0666) != 0) return "NO MODE";
  int answer[2];
  if (::pipe(answer) != 0) return "NO PIPE";
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t nobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
        ::setresuid(nobody, nobody, nobody) != 0) {
      ::_exit(2);
    }
    RawClient client{path};
    client.send_some(bytes);
    char line[256];
    for (ssize_t count = 0; (count = ::recv(client.fd(), line, sizeof line, 0)) > 0;) {
      if (::write(answer[1], line, static_cast<std::size_t>(count)) != count) ::_exit(1);
    }
    ::_exit(0);
  }
  ::close(answer[1]);
  int status = -1;
  EXPECT_TRUE(served.work_until([&] { return ::waitpid(child, &status, WNOHANG) == child; }));
  EXPECT_EQ(status, 0);
  char line[1024];
  const ssize_t count = ::read(answer[0], line, sizeof line);
  ::close(answer[0]);
  return count < 0 ? "NOTHING" : std::string(line, static_cast<std::size_t>(count));
}

TEST_F(HostileClientTest, AnotherUserIsRefusedBeforeItsRequestIsRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  EXPECT_EQ(answer_to_nobody(served, path, "status\n"),
            "error: not permitted: only uid 0 may ask here, you are uid 65534\n");
  EXPECT_EQ(served.served(), 0U);
  expect_still_serving();
}

TEST_F(HostileClientTest, AnotherUserMayBeHeardForOneRequestThatIsMarked) {
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const std::string other = directory.file("other.sock");
  Served hearing{{.path = other, .line_within = 3 * hang_limit, .connections_max = 8, .strangers_max = 1}};
  ASSERT_TRUE(hearing.is_up()) << hearing.error();
  EXPECT_EQ(answer_to_nobody(hearing, other, "fail no\n"), "error: no\n");
  EXPECT_FALSE(hearing.last().is_permitted);
  EXPECT_EQ(hearing.last().peer.uid, 65534U);
  EXPECT_EQ(answer_to_nobody(hearing, other, "{\"verb\":\"status\"}\n{\"verb\":\"status\"}\n"),
            "{\"ok\":true,\"text\":\"running\",\"protocol\":1}\n")
      << "only the first one";
  EXPECT_EQ(hearing.served(), 2U);
  EXPECT_EQ(answer_to_nobody(hearing, other, "{]\n"),
            "{\"ok\":false,\"text\":\"not permitted: only uid 0 may ask here, you are uid 65534\",\"protocol\":1}\n");
  EXPECT_EQ(hearing.served(), 2U);
  EXPECT_EQ(ask(hearing, other, "status\n"), "running\n");
  EXPECT_TRUE(hearing.last().is_permitted);
}

TEST_F(HostileClientTest, AnotherUserIsHeardForFourKibibytesAndNotMore) {
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  constexpr const char* turned_away = "error: not permitted: only uid 0 may ask here, you are uid 65534\n";
  const std::string other = directory.file("other.sock");
  Served hearing{{.path = other, .line_within = 3 * hang_limit, .connections_max = 8, .strangers_max = 1}};
  ASSERT_TRUE(hearing.is_up()) << hearing.error();
  const std::string start = "fail no";
  EXPECT_EQ(answer_to_nobody(hearing, other, start + std::string(4'095 - start.size(), ' ') + "\n"), "error: no\n");
  EXPECT_EQ(hearing.served(), 1U) << "the bound itself is allowed";
  for (const std::string& bytes : {start + std::string(4'096 - start.size(), ' ') + "\n", std::string(4'097, 'x'),
                                   "{\"verb\":\"" + std::string(60'000, 'x') + "\"}\n", std::string(200'000, 'x')}) {
    EXPECT_EQ(answer_to_nobody(hearing, other, bytes), turned_away) << bytes.size() << ", also without an end of the line";
  }
  EXPECT_EQ(hearing.served(), 1U);
  EXPECT_EQ(ask(hearing, other, "status\n"), "running\n");
}

TEST_F(HostileClientTest, NobodyMakesWayForAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const std::string other = directory.file("other.sock");
  Served hearing{{.path = other, .line_within = 3 * hang_limit, .connections_max = 2, .strangers_max = 2}};
  ASSERT_TRUE(hearing.is_up()) << hearing.error();
  RawClient busy{other};
  ASSERT_TRUE(busy.send(hearing, "hold x\n"));
  ASSERT_TRUE(hearing.work_until([&] { return hearing.held().size() == 1; }));
  // Answered, the other one would make way for somebody who may ask. Its place is free after drain_within: then once more.
  std::string answer;
  for (int attempts = 0; attempts < 20 && !answer.starts_with("error"); ++attempts) {
    RawClient lingering{other};
    ASSERT_TRUE(lingering.send(hearing, "status\n"));
    ASSERT_EQ(lingering.read_to_end(hearing), "running\n");
    answer = answer_to_nobody(hearing, other, "status\n");
  }
  EXPECT_EQ(answer, "error: not permitted: only uid 0 may ask here, you are uid 65534\n");
}

TEST_F(HostileClientTest, DescriptorsSentAlongAreNotKept) {
  const std::size_t before = open_descriptors();
  RawClient client{path};
  char text[] = "hold x\n";
  iovec part{text, sizeof text - 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = client.fd();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(::sendmsg(client.fd(), &message, 0), static_cast<ssize_t>(sizeof text - 1));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  EXPECT_EQ(open_descriptors(), before + 2) << "the two ends of the connection";
}

TEST_F(HostileClientTest, WithoutAFreeDescriptorNewcomersWaitAndNothingSpins) {
  RawClient first{path};
  ASSERT_TRUE(first.send(served, "hold x\n"));
  ASSERT_TRUE(served.work_until([&] { return served.held().size() == 1; }));
  RawClient second{path};

  rlimit normal{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &normal), 0);
  const rlimit none{static_cast<rlim_t>(second.fd()), normal.rlim_max};
  // The highest descriptor in use is the second client's own or lower: no new one fits below the limit but holes, so fill them.
  std::vector<UniqueFd> fillers;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (;;) {
    UniqueFd filler{::dup(first.fd())};
    if (!filler) break;
    fillers.push_back(std::move(filler));
  }
  served.work();
  const bool is_quiet = served.is_quiet();
  const bool has_deadline = served->next_deadline().has_value();
  fillers.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &normal), 0);
  EXPECT_TRUE(is_quiet);
  EXPECT_TRUE(has_deadline) << "it must be tried again";

  served.release();  // closing one of ours is a reason to try at once
  EXPECT_EQ(first.read_to_end(served), "released x\n");
  EXPECT_EQ(second.ask(served, "status\n"), "running\n");
}

TEST_F(HostileClientTest, TenThousandRequestsLeaveNeitherDescriptorsNorMemoryBehind) {
  const auto round = [&](int count) {
    for (int i = 0; i < count; ++i) {
      if (i % 10 == 0) EXPECT_THAT(ask(served, path, std::string(10'000, 'x')), StartsWith("error: "));
      else EXPECT_EQ(ask(served, path, i % 2 == 0 ? "status\n" : "echo running"), "running\n");
    }
  };
  round(1'000);  // the allocator's pools fill
  const long memory = resident_kib();
  const std::size_t descriptors = open_descriptors();
  round(9'000);
  EXPECT_EQ(open_descriptors(), descriptors);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(resident_kib() - memory, 512);
#else
  (void)memory;
#endif
}

}  // namespace
}  // namespace perdure::control
