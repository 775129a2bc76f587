// Style: whether text for people has colours, and which; and moments in words. Plain text in, text out.
//
// The colours and marks are systemctl's, so that eyes find what they know; systemd's and the common variables are heeded.
// Left out: widths (nothing is cut). Thread safety: asks for the local time zone as localtime_r(3) does. Signal safety: none.
//
//     const client::Style style = client::Style::for_stdout();
//     style.paint(client::Colour::Red, "failed")
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace perdure::client {

enum class Colour : std::uint8_t { None, Green, Red, Yellow, Bold, Grey };

class Style {
 public:
  explicit Style(bool has_colours) noexcept : has_colours_(has_colours) {}
  /// $PERDURE_COLORS, $SYSTEMD_COLORS, $NO_COLOR, $CLICOLOR_FORCE, then whether it is a terminal that is not dumb.
  static Style for_stdout();

  [[nodiscard]] std::string paint(Colour colour, std::string_view text) const;
  [[nodiscard]] bool has_colours() const noexcept { return has_colours_; }

 private:
  bool has_colours_;
};

/// "Tue 2023-11-14 22:13:20 UTC", in the local time zone.
std::string moment_text(std::uint64_t realtime_us);
/// "5s ago", "3h 2min ago", "2 weeks 1 day ago", as systemctl says it; "in the future" where the clock was set back.
std::string ago_text(std::uint64_t realtime_us, std::uint64_t now_us);

/// What systemd calls an exit code: "FAILURE", "EXEC"; empty where it has no name.
std::string_view exit_code_name(int code) noexcept;
/// What mostly stands behind an exit code that is the dynamic loader's or a shell's, and not the program's; else empty.
std::string_view exit_code_hint(int code) noexcept;
/// "KILL", "SEGV"; the number where it has no name.
std::string signal_text(int number);

}  // namespace perdure::client
