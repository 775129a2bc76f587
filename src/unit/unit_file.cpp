#include "unit/unit_file.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "config/ini.hpp"

namespace perdure::unit {
namespace {

constexpr std::size_t assignments_reserved_max = 256;  // more have to be there before there is room for them

static_assert(unit_file_bytes_max == config::ini_bytes_max, "fault_of_whole_text() has the limit");

bool is_comment(std::string_view line) noexcept {
  line = base::trim(line);
  return !line.empty() && (line.front() == '#' || line.front() == ';');
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const bool is_ascii = static_cast<unsigned char>(text.front()) < 0x80;  // nearly all are: no call for each
    const std::size_t length = is_ascii ? 1 : base::utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// An even number of backslashes is so many backslashes; the odd one at the end continues the line.
bool is_continued(std::string_view line) noexcept {
  const std::size_t last = line.find_last_not_of('\\');
  return (line.size() - (last == std::string_view::npos ? 0 : last + 1)) % 2 == 1;
}

class Parser {
 public:
  explicit Parser(std::string_view source) : source_(source) {}

  config::Parsed<UnitFile> parse(std::string_view text) {
    if (auto unreadable = config::fault_of_whole_text(text, source_)) {
      faults_.add(*std::move(unreadable));
      return {{.is_usable = false}, std::move(faults_).take()};
    }
    base::remove_prefix(text, "\xEF\xBB\xBF");
    file_.assignments.reserve(std::min<std::size_t>(std::count(text.begin(), text.end(), '='), assignments_reserved_max));
    while (!text.empty() && !is_unusable_) take_physical_line(text);
    // A backslash at the end of the file continues nothing.
    if (is_in_continuation_ && !is_unusable_) end_line();
    if (is_unusable_) file_ = {.is_usable = false};
    return {std::move(file_), std::move(faults_).take()};
  }

 private:
  void fault(std::string message) { add_fault(std::move(message), false); }
  void warn(std::string message) { add_fault(std::move(message), true); }
  void add_fault(std::string message, bool is_warning) {
    faults_.add({.source = source_, .line = line_number_, .message = std::move(message), .is_warning = is_warning});
  }

  void take_physical_line(std::string_view& text) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    if (!base::remove_prefix(text, "\r\n") && !text.empty()) text.remove_prefix(1);
    ++physical_line_;

    if (is_comment(line)) return;
    if (!is_in_continuation_) line_number_ = physical_line_;
    if (line_.size() + line.size() > unit_line_bytes_max) {
      fault("the line is longer than " + std::to_string(unit_line_bytes_max) + " bytes; nothing of this file is used");
      is_unusable_ = true;
      return;
    }
    line_ += line;
    is_in_continuation_ = is_continued(line_);
    if (is_in_continuation_) {
      line_.back() = ' ';
    } else {
      end_line();
    }
  }

  void end_line() {
    take_line(base::trim(line_));
    line_.clear();
  }

  void take_line(std::string_view line) {
    if (line.empty()) return;
    if (!is_utf8(line)) return warn("the line is no UTF-8 and is left out");
    if (line.front() == '[') return take_header(line);
    take_assignment(line);
  }

  void take_header(std::string_view line) {
    if (line.back() != ']') {
      fault("the section header " + base::quote(line) + " does not end in \"]\"; nothing of this file is used");
      is_unusable_ = true;
      return;
    }
    section_ = line.substr(1, line.size() - 2);
    has_section_ = true;
    file_.sections.push_back({.name = section_, .line = line_number_});
  }

  void take_assignment(std::string_view line) {
    const std::size_t equals = line.find('=');
    // What stands there may be half a secret: it is not shown.
    if (equals == std::string_view::npos) return warn("\"=\" is missing; the line is left out");
    const std::string_view key = base::trim_end(line.substr(0, equals));
    if (key.empty()) return warn("the name before \"=\" is missing; the line is left out");
    if (!has_section_) return warn(base::escape(key) + "= stands before the first [section] and is left out");
    file_.assignments.push_back({.section = section_,
                                 .key = std::string{key},
                                 .value = std::string{base::trim(line.substr(equals + 1))},
                                 .line = line_number_});
  }

  std::string source_;
  UnitFile file_;
  config::Faults faults_;
  std::string line_;  ///< with its continuations so far
  std::string section_;
  int physical_line_ = 0;
  int line_number_ = 0;  ///< where line_ begins
  bool has_section_ = false;
  bool is_in_continuation_ = false;
  bool is_unusable_ = false;
};

}  // namespace

config::Parsed<UnitFile> parse_unit_file(std::string_view text, std::string_view source) {
  return Parser{source}.parse(text);
}

}  // namespace perdure::unit
