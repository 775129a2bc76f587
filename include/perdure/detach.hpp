// detach(): become a daemon, and let whoever started us know how that went.
//
// Double fork, new session, `/dev/null` on 0–2, descriptors that were inherited from outside closed (close_range(2), never a
// loop up to RLIMIT_NOFILE), signal mask emptied, ignored signals back to their defaults. Handlers that the program
// installed stay; so does an ignored SIGPIPE, because no daemon wants to end when a peer goes away. The first process stays
// until the daemon says that it is ready or why it failed, and ends with that: `thermod --daemon && echo it runs` means what
// it says. A daemon that is killed before it was ready is reported by its signal's name. Ctrl-C ends the first process, not
// the daemon.
// Left out: PID file, log, privileges (see pid_file.hpp, log.hpp); the double fork under an init that supervises (do not
// call it).
// Requires one thread: fork(2) keeps only the calling one. Not thread-safe, not signal-safe. A portable build (PERDURE_PORTABLE)
// cannot count threads, and looks at each number up to the limit on descriptors instead of asking which there are.
//
//     auto report = perdure::detach({.keep_fds = {listener.get()}});     // the first two processes never return from here
//     if (!report) …                                                     // refused before the first fork
//     … open what the service needs; on failure: report->failed(73, "cannot bind 0.0.0.0:80 …") …
//     report->ready();                                                   // the first process exits with 0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/export.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

struct DetachOptions {
  /// File mode creation mask of the daemon. Range: 0 to 0777. Files the library makes have their modes set explicitly
  /// anyway.
  mode_t umask = 027;
  /// Absolute; the daemon's current directory. Make your own paths absolute first.
  std::string working_directory = "/";
  /// Descriptors that survive besides those opened after the library was loaded (those always survive).
  std::vector<int> keep_fds{};
  /// How long the first process waits for ready() or failed(); then it kills the daemon and reports a failed start.
  std::chrono::milliseconds start_within{90'000};
  /// Puts /dev/null on 0–2. Off: they are left as they are.
  bool redirect_stdio = true;
  /// The name before every line the first process prints: "thermod: …".
  std::string name{};
};

/// The daemon's end of the line to the first process. Destroyed without a word: the first process reports that the daemon
/// ended before it was ready, with its exit code or signal. Writes never block and never raise SIGPIPE.
class PERDURE_EXPORT StartReport {
 public:
  /// One that reports to nobody: for daemons that stay in the foreground.
  StartReport() noexcept = default;
  /// detach() makes these: `line` is one end of a SOCK_SEQPACKET socket pair.
  explicit StartReport(UniqueFd line) noexcept : line_(std::move(line)) {}

  /// The first process exits with 0. Later calls do nothing.
  void ready() noexcept;
  /// The first process prints `NAME: REASON` on stderr and exits with `exit_code` (1–255). Later calls do nothing.
  void failed(int exit_code, std::string_view reason) noexcept;
  /// Whether somebody still waits.
  [[nodiscard]] bool is_pending() const noexcept { return static_cast<bool>(line_); }
  /// The descriptor, for keep lists; -1 when nobody waits.
  [[nodiscard]] int fd() const noexcept { return line_.get(); }
  /// Forgets the line without a word, in a process that shares it (a forked worker).
  void abandon() noexcept { line_.reset(); }

 private:
  UniqueFd line_;
};

/// Detaches the calling process. Returns in the daemon only: the first process flushes stdio and _exit()s with the outcome.
///
/// On failure (more than one thread; fork refused; /dev/null missing; a working directory that cannot be entered) before the
/// first fork: an Error, nothing was done. After it: the first process prints the reason and exits with 71.
/// Source: daemon(7) "SysV Daemons".
PERDURE_EXPORT Result<StartReport> detach(const DetachOptions& options = {});

/// Puts /dev/null (or, for 1 and 2, the file `output`, opened with O_APPEND and mode 0640) on descriptors 0–2.
/// On failure: the descriptors are as before.
PERDURE_EXPORT Result<void> redirect_stdio(const std::string& output = {});

/// Closes the descriptors ≥ 3 that were open when the library was loaded, except those in `keep` and activation sockets
/// that ListenFds took. Descriptors opened later are somebody's on purpose and stay.
PERDURE_EXPORT void close_inherited_fds(const std::vector<int>& keep = {}) noexcept;

/// Whether an init runs this process as its service: NOTIFY_SOCKET is set, SYSTEMD_EXEC_PID names this process, or it is PID
/// 1.
PERDURE_EXPORT bool is_under_init() noexcept;

}  // namespace perdure
