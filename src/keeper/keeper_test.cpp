// The real keeper, told what to do by a test; see keeper_testing.hpp.
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <random>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keeper/keeper_testing.hpp"
#include "os/system.hpp"

namespace perdure::keeper {
namespace {

using message::Entry;
using message::EntryState;
using message::Key;
using message::Kind;
using message::Message;
using message::Operation;
using message::Request;
using perdure::testing::eventually;
using supervisor::KeeperChannel;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int code_exited = CLD_EXITED;
constexpr int code_killed = CLD_KILLED;
constexpr int code_dumped = CLD_DUMPED;

const Key web{1, 7, 1};
const Program idle{.arguments = {"/bin/sleep", "1000"}};
Program shell(const std::string& script) {
  return {.arguments = {"/bin/sh", "-c", script}, .environment = {"PATH=/usr/bin:/bin"}};
}

class KeeperTest : public ::testing::Test {
 protected:
  /// Ends the present manager and takes the next one.
  void change_managers() {
    manager.die();
    manager = keeper.next_manager();
  }
  /// The keeper's children, but for the manager.
  [[nodiscard]] std::vector<pid_t> services() const {
    std::vector<pid_t> found;
    for (const pid_t child : children_of(keeper.pid())) {
      if (child != manager.pid()) found.push_back(child);
    }
    return found;
  }
  /// A spawn request for a spec in a memory file.
  static Request spawn_request(const Key& key, std::size_t spec_size, int child_fds, int flags = 0) {
    Request request{.operation = Operation::Spawn, .key = key};
    request.flags = static_cast<std::uint16_t>(flags);
    request.child_fds = static_cast<std::uint16_t>(child_fds);
    request.spec_size = static_cast<std::uint32_t>(spec_size);
    return request;
  }

  RunningKeeper keeper;
  Manager manager = keeper.next_manager();
};

// ---- the start

TEST_F(KeeperTest, KnowsNothingAtTheStart) {
  const KeeperChannel::Received answer = manager.ask(Operation::List);
  const message::Header& header = answer.message.header;
  EXPECT_EQ(header.kind, Kind::Listed);
  EXPECT_EQ(header.error, 0);
  EXPECT_EQ(header.count, 0U);
  EXPECT_EQ(header.next, 0U);
  EXPECT_EQ(header.entries, 0U);
  EXPECT_GT(header.capacity, 0U);
  EXPECT_EQ(header.manager_starts, 1U);
  EXPECT_EQ(header.orphans_reaped, 0U);
  EXPECT_TRUE((header.facts & message::fact_subreaper) != 0);
  EXPECT_TRUE((header.facts & message::fact_adopted) == 0);
  EXPECT_THAT(manager.list_parked(), IsEmpty());
}

std::string oom_score_adj_of(pid_t pid) {
  return perdure::testing::read_file("/proc/" + std::to_string(pid) + "/oom_score_adj").value_or("");
}
const Program tells_oom_score{.arguments = {"/bin/sh", "-c", "exit $(cat /proc/self/oom_score_adj)"},
                              .environment = {"PATH=/usr/bin:/bin"}};

/// CAP_SYS_RESOURCE is often missing where tests run, so both outcomes count.
TEST(Keeper, ItIsTheLastToBeEndedForWantOfMemoryOrSaysWhyNot) {
  RunningKeeper keeper{{.oom_score_adj = "71"}};
  Manager manager = keeper.next_manager();
  const std::int32_t error = manager.ask(Operation::List).message.header.oom_score_error;
  EXPECT_EQ(oom_score_adj_of(keeper.pid()), error == 0 ? "-1000\n" : "71\n");
  EXPECT_THAT(error, ::testing::AnyOf(0, EACCES, EPERM));
  EXPECT_EQ(oom_score_adj_of(manager.pid()), "71\n");
  manager.spawn(web, tells_oom_score);
  EXPECT_EQ(manager.await_end(web).end_status, 71);
}

/// Where lowering is refused the keeper is made to believe that it was not, and what stands for -1000 is written from outside.
TEST(Keeper, WhatItStartsHasTheOomScoreThatItWasStartedWith) {
  const std::vector<std::string> pretence{
      "strace", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:retval=5:when=1"};
  std::vector<std::string> trial = pretence;
  trial.emplace_back("true");
  if (perdure::testing::run(trial).status.text() != "exited with 0")
    GTEST_SKIP() << "strace is not installed, or processes may not be traced here";
  RunningKeeper keeper{{.under = pretence, .oom_score_adj = "71"}};
  Manager manager = keeper.next_manager();
  const pid_t traced = manager.keeper();
  EXPECT_EQ(manager.ask(Operation::List).message.header.oom_score_error, 0);
  const auto expect_inherited_by_nobody = [&](const Key& key) {
    perdure::testing::write_file("/proc/" + std::to_string(traced) + "/oom_score_adj", "72");
    ASSERT_EQ(oom_score_adj_of(traced), "72\n");
    manager.spawn(key, tells_oom_score);
    EXPECT_EQ(manager.await_end(key).end_status, 71);
    manager.die();
    manager = keeper.next_manager();
    EXPECT_EQ(oom_score_adj_of(manager.pid()), "71\n");
  };
  expect_inherited_by_nobody(web);
  const UniqueFd program{::open(PERDURE_KEEPER, O_RDONLY | O_CLOEXEC)};
  manager.channel.send(Request{.operation = Operation::ExecKeeper}, std::array{program.get()});
  Manager next = keeper.next_manager();
  manager.die();
  manager = std::move(next);
  expect_inherited_by_nobody({2, 8, 1});
  EXPECT_EQ(manager.ask(Operation::List).message.header.oom_score_error, 0) << "it was lowered before";
}

TEST_F(KeeperTest, IsTheManagersParent) { EXPECT_EQ(manager.keeper(), keeper.pid()); }

// ---- spawning

TEST_F(KeeperTest, StartsWhatItIsToldAndSaysHowItEnded) {
  const Program program = shell("exit 7");
  const std::vector<char> bytes = spec_bytes(program);
  const UniqueFd spec = memory_file(bytes);
  Request request = spawn_request(web, bytes.size(), 1);
  for (int i = 0; i < 16; ++i) request.invocation[i] = static_cast<std::uint8_t>(i);
  const KeeperChannel::Received answer = manager.ask(request, std::array{spec.get()});
  ASSERT_EQ(answer.message.header.error, 0);
  const Entry started = answer.message.entries[0];
  EXPECT_EQ(started.key, web);
  EXPECT_GT(started.pid, 1);
  EXPECT_EQ(started.state, EntryState::Running);
  EXPECT_THAT(answer.fds, SizeIs(1)) << "its pidfd";

  const Entry ended = manager.await_end(web);
  EXPECT_EQ(ended.pid, started.pid);
  EXPECT_EQ(ended.state, EntryState::Ended);
  EXPECT_EQ(ended.end_code, code_exited);
  EXPECT_EQ(ended.end_status, 7);
  EXPECT_EQ(ended.failed_step, 0U);
  EXPECT_GE(ended.ended_ns, ended.started_ns);
  EXPECT_GT(ended.max_rss_kib, 0U);
  EXPECT_EQ(std::memcmp(ended.invocation, request.invocation, 16), 0);
}

TEST_F(KeeperTest, AnOrderGivenTwiceStartsOneProcess) {
  const Entry first = manager.spawn(web, idle);
  EXPECT_EQ(manager.spawn(web, idle).pid, first.pid);
  change_managers();
  EXPECT_EQ(manager.spawn(web, idle).pid, first.pid);
  EXPECT_THAT(services(), ElementsAre(first.pid));
}

TEST_F(KeeperTest, AnOrderForAKeyThatHasEndedIsAnsweredWithItsEnd) {
  manager.spawn(web, shell("exit 3"));
  manager.await_end(web);
  const Entry again = manager.spawn(web, shell("exit 4"));
  EXPECT_EQ(again.state, EntryState::Ended);
  EXPECT_EQ(again.end_status, 3);
  EXPECT_THAT(services(), IsEmpty());
}

TEST_F(KeeperTest, AnExecutorThatGivesUpIsToldWithStepAndErrno) {
  manager.spawn(web, {.arguments = {"/nowhere/web"}});
  const Entry ended = manager.await_end(web);
  EXPECT_EQ(ended.failed_step, static_cast<std::uint32_t>(wire::Step::Exec));
  EXPECT_EQ(ended.failed_error, ENOENT);
  EXPECT_EQ(ended.end_code, code_exited);
  EXPECT_EQ(ended.end_status, 203);
}

TEST_F(KeeperTest, AWrongNumberOfDescriptorsIsRefused) {
  const std::size_t before = open_descriptors(keeper.pid());
  const std::vector<char> bytes = spec_bytes(idle);
  const UniqueFd spec = memory_file(bytes);
  const std::vector<int> fds(8, spec.get());
  struct Case {
    int child_fds;
    int flags;
    std::size_t given;
  };
  for (const Case& c :
       {Case{0, 0, 0}, Case{0, 0, 1}, Case{1, 0, 0}, Case{1, 0, 2}, Case{2, 0, 1}, Case{1, message::has_log, 1},
        Case{1, message::has_log | message::has_gate, 2}, Case{1, message::has_cgroup, 1}, Case{65535, 0, 8},
        Case{1, message::has_cgroup | message::has_log | message::has_gate, 5}}) {
    const auto answer = manager.ask(spawn_request(web, bytes.size(), c.child_fds, c.flags), {fds.data(), c.given});
    EXPECT_EQ(answer.message.header.error, EINVAL) << c.child_fds << ' ' << c.flags << ' ' << c.given;
  }
  for (const Operation operation : {Operation::Put, Operation::Track, Operation::ExecManager, Operation::ExecKeeper}) {
    EXPECT_EQ(manager.ask(Request{.operation = operation, .number = 2}).message.header.error, EINVAL);
    EXPECT_EQ(manager.ask(Request{.operation = operation, .number = 2}, {fds.data(), 3}).message.header.error, EINVAL);
  }
  EXPECT_THAT(services(), IsEmpty());
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
}

TEST_F(KeeperTest, WhatTheKernelRefusesIsToldAndLeavesNothing) {
  const std::vector<char> bytes = spec_bytes(idle);
  const UniqueFd spec = memory_file(bytes);
  const auto answer =
      manager.ask(spawn_request(web, bytes.size(), 1, message::has_cgroup), std::array{spec.get(), spec.get()});
  EXPECT_NE(answer.message.header.error, 0) << "a memory file is no control group";
  EXPECT_EQ(answer.message.header.count, 0U);
  EXPECT_THAT(manager.list(), IsEmpty());
  manager.spawn(web, idle);
}

TEST_F(KeeperTest, ServicesInheritNothing) {
  Program program = idle;
  program.environment = {"A=1", "B=2"};
  program.fixed.limits_set = 1U << RLIMIT_NOFILE;
  program.fixed.limits[RLIMIT_NOFILE] = {123, 456};
  program.fixed.flags = wire::spec_ignore_sigpipe;
  const UniqueFd parked = memory_file({});
  manager.park("x", parked.get());
  const pid_t pid = manager.spawn(web, program).pid;
  const std::string proc = "/proc/" + std::to_string(pid);
  ASSERT_TRUE(eventually([&] { return perdure::testing::read_file(proc + "/comm") == "sleep\n"; }));

  EXPECT_EQ(open_descriptors(pid), 3U);
  for (const char* const stream : {"/fd/0", "/fd/1", "/fd/2"}) {
    char target[64]{};
    ASSERT_GT(::readlink((proc + stream).c_str(), target, sizeof target - 1), 0);
    EXPECT_STREQ(target, "/dev/null");
  }
  EXPECT_EQ(perdure::testing::proc_status(pid, "SigBlk"), "0000000000000000");
  EXPECT_EQ(perdure::testing::proc_status(pid, "SigIgn"), "0000000000001000") << "SIGPIPE, as its unit asks for";
  EXPECT_EQ(perdure::testing::proc_status(pid, "SigCgt"), "0000000000000000");
  EXPECT_EQ(perdure::testing::proc_status(pid, "Umask"), "0022");
  EXPECT_EQ(perdure::testing::proc_status(pid, "PPid"), std::to_string(keeper.pid()));
  EXPECT_EQ(::getsid(pid), pid);
  EXPECT_EQ(::getpgid(pid), pid);
  using namespace std::string_literals;
  EXPECT_EQ(perdure::testing::read_file(proc + "/environ"),
            "A=1\0B=2\0INVOCATION_ID=00000000000000000000000000000000\0SYSTEMD_EXEC_PID="s + std::to_string(pid) + '\0');
  EXPECT_THAT(perdure::testing::read_file(proc + "/limits").value(), ::testing::ContainsRegex("Max open files +123 +456 "));
  char directory[64]{};
  ASSERT_GT(::readlink((proc + "/cwd").c_str(), directory, sizeof directory - 1), 0);
  EXPECT_STREQ(directory, "/");
}

TEST_F(KeeperTest, WithoutTheWishSigpipeIsNotIgnored) {
  const pid_t pid = manager.spawn(web, idle).pid;
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(pid, "Name") == "sleep"; }));
  EXPECT_EQ(perdure::testing::proc_status(pid, "SigIgn"), "0000000000000000");
}

