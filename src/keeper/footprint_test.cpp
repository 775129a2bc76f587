// What the keeper must not do: call what it needs not, allocate, grow, or stand on a library.
#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keeper/keeper_testing.hpp"

namespace perdure::keeper {
namespace {

using perdure::testing::proc_status;
using ::testing::IsSubsetOf;

const Program nothing{.arguments = {"/bin/true"}};

/// The names of the calls that strace wrote down, in their order.
std::vector<std::string> calls_in(const std::string& path) {
  std::vector<std::string> calls;
  std::istringstream lines{perdure::testing::read_file(path).value_or("")};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find('(');
    // "<... ppoll resumed>", "--- SIGCHLD …": no new call
    if (end != std::string::npos && line.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == end)
      calls.push_back(line.substr(0, end));
  }
  return calls;
}

TEST(KeeperFootprint, AHundredSpawnsAndEndsTakeNoCallThatIsNotOnTheList) {
  if (perdure::testing::run({"sh", "-c", "strace -o /dev/null true"}).status.text() != "exited with 0") {
    GTEST_SKIP() << "strace is not installed, or processes may not be traced here";
  }
  const perdure::testing::TempDir directory;
  const std::string trace = directory / "trace";
  {
    RunningKeeper keeper{{.under = {"strace", "-o", trace}}};
    Manager manager = keeper.next_manager();
    for (std::uint64_t run = 1; run <= 100; ++run) {
      const message::Key key{run, 7, 1};
      manager.spawn(key, nothing);
      EXPECT_EQ(manager.await_end(key).end_status, 0);
      EXPECT_EQ(manager.acknowledge(key), 0);
    }
    manager.list();
    manager.channel.send(message::Request{.operation = message::Operation::Finish});
    manager = Manager{UniqueFd{}, -1, -1, UniqueFd{}};  // it leaves, as who has said this does
    EXPECT_EQ(keeper.wait(), 0);
  }
  const std::vector<std::string> calls = calls_in(trace);
  const auto started = std::find(calls.begin(), calls.end(), "ppoll");
  ASSERT_NE(started, calls.end());
  const std::set<std::string> before{calls.begin() + 1, started};  // the first is strace's execve
  EXPECT_THAT(before,
              IsSubsetOf({"rt_sigprocmask", "rt_sigaction", "fcntl",     "close_range", "dup3",       "close",
                          "prlimit64",      "memfd_create", "ftruncate", "mmap",        "signalfd4",  "epoll_create1",
                          "prctl",          "mlockall",     "waitid",    "socketpair",  "setsockopt", "clone3",
                          "clock_gettime",  "openat",       "read",      "write"}));
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "openat"), 1) << "its oom_score_adj, before anything runs";
  const std::set<std::string> after{started, calls.end()};
  EXPECT_THAT(after, IsSubsetOf({"ppoll", "read", "recvmsg", "sendmsg", "clone3", "waitid", "close_range", "close", "fcntl",
                                 "clock_gettime", "pidfd_open", "exit_group"}));
  EXPECT_GE(std::count(calls.begin(), calls.end(), "clone3"), 100);
}

/// The kernel takes its time over reaping; the restart that waits for the news does not wait for that.
TEST(KeeperFootprint, AnEndIsToldBeforeTheZombieIsReaped) {
  if (perdure::testing::run({"sh", "-c", "strace -o /dev/null true"}).status.text() != "exited with 0") {
    GTEST_SKIP() << "strace is not installed, or processes may not be traced here";
  }
  const perdure::testing::TempDir directory;
  const std::string trace = directory / "trace";
  std::string pid;
  {
    RunningKeeper keeper{{.under = {"strace", "-o", trace}}};
    Manager manager = keeper.next_manager();
    pid = std::to_string(manager.spawn({1, 7, 1}, {.arguments = {"/bin/sh", "-c", "exit 7"}}).pid);
    EXPECT_EQ(manager.await_end({1, 7, 1}).end_status, 7);
    manager.list();
    EXPECT_TRUE(perdure::testing::eventually([&] { return children_of(manager.keeper()).size() == 1; }))
        << "the zombie stays";
  }
  std::vector<std::string> story;
  std::istringstream lines{perdure::testing::read_file(trace).value()};
  for (std::string line; std::getline(lines, line);) {
    const bool is_end = line.starts_with("waitid(P_PID, " + pid) && line.find("CLD_EXITED") != std::string::npos;
    if (is_end) story.emplace_back(line.find("WNOWAIT") != std::string::npos ? "looked at" : "reaped");
    if (line.starts_with("sendmsg(") && !story.empty() && story.back() == "looked at") story.emplace_back("told");
  }
  EXPECT_THAT(story, ::testing::ElementsAre("looked at", "told", "reaped"));
}

