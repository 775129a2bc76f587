// Console: a copy of what services say on the instance's own stdout, for whoever reads a container's output.
//
// The log is the record; this is a courtesy, and never waits: what a reader that is too slow does not take is left out, line by
// line, and how many lines that were is said as soon as there is room. Lines of one service come in their order, whole, and at most
// console_line_max bytes of each.
// Thread safety: none, one owner. Fork: a child leaves it alone. Signal safety: none.
//
//     Console console{ConsoleFormat::Prefix, STDOUT_FILENO};
//     console.take("web.service", true, bytes);     // as they come, cut anywhere
//     if (console.is_waiting()) …                   // flush() when console.fd() is writable
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

/// --console=: what of the services' output goes to the instance's stdout as well.
enum class ConsoleFormat : std::uint8_t {
  Default,  ///< Prefix as PID 1, or where somebody reads who is no terminal; else Off
  Off,
  Prefix,  ///< "web: line"
  Json,    ///< {"unit":"web.service","priority":6,"message":"line"}
};

/// What Default means here. A terminal belongs to whoever typed the command; /dev/null, which also stands where the standard output
/// was closed, to nobody.
ConsoleFormat console_format(ConsoleFormat asked, bool is_process_1, int fd);

inline constexpr std::size_t console_line_max = 8 * 1024;
/// What waits for a slow reader.
inline constexpr std::size_t console_room = 64 * 1024;

class Console {
 public:
  /// Off, or Default: everything below does nothing. `fd` is opened anew where that is possible, so that only we do not wait on it.
  Console(ConsoleFormat format, int fd);

  [[nodiscard]] bool is_on() const noexcept { return format_ != ConsoleFormat::Off; }
  /// `has_levels`: "<3>" at the begin of a line is its priority (SyslogLevelPrefix=) and not shown.
  void take(std::string_view unit, bool has_levels, std::string_view bytes);
  /// The unit's run is over: what it left of a line is one.
  void end_line(std::string_view unit, bool has_levels);
  /// Writes what can be written now.
  void flush();
  [[nodiscard]] bool is_waiting() const noexcept { return !pending_.empty(); }
  /// Lines that were left out, and nobody was told of; those that wait are among them.
  [[nodiscard]] std::uint64_t unshown() const noexcept;
  [[nodiscard]] int fd() const noexcept { return own_ ? own_.get() : fd_; }

 private:
  void put_line(std::string_view unit, bool has_levels, std::string_view line);
  [[nodiscard]] std::string line_of(std::string_view unit, int priority, std::string_view line) const;
  std::ptrdiff_t write_some();
  void give_up();

  ConsoleFormat format_;
  int fd_;
  UniqueFd own_{};
  bool is_socket_ = false;
  std::string pending_{};
  std::uint64_t left_out_ = 0;                               ///< lines, not told yet
  std::uint64_t being_told_ = 0;                             ///< likewise; the first line of pending_ tells it
  std::size_t notice_left_ = 0;                              ///< bytes of that line
  std::map<std::string, std::string, std::less<>> rests_{};  ///< by unit: the begin of a line
};

}  // namespace perdure::supervisor
