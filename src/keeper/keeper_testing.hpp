// A real keeper under a test that plays its launcher and its manager. For tests only.
//
// RunningKeeper starts perdure-keeper as `perdure run` does. The manager program it gives it is the test program itself, which
// play_manager() turns into a few lines: it hands its end of the channel to the test and lives until the test lets go of it. So
// the test speaks for a manager that is a real process, and that can be killed like one.
// Everything that was started is killed and reaped when the RunningKeeper ends: the test process adopts what the keeper leaves.
// A wait that reaches the hang limit throws. Thread safety: one thread.
//
//     RunningKeeper keeper;
//     Manager manager = keeper.next_manager();
//     manager.spawn({1, 7, 1}, Program{.arguments = {"/bin/sh", "-c", "exit 3"}});
//     EXPECT_EQ(manager.await_end({1, 7, 1}).end_status, 3);
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "executor/spawn_testing.hpp"
#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"
#include "supervisor/keeper_channel.hpp"
#include "wire/keeper_message.hpp"

namespace perdure::keeper {

namespace message = wire::keeper;
using executor::make_pipe;
using executor::memory_file;
using executor::PipeEnds;
using executor::Program;
using executor::read_to_end;
using executor::spec_bytes;

/// Sends by pidfd.
void send_signal(pid_t pid, int number);
std::vector<pid_t> children_of(pid_t pid);
std::size_t open_descriptors(pid_t pid);

/// The test's side of one life of the manager.
class Manager {
 public:
  Manager(UniqueFd line, pid_t pid, pid_t keeper, UniqueFd channel_end)
      : channel(std::move(channel_end)), pid_(pid), keeper_(keeper), line_(std::move(line)) {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] pid_t keeper() const { return keeper_; }
  supervisor::KeeperChannel::Received ask(const message::Request& request, std::span<const int> fds = {});
  supervisor::KeeperChannel::Received ask(message::Operation operation) {
    return ask(message::Request{.operation = operation});
  }
  /// Starts the program with nothing but its spec; the entry of the answer. Expects that it works.
  message::Entry spawn(const message::Key& key, const Program& program);
  int acknowledge(const message::Key& key);
  /// All entries, and the descriptors that came with them.
  std::vector<message::Entry> list(std::vector<UniqueFd>* fds = nullptr);
  std::map<std::string, UniqueFd> list_parked();
  int park(const std::string& label, int fd);
  /// The first message, now or later, that `is_it` accepts; others are kept.
  supervisor::KeeperChannel::Received await(const std::function<bool(const message::Message&)>& is_it);
  /// How the entry ended, from the keeper's Exited message.
  message::Entry await_end(const message::Key& key);
  /// Bytes that are perhaps no request; returns the error of the answer.
  int send_raw(std::span<const char> bytes, std::span<const int> fds = {});
  /// The process ends, and this side of the channel is closed.
  void die();

  supervisor::KeeperChannel channel;

 private:
  pid_t pid_;
  pid_t keeper_;
  UniqueFd line_;
  std::vector<supervisor::KeeperChannel::Received> inbox_{};
};

struct KeeperOptions {
  std::uint64_t nofile = 0;          ///< RLIMIT_NOFILE, soft and hard; 0: as it is
  std::vector<std::string> under{};  ///< a program that executes the keeper: strace, …
  std::string manager_program{};     ///< empty: the test program
  std::vector<int> locks{};          ///< of its directories
  std::string oom_score_adj{};       ///< empty: as it is
};

class RunningKeeper {
 public:
  explicit RunningKeeper(KeeperOptions options = {});
  ~RunningKeeper();
  RunningKeeper(const RunningKeeper&) = delete;
  RunningKeeper& operator=(const RunningKeeper&) = delete;

  /// Waits until a manager has been started and speaks up.
  Manager next_manager();
  /// Whether one has.
  bool has_next_manager(int within_ms = 0);
  /// Of what was started: the keeper, or what it runs under.
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits until it ends; the exit code, or minus the signal.
  int wait();

 private:
  perdure::testing::TempDir directory_;
  UniqueFd listener_;
  pid_t pid_ = -1;
};

/// What main() does when the keeper has executed the test program as its manager. Does not return.
[[noreturn]] void play_manager(const char* socket_path);

/// Kills and reaps every descendant of the test process.
void end_descendants();

}  // namespace perdure::keeper