// ---- what arrives

TEST_F(KeeperTest, AnUnknownOperationIsRefusedAsSuch) {
  for (const int number : {0, 12, 4711, 65535}) {
    EXPECT_EQ(manager.ask(static_cast<Operation>(number)).message.header.error, ENOSYS) << number;
  }
}

TEST_F(KeeperTest, WhatIsNoRequestIsRefusedAndItsDescriptorsAreClosed) {
  const UniqueFd file = memory_file({});
  const std::array fds{file.get(), file.get(), file.get()};
  const std::size_t before = open_descriptors(keeper.pid());
  const auto send = [&](const Request& request, std::size_t size) {
    std::array<char, 4096> bytes{};
    std::memcpy(bytes.data(), &request, sizeof request);
    return manager.send_raw({bytes.data(), size}, fds);
  };
  Request request{.operation = Operation::Put};
  for (const std::size_t size : {1U, 4U, 8U, 127U, 129U, 4096U}) EXPECT_EQ(send(request, size), EPROTO) << size;
  request.magic_number ^= 1;
  EXPECT_EQ(send(request, sizeof request), EPROTO);
  request.magic_number ^= 1;
  for (const int version : {0, 2, 65535}) {
    request.version = static_cast<std::uint16_t>(version);
    EXPECT_EQ(send(request, sizeof request), EPROTO) << version;
  }
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
  EXPECT_THAT(manager.list_parked(), IsEmpty());
}

TEST_F(KeeperTest, MoreDescriptorsThanAMessageMayCarryAreAllClosedAndNoOthers) {
  const UniqueFd file = memory_file({});
  for (int i = 0; i < 60; ++i) ASSERT_EQ(manager.park("p" + std::to_string(i), file.get()), 0);
  const std::size_t before = open_descriptors(keeper.pid());
  const std::vector<int> fds(253, file.get());
  const Request request{.operation = Operation::List};
  for (const std::size_t count :
       {message::fds_max + 1, std::size_t{112}, std::size_t{113}, std::size_t{200}, std::size_t{253}}) {
    EXPECT_EQ(manager.send_raw({reinterpret_cast<const char*>(&request), sizeof request}, {fds.data(), count}), EPROTO)
        << count;
    ASSERT_EQ(open_descriptors(keeper.pid()), before) << count;
  }
  EXPECT_THAT(manager.list_parked(), SizeIs(60));
}

