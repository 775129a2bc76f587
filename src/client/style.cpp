#include "client/style.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::client {
namespace {

std::optional<bool> yes_or_no(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  for (const std::string_view no : {"0", "no", "false", "off", "n", "f"}) {
    if (base::equals_ignoring_case(value, no)) return false;
  }
  return true;
}

std::string_view escape_of(Colour colour) noexcept {
  switch (colour) {
    case Colour::None: break;
    case Colour::Green: return "\x1b[0;1;32m";
    case Colour::Red: return "\x1b[0;1;31m";
    case Colour::Yellow: return "\x1b[0;1;38;5;185m";
    case Colour::Bold: return "\x1b[0;1;39m";
    case Colour::Grey: return "\x1b[0;38;5;245m";
  }
  return "";
}

std::string count_of(std::uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

}  // namespace

Style Style::for_stdout() {
  if (const auto wanted = yes_or_no("PERDURE_COLORS")) return Style{*wanted};
  if (const auto wanted = yes_or_no("SYSTEMD_COLORS")) return Style{*wanted};
  if (const char* const no = std::getenv("NO_COLOR"); no != nullptr && *no != '\0') return Style{false};
  if (const auto forced = yes_or_no("CLICOLOR_FORCE"); forced && *forced) return Style{true};
  const char* const terminal = std::getenv("TERM");
  return Style{::isatty(STDOUT_FILENO) == 1 && (terminal == nullptr || std::string_view{terminal} != "dumb")};
}

std::string Style::paint(Colour colour, std::string_view text) const {
  if (!has_colours_ || colour == Colour::None) return std::string{text};
  return fmt::format("{}{}\x1b[0m", escape_of(colour), text);
}

std::string moment_text(std::uint64_t realtime_us) {
  const auto seconds = static_cast<std::time_t>(realtime_us / 1'000'000);
  std::tm local{};
  if (::localtime_r(&seconds, &local) == nullptr) return fmt::format("@{}", seconds);
  std::array<char, 80> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%a %Y-%m-%d %H:%M:%S %Z", &local);
  return std::string{text.data(), size};
}

std::string ago_text(std::uint64_t realtime_us, std::uint64_t now_us) {
  constexpr std::uint64_t ms = 1'000, s = 1'000 * ms, min = 60 * s, h = 60 * min, day = 24 * h, week = 7 * day,
                          month = 2'629'800 * s, year = 31'557'600 * s;
  if (realtime_us > now_us) return "in the future";
  const std::uint64_t past = now_us - realtime_us;
  if (past >= year) return count_of(past / year, "year") + ' ' + count_of(past % year / month, "month") + " ago";
  if (past >= month) return count_of(past / month, "month") + ' ' + count_of(past % month / day, "day") + " ago";
  if (past >= week) return count_of(past / week, "week") + ' ' + count_of(past % week / day, "day") + " ago";
  if (past >= 2 * day) return count_of(past / day, "day") + " ago";
  if (past >= 25 * h) return fmt::format("1 day {}h ago", (past - day) / h);
  if (past >= 6 * h) return fmt::format("{}h ago", past / h);
  if (past >= h) return fmt::format("{}h {}min ago", past / h, past % h / min);
  if (past >= 5 * min) return fmt::format("{}min ago", past / min);
  if (past >= min) return fmt::format("{}min {}s ago", past / min, past % min / s);
  if (past >= s) return fmt::format("{}s ago", past / s);
  return fmt::format("{}ms ago", past / ms);
}

std::string_view exit_code_name(int code) noexcept {
  // LSB 3.1 "Init Script Actions", and systemd.exec(5) from 200 on.
  constexpr auto names = std::to_array<std::pair<int, std::string_view>>({
      {0, "SUCCESS"},
      {1, "FAILURE"},
      {2, "INVALIDARGUMENT"},
      {3, "NOTIMPLEMENTED"},
      {4, "NOPERMISSION"},
      {5, "NOTINSTALLED"},
      {6, "NOTCONFIGURED"},
      {7, "NOTRUNNING"},
      {200, "CHDIR"},
      {201, "NICE"},
      {202, "FDS"},
      {203, "EXEC"},
      {204, "MEMORY"},
      {205, "LIMITS"},
      {206, "OOM_ADJUST"},
      {207, "SIGNAL_MASK"},
      {208, "STDIN"},
      {209, "STDOUT"},
      {210, "CHROOT"},
      {211, "IOPRIO"},
      {212, "TIMERSLACK"},
      {213, "SECUREBITS"},
      {214, "SETSCHEDULER"},
      {215, "CPUAFFINITY"},
      {216, "GROUP"},
      {217, "USER"},
      {218, "CAPABILITIES"},
      {219, "CGROUP"},
      {220, "SETSID"},
      {221, "CONFIRM"},
      {222, "STDERR"},
      {224, "PAM"},
      {225, "NETWORK"},
      {226, "NAMESPACE"},
      {227, "NO_NEW_PRIVILEGES"},
      {228, "SECCOMP"},
      {229, "SELINUX_CONTEXT"},
      {230, "PERSONALITY"},
      {231, "APPARMOR_PROFILE"},
      {232, "ADDRESS_FAMILIES"},
      {233, "RUNTIME_DIRECTORY"},
      {235, "CHOWN"},
      {236, "SMACK_PROCESS_LABEL"},
      {237, "KEYRING"},
      {238, "STATE_DIRECTORY"},
      {239, "CACHE_DIRECTORY"},
      {240, "LOGS_DIRECTORY"},
      {241, "CONFIGURATION_DIRECTORY"},
      {242, "NUMA_POLICY"},
      {243, "CREDENTIALS"},
      {245, "BPF"},
  });
  const auto* const row = std::find_if(names.begin(), names.end(), [&](const auto& r) { return r.first == code; });
  return row == names.end() ? std::string_view{} : row->second;
}

std::string_view exit_code_hint(int code) noexcept {
  // ld.so ends a program that it cannot load with 127, and sh a script in which a command is not found: "2.8.2 Exit Status for
  // Commands" of POSIX.1-2017, XCU.
  if (code == 126) return "exit code 126: often a command of a shell script that may not be executed";
  if (code == 127)
    return "exit code 127: often a missing shared library, a missing command in a shell script, or a memory limit "
           "(RLIMIT_AS)";
  return {};
}

std::string signal_text(int number) {
  const char* const name = ::sigabbrev_np(number);
  return name != nullptr ? std::string{name} : std::to_string(number);
}

}  // namespace perdure::client
