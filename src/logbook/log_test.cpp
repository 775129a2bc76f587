#include "perdure/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/logbook_testing.hpp"
#include "logbook/sinks.hpp"
#include "os/fault_plan.hpp"
#include "perdure/unique_fd.hpp"

// What a user's type does in a log line.
namespace {
struct Thrower {};
struct Chatterbox {
  perdure::Log* log;
};
}  // namespace
template <>
struct fmt::formatter<Thrower> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  auto format(const Thrower&, format_context& context) const -> decltype(context.out()) {
    throw std::runtime_error{"no words"};
  }
};
template <>
struct fmt::formatter<Chatterbox> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  auto format(const Chatterbox& chatterbox, format_context& context) const -> decltype(context.out()) {
    chatterbox.log->info("said inside");
    return fmt::format_to(context.out(), "outside");
  }
};

namespace perdure {
namespace {

using logbook::testing::FakeSyslog;
using logbook::testing::open_descriptors;
using logbook::testing::read_lines;
using logbook::testing::read_whole;
using logbook::testing::StderrReplaced;
using logbook::testing::TempDirectory;
using logbook::testing::Variable;
using logbook::testing::with_text_replaced;
using os::Call;
using os::testing::FaultPlan;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Keeps what it is given, or refuses it.
class Recorder : public detail::Sink {
 public:
  struct Tape {
    std::vector<std::string> lines;
    int refusals_left = 0;
    int rotations = 0;
  };
  explicit Recorder(Tape& tape) : tape_(tape) {}
  Result<void> write(const LogLine& line) noexcept override {
    if (tape_.refusals_left > 0) {
      --tape_.refusals_left;
      return Error{"the tape is stuck"};
    }
    tape_.lines.push_back(fmt::format("{} {}", level_name(line.level), line.text));
    return {};
  }
  Result<void> rotate() noexcept override {
    ++tape_.rotations;
    return {};
  }

 private:
  Tape& tape_;
};

LogOptions to_file(const std::string& path) { return {.format = LogFormat::Message, .path = path}; }

TEST(Log, HasOneLinePerCall) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  log.debug("not at this level");
  log.info("read {} rows from {}", 12, "/dev/ttyS0");
  log.warning("hot");
  log.error("code={}", 42);
  log.critical("gone");
  EXPECT_THAT(tape.lines, ElementsAre("INFO read 12 rows from /dev/ttyS0", "WARN hot", "ERROR code=42", "CRITICAL gone"));
  EXPECT_EQ(log.lost(), 0U);
}

TEST(Log, TheLevelCanBeChangedAtAnyTime) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  log.set_level(Level::Debug);
  log.debug("seen");
  log.set_level(Level::Error);
  log.warning("not seen");
  log.write_text(Level::Warning, "not seen either");
  EXPECT_THAT(tape.lines, ElementsAre("DEBUG seen"));
}

TEST(Log, AFinishedTextIsNeverAFormat) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  log.write_text(Level::Info, "{} %s %n {0:x}");
  log.info("{}", "{} again");
  EXPECT_THAT(tape.lines, ElementsAre("INFO {} %s %n {0:x}", "INFO {} again"));
}

TEST(Log, NoInputCanForgeALine) {
  const TempDirectory directory;
  Log log{"thermod"};
  ASSERT_TRUE(log.open(to_file(directory / "x.log")));
  log.info("user {} logged in", "x\n[1763700000] [INFO] user root logged in\r\x1b[2J");
  EXPECT_EQ(read_whole(directory / "x.log"), "user x\\n[1763700000] [INFO] user root logged in\\r\\x1b[2J logged in\n");
}

TEST(Log, AFormatThatDoesNotFitBecomesALineThatSaysSo) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  log.info(fmt::runtime("{} of {}"), 1);
  EXPECT_THAT(tape.lines, ElementsAre("INFO cannot format the log line \"{} of {}\": argument not found"));
}

TEST(Log, AFormatterThatThrowsBecomesALineThatSaysSo) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  log.error("it is {}", Thrower{});
  EXPECT_THAT(tape.lines, ElementsAre("ERROR cannot format the log line \"it is {}\": no words"));
}

TEST(Log, AFormatterMayLogItself) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  log.info("{}", Chatterbox{&log});
  EXPECT_THAT(tape.lines, ElementsAre("INFO said inside", "INFO outside"));
}