TEST_F(KeeperTest, AMessageWithoutAByteIsRefusedAndNotTakenForTheEnd) {
  const pid_t first = manager.pid();
  const UniqueFd file = memory_file({});
  const std::size_t before = open_descriptors(keeper.pid());
  EXPECT_EQ(manager.send_raw({}), EPROTO);
  EXPECT_EQ(manager.send_raw({}, std::array{file.get(), file.get()}), EPROTO);
  EXPECT_EQ(manager.ask(Operation::List).message.header.manager_starts, 1U);
  EXPECT_FALSE(perdure::testing::has_ended(first));
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
}

TEST_F(KeeperTest, DescriptorsThatNobodyAskedForAreClosed) {
  const UniqueFd file = memory_file({});
  const std::array fds{file.get(), file.get()};
  const std::size_t before = open_descriptors(keeper.pid());
  manager.ask(Request{.operation = Operation::List}, fds);
  manager.ask(Request{.operation = Operation::Acknowledge}, fds);
  manager.ask(Request{.operation = static_cast<Operation>(99)}, fds);
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
}

/// Requests of every kind with fields out of the blue: each is answered, and after all of them nothing has leaked.
TEST_F(KeeperTest, NoiseIsAnsweredAndLeavesNothingBehind) {
  std::mt19937 random{92};
  const UniqueFd file = memory_file(spec_bytes({.arguments = {"/bin/true"}}));
  const std::vector<int> fds(60, file.get());
  const std::size_t before = open_descriptors(keeper.pid());
  constexpr Operation operations[] = {
      Operation::List, Operation::ListParked, Operation::Spawn,       Operation::Track,      Operation::Acknowledge,
      Operation::Put,  Operation::Delete,     Operation::ExecManager, Operation::ExecKeeper, static_cast<Operation>(77)};
  for (int round = 0; round < 3000; ++round) {
    Request request{.operation = operations[random() % std::size(operations)]};
    request.key.run = random() % 2;
    request.key.unit = static_cast<std::uint32_t>(random() % 4);
    request.key.spawn = static_cast<std::uint32_t>(random() % 2);
    if (random() % 4 == 0) request.from = static_cast<std::uint32_t>(random());
    request.number = random() % 2 == 0 ? static_cast<std::int32_t>(random()) : 0;
    request.flags = static_cast<std::uint16_t>(random() % 4 == 0 ? random() % 16 : 0);
    request.child_fds = static_cast<std::uint16_t>(random() % 3);
    request.spec_size = static_cast<std::uint32_t>(random() % 3 == 0 ? random() : random() % 1000);
    if (random() % 3 == 0) request.spec_offset = random();
    for (char& c : request.label) c = static_cast<char>('a' + random() % 2);
    if (random() % 50 == 0) request.magic_number = static_cast<std::uint32_t>(random());
    std::size_t count = random() % 4;
    if (random() % 100 == 0) count = random() % fds.size();
    const auto answered = [&] {
      return manager.send_raw({reinterpret_cast<const char*>(&request), sizeof request}, {fds.data(), count});
    };
    // What these would do when they work is not noise: a memory file is no program, but a pid may be somebody's.
    if (request.operation == Operation::Track && count > 0) request.number = 0;
    ASSERT_GE(answered(), 0) << round;
  }
  EXPECT_TRUE(eventually([&] {
    for (const Entry& entry : manager.list()) manager.acknowledge(entry.key);
    return manager.list().empty();
  }));
  Request request{.operation = Operation::Delete};
  for (const auto& [label, fd] : manager.list_parked()) {
    std::copy_n(label.begin(), label.size(), std::begin(request.label));
    EXPECT_EQ(manager.ask(request).message.header.error, 0);
  }
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
  EXPECT_EQ(manager.spawn({9, 9, 9}, shell("exit 5")).state, EntryState::Running);
  EXPECT_EQ(manager.await_end({9, 9, 9}).end_status, 5) << "it still works";
}

// ---- ends

TEST_F(KeeperTest, EveryExitCodeIsToldExactly) {
  for (std::uint32_t code = 0; code < 256; ++code) manager.spawn({1, code, 1}, shell("exit " + std::to_string(code)));
  for (std::uint32_t code = 0; code < 256; ++code) {
    const Entry ended = manager.await_end({1, code, 1});
    ASSERT_EQ(ended.end_code, code_exited);
    ASSERT_EQ(ended.end_status, static_cast<std::int32_t>(code));
    ASSERT_EQ(manager.acknowledge({1, code, 1}), 0);
  }
  EXPECT_THAT(manager.list(), IsEmpty());
}

TEST_F(KeeperTest, EverySignalThatKillsIsToldExactly) {
  Program program = idle;
  program.fixed.limits_set = 1U << RLIMIT_CORE;
  for (int number = 1; number < SIGRTMIN + 3; ++number) {
    if (std::set{SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, 32, 33}.contains(number)) continue;
    const Key key{static_cast<std::uint64_t>(number), 7, 1};
    const pid_t pid = manager.spawn(key, program).pid;
    ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(pid, "Name") == "sleep"; }));
    send_signal(pid, number);
    const Entry ended = manager.await_end(key);
    EXPECT_TRUE(ended.end_code == code_killed || ended.end_code == code_dumped) << number;
    EXPECT_EQ(ended.end_status, number);
  }
}

TEST_F(KeeperTest, AStoppedServiceHasNotEnded) {
  const pid_t pid = manager.spawn(web, idle).pid;
  send_signal(pid, SIGSTOP);
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(pid, "State").starts_with('T'); }));
  EXPECT_EQ(manager.list().at(0).state, EntryState::Running);
  send_signal(pid, SIGKILL);
  EXPECT_EQ(manager.await_end(web).end_status, SIGKILL);
}

TEST_F(KeeperTest, AStatusStaysUntilItIsAcknowledged) {
  manager.spawn(web, shell("exit 9"));
  const Entry ended = manager.await_end(web);
  for (int life = 0; life < 2; ++life) {
    change_managers();
    const std::vector<Entry> entries = manager.list();
    ASSERT_THAT(entries, SizeIs(1));
    EXPECT_EQ(std::memcmp(&entries[0], &ended, sizeof ended), 0);
  }
  EXPECT_EQ(manager.acknowledge(web), 0);
  EXPECT_EQ(manager.acknowledge(web), ENOENT);
  change_managers();
  EXPECT_THAT(manager.list(), IsEmpty());
}

TEST_F(KeeperTest, AnEndThatNoManagerSawIsKeptForTheNext) {
  const pid_t pid = manager.spawn(web, idle).pid;
  send_signal(manager.pid(), SIGSTOP);  // it is not dead, and does not listen either
  send_signal(pid, SIGTERM);
  ASSERT_TRUE(eventually([&] { return perdure::testing::has_ended(pid); }));
  change_managers();
  const std::vector<Entry> entries = manager.list();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].end_status, SIGTERM);
}

TEST_F(KeeperTest, ARunningEntryCannotBeForgotten) {
  manager.spawn(web, idle);
  EXPECT_EQ(manager.acknowledge(web), EINVAL);
  EXPECT_THAT(manager.list(), SizeIs(1));
}

