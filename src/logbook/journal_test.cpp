#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/journal_record.hpp"
#include "logbook/logbook_testing.hpp"
#include "os/fault_plan.hpp"
#include "perdure/log.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {
namespace {

using os::Call;
using os::testing::FaultPlan;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::FakeSyslog;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::open_descriptors;
using ::testing::Pair;
using testing::read_lines;
using testing::read_whole;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StderrReplaced;
using testing::TempDirectory;
using testing::Variable;

using Fields = std::vector<std::pair<std::string, std::string>>;

/// What journald reads in a record; written from its protocol's description, not from our own code.
Fields parse(const std::string& record) {
  Fields fields;
  for (std::size_t at = 0; at < record.size();) {
    const std::size_t newline = record.find('\n', at);
    if (newline == std::string::npos) return {{"torn", record.substr(at)}};
    const std::string line = record.substr(at, newline - at);
    at = newline + 1;
    if (const auto equals = line.find('='); equals != std::string::npos) {
      fields.emplace_back(line.substr(0, equals), line.substr(equals + 1));
      continue;
    }
    std::uint64_t size = 0;
    for (int i = 7; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(record.at(at + static_cast<std::size_t>(i)));
    fields.emplace_back(line, record.substr(at + 8, size));
    if (record.at(at + 8 + size) != '\n') return {{"torn", line}};
    at += 8 + size + 1;
  }
  return fields;
}

std::string value(const Fields& fields, const std::string& name) {
  std::string found = "(missing)";
  for (const auto& [key, content] : fields) {
    if (key == name) found = found == "(missing)" ? content : "(twice)";
  }
  return found;
}

/// A socket as journald has one.
class FakeJournal {
 public:
  explicit FakeJournal(std::string path) : path_(std::move(path)), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~FakeJournal() { ::unlink(path_.c_str()); }
  FakeJournal(const FakeJournal&) = delete;
  FakeJournal& operator=(const FakeJournal&) = delete;

  struct Received {
    std::string bytes = "(nothing)";
    int seals = 0;  ///< of the file it came in; 0: it came in the datagram
  };
  [[nodiscard]] Received receive() const {
    std::string buffer(1 << 20, '\0');
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) return {};
    buffer.resize(static_cast<std::size_t>(size));
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr) return {.bytes = buffer};
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    const UniqueFd file{fd};
    EXPECT_THAT(buffer, IsEmpty()) << "journald wants an empty datagram beside the file";
    return {.bytes = read_whole("/proc/self/fd/" + std::to_string(fd)), .seals = ::fcntl(fd, F_GET_SEALS)};
  }
  [[nodiscard]] Fields next() const { return parse(receive().bytes); }

 private:
  std::string path_;
  UniqueFd fd_;
};

/// A directory with a journal in it, and the log that goes there.
struct Journalled {
  TempDirectory directory;
  Variable variable{"PERDURE_JOURNAL_SOCKET", directory / "journal"};
  std::optional<FakeJournal> journal{std::in_place, directory / "journal"};
  Log log{"thermod"};

  void open() { ASSERT_TRUE(log.open({.target = LogTarget::Journal})); }
};

TEST(JournalLog, ALineIsARecordWithItsLevelAndTheDaemonsName) {
  Journalled it;
  it.open();
  it.log.warning("it is {} degrees", 40);
  EXPECT_THAT(it.journal->next(), ElementsAre(Pair("MESSAGE", "it is 40 degrees"), Pair("PRIORITY", "4"),
                                              Pair("SYSLOG_FACILITY", "3"), Pair("SYSLOG_IDENTIFIER", "thermod")));
}

TEST(JournalLog, TheFacilityIsTheOneThatWasAskedFor) {
  Journalled it;
  ASSERT_TRUE(it.log.open({.target = LogTarget::Journal, .syslog_facility = SyslogFacility::Local0}));
  it.log.info("up");
  EXPECT_THAT(it.journal->next(), ::testing::Contains(Pair("SYSLOG_FACILITY", "16")));
}

