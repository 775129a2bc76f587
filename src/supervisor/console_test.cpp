#include "supervisor/console.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::supervisor {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class ConsoleTest : public testing::Test {
 protected:
  ConsoleTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
    ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  }
  std::string read_all() const {
    std::string text;
    char block[4096];
    for (ssize_t count = 0; (count = ::read(reader.get(), block, sizeof block)) > 0;)
      text.append(block, static_cast<std::size_t>(count));
    return text;
  }
  UniqueFd reader;
  UniqueFd writer;
};

TEST_F(ConsoleTest, LinesAreWholeHoweverTheyWereCutAndNameTheirUnit) {
  Console console{ConsoleFormat::Prefix, writer.get()};
  console.take("web.service", true, "hel");
  console.take("db.service", true, "one\ntwo\nthr");
  console.take("web.service", true, "lo\n");
  console.flush();
  EXPECT_EQ(read_all(), "db: one\ndb: two\nweb: hello\n");
  console.end_line("db.service", true);
  console.end_line("db.service", true);
  console.flush();
  EXPECT_EQ(read_all(), "db: thr\n");
}

TEST_F(ConsoleTest, PrioritiesAreTakenFromTheLineOnlyWhereTheUnitSendsThem) {
  Console console{ConsoleFormat::Json, writer.get()};
  console.take("web.service", true, "<3>bad \"thing\"\n");
  console.take("web.service", false, "<3>as it is\n");
  console.flush();
  EXPECT_EQ(read_all(),
            "{\"unit\":\"web.service\",\"priority\":3,\"message\":\"bad \\\"thing\\\"\"}\n"
            "{\"unit\":\"web.service\",\"priority\":6,\"message\":\"<3>as it is\"}\n");
}

TEST_F(ConsoleTest, AReaderThatDoesNotReadHoldsNobodyUpAndIsToldHowManyLinesItMissed) {
  Console console{ConsoleFormat::Prefix, writer.get()};
  const std::string line(1000, 'x');
  for (int i = 0; i < 1000; ++i) console.take("web.service", true, line + '\n');
  console.flush();
  EXPECT_TRUE(console.is_waiting());
  std::string text;
  for (int i = 0; i < 100 && (console.is_waiting() || i == 0); ++i) {
    text += read_all();
    console.flush();
  }
  text += read_all();
  EXPECT_FALSE(console.is_waiting());
  EXPECT_THAT(text, StartsWith("web: xxx"));
  EXPECT_THAT(text, HasSubstr(" lines are not shown here"));
  EXPECT_THAT(text, EndsWith("the log has them\n"));
}

TEST_F(ConsoleTest, WhatWasNotReadIsCountedOnceUntilItIsTold) {
  Console console{ConsoleFormat::Json, writer.get()};
  const std::string line(1000, 'x');
  constexpr std::uint64_t lines = 500;
  for (std::uint64_t i = 0; i < lines; ++i) console.take("web.service", true, line + '\n');
  console.flush();
  const std::uint64_t unshown = console.unshown();
  const std::string first = read_all();
  const auto ends_in = [](const std::string& text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  };
  EXPECT_EQ(ends_in(first) + unshown, lines);
  std::string rest;
  while (console.is_waiting()) {
    console.flush();
    rest += read_all();
  }
  const std::uint64_t told = lines - ends_in(first) - (ends_in(rest) - 1);
  EXPECT_THAT(rest, EndsWith("{\"unit\":\"perdure\",\"priority\":4,\"message\":\"" + std::to_string(told) +
                             " lines are not shown here: nobody read fast enough; the log has them\"}\n"));
  EXPECT_EQ(console.unshown(), 0U);
}

TEST_F(ConsoleTest, AReaderThatIsGoneIsNotWaitedForAndWhatItMissesIsCounted) {
  sigset_t pipe_signal, before;  // the manager blocks all signals
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  Console console{ConsoleFormat::Prefix, writer.get()};
  reader.reset();
  for (int round = 0; round < 3; ++round) {
    console.take("web.service", true, "one\ntwo\n");
    console.flush();
    console.flush();
    EXPECT_FALSE(console.is_waiting());
  }
  EXPECT_EQ(console.unshown(), 6U);
  const timespec no_wait{};
  while (::sigtimedwait(&pipe_signal, nullptr, &no_wait) > 0) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(ConsoleTest, ASocketIsWrittenToWithoutWaiting) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  reader.reset(ends[0]);
  writer.reset(ends[1]);
  ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  Console console{ConsoleFormat::Prefix, writer.get()};
  const std::string line(1000, 'x');
  for (int i = 0; i < 1000; ++i) console.take("web.service", true, line + '\n');
  console.flush();
  EXPECT_TRUE(console.is_waiting());
  EXPECT_THAT(read_all(), StartsWith("web: xxx"));
}

TEST_F(ConsoleTest, SomebodyWhoIsNoTerminalIsShownTheOutputUnlessItIsSaidOtherwise) {
  const auto format = [](int fd, bool is_process_1 = false) {
    return console_format(ConsoleFormat::Default, is_process_1, fd);
  };
  const UniqueFd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  const UniqueFd terminal{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  const UniqueFd file{::memfd_create("console", MFD_CLOEXEC)};
  EXPECT_EQ(format(writer.get()), ConsoleFormat::Prefix);
  EXPECT_EQ(format(file.get()), ConsoleFormat::Prefix);
  EXPECT_EQ(format(null.get()), ConsoleFormat::Off);
  EXPECT_EQ(format(-1), ConsoleFormat::Off);
  if (terminal) {
    EXPECT_EQ(format(terminal.get()), ConsoleFormat::Off);
    EXPECT_EQ(format(terminal.get(), true), ConsoleFormat::Prefix);
  }
  for (const ConsoleFormat asked : {ConsoleFormat::Off, ConsoleFormat::Json, ConsoleFormat::Prefix}) {
    EXPECT_EQ(console_format(asked, true, writer.get()), asked);
    EXPECT_EQ(console_format(asked, false, null.get()), asked);
  }
}

TEST_F(ConsoleTest, ALineWithoutEndIsBounded) {
  Console console{ConsoleFormat::Prefix, writer.get()};
  for (int i = 0; i < 100; ++i) console.take("web.service", true, std::string(1000, 'y'));
  console.take("web.service", true, "\n");
  console.flush();
  EXPECT_EQ(read_all().size(), console_line_max + std::string{"web: \n"}.size());
}

TEST_F(ConsoleTest, OneThatIsOffDoesNothing) {
  Console console{ConsoleFormat::Off, writer.get()};
  console.take("web.service", true, "x\n");
  console.flush();
  EXPECT_EQ(read_all(), "");
}

}  // namespace
}  // namespace perdure::supervisor