/// Stops the keeper for as long as this lives.
class Pause {
 public:
  explicit Pause(pid_t pid) : pid_(pid) {
    send_signal(pid_, SIGSTOP);
    EXPECT_TRUE(eventually([&] { return perdure::testing::proc_status(pid_, "State").starts_with('T'); }));
  }
  ~Pause() { send_signal(pid_, SIGCONT); }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  pid_t pid_;
};

TEST_F(KeeperTest, TheUsageThatIsToldIsThatOfTheZombie) {
  std::istringstream fields;
  {
    const pid_t pid = manager.spawn(web, shell("i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; (exit 0)")).pid;
    const Pause pause{keeper.pid()};
    ASSERT_TRUE(eventually([&] { return perdure::testing::has_ended(pid); }));
    const std::string stat = perdure::testing::read_file("/proc/" + std::to_string(pid) + "/stat").value();
    fields.str(stat.substr(stat.rfind(')') + 2));
  }
  std::vector<std::string> words;
  for (std::string word; fields >> word;) words.push_back(word);
  const auto ticks = [&](std::size_t field) { return std::stoull(words.at(field - 3)); };  // proc_pid_stat(5) counts from 1
  const std::uint64_t tick_us = 1'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  const auto expect_near = [tick_us](std::uint64_t us, std::uint64_t in_ticks) {
    EXPECT_LE(us, (in_ticks + 2) * tick_us);
    EXPECT_GE(us + 2 * tick_us, in_ticks * tick_us);
  };
  const Entry ended = manager.await_end(web);
  EXPECT_GT(ended.user_us, 0U);
  expect_near(ended.user_us, ticks(14) + ticks(16));
  expect_near(ended.system_us, ticks(15) + ticks(17));
}

/// What the keeper relies on when it looks before it reaps.
TEST(Keeper, TheKernelGivesTheSameUsageBeforeAndAfterTheReaping) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::fork() == 0) ::_exit(0);
    ::wait(nullptr);
    volatile std::uint64_t work = 0;
    while (work < 30'000'000) work = work + 1;
    ::_exit(9);
  }
  siginfo_t status{};
  rusage before{};
  ASSERT_EQ(::syscall(SYS_waitid, P_PID, pid, &status, WEXITED | WNOWAIT, &before), 0);
  EXPECT_EQ(status.si_status, 9);
  int code = 0;
  rusage after{};
  ASSERT_EQ(::wait4(pid, &code, 0, &after), pid);
  EXPECT_EQ(WEXITSTATUS(code), 9);
  EXPECT_GT(before.ru_utime.tv_sec + before.ru_utime.tv_usec, 0);
  EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0);
}

TEST_F(KeeperTest, ARequestDoesNotWaitUntilEveryOrphanIsReaped) {
  constexpr std::uint32_t orphans = 1000;
  Program program = shell("read line; i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); (: &); done; echo done; exec sleep 1000");
  program.fixed.stdin_index = 1;
  program.fixed.stdout_index = 2;
  const std::vector<char> bytes = spec_bytes(program);
  const UniqueFd spec = memory_file(bytes);
  const PipeEnds in = make_pipe();
  const PipeEnds out = make_pipe();
  ASSERT_EQ(manager.ask(spawn_request(web, bytes.size(), 3), std::array{spec.get(), in.reader.get(), out.writer.get()})
                .message.header.error,
            0);
  {
    const Pause pause{keeper.pid()};
    ASSERT_EQ(::write(in.writer.get(), "go\n", 3), 3);
    char text[8]{};
    ASSERT_EQ(::read(out.reader.get(), text, sizeof text), 5);
    ASSERT_TRUE(eventually([&] {  // all of them are zombies, and the keeper's
      std::size_t ended = 0;
      for (const pid_t child : services()) ended += perdure::testing::has_ended(child) ? 1 : 0;
      return ended == orphans;
    }));
    manager.channel.send(Request{.operation = Operation::List, .sequence = 4711});
  }
  const auto is_listed = [](const Message& m) { return m.header.kind == Kind::Listed; };
  EXPECT_LT(manager.await(is_listed).message.header.orphans_reaped, orphans);
  EXPECT_TRUE(eventually([&] { return manager.ask(Operation::List).message.header.orphans_reaped == orphans; }));
  EXPECT_THAT(services(), SizeIs(1));
}

TEST_F(KeeperTest, ServicesEndExactlyWhileOrphansEndAllTheTime) {
  manager.spawn(web, shell("i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); (: &); done; exit 3"));
  for (std::uint32_t unit = 100; unit < 200; ++unit) manager.spawn({1, unit, 1}, shell("exit " + std::to_string(unit)));
  for (std::uint32_t unit = 100; unit < 200; ++unit)
    ASSERT_EQ(manager.await_end({1, unit, 1}).end_status, static_cast<std::int32_t>(unit));
  EXPECT_EQ(manager.await_end(web).end_status, 3);
  EXPECT_TRUE(eventually([&] { return manager.ask(Operation::List).message.header.orphans_reaped == 3000; }));
  EXPECT_THAT(services(), IsEmpty());
}

TEST_F(KeeperTest, OrphansAreReapedAndCounted) {
  manager.spawn(web, shell("/bin/true & /bin/true & /bin/true & exit 0"));
  manager.await_end(web);
  EXPECT_TRUE(eventually([&] { return services().empty(); })) << "they come to the keeper, and it reaps them";
  // What the shell itself still saw end is none of the keeper's.
  manager.spawn({2, 7, 1}, shell("(sleep 0.1; exit 0) & exit 0"));
  EXPECT_TRUE(eventually([&] { return manager.ask(Operation::List).message.header.orphans_reaped > 0; }));
}

// ---- what is kept

TEST_F(KeeperTest, ParkedDescriptorsComeBackUnderTheirNames) {
  for (int i = 0; i < 40; ++i) {  // more than one message holds
    const std::string text = "text " + std::to_string(i);
    const UniqueFd file = memory_file(text);
    ASSERT_EQ(manager.park("file" + std::to_string(i), file.get()), 0);
  }
  change_managers();
  const std::map<std::string, UniqueFd> parked = manager.list_parked();
  ASSERT_THAT(parked, SizeIs(40));
  for (int i = 0; i < 40; ++i) {
    char text[64]{};
    ASSERT_GT(::pread(parked.at("file" + std::to_string(i)).get(), text, sizeof text - 1, 0), 0);
    EXPECT_EQ(text, "text " + std::to_string(i));
  }
}

TEST_F(KeeperTest, ParkingUnderAKnownNameReplaces) {
  const UniqueFd first = memory_file(std::string{"first"});
  const UniqueFd second = memory_file(std::string{"second"});
  ASSERT_EQ(manager.park("x", first.get()), 0);
  const std::size_t before = open_descriptors(keeper.pid());
  ASSERT_EQ(manager.park("x", second.get()), 0);
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
  const std::map<std::string, UniqueFd> parked = manager.list_parked();
  char text[16]{};
  ASSERT_GT(::pread(parked.at("x").get(), text, sizeof text - 1, 0), 0);
  EXPECT_STREQ(text, "second");
}

