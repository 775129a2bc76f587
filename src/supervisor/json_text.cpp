#include "supervisor/json_text.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace perdure::supervisor {
namespace {

/// Most strings are names and words: these are copied as they are.
bool stands_for_itself(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < '\x7f' && c != '"' && c != '\\'; });
}

}  // namespace

void JsonText::separate() {
  const char last = text_.empty() ? '{' : text_.back();
  if (last != '{' && last != '[' && last != ':') text_ += ',';
}

JsonText& JsonText::open(char bracket) {
  separate();
  text_ += bracket;
  return *this;
}

JsonText& JsonText::close(char bracket) {
  text_ += bracket;
  return *this;
}

JsonText& JsonText::key(std::string_view name) {
  separate();
  text_ += '"';
  text_ += name;
  text_ += "\":";
  return *this;
}

JsonText& JsonText::string(std::string_view value) {
  if (!stands_for_itself(value)) {
    return raw(nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  separate();
  text_ += '"';
  text_ += value;
  text_ += '"';
  return *this;
}

JsonText& JsonText::raw(std::string_view value) {
  separate();
  text_ += value;
  return *this;
}

}  // namespace perdure::supervisor