TEST(LogMemory, WhatWasSaidBeforeASinkIsReplayedIntoTheFirstWithItsTime) {
  const TempDirectory directory;
  Log log{"thermod"};
  log.info("early");
  const auto latest = std::chrono::system_clock::now();
  ASSERT_TRUE(log.open({.format = LogFormat::Plain, .path = directory / "x.log"}));
  log.info("late");
  const auto lines = read_lines(directory / "x.log");
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], HasSubstr(" INFO  early"));
  EXPECT_LE(lines[0].substr(0, 24), fmt::format("{:%FT%T}", fmt::gmtime(latest)) + ".999Z");
  EXPECT_THAT(lines[1], HasSubstr(" INFO  late"));
}

TEST(LogMemory, KeepsTheLast256AndSaysHowManyWereDropped) {
  Recorder::Tape tape;
  Log log{"thermod"};
  for (int i = 0; i < 300; ++i) log.info("line {}", i);
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  ASSERT_THAT(tape.lines, SizeIs(257));
  EXPECT_EQ(tape.lines[0], "WARN 44 log lines were lost: only the last 256 are kept until the log is opened");
  EXPECT_EQ(tape.lines[1], "INFO line 44");
  EXPECT_EQ(tape.lines[256], "INFO line 299");
  EXPECT_EQ(log.lost(), 44U);
}

TEST(LogMemory, ReplaysOnlyWhatTheOpenedLevelWants) {
  const TempDirectory directory;
  Log log{"thermod"};
  log.info("chatter");
  log.error("trouble");
  LogOptions options = to_file(directory / "x.log");
  options.level = Level::Warning;
  ASSERT_TRUE(log.open(options));
  EXPECT_EQ(read_whole(directory / "x.log"), "trouble\n");
}

TEST(LogMemory, AnOpenThatFailsKeepsTheLinesForTheNextOne) {
  const TempDirectory directory;
  Log log{"thermod"};
  log.info("early");
  EXPECT_FALSE(log.open(to_file(directory / "none/x.log")));
  ASSERT_TRUE(log.open(to_file(directory / "x.log")));
  EXPECT_EQ(read_whole(directory / "x.log"), "early\n");
}

TEST(LogTargets, NoneTakesNothingAndLosesNothing) {
  Log log{"thermod"};
  log.info("early");
  ASSERT_TRUE(log.open({.target = LogTarget::None}));
  log.info("late");
  EXPECT_EQ(log.lost(), 0U);
}

TEST(LogTargets, AnotherOpenReplacesTheFirstAndLeavesAddedSinks) {
  const TempDirectory directory;
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  ASSERT_TRUE(log.open(to_file(directory / "a.log")));
  log.info("one");
  ASSERT_TRUE(log.open(to_file(directory / "b.log")));
  log.info("two");
  EXPECT_EQ(read_whole(directory / "a.log"), "one\n");
  EXPECT_EQ(read_whole(directory / "b.log"), "two\n");
  EXPECT_THAT(tape.lines, ElementsAre("INFO one", "INFO two"));
}

TEST(LogTargets, AFailedOpenLeavesTheSinksAsTheyWere) {
  const TempDirectory directory;
  Log log{"thermod"};
  ASSERT_TRUE(log.open(to_file(directory / "a.log")));
  const auto outcome = log.open(to_file(directory.path()));
  EXPECT_EQ(with_text_replaced(outcome.error().message(), directory.path(), "DIR"),
            "cannot use DIR as a log file: it is a directory, not a regular file; nothing was written, choose another path");
  log.info("still here");
  EXPECT_EQ(read_whole(directory / "a.log"), "still here\n");
}

class LogOnStderr : public ::testing::Test {
 protected:
  // What a log opened like this writes to a stderr that is a file.
  std::string said(const LogOptions& options) {
    const UniqueFd file{::open((directory_ / "stderr").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600)};
    {
      const StderrReplaced replaced{file.get()};
      Log log{"thermod"};
      EXPECT_TRUE(log.open(options));
      log.debug("d");
      log.info("i");
      log.warning("w");
      log.error("e\nx");
      log.critical("c");
    }
    return read_whole(directory_ / "stderr");
  }
  TempDirectory directory_;
  Variable no_color_{"NO_COLOR", std::nullopt};
  Variable force_{"CLICOLOR_FORCE", std::nullopt};
  Variable notify_{"NOTIFY_SOCKET", std::nullopt};
  Variable journal_{"JOURNAL_STREAM", std::nullopt};
};