TEST(Keeper, TheLocksThatItIsStartedWithAreParked) {
  const perdure::testing::TempDir directory;
  const auto open = [&](const char* name) {
    return UniqueFd{::open((directory / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  };
  UniqueFd state = open("state");
  UniqueFd log = open("log");
  ASSERT_EQ(::flock(state.get(), LOCK_EX), 0);
  ASSERT_EQ(::flock(log.get(), LOCK_EX), 0);
  RunningKeeper keeper{{.locks = {state.get(), log.get()}}};
  Manager manager = keeper.next_manager();
  state.reset();
  log.reset();
  const auto expect_held = [&] {
    EXPECT_NE(::flock(open("state").get(), LOCK_EX | LOCK_NB), 0);
    EXPECT_NE(::flock(open("log").get(), LOCK_EX | LOCK_NB), 0);
  };
  EXPECT_THAT(manager.list_parked(),
              ElementsAre(::testing::Key(message::log_lock_label), ::testing::Key(message::state_lock_label)));
  expect_held();
  manager.die();
  manager = keeper.next_manager();
  expect_held();
  const UniqueFd program{::open(PERDURE_KEEPER, O_RDONLY | O_CLOEXEC)};
  manager.channel.send(Request{.operation = Operation::ExecKeeper}, std::array{program.get()});
  Manager next = keeper.next_manager();
  expect_held();
  EXPECT_THAT(next.list_parked(), SizeIs(2));
}

TEST_F(KeeperTest, WhatIsDeletedIsClosed) {
  const std::size_t before = open_descriptors(keeper.pid());
  Request request{.operation = Operation::Delete, .label = "x"};
  EXPECT_EQ(manager.ask(request).message.header.error, ENOENT);
  const PipeEnds pipe = make_pipe();
  manager.park("x", pipe.reader.get());
  EXPECT_EQ(manager.ask(request).message.header.error, 0);
  EXPECT_EQ(manager.ask(request).message.header.error, ENOENT);
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
}

TEST_F(KeeperTest, ThereAreSixtyFourPlacesToPark) {
  const UniqueFd file = memory_file({});
  for (std::size_t i = 0; i < message::parked_max; ++i) ASSERT_EQ(manager.park("f" + std::to_string(i), file.get()), 0);
  const std::size_t before = open_descriptors(keeper.pid());
  EXPECT_EQ(manager.park("one more", file.get()), ENOSPC);
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
  EXPECT_EQ(manager.park("f3", file.get()), 0) << "replacing takes no place";
}

TEST_F(KeeperTest, TheLogIsHeldUntilTheAcknowledgementAndComesWithTheList) {
  const std::size_t before = open_descriptors(keeper.pid());
  Program program = shell("echo last words");
  program.fixed.stdout_index = 1;
  const std::vector<char> bytes = spec_bytes(program);
  {
    const UniqueFd spec = memory_file(bytes);
    PipeEnds log = make_pipe();
    const auto answer = manager.ask(spawn_request(web, bytes.size(), 2, message::has_log),
                                    std::array{spec.get(), log.writer.get(), log.reader.get()});
    ASSERT_EQ(answer.message.header.error, 0);
    EXPECT_EQ(answer.message.entries[0].flags & message::entry_has_log, message::entry_has_log);
  }
  manager.await_end(web);
  change_managers();
  std::vector<UniqueFd> fds;
  const std::vector<Entry> entries = manager.list(&fds);
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].flags & message::entry_has_log, message::entry_has_log);
  ASSERT_THAT(fds, SizeIs(1));
  EXPECT_EQ(read_to_end(fds[0]), "last words\n");
  manager.acknowledge(web);
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
}

TEST_F(KeeperTest, TheGateOpensWhenTheProgramIsExecuted) {
  Program program = idle;
  program.fixed.flags = wire::spec_gate;
  const std::vector<char> bytes = spec_bytes(program);
  const UniqueFd spec = memory_file(bytes);
  PipeEnds gate = make_pipe();
  const auto answer = manager.ask(spawn_request(web, bytes.size(), 2, message::has_gate),
                                  std::array{spec.get(), gate.writer.get(), gate.reader.get()});
  ASSERT_EQ(answer.message.header.error, 0);
  gate.writer.reset();
  EXPECT_EQ(read_to_end(gate.reader), "x");
  std::vector<UniqueFd> fds;
  EXPECT_EQ(manager.list(&fds).at(0).flags & message::entry_has_gate, message::entry_has_gate);
  EXPECT_THAT(fds, SizeIs(2)) << "gate and pidfd";
}

TEST_F(KeeperTest, TheGateSaysThatTheProgramWasNotExecuted) {
  Program program{.arguments = {"/nowhere/web"}};
  program.fixed.flags = wire::spec_gate;
  const std::vector<char> bytes = spec_bytes(program);
  const UniqueFd spec = memory_file(bytes);
  PipeEnds gate = make_pipe();
  manager.ask(spawn_request(web, bytes.size(), 2, message::has_gate),
              std::array{spec.get(), gate.writer.get(), gate.reader.get()});
  gate.writer.reset();
  EXPECT_EQ(read_to_end(gate.reader), "xf");
}

TEST_F(KeeperTest, AFullTableRefusesBeforeAnythingIsStarted) {
  RunningKeeper small{{.nofile = 200}};
  Manager its_manager = small.next_manager();
  const std::uint32_t capacity = its_manager.ask(Operation::List).message.header.capacity;
  ASSERT_EQ(capacity, (200U - 128U - 64U) / 3U);
  for (std::uint32_t unit = 0; unit < capacity; ++unit) its_manager.spawn({1, unit, 1}, idle);
  // An answer comes before the descriptors of its request are closed; the next one, after it.
  const auto descriptors = [&] {
    EXPECT_EQ(its_manager.acknowledge({9, 9, 9}), ENOENT);
    return open_descriptors(small.pid());
  };
  const std::size_t before = descriptors();
  const std::vector<char> bytes = spec_bytes(idle);
  const UniqueFd spec = memory_file(bytes);
  const auto answer = its_manager.ask(spawn_request({1, 99, 1}, bytes.size(), 3, message::has_log),
                                      std::array{spec.get(), spec.get(), spec.get(), spec.get()});
  EXPECT_EQ(answer.message.header.error, ENOSPC);
  EXPECT_EQ(children_of(small.pid()).size(), capacity + 1) << "and the manager";
  EXPECT_EQ(descriptors(), before);
  send_signal(its_manager.list().at(0).pid, SIGKILL);
  its_manager.await_end({1, 0, 1});
  ASSERT_EQ(its_manager.acknowledge({1, 0, 1}), 0);
  its_manager.spawn({1, 99, 1}, idle);
}

// ---- processes of others

TEST_F(KeeperTest, AnAdoptedDescendantIsTrackedWithItsExactEnd) {
  manager.spawn(web, shell("/bin/sleep 1000 & exit 0"));
  manager.await_end(web);
  ASSERT_TRUE(eventually([&] { return services().size() == 1; })) << "the end is told before the zombie is reaped";
  const pid_t orphan = services()[0];
  const UniqueFd pidfd{os::sys::pidfd_open(orphan, 0)};
  const Key key{1, 7, 2};
  const auto answer =
      manager.ask(Request{.operation = Operation::Track, .key = key, .number = orphan, .invocation = {1, 2, 3}},
                  std::array{pidfd.get()});
  ASSERT_EQ(answer.message.header.error, 0);
  EXPECT_EQ(answer.message.entries[0].pid, orphan);
  EXPECT_EQ(answer.message.entries[0].invocation[2], 3) << "whoever comes after the manager knows its run by it";
  EXPECT_EQ(answer.message.entries[0].flags & message::entry_tracked, message::entry_tracked);
  EXPECT_EQ(manager.ask(Request{.operation = Operation::Track, .key = key, .number = orphan}, std::array{pidfd.get()})
                .message.header.error,
            EEXIST);
  send_signal(orphan, SIGUSR1);
  const Entry ended = manager.await_end(key);
  EXPECT_EQ(ended.end_code, code_killed);
  EXPECT_EQ(ended.end_status, SIGUSR1);
}

TEST_F(KeeperTest, ATrackedProcessDoesNotInheritTheFailureOfTheEntryBeforeIt) {
  manager.spawn(web, {.arguments = {"/nowhere/web"}});
  ASSERT_EQ(manager.await_end(web).failed_error, ENOENT);
  ASSERT_EQ(manager.acknowledge(web), 0);  // its slot is free again
  manager.spawn({2, 7, 1}, idle);
  manager.spawn({3, 7, 1}, shell("/bin/sleep 1000 & exit 0"));
  manager.await_end({3, 7, 1});
  send_signal(manager.list().at(0).pid, SIGKILL);
  manager.await_end({2, 7, 1});
  manager.spawn({4, 8, 1}, {.arguments = {"/nowhere/web"}});
  manager.await_end({4, 8, 1});
  for (const Key& key : {Key{2, 7, 1}, Key{3, 7, 1}, Key{4, 8, 1}}) ASSERT_EQ(manager.acknowledge(key), 0);
  const pid_t orphan = services().at(0);
  const UniqueFd pidfd{os::sys::pidfd_open(orphan, 0)};
  ASSERT_EQ(manager.ask(Request{.operation = Operation::Track, .key = web, .number = orphan}, std::array{pidfd.get()})
                .message.header.error,
            0);
  send_signal(orphan, SIGKILL);
  const Entry ended = manager.await_end(web);
  EXPECT_EQ(ended.failed_step, 0U);
  EXPECT_EQ(ended.failed_error, 0);
}

/// A child of the test itself: the keeper can watch it, and its parent reaps it.
class Stranger {
 public:
  Stranger() : pid_(::fork()) {
    if (pid_ != 0) return;
    for (;;) ::pause();
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void reap() const { ::waitpid(pid_, nullptr, 0); }

 private:
  pid_t pid_;
};

TEST_F(KeeperTest, TheEndOfAForeignProcessIsExactOrUnknownAndNeverGuessed) {
  const Stranger stranger;
  const UniqueFd pidfd{os::sys::pidfd_open(stranger.pid(), 0)};
  const auto answer =
      manager.ask(Request{.operation = Operation::Track, .key = web, .number = stranger.pid()}, std::array{pidfd.get()});
  ASSERT_EQ(answer.message.header.error, 0);
  EXPECT_EQ(answer.message.entries[0].flags & message::entry_has_pidfd, message::entry_has_pidfd);
  send_signal(stranger.pid(), SIGUSR2);
  stranger.reap();
  const Entry ended = manager.await_end(web);
  if (ended.end_code == message::ended_unseen) {
    EXPECT_EQ(ended.end_status, 0);  // before Linux 6.15
  } else {
    EXPECT_EQ(ended.end_code, code_killed);
    EXPECT_EQ(ended.end_status, SIGUSR2);
  }
  EXPECT_EQ(manager.acknowledge(web), 0);
}

TEST_F(KeeperTest, AForeignZombieThatNobodyReapsCountsAsUnseen) {
  const Stranger stranger;
  const UniqueFd pidfd{os::sys::pidfd_open(stranger.pid(), 0)};
  manager.ask(Request{.operation = Operation::Track, .key = web, .number = stranger.pid()}, std::array{pidfd.get()});
  send_signal(stranger.pid(), SIGKILL);
  const Entry ended = manager.await_end(web);
  EXPECT_EQ(ended.state, EntryState::Ended);
  stranger.reap();
}

TEST(Keeper, WhoseLogCannotBeKeptIsNotTracked) {
  RunningKeeper keeper{{.nofile = 130}};  // two descriptors can be kept
  Manager manager = keeper.next_manager();
  manager.spawn(web, shell("/bin/sleep 1000 & exit 0"));
  manager.await_end(web);
  ASSERT_EQ(manager.acknowledge(web), 0);
  std::vector<pid_t> children = children_of(keeper.pid());
  std::erase(children, manager.pid());
  ASSERT_THAT(children, SizeIs(1));
  const UniqueFd pidfd{os::sys::pidfd_open(children[0], 0)};
  const UniqueFd file = memory_file({});
  ASSERT_EQ(manager.park("a", file.get()), 0);
  ASSERT_EQ(manager.park("b", file.get()), 0);
  const std::size_t before = open_descriptors(keeper.pid());
  const Request request{.operation = Operation::Track, .key = web, .number = children[0], .flags = message::has_log};
  EXPECT_EQ(manager.ask(request, std::array{pidfd.get(), file.get()}).message.header.error, EMFILE);
  EXPECT_THAT(manager.list(), IsEmpty());
  EXPECT_EQ(open_descriptors(keeper.pid()), before);
  Request remove{.operation = Operation::Delete, .label = "b"};
  ASSERT_EQ(manager.ask(remove).message.header.error, 0);
  EXPECT_EQ(manager.ask(request, std::array{pidfd.get(), file.get()}).message.header.error, 0) << "it can be tried again";
  std::vector<UniqueFd> fds;
  EXPECT_EQ(manager.list(&fds).at(0).flags & message::entry_has_log, message::entry_has_log);
  EXPECT_THAT(fds, SizeIs(2)) << "log and pidfd";
}

TEST_F(KeeperTest, PidsThatNameNoSingleProcessAreNotTracked) {
  const UniqueFd pidfd{os::sys::pidfd_open(::getpid(), 0)};
  for (const int pid : {-1, 0, 1}) {
    EXPECT_EQ(manager.ask(Request{.operation = Operation::Track, .key = web, .number = pid}, std::array{pidfd.get()})
                  .message.header.error,
              EINVAL);
  }
}

// ---- managers

TEST_F(KeeperTest, AManagerThatDiesIsStartedAgainAtOnceAndAfterTheThirdWithAPause) {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
  };
  manager.spawn(web, idle);
  for (std::uint32_t life = 2; life <= 4; ++life) {
    change_managers();
    EXPECT_EQ(manager.ask(Operation::List).message.header.manager_starts, life);
  }
  const auto died = now();
  change_managers();
  EXPECT_GE(now() - died, 900) << "the fourth within ten seconds waits";
  EXPECT_EQ(manager.list().at(0).state, EntryState::Running);
}

TEST_F(KeeperTest, TheNextManagerIsToldHowTheOneBeforeItEnded) {
  const auto header = [this] { return manager.ask(Operation::List).message.header; };
  EXPECT_EQ(header().manager_end_code, 0) << "there was none";
  EXPECT_EQ(header().manager_ended_realtime_ns, 0);
  change_managers();
  EXPECT_EQ(header().manager_end_code, code_killed);
  EXPECT_EQ(header().manager_end_status, SIGKILL);
  EXPECT_GT(header().manager_ended_realtime_ns, 0);
  manager = Manager{UniqueFd{}, -1, -1, UniqueFd{}};  // lets go of it: it exits with 0
  manager = keeper.next_manager();
  EXPECT_EQ(header().manager_end_code, code_exited);
  EXPECT_EQ(header().manager_end_status, 0);
}

TEST_F(KeeperTest, AManagerThatExitsByItselfIsStartedAgain) {
  const pid_t first = manager.pid();
  manager = Manager{UniqueFd{}, -1, -1, UniqueFd{}};  // lets go of it: it exits with 0
  manager = keeper.next_manager();
  EXPECT_NE(manager.pid(), first);
}

/// What a manager had ordered before it died is carried out, and the answers that nobody takes cost nothing.
TEST_F(KeeperTest, OrdersOfADyingManagerStandAndLeaveNoDescriptorBehind) {
  const std::size_t before = open_descriptors(keeper.pid());
  const std::vector<char> bytes = spec_bytes(shell("exit 6"));
  for (std::uint64_t round = 1; round <= 3; ++round) {
    send_signal(keeper.pid(), SIGSTOP);
    ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(keeper.pid(), "State").starts_with('T'); }));
    {
      const UniqueFd spec = memory_file(bytes);
      for (std::uint32_t unit = 0; unit < 5; ++unit)
        manager.channel.send(spawn_request({round, unit, 1}, bytes.size(), 1), std::array{spec.get()});
      manager.channel.send(Request{.operation = Operation::List});
    }
    manager.die();
    send_signal(keeper.pid(), SIGCONT);
    manager = keeper.next_manager();
    EXPECT_THAT(manager.list(), SizeIs(5));
    for (std::uint32_t unit = 0; unit < 5; ++unit) {
      const Key key{round, unit, 1};
      ASSERT_TRUE(eventually([&] { return manager.acknowledge(key) == 0; }));
    }
    EXPECT_EQ(open_descriptors(keeper.pid()), before);
  }
  // Descriptors arrive under the right numbers: input, output and log are what they should be.
  Program program = shell("read line; echo \"out $line\"; echo err >&2");
  program.fixed.stdin_index = 1;
  program.fixed.stdout_index = 2;
  program.fixed.stderr_index = 3;
  const std::vector<char> spec = spec_bytes(program);
  const UniqueFd file = memory_file(spec);
  PipeEnds in = make_pipe();
  PipeEnds out = make_pipe();
  PipeEnds err = make_pipe();
  PipeEnds log = make_pipe();
  ASSERT_EQ(::write(in.writer.get(), "hello\n", 6), 6);
  const auto answer =
      manager.ask(spawn_request(web, spec.size(), 4, message::has_log),
                  std::array{file.get(), in.reader.get(), out.writer.get(), err.writer.get(), log.reader.get()});
  ASSERT_EQ(answer.message.header.error, 0);
  out.writer.reset();
  err.writer.reset();
  EXPECT_EQ(read_to_end(out.reader), "out hello\n");
  EXPECT_EQ(read_to_end(err.reader), "err\n");
}

