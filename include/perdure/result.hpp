// Result<T>: a value, or the Error that says why there is none.
//
// For: every call that can fail by a fact of life (no such file, the peer went away). Bugs are asserted instead, and faults in
// the user's text are diagnostics that come beside the value. A small subset of std::expected with the same names, because
// g++ 12 has none in C++20; an Error converts to any Result, so a function just returns one.
// Left out: monadic operations, exceptions (value() on an error is a bug and ends the process).
// Thread safety: as a plain value. Fork and signal safety: an Error allocates; do not make one in a signal handler.
//
//     Result<UniqueFd> open_log(const std::string& path);
//
//     Result<void> start() {
//       PERDURE_TRY(UniqueFd log, open_log("/var/log/thermod.log"));      // returns the Error, or goes on with the value
//       …
//       return {};
//     }
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "perdure/export.hpp"

namespace perdure {

/// Why something failed, in words meant for a person: one line without a trailing newline or full stop.
///
/// The text names the object, what was attempted, and the cause with its errno name; where it helps, also what stays unchanged
/// and what to do next: `cannot lock /run/thermod.pid: thermod already runs as pid 812 (EWOULDBLOCK); nothing was started`.
class PERDURE_EXPORT Error {
 public:
  /// An error whose text is complete. `code` is an errno value, or 0 where no system call failed.
  explicit Error(std::string message, int code = 0) : message_(std::move(message)), code_(code) {}

  /// "cannot ATTEMPT OBJECT: WORDS (NAME)", e.g. from_errno(ENOENT, "open", "/etc/x.conf") is
  /// `cannot open /etc/x.conf: No such file or directory (ENOENT)`. Control characters in `object` come out escaped.
  static Error from_errno(int code, std::string_view attempt, std::string_view object = {});

  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  /// The errno value that caused it, or 0.
  [[nodiscard]] int code() const noexcept { return code_; }

  /// The same error with `; ADVICE` at its end: what stays unchanged, what to do next.
  [[nodiscard]] Error with_advice(std::string_view advice) &&;
  /// The same error with `CONTEXT: ` before it.
  [[nodiscard]] Error in(std::string_view context) &&;

 private:
  std::string message_;
  int code_;
};

namespace detail {
/// Says on stderr that a Result without a value was used, and aborts.
[[noreturn]] PERDURE_EXPORT void value_of_error(const char* message) noexcept;
}  // namespace detail

template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using error_type = E;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// Requires: has_value(); otherwise the process ends with the error's text.
  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }

  /// Requires: !has_value().
  E& error() & { return std::get<1>(state_); }
  const E& error() const& { return std::get<1>(state_); }
  E&& error() && { return std::get<1>(std::move(state_)); }

  template <class U>
  T value_or(U&& fallback) const& {
    return has_value() ? std::get<0>(state_) : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  T& checked() {
    if (state_.index() != 0) detail::value_of_error(std::get<1>(state_).message().c_str());
    return *std::get_if<0>(&state_);
  }
  std::variant<T, E> state_;
};

template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  using value_type = void;
  using error_type = E;

  Result() = default;
  Result(E error) : error_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return error_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  /// Requires: has_value(); otherwise the process ends with the error's text.
  void value() const {
    if (!has_value()) detail::value_of_error(error().message().c_str());
  }

  /// Requires: !has_value().
  E& error() & { return std::get<1>(error_); }
  const E& error() const& { return std::get<1>(error_); }
  E&& error() && { return std::get<1>(std::move(error_)); }

 private:
  std::variant<std::monostate, E> error_;
};

}  // namespace perdure

#define PERDURE_DETAIL_CONCAT2(a, b) a##b
#define PERDURE_DETAIL_CONCAT(a, b) PERDURE_DETAIL_CONCAT2(a, b)
#define PERDURE_DETAIL_TRY(temporary, declaration, ...)            \
  auto temporary = (__VA_ARGS__);                                  \
  if (!temporary.has_value()) return std::move(temporary).error(); \
  declaration = *std::move(temporary)

/// PERDURE_TRY(T name, expression): `name` becomes the value of the Result, or its Error is returned from this function.
#define PERDURE_TRY(declaration, ...) \
  PERDURE_DETAIL_TRY(PERDURE_DETAIL_CONCAT(perdure_try_, __LINE__), declaration, __VA_ARGS__)

/// PERDURE_CHECK(expression): goes on when the Result<void> holds, else its Error is returned from this function.
#define PERDURE_CHECK(...) \
  if (auto perdure_check = (__VA_ARGS__); !perdure_check.has_value()) return std::move(perdure_check).error()
