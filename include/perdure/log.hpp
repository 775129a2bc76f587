// Log: what a daemon says, to where its environment expects it.
//
// One line per call; control characters in it come out escaped (\n, \x1b), so that no input can forge a line. Never throws,
// never blocks on a full disk, a dead syslog or a stderr that nobody reads (waited for once, 1 s at most): what could not
// be written is counted and said once it works again.
// Before a sink is set, lines are kept in memory (256 at most, the oldest dropped and counted) and replayed into the
// first one. A message over 32 KiB is cut, visibly.
// Thread safety: all calls, from any thread. Fork: only while no other thread logs. Signal safety: none.
//
//     ctx.log().info("read {} rows from {}", rows, device);
//     ctx.log().error("{}", result.error().message());
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "perdure/export.hpp"
#include "perdure/result.hpp"

namespace perdure {

/// In rising order. The syslog priorities are 7, 6, 4, 3, 2 (syslog(3)).
enum class Level : std::uint8_t { Debug, Info, Warning, Error, Critical };

/// "debug", "info", "warning" (or "warn"), "error", "critical", in any case; nothing else.
PERDURE_EXPORT std::optional<Level> parse_level(std::string_view text) noexcept;
/// "DEBUG", "INFO", "WARN", "ERROR", "CRITICAL".
PERDURE_EXPORT std::string_view level_name(Level level) noexcept;

/// How a line looks in a file or on a terminal.
enum class LogFormat : std::uint8_t {
  Plain,        ///< 2026-01-31T08:15:00.123Z INFO  message
  UnixSeconds,  ///< [1763700000] [INFO] message
  Named,        ///< 2026-01-31 08:15:00,123 - name - INFO - message
  Message,      ///< message
};

/// Where lines go.
enum class LogTarget : std::uint8_t {
  Auto,    ///< as the environment expects: see docs/reference/logging.md
  Stderr,  ///< lines; coloured where stderr is a terminal and NO_COLOR is unset
  Init,    ///< stderr with a <N> priority before each line (sd-daemon(3))
  Syslog,  ///< RFC 3164 datagrams to /dev/log, our own socket
  File,    ///< a RotatingFile
  None,
};

struct LogOptions {
  LogTarget target = LogTarget::Auto;
  Level level = Level::Info;
  LogFormat format = LogFormat::Plain;
  /// Of LogTarget::File; made absolute before detaching. Giving one selects File.
  std::string path{};
  /// Rotation by size; 0: never by itself.
  std::uint64_t max_bytes = 0;
  unsigned backups = 1;
  /// Also sends every line to syslog, beside the target.
  bool also_syslog = false;
};

/// One line on its way to a sink.
struct LogLine {
  Level level;
  std::chrono::system_clock::time_point time;  ///< when it was said, not when it is written
  std::string_view text;                       ///< escaped, without newline
};

namespace detail {
/// Where finished lines go. An interface at a seam: the log's sinks, and users' tests.
/// Called under the log's mutex, one line at a time; must not log itself.
class PERDURE_EXPORT Sink {
 public:
  virtual ~Sink();
  /// One finished line. On failure: the line is counted as lost by the log.
  virtual Result<void> write(const LogLine& line) noexcept = 0;
  /// Rotates or reopens what it writes to.
  virtual Result<void> rotate() noexcept { return {}; }
};
struct LogState;
}  // namespace detail

class PERDURE_EXPORT Log {
 public:
  /// Keeps lines in memory until a sink is added. Looks for NOTIFY_SOCKET now, because a Notify takes the variable away.
  explicit Log(std::string name);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Debug, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Info, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Warning, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Error, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void critical(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Critical, format, std::forward<Args>(args)...);
  }

  template <class... Args>
  void write(Level level, fmt::format_string<Args...> format, Args&&... args) {
    if (is_enabled(level)) write_formatted(level, format, fmt::make_format_args(args...));
  }
  /// A finished text; never used as a format.
  void write_text(Level level, std::string_view message) noexcept;

  [[nodiscard]] bool is_enabled(Level level) const noexcept { return level >= level_.load(std::memory_order_relaxed); }
  [[nodiscard]] Level level() const noexcept { return level_.load(std::memory_order_relaxed); }
  void set_level(Level level) noexcept { level_.store(level, std::memory_order_relaxed); }

  /// Opens what `options` ask for and sends lines there from now on, those kept in memory first. Replaces what an earlier
  /// open() opened; other sinks stay. A missing syslog is an error where it is the target; `also_syslog` waits
  /// for it.
  /// On failure (the file cannot be opened, …): the sinks stay as they were.
  Result<void> open(const LogOptions& options);
  /// Rotates files, connects syslog afresh.
  Result<void> rotate() noexcept;
  /// Lines that no sink took since the start, and those dropped from memory. Each sink also says in a line of its own what
  /// it missed, once it works again: `12 log lines were lost: cannot send to /dev/log: …`.
  [[nodiscard]] std::uint64_t lost() const noexcept;

 private:
  friend struct detail::LogState;
  void write_formatted(Level level, fmt::string_view format, fmt::format_args args) noexcept;
  // Owned. A plain pointer because <memory> would be a sixth of what <perdure/perdure.hpp> costs to compile.
  detail::LogState* const state_;
  std::atomic<Level> level_{Level::Info};
};

}  // namespace perdure
