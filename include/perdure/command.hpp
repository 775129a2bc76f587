// Command: run a child process, from a program that has threads, without disturbing it.
//
// The child is started without a copy of this process (vfork-like clone), reset to a clean state (empty signal mask, default
// dispositions, no descriptors but 0–2 and those asked for, its own process group) and reaped by its pidfd, so the program's
// own children are never touched. A child whose owner is destroyed is killed with its process group. The other way round the
// kernel has no wall: execve(2) makes every child one that raises SIGCHLD. A program that reaps with wait(-1), or ignores
// SIGCHLD, takes the status away, and the Child's is ExitStatus::Kind::Unknown. A program that could not be executed raises
// nothing. Left out: shells (arguments are a vector), pipelines, pseudo-terminals. Thread safety: a Command and a Child
// belong to one thread at a time; different ones are independent. Not signal-safe.
//
//     auto scan = perdure::Command{"nmap"}.arg("-p").arg("22,80").arg("--").arg(target).output({.within = 300s});
//     if (!scan) …                                  // it could not be started: no such program, …
//     if (scan->timed_out) … else use(scan->out);
//
//     auto helper = perdure::Command::self({"--role", "reporter"}).spawn();     // this very binary in another role
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "perdure/exit_status.hpp"
#include "perdure/export.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

/// What a standard descriptor of a child is.
enum class Stdio : std::uint8_t { Inherit, Null, Pipe };

/// A running child. Destroying it kills its process group (SIGKILL) and reaps it; detach_from_owner() lets it live on.
class PERDURE_EXPORT Child {
 public:
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;
  ~Child();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Becomes readable when the child ends; for poll(2).
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
  /// The parent's ends of Stdio::Pipe; empty otherwise. May be moved away.
  UniqueFd& stdin_pipe() noexcept { return in_; }
  UniqueFd& stdout_pipe() noexcept { return out_; }
  UniqueFd& stderr_pipe() noexcept { return err_; }

  /// Waits until it ends. Asking again gives the same answer.
  Result<ExitStatus> wait();
  /// Waits at most `within` (0: only looks). No value while it still runs.
  Result<std::optional<ExitStatus>> wait_for(std::chrono::milliseconds within);
  /// Sends `signal` to the child alone; nothing happens if it has ended.
  Result<void> send_signal(int signal) noexcept;
  /// Sends `signal` to every process of the child's group. After the child was waited for, the rest of its group is reached
  /// on Linux 6.9 and later only; before, its number may be somebody else's by then, and nothing is sent.
  Result<void> send_signal_to_group(int signal) noexcept;
  /// SIGTERM to the group; when the child has ended, or after `grace`, SIGKILL to what is left of the group; reaps it.
  Result<ExitStatus> stop(std::chrono::milliseconds grace);
  /// The child outlives this object; it is reaped by whoever adopts it. Gives back its pidfd.
  UniqueFd detach_from_owner() noexcept;

 private:
  friend class Command;
  Child() = default;
  pid_t pid_ = 0;
  UniqueFd pidfd_, in_, out_, err_;
  std::optional<ExitStatus> status_;
};

struct OutputOptions {
  /// The group is killed when it takes longer; 0: no limit.
  std::chrono::milliseconds within{0};
  /// Of each stream; what comes beyond it is read and dropped, and `truncated` is set.
  std::size_t max_bytes = 1 << 20;
  /// Stops early (the group gets SIGTERM, SIGKILL 2 s later) when this descriptor becomes readable: a Context's stop_fd().
  int stop_fd = -1;
};

struct Output {
  ExitStatus status;
  std::string out, err;
  bool timed_out = false;
  bool stopped = false;
  bool truncated = false;
};

class PERDURE_EXPORT Command {
 public:
  /// A program by its path, or by its name looked up in the absolute directories of the child's PATH. By default stdin is
  /// /dev/null and stdout, stderr are inherited.
  explicit Command(std::string program);
  /// This binary (its path is taken when the library is loaded) with the given arguments.
  static Command self(std::initializer_list<std::string> arguments);

  Command& arg(std::string argument) &;
  Command&& arg(std::string argument) && { return std::move(arg(std::move(argument))); }
  Command& args(const std::vector<std::string>& arguments) &;
  Command&& args(const std::vector<std::string>& arguments) && { return std::move(args(arguments)); }
  /// Sets (or with std::nullopt removes) a variable. The rest of the environment is this process's, without NOTIFY_SOCKET,
  /// WATCHDOG_* and LISTEN_*.
  Command& env(const std::string& name, std::optional<std::string> value) &;
  Command&& env(const std::string& name, std::optional<std::string> value) && {
    return std::move(env(name, std::move(value)));
  }
  Command& working_directory(std::string path) &;
  Command&& working_directory(std::string path) && { return std::move(working_directory(std::move(path))); }
  Command& stdio(Stdio in, Stdio out, Stdio err) &;
  Command&& stdio(Stdio in, Stdio out, Stdio err) && { return std::move(stdio(in, out, err)); }
  /// The child gets descriptor `fd` as `target` (≥ 3), without close-on-exec.
  Command& pass_fd(int fd, int target) &;
  Command&& pass_fd(int fd, int target) && { return std::move(pass_fd(fd, target)); }

  /// Starts it. On failure: no child exists; the error names the step and its cause, e.g.
  /// `cannot start nmap: executing it failed: No such file or directory (ENOENT)`.
  Result<Child> spawn() const;
  /// Starts it, collects stdout and stderr until it ends, and kills what it left behind in its group. Stdio::Pipe as stdin
  /// means no input here.
  Result<Output> output(const OutputOptions& options = {}) const;

 private:
  std::string program_;
  std::vector<std::string> arguments_;
  std::vector<std::pair<std::string, std::optional<std::string>>> environment_;
  std::string working_directory_;
  Stdio in_ = Stdio::Null, out_ = Stdio::Inherit, err_ = Stdio::Inherit;
  std::vector<std::pair<int, int>> fds_;
};

}  // namespace perdure
