// Log: what a daemon says, to where its environment expects it.
//
// One line per call; control characters in it come out escaped (\n, \x1b), so that no input can forge a line. Never throws,
// never blocks on a full disk, a dead syslog or a stderr that nobody reads (waited for once, 1 s at most): what could not
// be written is counted and said once it works again.
// Before a sink is set, lines are kept in memory (256 at most, the oldest dropped and counted) and replayed into the
// first one. A message over 32 KiB is cut, visibly.
// Thread safety: all calls, from any thread. Fork: only while no other thread logs. Signal safety: none.
//
// Fields are named values beside the message: `key=value` at the line's end, quoted where they need it, and fields of their own in
// journald. A secret one stands there as `key=***`; its value is not even stored.
//
//     ctx.log().info("read {} rows from {}", rows, device);
//     ctx.log().error("{}", result.error().message());
//     ctx.log().info("login", {{"user", name}, {"port", 22}, perdure::LogField::secret("token")});
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "perdure/callback.hpp"
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
  Journal,  ///< journald's own protocol, with fields; where there is no journald: as Auto, and a line says so
};

/// When a file is old, whatever its size. By the local calendar, so that a day may have 23 or 25 hours.
enum class RotateEvery : std::uint8_t { Never, Hour, Day };

/// Under which subject syslog and journald file the lines. The numbers are syslog(3)'s, not shifted; 0, the kernel, is not ours.
enum class SyslogFacility : std::uint8_t {
  User = 1,
  Mail = 2,
  Daemon = 3,
  Auth = 4,
  Lpr = 6,
  News = 7,
  Uucp = 8,
  Cron = 9,
  AuthPriv = 10,
  Ftp = 11,
  Local0 = 16,
  Local1,
  Local2,
  Local3,
  Local4,
  Local5,
  Local6,
  Local7,
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
  /// Rotation by time: before the first line of a new hour or day. Of LogTarget::File.
  RotateEvery rotate_every = RotateEvery::Never;
  /// Also sends every line to syslog, beside the target.
  bool also_syslog = false;
  /// Of LogTarget::Syslog and Journal, and of also_syslog. An init files what it reads from stderr as it likes.
  SyslogFacility syslog_facility = SyslogFacility::Daemon;
};

/// A named value beside a message.
struct LogField {
  /// Anything that fmt prints. A name should be a word ([A-Za-z0-9_.-]); other characters in it are shown as `_`.
  template <class T>
  LogField(std::string_view field, const T& content) : name(field), value(fmt::format("{}", content)) {}
  /// A value that never appears, only that there is one. Nothing to pass: what is not passed cannot leak.
  static LogField secret(std::string_view field) { return LogField{field}; }

  std::string name;
  std::string value;
  bool is_secret = false;

 private:
  explicit LogField(std::string_view field) : name(field), is_secret(true) {}
};

/// One line on its way to a sink.
struct LogLine {
  Level level;
  std::chrono::system_clock::time_point time;  ///< when it was said, not when it is written
  std::string_view text;                       ///< message and fields, escaped, without newline
  std::string_view message{};                  ///< as it was said, for sinks that can hold any byte; may be empty: see text
  std::span<const LogField> fields{};
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
  void debug(std::string_view message, std::initializer_list<LogField> fields) noexcept {
    write_fields(Level::Debug, message, {fields.begin(), fields.size()});
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Info, format, std::forward<Args>(args)...);
  }
  void info(std::string_view message, std::initializer_list<LogField> fields) noexcept {
    write_fields(Level::Info, message, {fields.begin(), fields.size()});
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Warning, format, std::forward<Args>(args)...);
  }
  void warning(std::string_view message, std::initializer_list<LogField> fields) noexcept {
    write_fields(Level::Warning, message, {fields.begin(), fields.size()});
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Error, format, std::forward<Args>(args)...);
  }
  void error(std::string_view message, std::initializer_list<LogField> fields) noexcept {
    write_fields(Level::Error, message, {fields.begin(), fields.size()});
  }
  template <class... Args>
  void critical(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::Critical, format, std::forward<Args>(args)...);
  }
  void critical(std::string_view message, std::initializer_list<LogField> fields) noexcept {
    write_fields(Level::Critical, message, {fields.begin(), fields.size()});
  }

  template <class... Args>
  void write(Level level, fmt::format_string<Args...> format, Args&&... args) {
    if (is_enabled(level)) write_formatted(level, format, fmt::make_format_args(args...));
  }
  /// A finished text; never used as a format.
  void write_text(Level level, std::string_view message) noexcept { write_fields(level, message, {}); }
  /// A finished text with fields; further ones than 32 are left out, and counted at the line's end.
  void write_fields(Level level, std::string_view message, std::span<const LogField> fields) noexcept;

  [[nodiscard]] bool is_enabled(Level level) const noexcept { return level >= level_.load(std::memory_order_relaxed); }
  [[nodiscard]] Level level() const noexcept { return level_.load(std::memory_order_relaxed); }
  void set_level(Level level) noexcept { level_.store(level, std::memory_order_relaxed); }

  /// Opens what `options` ask for and sends lines there from now on, those kept in memory first. Replaces what an earlier
  /// open() opened; other sinks stay. A missing syslog is an error where it is the target; `also_syslog` waits
  /// for it.
  /// On failure (the file cannot be opened, …): the sinks stay as they were.
  Result<void> open(const LogOptions& options);
  /// One more place for lines, beside what open() opens and kept by it; those in memory first. For another logging library, or a
  /// test. Called under the log's mutex, one line at a time; must not log to this log itself. An Error, or an exception, counts the
  /// line as lost.
  void add_target(Callback<Result<void>(const LogLine&)> target);
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