TEST(KeeperFootprint, AThousandEntriesFitInAMegabyte) {
  RunningKeeper keeper;
  Manager manager = keeper.next_manager();
  const std::uint32_t capacity = manager.ask(message::Operation::List).message.header.capacity;
  if (capacity < 1000) GTEST_SKIP() << "RLIMIT_NOFILE allows only " << capacity << " entries";
  for (std::uint32_t unit = 0; unit < 1000; ++unit) manager.spawn({1, unit, 1}, nothing);
  for (std::uint32_t unit = 0; unit < 1000; ++unit) manager.await_end({1, unit, 1});
  EXPECT_EQ(manager.list().size(), 1000U);
  EXPECT_LT(std::stoul(proc_status(keeper.pid(), "VmRSS")), 1024U) << "KiB";
  EXPECT_EQ(proc_status(keeper.pid(), "Threads"), "1");
}

/// The ELF file at `path`, as far as a static program needs looking at.
struct Elf {
  explicit Elf(const std::string& path) : bytes(perdure::testing::read_file(path).value()) {
    std::memcpy(&head, bytes.data(), sizeof head);
  }
  [[nodiscard]] bool has_segment(Elf64_Word type) const {
    for (int i = 0; i < head.e_phnum; ++i) {
      Elf64_Phdr segment;
      std::memcpy(&segment, bytes.data() + head.e_phoff + static_cast<std::size_t>(i) * sizeof segment, sizeof segment);
      if (segment.p_type == type) return true;
    }
    return false;
  }
  [[nodiscard]] Elf64_Shdr section(std::size_t index) const {
    Elf64_Shdr found;
    std::memcpy(&found, bytes.data() + head.e_shoff + index * sizeof found, sizeof found);
    return found;
  }
  /// Names of functions; empty where the file is stripped.
  [[nodiscard]] std::set<std::string> functions() const {
    std::set<std::string> names;
    for (std::size_t i = 0; i < head.e_shnum; ++i) {
      const Elf64_Shdr table = section(i);
      if (table.sh_type != SHT_SYMTAB) continue;
      const char* const texts = bytes.data() + section(table.sh_link).sh_offset;
      for (std::size_t at = 0; at < table.sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        std::memcpy(&symbol, bytes.data() + table.sh_offset + at, sizeof symbol);
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC) names.insert(texts + symbol.st_name);
      }
    }
    return names;
  }
  /// Bytes of code and constants.
  [[nodiscard]] std::size_t text_size() const {
    std::size_t size = 0;
    for (std::size_t i = 0; i < head.e_shnum; ++i) {
      const Elf64_Shdr found = section(i);
      if ((found.sh_flags & SHF_ALLOC) != 0 && (found.sh_flags & SHF_WRITE) == 0) size += found.sh_size;
    }
    return size;
  }
  std::string bytes;
  Elf64_Ehdr head;
};

void expect_no_library(const std::string& path) {
  const Elf program{path};
  EXPECT_FALSE(program.has_segment(PT_INTERP));
  EXPECT_FALSE(program.has_segment(PT_DYNAMIC));
  EXPECT_FALSE(program.has_segment(PT_TLS));
  for (const std::string& name : program.functions()) {
    const bool is_ours = name.find("perdure") != std::string::npos || name == "_start" || name == "memcpy" ||
                         name == "memset" || name == "memmove" || name == "memcmp";
    EXPECT_TRUE(is_ours) << name;
  }
  EXPECT_LT(program.text_size(), 32U * 1024U);
}

TEST(KeeperFootprint, ItStandsOnNoLibrary) { expect_no_library(PERDURE_KEEPER); }
TEST(KeeperFootprint, NeitherDoesTheExecutor) { expect_no_library(PERDURE_EXECUTOR); }

}  // namespace
}  // namespace perdure::keeper
