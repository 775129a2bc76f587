// The chat over its real socket: who hears what, who is refused, who leaves, and that nobody delays anybody.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "chat_room.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::UniqueFd;
using perdure::testing::eventually;
using perdure::testing::Process;
using testing::ContainsRegex;
using testing::HasSubstr;

/// What every message of this process's own clients begins with.
std::string from_us() { return "[pid " + std::to_string(getpid()) + "] "; }

/// The next `size` bytes.
std::string hear(const UniqueFd& client, std::size_t size) {
  std::string heard;
  std::array<char, 4096> buffer;
  while (heard.size() < size) {
    pollfd readable{client.get(), POLLIN, 0};
    if (poll(&readable, 1, 30'000) <= 0) throw std::runtime_error{"silence after: " + heard};
    const ssize_t count = read(client.get(), buffer.data(), std::min(buffer.size(), size - heard.size()));
    if (count <= 0) throw std::runtime_error{"closed after: " + heard};
    heard.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return heard;
}

struct Chat : testing::Test {
  perdure::testing::TempDir dir;
  std::string socket = dir / "chat.sock";
  std::optional<Process> server;

  std::vector<std::string> command(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--socket=" + socket, "--pid-file=" + dir.path() + "/pid",
                                   "--control=none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  void start(std::vector<std::string> more = {}) {
    server.emplace(command(more));
    if (!server->wait_for_output("Chat server on " + socket + ". Max 16 clients.\n"))
      throw std::runtime_error{"the server does not start: " + server->output()};
  }
  /// A client that was let in.
  UniqueFd join(std::size_t total) {
    auto client = trial::connect_to(socket);
    const std::string line = "[+] pid " + std::to_string(getpid()) + " joined (" + std::to_string(total) + " total)\n";
    if (!server->wait_for_output(line)) throw std::runtime_error{"nobody was let in: " + server->output()};
    return client;
  }
  std::vector<UniqueFd> join_all(std::size_t count) {
    std::vector<UniqueFd> clients;
    for (std::size_t i = 1; i <= count; ++i) clients.push_back(join(i));
    return clients;
  }
  std::size_t left() {
    const std::string line = "[-] pid " + std::to_string(getpid()) + " left\n", output = server->output();
    std::size_t count = 0;
    for (auto at = output.find(line); at != std::string::npos; at = output.find(line, at + 1)) ++count;
    return count;
  }
  /// What happens while it is held happens, for the server, at once.
  void hold() const {
    const auto is = [&](const char* state) {
      return perdure::testing::proc_status(server->pid(), "State").starts_with(state);
    };
    ASSERT_TRUE(eventually([&] { return is("S"); })) << "it waits: not in the middle of letting somebody in";
    trial::send_signal(server->pid(), SIGSTOP);
    ASSERT_TRUE(eventually([&] { return is("T"); }));
  }
  void let_go() const { trial::send_signal(server->pid(), SIGCONT); }
};

TEST_F(Chat, EachHearsWhatTheOthersSayAndNotItself) {
  start();
  const auto clients = join_all(3);
  for (std::size_t speaker = 0; speaker < 3; ++speaker) {
    const std::string message = "this is client " + std::to_string(speaker) + "\n";
    trial::say(clients[speaker], message);
    // Had the one before heard itself, its own words would come first here.
    for (std::size_t listener = 0; listener < 3; ++listener) {
      if (listener == speaker) continue;
      EXPECT_EQ(hear(clients[listener], (from_us() + message).size()), from_us() + message);
    }
  }
}

TEST_F(Chat, BytesGoThroughAsTheyAreAThousandAndTwentyFourAtATime) {
  start();
  const auto clients = join_all(2);
  std::string message(1024, '\0');
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<char>(i);
  hold();
  trial::say(clients[0], message + "more");
  let_go();
  const std::string expected = from_us() + message + from_us() + "more";
  EXPECT_EQ(hear(clients[1], expected.size()), expected);
}

TEST_F(Chat, TheSeventeenthIsToldThatTheServerIsFullAndTheSixteenGoOn) {
  start();
  auto clients = join_all(16);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(trial::hear(trial::connect_to(socket)), "server full\n");
  trial::say(clients.back(), "still here");
  for (std::size_t i = 0; i < 15; ++i)
    EXPECT_EQ(hear(clients[i], (from_us() + "still here").size()), from_us() + "still here");
  clients[7].reset();
  EXPECT_TRUE(eventually([&] { return left() == 1; }));
  const auto next = trial::connect_to(socket);
  trial::say(next, "a place was free");
  EXPECT_EQ(hear(clients[0], (from_us() + "a place was free").size()), from_us() + "a place was free");
}

TEST_F(Chat, SeveralMayLeaveInOneRoundWhileOthersSpeak) {
  start();
  auto clients = join_all(16);
  hold();
  for (const std::size_t i : {2u, 6u, 15u}) clients[i].reset();
  trial::say(clients[3], "between them");
  const auto newcomer = trial::connect_to(socket);  // a client of this round has no place in its poll set
  trial::say(newcomer, "just came");
  let_go();
  EXPECT_TRUE(eventually([&] { return left() == 3; })) << server->output();
  const std::string both = from_us() + "between them" + from_us() + "just came";
  for (const std::size_t i : {0u, 1u, 4u, 5u, 7u, 8u, 9u, 10u, 11u, 12u, 13u, 14u})
    EXPECT_EQ(hear(clients[i], both.size()), both) << i;
  EXPECT_EQ(hear(clients[3], (from_us() + "just came").size()), from_us() + "just came");
  EXPECT_TRUE(server->wait_for_output("joined (14 total)\n" /* the newcomer, after three had left */));
}

TEST_F(Chat, TheLastWordsOfOneWhoLeavesAreHeard) {
  start();
  auto clients = join_all(2);
  hold();
  trial::say(clients[0], "said to one who has left");
  trial::say(clients[1], "bye");
  clients[1].reset();
  let_go();
  EXPECT_EQ(hear(clients[0], (from_us() + "bye").size()), from_us() + "bye");
}

TEST_F(Chat, WhoDoesNotReadIsDisconnectedAndDelaysNobody) {
  start();
  const auto clients = join_all(3);  // the second one never reads
  const std::string chunk(1024, 'x'), expected = from_us() + chunk;
  // More than the kernel and the queue hold for one socket: 64 KiB here, a few hundred there.
  for (int i = 0; i < 4096 && server->output().find("does not read") == std::string::npos; ++i) {
    trial::say(clients[0], chunk);
    ASSERT_EQ(hear(clients[2], expected.size()), expected) << i;
  }
  EXPECT_TRUE(
      server->wait_for_output("pid " + std::to_string(getpid()) + " does not read what the others say: disconnecting it\n"));
  EXPECT_TRUE(eventually([&] { return left() == 1; }));
}

TEST_F(Chat, WhoReadsLateGetsEverythingThatWasKept) {
  start();
  const auto clients = join_all(2);
  std::string expected;
  for (int i = 0; i < 120; ++i) {  // more than a socket usually holds, less than with the queue
    std::string message = std::to_string(i) + std::string(900, '.') + "\n";
    message.resize(1024, '.');
    expected += from_us() + message;
    trial::say(clients[0], message);
  }
  EXPECT_EQ(hear(clients[1], expected.size()), expected);
}

TEST_F(Chat, TellsThePidOfWhoeverConnected) {
  start();
  const auto we = join(1);
  Process other{{"socat", "-", "UNIX-CONNECT:" + socket}};
  if (!eventually([&] { return server->output().find("(2 total)") != std::string::npos || other.poll(); }) || other.poll())
    GTEST_SKIP() << "socat is not installed";
  const std::string pid = std::to_string(other.pid());
  EXPECT_THAT(server->output(), HasSubstr("[+] pid " + pid + " joined (2 total)\n"));
  other.write("hello\n");
  EXPECT_EQ(hear(we, ("[pid " + pid + "] hello\n").size()), "[pid " + pid + "] hello\n");
  trial::say(we, "hello too\n");
  EXPECT_TRUE(other.wait_for_output(from_us() + "hello too\n"));
  other.signal(SIGKILL);
  EXPECT_TRUE(server->wait_for_output("[-] pid " + pid + " left\n"));
}

TEST_F(Chat, StopsWithClientsConnectedAndTakesItsSocketAlong) {
  start();
  const auto client = join(1);
  server->signal(SIGTERM);
  EXPECT_EQ(server->wait().text(), "exited with 0");
  EXPECT_EQ(trial::hear(client), "");
  EXPECT_FALSE(trial::exists(socket));
}

TEST_F(Chat, ReplacesAStaleSocketAndNothingElse) {
  start();
  server->signal(SIGKILL);
  server->wait();
  ASSERT_TRUE(trial::exists(socket));
  start();
  const auto second = perdure::testing::run(
      {EXAMPLE_PROGRAM, "--socket=" + socket, "--pid-file=" + dir.path() + "/other", "--control=none"});
  EXPECT_EQ(second.status.text(), "exited with 70");
  EXPECT_THAT(second.output, HasSubstr("cannot listen on " + socket + ": somebody listens there already (EADDRINUSE)"));
  const auto client = join(1);
  perdure::testing::write_file(dir / "precious", "text");
  socket = dir / "precious";
  const auto third = perdure::testing::run(
      {EXAMPLE_PROGRAM, "--socket=" + socket, "--pid-file=" + dir.path() + "/third", "--control=none"});
  EXPECT_THAT(third.output, HasSubstr("it is not a socket; it stays as it is"));
  EXPECT_EQ(perdure::testing::read_file(socket), "text");
}

TEST_F(Chat, LetsInOthersOnlyWhereItIsOpenToAll) {
  const auto mode = [&] {
    struct stat found {};
    EXPECT_EQ(stat(socket.c_str(), &found), 0);
    return found.st_mode & 0777;
  };
  start();
  EXPECT_EQ(mode(), 0600u);
  server->signal(SIGTERM);
  server->wait();
  start({"--open-to-all"});
  EXPECT_EQ(mode(), 0666u);
}

TEST_F(Chat, DetachedItsLinesGoToTheLog) {
  const std::string log = dir / "log";
  const auto started = perdure::testing::run(command({"--daemon", "--log-file=" + log}));
  ASSERT_EQ(started.status.text(), "exited with 0") << started.output;
  EXPECT_TRUE(trial::file_says(log, "Chat server on " + socket + ". Max 16 clients."));
  const auto client = trial::connect_to(socket);
  EXPECT_TRUE(trial::file_says(log, "joined (1 total)"));
  EXPECT_EQ(perdure::testing::kill_adopted(trial::pid_in(dir / "pid"), SIGTERM).text(), "exited with 0");
}

TEST_F(Chat, HasTheDocumentsSocketByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  EXPECT_THAT(printed.output, HasSubstr("socket = /tmp/zig_chat.sock"));
}

}  // namespace
