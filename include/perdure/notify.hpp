// Notify: tell the init how we are (the sd_notify protocol), without libsystemd.
//
// Protocol: sd_notify(3) of systemd 252: one datagram of `VARIABLE=value` lines to $NOTIFY_SOCKET, a path or an abstract
// name (@…). Takes the variables out of the environment, so that children do not speak for us; WATCHDOG_PID is honoured.
// Without NOTIFY_SOCKET, or with an empty one, every call succeeds and does nothing.
// Thread safety: from_environment() while the process has one thread; the others from any. Nothing but barrier() waits: an
// init that does not read makes an Error (EAGAIN). Fork: parent and child may both send.
//
//     auto notify = perdure::Notify::from_environment();
//     notify.send("READY=1\nSTATUS=serving");
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "perdure/export.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

class PERDURE_EXPORT Notify {
 public:
  /// Speaks to nobody.
  Notify() = default;
  /// To $NOTIFY_SOCKET; the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID leave the environment in any case.
  /// An address that cannot be used (too long, not absolute, no `@`), or a WATCHDOG_USEC that is no time, is an Error.
  static Result<Notify> from_environment();
  /// To a socket of one's own choice: an absolute path or an abstract name (`@…`). `watchdog`: as WATCHDOG_USEC, > 0.
  static Result<Notify> to(const std::string& address, std::optional<std::chrono::microseconds> watchdog = {});

  [[nodiscard]] bool is_enabled() const noexcept { return static_cast<bool>(socket_); }
  /// The watchdog's timeout, if the init expects pings from this process. Ping at half of it.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog() const noexcept { return watchdog_; }

  /// One datagram with exactly these lines: 4096 bytes at most, `NAME=value` each; else an Error, and nothing is sent.
  Result<void> send(std::string_view lines) const;
  /// Finds the init once and for all: for a process that is about to lose sight of the socket's path, by chroot(2). An init that
  /// makes its socket anew is not found any more. Does nothing without an init.
  Result<void> connect();
  Result<void> ready() const { return send("READY=1"); }
  /// RELOADING=1 with MONOTONIC_USEC, as Type=notify-reload wants it.
  Result<void> reloading() const;
  Result<void> stopping() const { return send("STOPPING=1"); }
  /// Newlines in `text` become spaces; it is cut to what the init reads.
  Result<void> status(std::string_view text) const;
  Result<void> ping_watchdog() const { return send("WATCHDOG=1"); }
  Result<void> extend_timeout(std::chrono::microseconds by) const;
  /// Waits at most `within` until the init has processed everything sent before (BARRIER=1).
  Result<void> barrier(std::chrono::milliseconds within) const;

 private:
  UniqueFd socket_;
  std::string address_;
  bool is_connected_ = false;
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace perdure
