// What services say, on the standard output of `perdure run`: by default, in each format, and where nobody reads it.
#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using ::testing::HasSubstr;

/// The end that is read of a standard output that is a FIFO. Open as long as it lives, whether somebody reads or not.
class Reader {
 public:
  Reader() {
    if (::mkfifo(path().c_str(), 0600) != 0) throw std::runtime_error{"a FIFO cannot be made: " + path()};
    fd_.reset(::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
  /// As small as a pipe can be.
  void shrink() const { ::fcntl(fd_.get(), F_SETPIPE_SZ, 1); }
  [[nodiscard]] std::string path() const { return directory_ / "out"; }
  /// All that there is now, after what was there before.
  const std::string& read() {
    char block[65536];
    for (ssize_t count = 0; (count = ::read(fd_.get(), block, sizeof block)) > 0;)
      text_.append(block, static_cast<std::size_t>(count));
    return text_;
  }
  bool wait_for(std::string_view text) {
    return eventually([&] { return read().find(text) != std::string::npos; });
  }

 private:
  perdure::testing::TempDir directory_;
  perdure::UniqueFd fd_{};
  std::string text_{};
};

/// With another standard output than its standard error, which the Instance collects.
InstanceOptions shown(const std::string& redirection, std::vector<std::string> options = {}) {
  return {
      .run_options = std::move(options), .is_shown = true, .under = {"/bin/sh", "-c", "exec \"$@\" >" + redirection, "sh"}};
}

/// As many lines as it names: the number in front of `text`.
std::uint64_t number_before(const std::string& all, const std::string& text) {
  const std::size_t end = all.find(text);
  if (end == std::string::npos) return 0;
  std::size_t begin = end;
  while (begin > 0 && all[begin - 1] >= '0' && all[begin - 1] <= '9') --begin;
  std::uint64_t number = 0;
  std::from_chars(all.data() + begin, all.data() + end, number);
  return number;
}

struct Chatter {
  explicit Chatter(Instance& instance) : instance_(instance) {
    for (int i = 0; i < 4; ++i) services.push_back(&instance.add("log" + std::to_string(i) + ".service", "log"));
  }
  /// More than a pipe and the manager hold together.
  void fill() {
    for (const Service* service : services) {
      const std::uint64_t before = service->truth->bytes_written;
      ASSERT_TRUE(eventually([&] { return service->truth->bytes_written > before + 100'000; }))
          << service->name << " is held up at " << service->truth->bytes_written;
      EXPECT_EQ(service->truth->lives, 1U);
    }
  }
  /// All of it is in the log.
  std::uint64_t lines() {
    std::uint64_t count = 0;
    for (const Service* service : services) {
      const LogVerdict verdict = check_log(instance_.log(service->name), service->seed, service->truth->bytes_written);
      EXPECT_TRUE(verdict.is_right()) << service->name << ": " << verdict.text();
      count += verdict.lines;
    }
    return count;
  }

  Instance& instance_;
  std::vector<Service*> services{};
};

TEST(ConsoleOutput, GoesToWhoeverReadsIfThatIsNoTerminalAndToTheLogAsWell) {
  Reader reader;
  Instance instance{Owner::Ourselves, Parent::Test, shown(reader.path())};
  instance.add("web.service", "mute");
  instance.start();
  EXPECT_TRUE(reader.wait_for("web: what it said\n")) << reader.read();
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0));
  EXPECT_EQ(instance.log("web.service"), "what it said\n");
  EXPECT_EQ(reader.read(), "web: what it said\n");
}

TEST(ConsoleOutput, IsAnObjectPerLineAsJson) {
  Reader reader;
  Instance instance{Owner::Ourselves, Parent::Test, shown(reader.path(), {"--console=json"})};
  instance.add("web.service", "mute");
  instance.start();
  EXPECT_TRUE(reader.wait_for("\n"));
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0));
  EXPECT_EQ(reader.read(), "{\"unit\":\"web.service\",\"priority\":6,\"message\":\"what it said\"}\n");
}

TEST(ConsoleOutput, IsNothingWhereItIsOff) {
  Reader reader;
  Instance instance{Owner::Ourselves, Parent::Test, shown(reader.path(), {"--console=off"})};
  Service& web = instance.add("web.service", "mute");
  instance.start();
  ASSERT_TRUE(eventually([&] { return web.truth->rounds == 1; }));
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0));
  EXPECT_EQ(instance.log("web.service"), "what it said\n");
  EXPECT_EQ(reader.read(), "");
}

TEST(ConsoleOutput, AClosedStandardOutputDisturbsNobody) {
  Instance instance{Owner::Ourselves, Parent::Test, shown("&-")};
  Service& web = instance.add("web.service", "mute");
  instance.start();
  ASSERT_TRUE(eventually([&] { return web.truth->rounds == 1; }));
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.log("web.service"), "what it said\n");
}

TEST(ConsoleOutput, AReaderThatNeverReadsHoldsNobodyUpAndWhatItMissesIsCounted) {
  Reader reader;
  Instance instance{Owner::Ourselves, Parent::Test, shown(reader.path())};
  Chatter chatter{instance};
  instance.start();
  chatter.fill();
  chatter.fill();
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0)) << instance.output();
  const std::string text = reader.read();
  const auto shown_lines = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  const std::uint64_t missed = number_before(instance.output(), " lines of services' output are not shown");
  EXPECT_GT(shown_lines, 0U);
  EXPECT_GT(missed, 0U) << instance.output();
  EXPECT_EQ(shown_lines + missed, chatter.lines());
}

TEST(ConsoleOutput, AReaderThatComesBackIsToldHowMuchItHasMissed) {
  Reader reader;
  Instance instance{Owner::Ourselves, Parent::Test, shown(reader.path())};
  Chatter chatter{instance};
  instance.start();
  chatter.fill();
  EXPECT_TRUE(reader.wait_for(" lines are not shown here: nobody read fast enough; the log has them\n"));
  EXPECT_GT(number_before(reader.read(), " lines are not shown here"), 0U);
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0));
}

TEST(ConsoleOutput, OfItsOwnLinesThoseThatNobodyReadsAreCounted) {
  constexpr std::uint64_t reloads = 200;
  Reader reader;
  reader.shrink();
  Instance instance{Owner::Ourselves, Parent::Test, shown("/dev/null 2>" + reader.path())};
  instance.add("web.service", "idle");
  instance.start();
  for (std::uint64_t i = 0; i < reloads; ++i) instance.ask({{"verb", "daemon-reload"}});
  EXPECT_TRUE(reader.wait_for(" units were read again\n"));
  std::string text;
  std::uint64_t missing = 0, told = 0, asked = reloads;
  const auto all_are_known = [&] {
    text = reader.read();
    missing = told = 0;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
      if (line.ends_with(" units were read again")) ++told;
      if (line.find(" lines of its own are missing here") != std::string::npos)
        missing += number_before(line, " lines of its own are missing here");
    }
    return told + missing == asked;
  };
  // What is said while the pipe is full again is counted in the next line only.
  for (int more = 0; more < 100 && (asked == reloads || told + missing != asked); ++more) {
    instance.ask({{"verb", "daemon-reload"}});
    ++asked;
    static_cast<void>(eventually(all_are_known, std::chrono::milliseconds{200}));
  }
  EXPECT_GT(missing, 0U);
  EXPECT_EQ(told + missing, asked);
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    EXPECT_EQ(text.compare(at, 9, "perdure: "), 0) << "no line is torn: " << text.substr(at, 60);
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0));
}

}  // namespace
}  // namespace supervisor_test
