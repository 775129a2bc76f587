// Parsed<T>: reading a person's text always gives both a value, as far as it could be read, and what is wrong with the text.
//
// Thread, fork and signal safety: plain values.
//
//     Parsed<IniFile> file = parse_ini(text, "/etc/thermod.conf");
//     for (const Diagnostic& d : file.diagnostics) say(d.text());
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "perdure/settings.hpp"

namespace perdure::config {

template <class T>
struct Parsed {
  T value{};
  std::vector<Diagnostic> diagnostics{};
};

inline constexpr std::size_t diagnostics_max = 100;

/// Diagnostics up to diagnostics_max; the last one then says that there are more.
class Faults {
 public:
  void add(Diagnostic diagnostic) {
    if (list_.size() < diagnostics_max) {
      list_.push_back(std::move(diagnostic));
    } else if (!is_cut_) {
      is_cut_ = true;
      list_.back().message = "there are more faults here and below; repair the ones above first";
    }
  }
  /// Nothing more will be shown, so nobody needs to look for more.
  [[nodiscard]] bool is_cut() const noexcept { return is_cut_; }
  [[nodiscard]] std::vector<Diagnostic> take() && { return std::move(list_); }

 private:
  std::vector<Diagnostic> list_;
  bool is_cut_ = false;
};

}  // namespace perdure::config
