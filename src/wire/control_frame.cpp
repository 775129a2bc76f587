#include "wire/control_frame.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "base/text.hpp"

namespace perdure::wire {
namespace {

using Json = nlohmann::ordered_json;  // members keep their order

constexpr std::string_view blanks = " \t\r\n";

std::string_view without_blanks(std::string_view text) noexcept {
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool is_verb(std::string_view word) noexcept {
  return !word.empty() && word.size() <= control_verb_max && base::is_lower(word.front()) &&
         std::all_of(word.begin(), word.end(), [](char c) { return base::is_lower(c) || base::is_digit(c) || c == '-'; });
}

/// Reads the members that the protocol knows and checks the rest, event by event: a tree of the peer's making is never built,
/// because the parser's own tree (nlohmann 3.11.2) is torn down and printed by recursion.
class ObjectReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  ObjectReader(std::string_view what, std::size_t depth_max) : what_(what), depth_max_(depth_max) {}

  /// Why the text was refused.
  std::string fault{};
  std::optional<std::string> verb{};
  std::optional<std::string> text{};
  std::optional<bool> ok{};

  bool null() override { return value("null"); }
  bool boolean(bool v) override {
    if (is_member("ok")) ok = v;
    return value("a boolean");
  }
  bool number_integer(number_integer_t v) override { return number(v == control_protocol); }
  bool number_unsigned(number_unsigned_t v) override { return number(v == control_protocol); }
  bool number_float(number_float_t v, const string_t& /*as written*/) override { return number(v == control_protocol); }
  bool string(string_t& v) override {
    if (is_member("verb")) verb = v;
    if (is_member("text")) text = v;
    return value("a string");
  }
  bool binary(binary_t& /*v*/) override { return refuse("is not JSON"); }  // no text format has it

  bool start_object(std::size_t /*size*/) override { return value("an object") && enter(); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t /*size*/) override { return value("an array") && enter(); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    if (!names_.back().insert(name).second) return refuse(fmt::format("has the member {} twice", base::quote(name)));
    member_ = name;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/, const nlohmann::detail::exception& error) override {
    constexpr int number_overflow = 406;
    if (error.id == number_overflow) return refuse("has a number that is too large");
    return refuse(fmt::format("is not valid JSON (at byte {})", position));
  }

 private:
  [[nodiscard]] bool is_member(std::string_view name) const { return names_.size() == 1 && member_ == name; }

  bool number(bool is_our_protocol) {
    if (is_member("protocol") && !is_our_protocol) {
      return refuse(fmt::format("is in a protocol other than {}", control_protocol));
    }
    return value("a number");
  }
  bool value(std::string_view kind) {
    if (names_.empty()) return kind == "an object" || refuse(fmt::format("is {}, not an object", kind));
    for (const auto& [name, wanted] : {std::pair{"verb", "a string"}, std::pair{"text", "a string"},
                                       std::pair{"ok", "a boolean"}, std::pair{"protocol", "a number"}}) {
      if (is_member(name) && kind != wanted)
        return refuse(fmt::format("has {} where \"{}\" must be {}", kind, name, wanted));
    }
    return true;
  }
  bool enter() {
    if (names_.size() == depth_max_) return refuse(fmt::format("is nested deeper than {}", depth_max_));
    names_.emplace_back();
    return true;
  }
  bool leave() {
    names_.pop_back();
    member_.clear();
    return true;
  }
  bool refuse(std::string why) {
    fault = fmt::format("the {} {}", what_, why);
    return false;
  }

  std::string_view what_;
  std::size_t depth_max_;
  std::vector<std::set<std::string>> names_{};  ///< of each open object and array, outermost first
  std::string member_{};                        ///< whose value comes next
};

/// The one thing both dialects refuse before they look closer.
std::optional<std::string> fault_of_bytes(std::string_view line) {
  for (std::size_t at = 0; at < line.size();) {
    if (line[at] == '\0') return fmt::format("the request has a NUL byte (byte {})", at + 1);
    const auto length = base::utf8_length(line.substr(at));
    if (length == 0) return fmt::format("the request is not valid UTF-8 (byte {})", at + 1);
    at += length;
  }
  return std::nullopt;
}

Error unknown_command() { return Error{"unknown command"}; }

Result<ControlRequest> parse_json(std::string_view line) {
  ObjectReader reader{"request", control_depth_max};
  if (!nlohmann::json::sax_parse(line, &reader)) return Error{reader.fault};
  if (!reader.verb) return Error{"the request has no \"verb\""};
  if (!is_verb(*reader.verb)) return unknown_command();
  if (reader.text && reader.text->find('\0') != std::string::npos)
    return Error{"the request has a NUL character in \"text\""};
  return ControlRequest{Dialect::Json, *reader.verb, reader.text.value_or(""), std::string{line}};
}

Result<ControlRequest> parse_plain(std::string_view line) {
  const auto end = std::min(line.find_first_of(" \t"), line.size());
  const auto verb = line.substr(0, end);
  if (!is_verb(verb)) return unknown_command();
  return ControlRequest{Dialect::Plain, std::string{verb}, std::string{without_blanks(line.substr(end))}, {}};
}

/// As a JSON string; bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

/// `data` on one line. Newlines cannot stand inside a JSON string, so all there are is white space.
std::string on_one_line(std::string data) {
  std::replace_if(
      data.begin(), data.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return data;
}

std::string json_answer(const ControlAnswer& answer) {
  std::string line = fmt::format(R"({{"ok":{},"text":{})", answer.ok, json_string(answer.text));
  if (!answer.data.empty()) line += R"(,"data":)" + on_one_line(answer.data);
  return line + fmt::format(R"(,"protocol":{}}})", control_protocol) + '\n';
}

std::string plain_answer(const ControlAnswer& answer) {
  std::string text = answer.ok ? answer.text : "error: " + answer.text;
  text.erase(text.find_last_not_of('\n') + 1);
  return text + '\n';
}

}  // namespace

Dialect control_dialect(std::string_view line) noexcept {
  const auto first = line.find_first_not_of(blanks);
  return first != std::string_view::npos && (line[first] == '{' || line[first] == '[') ? Dialect::Json : Dialect::Plain;
}

Result<ControlRequest> parse_control_request(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > control_request_max) {
    return Error{fmt::format("the request is longer than {} bytes", control_request_max)};
  }
  if (auto fault = fault_of_bytes(line)) return Error{*std::move(fault)};
  line = without_blanks(line);
  if (line.empty()) return Error{"the request is empty; send VERB [TEXT], for example: status"};
  return control_dialect(line) == Dialect::Json ? parse_json(line) : parse_plain(line);
}

std::string control_request(std::string_view verb, std::string_view text) {
  std::string line = R"({"verb":)" + json_string(verb);
  if (!text.empty()) line += R"(,"text":)" + json_string(text);
  return line + "}\n";
}

std::string control_answer(Dialect dialect, const ControlAnswer& answer) {
  const auto instead = [&](std::string_view why) {
    return control_answer(dialect, {false, fmt::format("the command's answer cannot be sent: {}", why), {}});
  };
  std::string bytes = dialect == Dialect::Json ? json_answer(answer) : plain_answer(answer);
  if (bytes.size() > control_answer_max) {
    return instead(fmt::format("it has {} bytes, the limit is {}", bytes.size(), control_answer_max));
  }
  if (dialect == Dialect::Json && !answer.data.empty() && !answer.data_is_sound) {
    // Twice: `data` must be one value by itself (`1,"ok":true` is none), and the whole one that its reader will accept.
    if (!nlohmann::json::accept(answer.data)) return instead("its data is not valid JSON");
    ObjectReader reader{"answer", control_answer_depth_max};
    if (!nlohmann::json::sax_parse(bytes, &reader)) return instead(reader.fault);
  }
  return bytes;
}

Result<ControlAnswer> parse_control_answer(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  ObjectReader reader{"answer", control_answer_depth_max};
  if (!nlohmann::json::sax_parse(line, &reader)) return Error{fmt::format("{}: {}", reader.fault, base::quote(line))};
  if (!reader.ok || !reader.text) return Error{fmt::format("the answer has no \"ok\" and \"text\": {}", base::quote(line))};
  ControlAnswer answer{*reader.ok, *std::move(reader.text), {}};
  // The reader has seen the whole of it: valid, and shallow enough for a tree.
  if (const auto tree = Json::parse(line); tree.contains("data")) {
    answer.data = tree.at("data").dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return answer;
}

}  // namespace perdure::wire
