#include "supervisor/console.hpp"

#include <fcntl.h>
#include <unistd.h>

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