TEST_F(LogOnStderr, IsPlainWhereStderrIsNoTerminal) {
  EXPECT_EQ(said({.level = Level::Debug, .format = LogFormat::Message}), "d\ni\nw\ne\\nx\nc\n");
}

TEST_F(LogOnStderr, IsColouredOnDemand) {
  const Variable force{"CLICOLOR_FORCE", "1"};
  EXPECT_EQ(said({.target = LogTarget::Stderr, .level = Level::Debug, .format = LogFormat::Message}),
            "\x1b[0;38;5;245md\x1b[0m\ni\n\x1b[0;1;38;5;185mw\x1b[0m\n\x1b[0;1;31me\\nx\x1b[0m\n\x1b[0;1;31mc\x1b[0m\n");
  const Variable no_color{"NO_COLOR", "1"};
  EXPECT_EQ(said({.target = LogTarget::Stderr, .format = LogFormat::Message}), "i\nw\ne\\nx\nc\n");
}

TEST_F(LogOnStderr, HasAPriorityBeforeEachLineUnderAnInit) {
  const Variable notify{"NOTIFY_SOCKET", "/run/systemd/notify"};
  EXPECT_EQ(said({.level = Level::Debug}), "<7>d\n<6>i\n<4>w\n<3>e\\nx\n<2>c\n");
}