TEST_F(KeeperTest, ALastFinishOfADyingManagerCounts) {
  manager.channel.send(Request{.operation = Operation::Finish, .number = 42});
  manager.die();
  EXPECT_EQ(keeper.wait(), 42);
}

TEST_F(KeeperTest, FinishEndsItWithTheCode) {
  const pid_t service = manager.spawn(web, idle).pid;
  manager.channel.send(Request{.operation = Operation::Finish, .number = 17});
  EXPECT_EQ(keeper.wait(), 17);
  EXPECT_TRUE(perdure::testing::has_ended(manager.pid())) << "one that does not leave by itself is made to";
  EXPECT_THAT(children_of(::getpid()), ElementsAre(service))
      << "and is reaped: nobody else would, where the keeper is PID 1";
  EXPECT_FALSE(perdure::testing::has_ended(service)) << "who finishes has stopped the services, or wants them to go on";
}

TEST_F(KeeperTest, TheManagerIsReapedBeforeTheKeeperLeaves) {
  const pid_t service = manager.spawn(web, idle).pid;
  manager.channel.send(Request{.operation = Operation::Finish, .number = 3});
  manager = Manager{UniqueFd{}, -1, -1, UniqueFd{}};
  EXPECT_EQ(keeper.wait(), 3);
  EXPECT_THAT(children_of(::getpid()), ElementsAre(service));
}

