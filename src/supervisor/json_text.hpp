// JsonText: writes JSON as text, without a tree of it.
//
// The caller is trusted to begin, name and end things in an order that makes sense; strings may hold any bytes (what is not UTF-8
// becomes U+FFFD). Left out: reading; floating point numbers.
// Thread, fork and signal safety: a plain value.
//
//     JsonText json;
//     json.begin_object().key("Id").string("web.service").key("MainPID").number(812).end_object();
//     std::move(json).text()      // {"Id":"web.service","MainPID":812}
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace perdure::supervisor {

class JsonText {
 public:
  JsonText& begin_object() { return open('{'); }
  JsonText& end_object() { return close('}'); }
  JsonText& begin_array() { return open('['); }
  JsonText& end_array() { return close(']'); }
  /// Requires: a name that needs no escaping.
  JsonText& key(std::string_view name);
  JsonText& string(std::string_view value);
  JsonText& boolean(bool value) { return raw(value ? "true" : "false"); }
  template <std::integral Number>
  JsonText& number(Number value) {
    return raw(std::to_string(value));
  }
  template <class Strings>
  JsonText& strings(const Strings& values) {
    begin_array();
    for (const auto& value : values) string(value);
    return end_array();
  }

  [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }
  [[nodiscard]] std::string text() && { return std::move(text_); }

 private:
  JsonText& open(char bracket);
  JsonText& close(char bracket);
  JsonText& raw(std::string_view value);
  void separate();

  std::string text_{};
};

}  // namespace perdure::supervisor