TEST(JournalLog, FieldsAreFieldsAndAlsoStandInTheMessage) {
  Journalled it;
  it.open();
  it.log.info("login", {{"user", "alice b"}, {"port", 22}, LogField::secret("token"), {"note", "two\nlines \x01"}});
  const Fields fields = it.journal->next();
  EXPECT_EQ(value(fields, "MESSAGE"), R"(login user="alice b" port=22 token=*** note="two\nlines \x01")");
  EXPECT_EQ(value(fields, "USER"), "alice b");
  EXPECT_EQ(value(fields, "PORT"), "22");
  EXPECT_EQ(value(fields, "TOKEN"), "***");
  EXPECT_EQ(value(fields, "NOTE"), "two\nlines \x01") << "a record can hold any byte";
}

TEST(JournalLog, LinesOfAMessageStayLinesAndCannotForgeARecord) {
  Journalled it;
  it.open();
  it.log.error("{}", "first\n\nPRIORITY=0\n_PID=1\x1b[2J");
  const Fields fields = it.journal->next();
  EXPECT_THAT(fields, SizeIs(4));
  EXPECT_EQ(value(fields, "MESSAGE"), "first\n\nPRIORITY=0\n_PID=1\\x1b[2J");
  EXPECT_EQ(value(fields, "PRIORITY"), "3");
}

TEST(JournalLog, AFieldDoesNotTakeTheNameOfOneOfOurs) {
  Journalled it;
  it.open();
  it.log.info(
      "hello",
      {{"message", "m"}, {"PRIORITY", 0}, {"_pid", 1}, {"syslog_identifier", "sshd"}, {"4th", 4}, {"", 5}, {"a b=c", 6}});
  const Fields fields = it.journal->next();
  EXPECT_EQ(value(fields, "SYSLOG_IDENTIFIER"), "thermod");
  EXPECT_EQ(value(fields, "PRIORITY"), "6");
  for (const char* name :
       {"FIELD_MESSAGE", "FIELD_PRIORITY", "FIELD__PID", "FIELD_SYSLOG_IDENTIFIER", "FIELD_4TH", "FIELD_", "A_B_C"})
    EXPECT_NE(value(fields, name), "(missing)") << name;
  EXPECT_THAT(journal_name(std::string(200, 'x')), SizeIs(journal_name_bytes_max));
}

