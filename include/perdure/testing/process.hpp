// testing::Process: really start, signal, kill and double-start a program, in a test that leaves nothing behind.
//
// Each Process runs in a directory of its own choice with a given environment, its output captured; daemons that it detaches
// are adopted (subreaper) and killed with it. It starts with an empty signal mask, default dispositions, a process group of its
// own and no descriptor that was not passed. Waits are for events with one generous hang limit, never for a time.
// Its descendants are known by the environment variable PERDURE_TEST_ID; one that detaches *and* clears its environment is missed.
// What cannot go on (no descriptors left, a call against its contract) throws, so that the test fails and still cleans up.
// Part of the component perdure::testing; not linked by daemons. Thread safety: one thread. Not signal-safe. A forked copy of
// the test may drop its objects: only the process that made them kills and removes.
//
//     perdure::testing::Process p{{"./thermod", "--foreground", "--pid-file", dir + "/t.pid"}};
//     ASSERT_TRUE(p.wait_for_output("listening"));
//     p.signal(SIGTERM);
//     EXPECT_EQ(p.wait().text(), "exited with 0");
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "perdure/exit_status.hpp"
#include "perdure/export.hpp"

namespace perdure::testing {

/// Longest wait for an event before a test is told that it hangs.
inline constexpr std::chrono::seconds hang_limit{30};

struct ProcessOptions {
  std::vector<std::pair<std::string, std::string>> env{};  ///< added to the test's own environment
  std::vector<std::string> unset_env{};                    ///< taken out of it first
  std::string working_directory{};                         ///< also what a relative path of the program starts from
  /// Standard descriptors (0, 1, 2) that are closed at the start.
  std::vector<int> closed_fds{};
  /// Descriptors (ours, theirs) handed to it.
  std::vector<std::pair<int, int>> pass_fds{};
};

class PERDURE_EXPORT Process {
 public:
  /// Starts it, and returns when it executes. One that cannot be executed ends with 127 and says so in its output.
  /// A name without '/' is looked for in its PATH.
  explicit Process(std::vector<std::string> command, ProcessOptions options = {});
  /// Kills what is left of it: itself, and the daemons it detached.
  ~Process();
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;

  [[nodiscard]] pid_t pid() const noexcept;
  /// Sends to the process itself. Requires: it has not been reaped.
  void signal(int number);
  /// Waits until it ends; kills it when `within` has passed, notes that in the output, and reports ExitStatus::Kind::Unknown.
  ExitStatus wait(std::chrono::milliseconds within = hang_limit);
  /// How it ended, if it has.
  std::optional<ExitStatus> poll();
  /// stdout and stderr so far, interleaved; the first 16 MiB of them.
  std::string output();
  /// Waits until the output contains `text`; false when it ended or the hang limit passed without.
  bool wait_for_output(std::string_view text, std::chrono::milliseconds within = hang_limit);
  /// Writes to its standard input; what a process that closed it or ended cannot read any more is dropped.
  void write(std::string_view text);
  void close_input();

 private:
  struct State;
  std::unique_ptr<State> state_;
  friend PERDURE_EXPORT struct Finished run(std::vector<std::string> command, ProcessOptions options);
};

struct Finished {
  ExitStatus status;
  std::string output;
};
/// Runs a program to its end, with nothing to read on its standard input. A daemon that it detaches lives on, for the calls that
/// follow; what is left when the test program exits is killed then.
PERDURE_EXPORT Finished run(std::vector<std::string> command, ProcessOptions options = {});

/// Waits until `condition` holds, looking again whenever 5 ms have passed; false at the hang limit.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds within = hang_limit);

/// A new directory (mode 0700) under $TMPDIR or /tmp, removed with everything in it at the end.
class PERDURE_EXPORT TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string{name}; }

 private:
  std::string path_;
  pid_t owner_;
};

/// The whole file, or no value where it cannot be read. Never waits: a FIFO without a writer is empty.
PERDURE_EXPORT std::optional<std::string> read_file(const std::string& path);
/// Creates or replaces the content, with mode 0666 less the umask.
PERDURE_EXPORT void write_file(const std::string& path, std::string_view content);

/// Makes this test process adopt what its children detach, for the rest of its life (PR_SET_CHILD_SUBREAPER).
PERDURE_EXPORT void adopt_orphans();
/// Signals (by pidfd, after checking that it is a descendant of this process) an adopted daemon, waits for its end and reaps it.
/// Unknown, and no signal sent, for any other pid. Killed and Unknown when it still runs at the hang limit.
PERDURE_EXPORT ExitStatus kill_adopted(pid_t pid, int signal);
/// Waits until the adopted process `pid` ends, and reaps it. Unknown when it is not ours, or still runs after `within`.
PERDURE_EXPORT ExitStatus wait_adopted(pid_t pid, std::chrono::milliseconds within = hang_limit);
/// A field of /proc/PID/status ("Uid", "SigCgt", …), blanks trimmed.
PERDURE_EXPORT std::string proc_status(pid_t pid, std::string_view field);
/// The process is gone or a zombie. Requires: pid > 0.
PERDURE_EXPORT bool has_ended(pid_t pid);

/// Waits 5 ms, for eventually().
PERDURE_EXPORT void pause_between_looks() noexcept;

template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds within) {
  const auto end = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    pause_between_looks();
  }
  return true;
}

}  // namespace perdure::testing