TEST_F(KeeperTest, AManagerThatSaysNoMoreIsReplaced) {
  const pid_t first = manager.pid();
  ::shutdown(manager.channel.fd(), SHUT_WR);
  EXPECT_NE(keeper.next_manager().pid(), first);
}

TEST_F(KeeperTest, AnAnswerThatNobodyTakesDoesNotKeepAManagerWithoutAChannel) {
  const pid_t first = manager.pid();
  for (std::uint32_t unit = 0; unit < 16; ++unit) manager.spawn({1, unit, 1}, idle);
  const Request request{.operation = Operation::List};
  const auto send_one = [&] {
    return ::send(manager.channel.fd(), &request, sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
  };
  while (send_one()) {  // until the keeper waits for room in the channel
  }
  ::shutdown(manager.channel.fd(), SHUT_RDWR);
  EXPECT_NE(keeper.next_manager().pid(), first);
}

TEST_F(KeeperTest, AManagerWithoutAChannelIsReplaced) {
  const pid_t first = manager.pid();
  ::shutdown(manager.channel.fd(), SHUT_RDWR);
  Manager next = keeper.next_manager();
  EXPECT_NE(next.pid(), first);
  EXPECT_TRUE(eventually([&] { return perdure::testing::has_ended(first); }));
}

std::string program_of(pid_t pid) {
  char target[256]{};
  return ::readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), target, sizeof target - 1) > 0 ? target : "";
}

