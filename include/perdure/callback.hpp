// Callback<R(Args…)>: a copyable place for a callable, as std::function is.
//
// Why not std::function: <functional> costs a quarter of the compile time of everything else that <perdure/perdure.hpp> needs
// (it brings <unordered_map> and the searchers). Calling an empty one is a bug and ends the process.
// Left out: target(), small-buffer storage: callbacks are made once, at the start.
// Thread and signal safety: as the callable's own.
//
//     perdure::Callback<void()> hook = [&] { flush(); };
//     if (hook) hook();
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "perdure/export.hpp"

namespace perdure {

namespace detail {
/// Says on stderr that an empty Callback was called, and aborts.
[[noreturn]] PERDURE_EXPORT void empty_callback_called() noexcept;
}  // namespace detail

template <class Signature>
class Callback;

template <class R, class... Args>
class Callback<R(Args...)> {
 public:
  Callback() = default;
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Callback>) && std::is_invocable_r_v<R, std::decay_t<F>&, Args...> Callback(
                                                                   F&& callable)
      : held_(new Held<std::decay_t<F>>(std::forward<F>(callable))) {}  // NOLINT(google-explicit-constructor)
  Callback(const Callback& other) : held_(other.held_ != nullptr ? other.held_->copy() : nullptr) {}
  Callback(Callback&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  Callback& operator=(Callback other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~Callback() { delete held_; }

  explicit operator bool() const noexcept { return held_ != nullptr; }
  /// Requires: not empty.
  R operator()(Args... args) const {
    if (held_ == nullptr) detail::empty_callback_called();
    return held_->call(std::forward<Args>(args)...);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual R call(Args... args) = 0;
    [[nodiscard]] virtual Base* copy() const = 0;
  };
  template <class F>
  struct Held final : Base {
    template <class G>
    explicit Held(G&& callable) : callable_(std::forward<G>(callable)) {}
    R call(Args... args) override { return static_cast<R>(callable_(std::forward<Args>(args)...)); }
    [[nodiscard]] Base* copy() const override { return new Held(callable_); }
    F callable_;
  };
  Base* held_ = nullptr;
};

}  // namespace perdure
