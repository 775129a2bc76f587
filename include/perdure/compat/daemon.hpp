// daemon.hpp: the header that existing code was written against (atom::async::DaemonGuard), its promises kept.
//
// C++17 and later; declarations only, implemented in perdure_compat. `startDaemon(argc, argv, callback, true)` detaches and
// supervises: the first process ends with the outcome of the start, a small parent restarts a crashed worker, forwards
// signals and kills at the stop timeout, and the worker runs your callback with default signal dispositions.
// New programs are better served by <perdure/perdure.hpp>.
// Thread safety: all member functions from any thread; startDaemon(…, true) and realDaemon need a process with one thread.
// Signal safety: signalHandler.
//
//     #include "daemon.hpp"
//     int main(int argc, char** argv) {
//       atom::async::DaemonGuard daemon;
//       return daemon.startDaemon(argc, argv, [](int, char**) { return serve(); }, true);
//     }
#pragma once

// What code written for this header expects it to bring in.
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifdef _WIN32
#ifndef NOMINMAX  // windows.h would make macros of std::min and std::max
#define NOMINMAX
#endif
#include <io.h>
#include <process.h>
#include <windows.h>
#define PERDURE_COMPAT_EXPORT
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#define PERDURE_COMPAT_EXPORT __attribute__((visibility("default")))
#endif

namespace atom::async {

/// Thrown where a call cannot be carried out and its signature has no other way to say so.
class PERDURE_COMPAT_EXPORT DaemonException : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Runs a callback in the foreground, or as a supervised daemon.
class PERDURE_COMPAT_EXPORT DaemonGuard {
 public:
  DaemonGuard();
  ~DaemonGuard();
  DaemonGuard(const DaemonGuard&) = delete;
  DaemonGuard& operator=(const DaemonGuard&) = delete;
  DaemonGuard(DaemonGuard&&) noexcept;
  DaemonGuard& operator=(DaemonGuard&&) noexcept;

  /// JSON with parent_id, main_id, parent_start_time, main_start_time (UTC, `2025-06-02T10:30:00Z`) and restart_count.
  /// parent_id is the supervising parent: 0, and its time null, in the foreground. Before a start all ids and the count are
  /// 0 and both times null.
  [[nodiscard]] auto toString() const -> std::string;

  /// Calls the callback in this process and returns its result. An exception is printed on stderr and gives 1; so does an
  /// empty function.
  auto realStart(int argc, char** argv, const std::function<int(int argc, char** argv)>& mainCb) -> int;

  /// Detaches, supervises, and runs the callback in the worker. Never returns in the calling process: it ends with 0 once
  /// the callback is entered, or with the reason on stderr and a non-zero code. More than one thread: throws
  /// DaemonException.
  ///
  /// A worker that ends with a non-zero code, by an exception or by a signal is started again after the restart interval;
  /// one that ends with 0, or by TERM or INT, is not. Five starts whose workers lived less than a second together are given
  /// up.
  ///
  /// Windows: ends with 71 and says so, because a callback cannot be handed to another process there. A service calls
  /// realStart inside its ServiceMain.
  auto realDaemon(int argc, char** argv, const std::function<int(int argc, char** argv)>& mainCb) -> int;

  /// isDaemon ? realDaemon : realStart.
  auto startDaemon(int argc, char** argv, const std::function<int(int argc, char** argv)>& mainCb, bool isDaemon) -> int;

  /// startDaemon(…, true) locks this file, so that a second instance is refused (exit code 75), and writes the supervising
  /// parent's pid: the one to signal. Without it nothing is written before the callback. Also the file that writePidFile()
  /// and checkPidFile() mean from now on. A relative path is made absolute now, because the daemon's directory is `/`.
  void setPidFilePath(const std::string& path);
  /// The path that was set, else the default of writePidFile().
  [[nodiscard]] auto getPidFilePath() const -> std::string;
  /// How often the worker was restarted.
  [[nodiscard]] auto getRestartCount() const -> int;
  /// The callback is being run, in this process or by it.
  [[nodiscard]] auto isRunning() const -> bool;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// For std::signal: TERM and INT ask to stop, HUP to reload, USR1 and USR2 are noted; other numbers are ignored. Only sets
/// lock-free flags, which the two functions below read. Without registerSignalHandlers() nothing calls it.
PERDURE_COMPAT_EXPORT void signalHandler(int signum);
/// signalHandler has seen TERM or INT. Stays true.
[[nodiscard]] PERDURE_COMPAT_EXPORT auto stopRequested() -> bool;
/// signalHandler has seen `signum` since this was last asked. Signals that arrive together count as one.
[[nodiscard]] PERDURE_COMPAT_EXPORT auto takeSignal(int signum) -> bool;
/// Installs signalHandler for TERM, INT, HUP, USR1 and USR2. False where sigaction refused.
PERDURE_COMPAT_EXPORT bool registerSignalHandlers();
/// Writes this process's pid to the PID file: the guard's path if one was set, else /run/NAME.pid for root and
/// $XDG_RUNTIME_DIR/NAME.pid or /tmp/NAME.pid for others, NAME being the program's. A failure is a warning on stderr and
/// syslog; nothing is thrown. The file stays locked while this process lives and is removed when it ends through exit() or
/// a return from main(). In the worker of a guard with a PID file that file stands for the daemon already and keeps the
/// parent's pid.
PERDURE_COMPAT_EXPORT void writePidFile();
PERDURE_COMPAT_EXPORT void writePidFile(const std::string& path);
/// True where that file holds the pid of a running process of this executable; false where it is missing, unreadable,
/// somebody else's (neither ours nor root's), a symbolic link or no number. In the worker of a guard with a PID file: false
/// for that file until writePidFile() was called, so that "check, then write" works there too.
PERDURE_COMPAT_EXPORT auto checkPidFile() -> bool;
PERDURE_COMPAT_EXPORT auto checkPidFile(const std::string& path) -> bool;

/// The pause before a failed worker is started again. Default 0. Negative: throws DaemonException.
/// This and the next hold for guards started afterwards.
PERDURE_COMPAT_EXPORT void setDaemonRestartInterval(int seconds);
PERDURE_COMPAT_EXPORT auto getDaemonRestartInterval() -> int;
/// From the request to stop to SIGKILL for the worker. Default 5 s. Not positive: throws DaemonException.
PERDURE_COMPAT_EXPORT void setStopTimeout(std::chrono::milliseconds timeout);
/// No controlling terminal, or not in its foreground process group.
PERDURE_COMPAT_EXPORT auto isProcessBackground() -> bool;

}  // namespace atom::async