/// A copy of the test program under another name.
UniqueFd copy_of_this_program() {
  const std::string bytes = perdure::testing::read_file("/proc/self/exe").value();
  UniqueFd copy{::memfd_create("next-manager", MFD_CLOEXEC)};
  EXPECT_EQ(::write(copy.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return copy;
}

TEST_F(KeeperTest, TheNextManagerIsTheProgramThatItWasGiven) {
  {
    // Opened again for reading: a file that somebody may write to cannot be executed.
    const UniqueFd writable = copy_of_this_program();
    const UniqueFd program{::open(("/proc/self/fd/" + std::to_string(writable.get())).c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_EQ(manager.ask(Request{.operation = Operation::ExecManager}, std::array{program.get()}).message.header.error, 0);
  }
  change_managers();
  EXPECT_THAT(program_of(manager.pid()), ::testing::HasSubstr("next-manager"));
}

TEST_F(KeeperTest, AManagerThatCannotBeExecutedGivesWayToTheOneBefore) {
  manager.spawn(web, idle);
  const UniqueFd text = memory_file(std::string{"no program"});
  ASSERT_EQ(manager.ask(Request{.operation = Operation::ExecManager}, std::array{text.get()}).message.header.error, 0);
  change_managers();
  EXPECT_EQ(program_of(manager.pid()), program_of(::getpid()));
  EXPECT_EQ(manager.list().at(0).state, EntryState::Running);
}

TEST(Keeper, AnOnlyManagerThatCannotBeExecutedForAWhileIsNotGivenUp) {
  perdure::testing::TempDir directory;
  const std::string program = directory / "manager";
  std::filesystem::copy_file("/proc/self/exe", program);
  UniqueFd writer{::open(program.c_str(), O_RDWR | O_CLOEXEC)};  // as long as it can be written to, it cannot be executed
  RunningKeeper keeper{{.manager_program = program}};
  // More failures than it takes to try the one before, of which there is none: each leaves a child that is reaped as an orphan.
  EXPECT_FALSE(keeper.has_next_manager(4500));
  writer.reset();
  Manager manager = keeper.next_manager();
  EXPECT_GE(manager.ask(Operation::List).message.header.orphans_reaped, 4U);
}

TEST_F(KeeperTest, ItBecomesItsSuccessorInPlaceAndKeepsEverything) {
  Program talker = shell("read line; echo \"said $line\"; exec sleep 1000");
  talker.fixed.stdin_index = 1;
  talker.fixed.stdout_index = 2;
  const std::vector<char> bytes = spec_bytes(talker);
  PipeEnds in = make_pipe();
  pid_t running = 0;
  {
    const UniqueFd spec = memory_file(bytes);
    const PipeEnds log = make_pipe();
    const auto answer = manager.ask(spawn_request(web, bytes.size(), 3, message::has_log),
                                    std::array{spec.get(), in.reader.get(), log.writer.get(), log.reader.get()});
    ASSERT_EQ(answer.message.header.error, 0);
    running = answer.message.entries[0].pid;
  }
  manager.spawn({2, 8, 1}, shell("exit 77"));
  manager.await_end({2, 8, 1});
  const UniqueFd kept = memory_file(std::string{"kept"});
  manager.park("kept", kept.get());
  const std::size_t before = open_descriptors(keeper.pid());

  for (int life = 0; life < 2; ++life) {
    const UniqueFd program{::open(PERDURE_KEEPER, O_RDONLY | O_CLOEXEC)};
    manager.channel.send(Request{.operation = Operation::ExecKeeper}, std::array{program.get()});
    Manager next = keeper.next_manager();
    manager.die();
    manager = std::move(next);
    EXPECT_EQ(manager.keeper(), keeper.pid());
    ASSERT_TRUE(eventually([&] { return open_descriptors(keeper.pid()) == before; }))
        << open_descriptors(keeper.pid()) << " and not " << before;
  }
  std::vector<UniqueFd> fds;
  const std::vector<Entry> entries = manager.list(&fds);
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].pid, running);
  EXPECT_EQ(entries[0].state, EntryState::Running);
  EXPECT_EQ(entries[1].end_status, 77);
  EXPECT_NE(manager.ask(Operation::List).message.header.facts & message::fact_adopted, 0U);
  EXPECT_TRUE(manager.list_parked().contains("kept"));

  ASSERT_EQ(::write(in.writer.get(), "hello\n", 6), 6);
  char line[64]{};
  pollfd polled{fds.at(0).get(), POLLIN, 0};
  ASSERT_EQ(::poll(&polled, 1, 30'000), 1);
  EXPECT_GT(::read(fds.at(0).get(), line, sizeof line - 1), 0);
  EXPECT_STREQ(line, "said hello\n");
  send_signal(running, SIGINT);
  EXPECT_EQ(manager.await_end(web).end_status, SIGINT) << "it is still its child";

  Program again = shell("echo again");
  again.fixed.stdout_index = 1;
  const std::vector<char> again_bytes = spec_bytes(again);
  const UniqueFd again_spec = memory_file(again_bytes);
  PipeEnds out = make_pipe();
  ASSERT_EQ(manager.ask(spawn_request({3, 9, 1}, again_bytes.size(), 2), std::array{again_spec.get(), out.writer.get()})
                .message.header.error,
            0);
  out.writer.reset();
  EXPECT_EQ(read_to_end(out.reader), "again\n") << "and starts others as before";
}

TEST_F(KeeperTest, AKeeperThatCannotBeExecutedIsRefusedAndNothingChanges) {
  const pid_t service = manager.spawn(web, idle).pid;
  const std::string program = "/proc/" + std::to_string(keeper.pid()) + "/fd/" + std::to_string(message::keeper_program_fd);
  const auto target = [&program] {
    char text[256]{};
    return std::string{::readlink(program.c_str(), text, sizeof text - 1) > 0 ? text : ""};
  };
  const std::string before = target();
  const UniqueFd text = memory_file(std::string{"no program"});
  EXPECT_NE(manager.ask(Request{.operation = Operation::ExecKeeper}, std::array{text.get()}).message.header.error, 0);
  EXPECT_EQ(manager.list().at(0).pid, service);
  EXPECT_EQ(target(), before) << "who must become the keeper one day needs the program that works";
}

TEST_F(KeeperTest, ASilentManagerIsWokenAndThenReplaced) {
  const pid_t first = manager.pid();
  send_signal(first, SIGSTOP);
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(first, "State").starts_with('T'); }));
  manager.spawn(web, shell("exit 0"));
  manager.await_end(web);  // it was told something, and gives no sign of life
  EXPECT_TRUE(eventually([&] { return !perdure::testing::proc_status(first, "State").starts_with('T'); }));
  EXPECT_FALSE(perdure::testing::has_ended(first)) << "first SIGCONT";
  Manager next = keeper.next_manager();
  EXPECT_NE(next.pid(), first);
}

TEST_F(KeeperTest, AManagerThatWasToldNothingMayBeSilent) {
  EXPECT_FALSE(keeper.has_next_manager(1000));
  EXPECT_EQ(manager.ask(Operation::List).message.header.manager_starts, 1U);
}

// ---- signals

std::uint64_t bit(int number) { return std::uint64_t{1} << number; }

TEST_F(KeeperTest, SignalsAreToldAndDoNothingElse) {
  for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGQUIT, SIGALRM, SIGPIPE, SIGTSTP, SIGCONT, 37, 63}) {
    send_signal(keeper.pid(), number);
    manager.await([&](const Message& m) { return m.header.kind == Kind::Signalled && m.header.signals == bit(number); });
    manager.channel.send(Request{.operation = Operation::Seen});
  }
}

TEST_F(KeeperTest, AStormOfSignalsIsOneMessage) {
  send_signal(keeper.pid(), SIGSTOP);
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(keeper.pid(), "State").starts_with('T'); }));
  for (int i = 0; i < 1000; ++i) send_signal(keeper.pid(), SIGHUP);
  send_signal(keeper.pid(), SIGTERM);
  send_signal(keeper.pid(), SIGCONT);
  manager.await([](const Message& m) {
    return m.header.kind == Kind::Signalled &&
           (m.header.signals & (bit(SIGHUP) | bit(SIGTERM))) == (bit(SIGHUP) | bit(SIGTERM));
  });
  manager.ask(Operation::List);
  while (const auto further = manager.channel.receive()) EXPECT_NE(further->message.header.kind, Kind::Signalled);
}

TEST_F(KeeperTest, SpawnsAreExactInAStormOfSignals) {
  constexpr int storm = 20'000;
  const pid_t sender = ::fork();
  if (sender == 0) {
    const UniqueFd pidfd{os::sys::pidfd_open(keeper.pid(), 0)};
    int sent = 0;
    while (sent < storm && os::sys::pidfd_send_signal(pidfd.get(), sent % 2 == 0 ? SIGHUP : SIGUSR1) == 0) ++sent;
    ::_exit(sent == storm ? 0 : 1);
  }
  for (std::uint32_t unit = 0; unit < 200; ++unit) manager.spawn({1, unit, 1}, shell("exit " + std::to_string(unit)));
  for (std::uint32_t unit = 0; unit < 200; ++unit) {
    const Entry ended = manager.await_end({1, unit, 1});
    ASSERT_EQ(ended.end_code, code_exited) << unit;
    ASSERT_EQ(ended.end_status, static_cast<std::int32_t>(unit));
    ASSERT_EQ(ended.failed_step, 0U);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(sender, &status, 0), sender);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(manager.list(), SizeIs(200));
  EXPECT_EQ(manager.ask(Operation::List).message.header.manager_starts, 1U);
}

TEST_F(KeeperTest, ASignalThatADyingManagerDidNotActOnIsToldToTheNext) {
  const auto is_term = [](const Message& m) { return m.header.kind == Kind::Signalled && m.header.signals == bit(SIGTERM); };
  send_signal(keeper.pid(), SIGTERM);
  manager.await(is_term);
  change_managers();
  const KeeperChannel::Received told = manager.await(is_term);
  manager.channel.send(
      Request{.operation = Operation::Seen, .from = static_cast<std::uint32_t>(told.message.header.sequence)});
  change_managers();
  manager.ask(Operation::List);
  while (const auto further = manager.channel.receive()) {
    EXPECT_NE(further->message.header.kind, Kind::Signalled) << "what was seen is not told again";
  }
}

TEST_F(KeeperTest, ASignalBetweenTwoManagersIsToldToTheNext) {
  for (int i = 0; i < 3; ++i) change_managers();
  manager.die();  // the next one comes after a pause
  send_signal(keeper.pid(), SIGTERM);
  manager = keeper.next_manager();
  manager.await([](const Message& m) { return m.header.kind == Kind::Signalled && m.header.signals == bit(SIGTERM); });
}

}  // namespace
}  // namespace perdure::keeper