TEST_F(LogOnStderr, TheInitIsRememberedAfterItsVariableHasGone) {
  const UniqueFd file{::open((directory_ / "stderr").c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
  std::optional<Log> log;
  {
    const Variable notify{"NOTIFY_SOCKET", "/run/systemd/notify"};
    log.emplace("thermod");
  }
  {
    const StderrReplaced replaced{file.get()};
    ASSERT_TRUE(log->open({}));
    log->info("ready");
  }
  EXPECT_EQ(read_whole(directory_ / "stderr"), "<6>ready\n");
}

TEST_F(LogOnStderr, AClosedPipeLosesLinesAndSaysSoOnceItWorksAgain) {
  const auto previous = ::signal(SIGPIPE, SIG_IGN);  // tidy: allow signal — the test process's own
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Log log{"thermod"};
  {
    const StderrReplaced replaced{ends[1]};
    ASSERT_TRUE(log.open({.target = LogTarget::Stderr, .format = LogFormat::Message}));
    ::close(ends[0]);
    log.info("one");
    log.info("two");
  }
  EXPECT_EQ(log.lost(), 2U);
  const UniqueFd file{::open((directory_ / "stderr").c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
  {
    const StderrReplaced replaced{file.get()};
    log.info("three");
  }
  ::close(ends[1]);
  ::signal(SIGPIPE, previous);  // tidy: allow signal — the test process's own
  EXPECT_EQ(read_whole(directory_ / "stderr"),
            "2 log lines were lost: cannot write to standard error: Broken pipe (EPIPE)\nthree\n");
}

class LogToSyslog : public ::testing::Test {
 protected:
  std::string datagram(int priority, const std::string& text) const {
    return fmt::format("<{}>thermod[{}]: {}", priority, ::getpid(), text);
  }
  TempDirectory directory_;
  std::string socket_ = directory_ / "log";
  Variable variable_{"PERDURE_SYSLOG_SOCKET", socket_};
  Log log_{"thermod"};
};

TEST_F(LogToSyslog, EachLevelHasItsPriorityOfTheDaemonFacility) {
  const FakeSyslog syslog{socket_};
  ASSERT_TRUE(log_.open({.target = LogTarget::Syslog, .level = Level::Debug}));
  log_.error("e");
  log_.warning("w");
  log_.info("i");
  log_.debug("d");
  log_.critical("c");
  EXPECT_EQ(syslog.receive(), datagram(27, "e"));
  EXPECT_EQ(syslog.receive(), datagram(28, "w"));
  EXPECT_EQ(syslog.receive(), datagram(30, "i"));
  EXPECT_EQ(syslog.receive(), datagram(31, "d"));
  EXPECT_EQ(syslog.receive(), datagram(26, "c"));
  EXPECT_EQ(syslog.receive(), "(nothing)");
}

TEST_F(LogToSyslog, TheFacilityIsTheOneThatWasAskedFor) {
  const FakeSyslog syslog{socket_};
  ASSERT_TRUE(log_.open({.target = LogTarget::Syslog, .syslog_facility = SyslogFacility::Local7}));
  log_.info("i");
  EXPECT_EQ(syslog.receive(), datagram(23 * 8 + 6, "i"));
  ASSERT_TRUE(log_.open({.target = LogTarget::None, .also_syslog = true, .syslog_facility = SyslogFacility::AuthPriv}));
  log_.warning("w");
  EXPECT_EQ(syslog.receive(), datagram(10 * 8 + 4, "w"));
}

TEST_F(LogToSyslog, ALongLineArrivesWhole) {
  const FakeSyslog syslog{socket_};
  ASSERT_TRUE(log_.open({.target = LogTarget::Syslog}));
  const std::string text(20'000, 'x');
  log_.info("{}", text);
  EXPECT_EQ(syslog.receive(), datagram(30, text));
}

TEST_F(LogToSyslog, AMissingSyslogIsAnErrorWhereItIsTheTarget) {
  EXPECT_EQ(with_text_replaced(log_.open({.target = LogTarget::Syslog}).error().message(), directory_.path(), "DIR"),
            "cannot connect to DIR/log: No such file or directory (ENOENT); is a syslog daemon running?");
}

TEST_F(LogToSyslog, ARestartedSyslogIsFoundAgainAndToldWhatItMissed) {
  {
    const FakeSyslog syslog{socket_};
    ASSERT_TRUE(log_.open({.target = LogTarget::Syslog}));
    log_.info("one");
  }
  log_.info("two");
  log_.info("three");
  EXPECT_EQ(log_.lost(), 2U);
  const FakeSyslog syslog{socket_};
  log_.info("four");
  EXPECT_THAT(syslog.receive(), HasSubstr("<28>thermod"));
  EXPECT_EQ(syslog.receive(), datagram(30, "four"));
}

TEST_F(LogToSyslog, AFullSyslogLosesLinesButNeverBlocks) {
  const FakeSyslog syslog{socket_};
  ASSERT_TRUE(log_.open({.target = LogTarget::Syslog}));
  constexpr int count = 10'000;
  for (int i = 0; i < count; ++i) log_.info("line {}", i);
  const auto lost = log_.lost();
  EXPECT_GT(lost, 0U);
  int received = 0;
  while (syslog.receive() != "(nothing)") ++received;
  EXPECT_EQ(static_cast<int>(lost) + received, count);
  log_.info("last");
  EXPECT_EQ(syslog.receive(),
            datagram(28, fmt::format("{} log lines were lost: cannot send to {}: Resource temporarily unavailable (EAGAIN)",
                                     lost, socket_)));
  EXPECT_EQ(syslog.receive(), datagram(30, "last"));
}

TEST_F(LogToSyslog, BesideAFileEachGetsEveryLineOnce) {
  const FakeSyslog syslog{socket_};
  ASSERT_TRUE(log_.open({.format = LogFormat::UnixSeconds, .path = directory_ / "x.log", .also_syslog = true}));
  log_.info("daemon starting, pid={}", 7);
  log_.warning("this is a warning message");
  log_.error("something went wrong: code={}", 42);
  log_.info("daemon shutting down");
  const auto is_time_then = [](const std::string& rest) { return ContainsRegex("^\\[[0-9]+\\] " + rest + "$"); };
  EXPECT_THAT(read_lines(directory_ / "x.log"), ElementsAre(is_time_then("\\[INFO\\] daemon starting, pid=7"),
                                                            is_time_then("\\[WARN\\] this is a warning message"),
                                                            is_time_then("\\[ERROR\\] something went wrong: code=42"),
                                                            is_time_then("\\[INFO\\] daemon shutting down")));
  EXPECT_EQ(syslog.receive(), datagram(30, "daemon starting, pid=7"));
  EXPECT_EQ(syslog.receive(), datagram(28, "this is a warning message"));
  EXPECT_EQ(syslog.receive(), datagram(27, "something went wrong: code=42"));
  EXPECT_EQ(syslog.receive(), datagram(30, "daemon shutting down"));
  EXPECT_EQ(syslog.receive(), "(nothing)");
}

TEST_F(LogToSyslog, BesideAFileAMissingSyslogIsWaitedForAndNothingIsLost) {
  ASSERT_TRUE(log_.open({.format = LogFormat::Message, .path = directory_ / "x.log", .also_syslog = true}));
  log_.info("one");
  EXPECT_EQ(log_.lost(), 0U);
  const FakeSyslog syslog{socket_};
  log_.info("two");
  EXPECT_EQ(with_text_replaced(syslog.receive(), directory_.path(), "DIR"),
            datagram(28, "1 log line was lost: cannot connect to DIR/log: No such file or directory (ENOENT)"));
  EXPECT_EQ(syslog.receive(), datagram(30, "two"));
  EXPECT_EQ(read_whole(directory_ / "x.log"), "one\ntwo\n");
}

TEST_F(LogToSyslog, IsWhereADetachedDaemonGoes) {
  const FakeSyslog syslog{socket_};
  const UniqueFd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  {
    const StderrReplaced replaced{null.get()};
    ASSERT_TRUE(log_.open({}));
  }
  log_.info("detached");
  EXPECT_EQ(syslog.receive(), datagram(30, "detached"));
}

TEST(LogToFile, IsWhereADetachedDaemonGoesWithoutASyslog) {
  const TempDirectory directory;
  const Variable syslog{"PERDURE_SYSLOG_SOCKET", directory / "log"};
  const Variable logs{"LOGS_DIRECTORY", directory.path()};
  const UniqueFd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Log log{"thermod"};
  {
    const StderrReplaced replaced{null.get()};
    ASSERT_TRUE(log.open({.format = LogFormat::Message}));
  }
  log.info("detached");
  EXPECT_EQ(read_whole(directory / "thermod.log"), "detached\n");
}

TEST(LogToFile, MakesTheUsersStateDirectory) {
  if (::geteuid() == 0) GTEST_SKIP() << "root's logs are in /var/log, which a test must not touch";
  const TempDirectory directory;
  const Variable logs{"LOGS_DIRECTORY", std::nullopt};
  const Variable state{"XDG_STATE_HOME", std::nullopt};
  const Variable home{"HOME", directory / "home"};
  Log log{"thermod"};
  ASSERT_TRUE(log.open({.target = LogTarget::File}));
  EXPECT_EQ(logbook::testing::mode_of(directory / "home/.local/state"), 0700U);
}

TEST(LogToFile, RotatesBySizeAndOnDemand) {
  const TempDirectory directory;
  Log log{"thermod"};
  LogOptions options = to_file(directory / "x.log");
  options.max_bytes = 5;
  options.backups = 2;
  ASSERT_TRUE(log.open(options));
  log.info("first");
  log.info("a");
  ASSERT_TRUE(log.rotate());
  log.info("b");
  EXPECT_EQ(read_whole(directory / "x.log.2"), "first\n");
  EXPECT_EQ(read_whole(directory / "x.log.1"), "a\n");
  EXPECT_EQ(read_whole(directory / "x.log"), "b\n");
}

TEST(LogToFile, RotateReachesEverySink) {
  Recorder::Tape tape;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  logbook::add_sink(log, std::make_unique<Recorder>(tape));
  ASSERT_TRUE(log.rotate());
  EXPECT_EQ(tape.rotations, 2);
}

TEST(LogFailure, AFullDiskIsSaidOnceItIsOver) {
  const TempDirectory directory;
  Log log{"thermod"};
  ASSERT_TRUE(log.open(to_file(directory / "x.log")));
  log.info("one");
  {
    const FaultPlan plan{{.call = Call::write, .error = ENOSPC, .times = 3}};
    log.info("two");
    log.info("three");
    log.info("four");
  }
  EXPECT_EQ(log.lost(), 3U);
  log.info("five");
  EXPECT_EQ(with_text_replaced(read_whole(directory / "x.log"), directory.path(), "DIR"),
            "one\n3 log lines were lost: cannot write to the log file DIR/x.log: No space left on device (ENOSPC)\nfive\n");
}

TEST(LogFailure, IsSaidAtTheEndWhereNoLineCameAfterIt) {
  Recorder::Tape tape;
  {
    Log log{"thermod"};
    logbook::add_sink(log, std::make_unique<Recorder>(tape));
    tape.refusals_left = 1;
    log.info("lost");
  }
  EXPECT_THAT(tape.lines, ElementsAre("WARN 1 log line was lost: the tape is stuck"));
}

TEST(LogFailure, ALineThatOneSinkTookIsNotLost) {
  Recorder::Tape stuck{.lines = {}, .refusals_left = 1};
  Recorder::Tape works;
  Log log{"thermod"};
  logbook::add_sink(log, std::make_unique<Recorder>(stuck));
  logbook::add_sink(log, std::make_unique<Recorder>(works));
  log.info("one");
  EXPECT_EQ(log.lost(), 0U);
  EXPECT_THAT(works.lines, ElementsAre("INFO one"));
  EXPECT_THAT(stuck.lines, IsEmpty());
}

TEST(LogFailure, AFileThatCannotBeRotatedSaysSoInItOnce) {
  const TempDirectory directory;
  Log log{"thermod"};
  LogOptions options = to_file(directory / "x.log");
  options.max_bytes = 1;
  ASSERT_TRUE(log.open(options));
  {
    const FaultPlan plan{{.call = Call::rename, .error = EACCES, .times = 1000}};
    log.info("one");
    log.info("two");
  }
  EXPECT_EQ(with_text_replaced(read_whole(directory / "x.log"), directory.path(), "DIR"),
            "one\ncannot rename DIR/x.log to DIR/x.log.1: Permission denied (EACCES); the log goes on in the old file, "
            "which grows\n"
            "two\n");
}

TEST(LogThreads, EightTimesTenThousandLinesAreIntact) {
  const TempDirectory directory;
  constexpr int threads = 8;
  constexpr int lines = 10'000;
  {
    Log log{"thermod"};
    LogOptions options = to_file(directory / "x.log");
    options.max_bytes = 200'000;
    options.backups = 20;
    ASSERT_TRUE(log.open(options));
    std::vector<std::jthread> writers;
    for (int t = 0; t < threads; ++t) {
      writers.emplace_back([&log, t] {
        for (int i = 0; i < lines; ++i) log.info("thread {} line {} end", t, i);
      });
    }
    writers.clear();
    EXPECT_EQ(log.lost(), 0U);
  }
  // Oldest file first, the lines of each thread stand in order.
  std::vector<int> next(threads, 0);
  for (int number = 20; number >= 0; --number) {
    for (const std::string& line : read_lines(directory / (number == 0 ? "x.log" : "x.log." + std::to_string(number)))) {
      int thread = -1;
      int index = -1;
      int end = 0;
      ASSERT_EQ(std::sscanf(line.c_str(), "thread %d line %d end%n", &thread, &index, &end), 2) << line;
      ASSERT_EQ(static_cast<std::size_t>(end), line.size()) << line;
      ASSERT_EQ(index, next.at(static_cast<std::size_t>(thread))++);
    }
  }
  EXPECT_THAT(next, ::testing::Each(lines));
}

TEST(LogThreads, OpeningRotatingAndLoggingAtOnceIsFine) {
  const TempDirectory directory;
  Log log{"thermod"};
  ASSERT_TRUE(log.open(to_file(directory / "a.log")));
  std::jthread writer{[&log](std::stop_token stop) {
    while (!stop.stop_requested()) log.info("line");
  }};
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(log.rotate());
    EXPECT_TRUE(log.open(to_file(directory / (i % 2 == 0 ? "b.log" : "a.log"))));
    log.set_level(i % 2 == 0 ? Level::Debug : Level::Info);
  }
  writer.request_stop();
  writer.join();
  EXPECT_EQ(log.lost(), 0U);
}

TEST(LogDescriptors, OpeningRotatingAndFailingLeakNone) {
  const TempDirectory directory;
  const Variable variable{"PERDURE_SYSLOG_SOCKET", directory / "log"};
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 100; ++i) {
    Log log{"thermod"};
    LogOptions options = to_file(directory / "x.log");
    options.also_syslog = true;
    ASSERT_TRUE(log.open(options));
    log.info("line");
    (void)log.rotate();
    EXPECT_FALSE(log.open({.target = LogTarget::Syslog}));
    EXPECT_FALSE(log.open(to_file(directory.path())));
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace perdure