TEST(JournalLog, ARecordThatIsTooLongForADatagramComesInASealedFile) {
  Journalled it;
  it.open();
  const std::size_t before = open_descriptors();
  it.log.info("{}", std::string(300'000, 'x'));
  const auto received = it.journal->receive();
  EXPECT_EQ(received.seals, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  EXPECT_EQ(value(parse(received.bytes), "MESSAGE"), std::string(300'000, 'x'));
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(it.log.lost(), 0U);
}

TEST(JournalLog, MessagesAndValuesAreBounded) {
  Journalled it;
  it.open();
  it.log.info(std::string(journal_message_bytes_max + 5, 'x'), {{"huge", std::string(journal_value_bytes_max + 7, 'y')}});
  const Fields fields = parse(it.journal->receive().bytes);
  EXPECT_THAT(value(fields, "MESSAGE"), HasSubstr("x… (5 more bytes) huge=y"));
  EXPECT_THAT(value(fields, "HUGE"), EndsWith("y… (7 more bytes)"));
  EXPECT_THAT(value(fields, "MESSAGE"), SizeIs(::testing::Lt(journal_message_bytes_max + 10'000)));
}

TEST(JournalLog, WithoutAJournalTheLogGoesWhereAutoSendsItAndSaysSo) {
  TempDirectory directory;
  const Variable variable{"PERDURE_JOURNAL_SOCKET", directory / "no-journal"};
  const Variable no_stream{"JOURNAL_STREAM", std::nullopt}, no_init{"NOTIFY_SOCKET", std::nullopt};
  UniqueFd file{::open((directory / "stderr").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  {
    const StderrReplaced replaced{file.get()};
    Log log{"thermod"};
    log.info("said before");
    ASSERT_TRUE(log.open({.target = LogTarget::Journal}));
    log.info("said after");
  }
  EXPECT_THAT(read_lines(directory / "stderr"),
              ElementsAre(EndsWith("said before"),
                          EndsWith("WARN  cannot connect to " + directory / "no-journal" +
                                   ": No such file or directory (ENOENT); the log goes to standard error instead"),
                          EndsWith("said after")));
}

TEST(JournalLog, WhatWasSaidBeforeComesFirstWithItsFields) {
  Journalled it;
  it.log.info("two\nlines", {{"n", 1}});
  it.log.info("plain");
  it.open();
  const Fields first = it.journal->next();
  EXPECT_EQ(value(first, "MESSAGE"), "two\nlines n=1");
  EXPECT_EQ(value(first, "N"), "1");
  EXPECT_EQ(value(it.journal->next(), "MESSAGE"), "plain");
}

TEST(JournalLog, AJournalThatIsStartedAgainIsFoundAgain) {
  Journalled it;
  it.open();
  it.journal.reset();
  it.log.info("lost");
  EXPECT_EQ(it.log.lost(), 1U);
  it.journal.emplace(it.directory / "journal");
  it.log.info("found");
  EXPECT_THAT(value(it.journal->next(), "MESSAGE"), StartsWith("1 log line was lost: cannot connect to"));
  EXPECT_EQ(value(it.journal->next(), "MESSAGE"), "found");
}

TEST(JournalLog, AMemoryFileThatCannotBeMadeIsALostLineThatIsReported) {
  Journalled it;
  it.open();
  for (const auto& [call, cause] : {std::pair{Call::memfd_create, "EMFILE"}, std::pair{Call::write, "ENOSPC"}}) {
    {
      const FaultPlan plan{{.call = call, .error = call == Call::write ? ENOSPC : EMFILE}};
      it.log.info("{}", std::string(300'000, 'x'));
    }
    it.log.info("short");
    EXPECT_THAT(value(it.journal->next(), "MESSAGE"),
                AllOf(StartsWith("1 log line was lost: cannot make a memory file"), HasSubstr(cause)));
    EXPECT_EQ(value(it.journal->next(), "MESSAGE"), "short");
  }
  EXPECT_EQ(it.log.lost(), 2U);
}

TEST(LogFields, StandAtTheEndOfTheLineAndCannotForgeAnything) {
  TempDirectory directory;
  Log log{"thermod"};
  ASSERT_TRUE(log.open({.format = LogFormat::Message, .path = directory / "x.log"}));
  log.info(
      "login",
      {{"user", "alice"}, {"path", "/a=b"}, {"empty", ""}, {"said", "x\" admin=1\n2026 ERROR forged\\"}, {"na\nme", 1.5}});
  log.warning("no fields", {});
  EXPECT_THAT(read_lines(directory / "x.log"),
              ElementsAre(R"(login user=alice path="/a=b" empty="" said="x\" admin=1\n2026 ERROR forged\\" na_me=1.5)",
                          "no fields"));
}

TEST(Log, ATargetOfTheProgramsGetsEveryLineAndItsFailureIsCounted) {
  std::vector<std::string> lines;
  bool throws = false;
  Log log{"thermod"};
  log.info("before", {{"n", 1}});
  log.add_target([&](const LogLine& line) -> Result<void> {
    if (throws) throw std::runtime_error{"full"};
    lines.push_back(std::string{line.text} + "/" + std::string{line.message} + "/" + std::to_string(line.fields.size()));
    return {};
  });
  log.warning("after");
  throws = true;
  log.warning("lost");
  throws = false;
  log.warning("again");
  EXPECT_THAT(lines, ElementsAre("before n=1/before/1", "after/after/0", "1 log line was lost: a log target threw: full//0",
                                 "again/again/0"));
  EXPECT_EQ(log.lost(), 1U);
}

TEST(LogFields, ASecretNeverAppears) {
  TempDirectory directory;
  Log log{"thermod"};
  log.info("kept", {LogField::secret("password")});
  ASSERT_TRUE(log.open({.format = LogFormat::Message, .path = directory / "x.log"}));
  log.info("login", {{"user", "alice"}, LogField::secret("password")});
  EXPECT_EQ(read_whole(directory / "x.log"), "kept password=***\nlogin user=alice password=***\n");
}

TEST(LogFields, AreBoundedInNumberAndSize) {
  TempDirectory directory;
  Log log{"thermod"};
  ASSERT_TRUE(log.open({.format = LogFormat::Message, .path = directory / "x.log"}));
  const std::vector<LogField> many(40, LogField{"n", 1});
  log.write_fields(Level::Info, "many", many);
  log.info("long", {{"v", std::string(5000, 'x')}});
  const auto lines = read_lines(directory / "x.log");
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], EndsWith(" n=1 … (8 more fields)"));
  EXPECT_THAT(lines[1], EndsWith("xxx… (904 more bytes)"));
  EXPECT_THAT(lines[1], SizeIs(::testing::Lt(4200U)));
}

}  // namespace
}  // namespace perdure::logbook
