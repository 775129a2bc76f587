// ExitStatus: how a process ended.
//
// A value; pure. Never guesses: a status that nobody could observe is `unknown`.
// Thread, fork and signal safety: a plain value (text() allocates).
#pragma once

#include <string>

#include "perdure/export.hpp"

namespace perdure {

class PERDURE_EXPORT ExitStatus {
 public:
  enum class Kind { Exited, Killed, Unknown };

  /// Unknown: it ended, and nobody saw how.
  ExitStatus() noexcept = default;
  static ExitStatus exited(int code) noexcept { return {Kind::Exited, code, false}; }
  static ExitStatus killed(int signal, bool dumped_core = false) noexcept { return {Kind::Killed, signal, dumped_core}; }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  /// Exited with code 0.
  [[nodiscard]] bool success() const noexcept { return kind_ == Kind::Exited && value_ == 0; }
  /// The exit code (0–255) where kind() is Exited, the signal's number where it is Killed, else 0.
  [[nodiscard]] int value() const noexcept { return value_; }
  [[nodiscard]] bool dumped_core() const noexcept { return dumped_core_; }
  /// The code a shell would report: the exit code, 128 + signal, or 255 for unknown.
  [[nodiscard]] int shell_code() const noexcept;
  /// "exited with 3", "was killed by SIGSEGV (core dumped)", "ended, nobody saw how".
  [[nodiscard]] std::string text() const;

  friend bool operator==(const ExitStatus&, const ExitStatus&) noexcept = default;

 private:
  ExitStatus(Kind kind, int value, bool dumped_core) noexcept : kind_(kind), value_(value), dumped_core_(dumped_core) {}
  Kind kind_ = Kind::Unknown;
  int value_ = 0;
  bool dumped_core_ = false;
};

}  // namespace perdure
