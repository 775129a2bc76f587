#include "supervisor/environment_file.hpp"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"

namespace perdure::supervisor {
namespace {

constexpr std::size_t name_bytes_max = 4096;

bool is_newline(char c) noexcept { return c == '\n' || c == '\r'; }
bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || is_newline(c); }

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t more = lead < 0x80                   ? 0
                             : lead >= 0xC2 && lead < 0xE0 ? 1
                             : lead >= 0xE0 && lead < 0xF0 ? 2
                             : lead >= 0xF0 && lead < 0xF5 ? 3
                                                           : text.size();
    if (at + more >= text.size()) return false;
    std::uint32_t code = more == 0 ? lead : lead & (0x3FU >> more);
    for (std::size_t i = 1; i <= more; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      if ((next & 0xC0U) != 0x80) return false;
      code = code << 6U | (next & 0x3FU);
    }
    constexpr std::uint32_t shortest[]{0, 0x80, 0x800, 0x10000};
    if (code < shortest[more] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return false;
    at += more + 1;
  }
  return true;
}

/// The machine of systemd's src/basic/env-file.c, as its behaviour is documented: one character, one transition.
class Reader {
 public:
  Reader(std::string_view source, EnvironmentText& out) : source_(source), out_(out) {}

  bool take(char c) {
    const bool goes_on = (this->*state_)(c);
    if (c == '\n') ++line_;
    return goes_on;
  }
  bool finish() {
    return state_ == &Reader::before_name || state_ == &Reader::name || state_ == &Reader::comment ||
           state_ == &Reader::comment_escape || end_assignment();
  }
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  using State = bool (Reader::*)(char);

  bool to(State state) {
    state_ = state;
    return true;
  }
  bool before_name(char c) {
    if (c == '#' || c == ';') return to(&Reader::comment);
    if (is_blank(c)) return true;
    name_ = c;
    first_line_ = line_;
    return to(&Reader::name);
  }
  bool name(char c) {
    if (is_newline(c)) return to(&Reader::before_name);  // a line without "=" says nothing
    if (c == '=') {
      value_.clear();
      kept_ = 0;
      return to(&Reader::before_value);
    }
    if (name_.size() < name_bytes_max) name_ += c;
    return true;
  }
  bool before_value(char c) {
    if (is_newline(c)) return end_assignment();
    if (c == '\'') return to(&Reader::in_single_quotes);
    if (c == '"') return to(&Reader::in_double_quotes);
    if (c == '\\') return to(&Reader::escape);
    if (is_blank(c)) return true;
    return to(&Reader::value) && keep(c);
  }
  bool value(char c) {
    if (is_newline(c)) {
      value_.resize(kept_);
      return end_assignment();
    }
    if (c == '\\') {
      kept_ = value_.size();
      return to(&Reader::escape);
    }
    if (!is_blank(c)) return keep(c);
    value_ += c;  // goes if nothing follows it
    return true;
  }
  bool escape(char c) {
    state_ = &Reader::value;
    kept_ = value_.size();
    return is_newline(c) || keep(c);
  }
  bool in_single_quotes(char c) { return c == '\'' ? to(&Reader::before_value) : keep(c); }
  bool in_double_quotes(char c) {
    if (c == '"') return to(&Reader::before_value);
    return c == '\\' ? to(&Reader::double_quotes_escape) : keep(c);
  }
  bool double_quotes_escape(char c) {
    state_ = &Reader::in_double_quotes;
    if (c == '\n') return true;
    if (c != '"' && c != '\\' && c != '`' && c != '$') keep('\\');
    return keep(c);
  }
  bool comment(char c) {
    if (c == '\\') return to(&Reader::comment_escape);
    return !is_newline(c) || to(&Reader::before_name);
  }
  bool comment_escape(char /*any*/) { return to(&Reader::comment); }

  bool keep(char c) {
    value_ += c;
    kept_ = value_.size();
    return true;
  }

  bool end_assignment() {
    if (state_ == &Reader::value) value_.resize(kept_);
    state_ = &Reader::before_name;
    name_.resize(base::trim_end(name_).size());
    if (!is_utf8(name_) || !is_utf8(value_)) {
      failure_ =
          fmt::format("{}:{}: what is assigned to {} is not UTF-8 (EINVAL)", source_, first_line_, base::quote(name_));
      return false;
    }
    if (is_variable_name(name_)) {
      out_.assignments.push_back(name_ + "=" + value_);
    } else {
      out_.remarks.push_back(
          fmt::format("{}:{}: {} can be no variable's name; the line is skipped", source_, first_line_, base::quote(name_)));
    }
    return true;
  }

  std::string_view source_;
  EnvironmentText& out_;
  State state_ = &Reader::before_name;
  std::string name_{};
  std::string value_{};
  std::size_t kept_ = 0;  ///< of the value, without the blanks that may be its end
  int line_ = 1;
  int first_line_ = 1;
  std::string failure_{};
};

std::string what_to_do(const unit::EnvironmentFile& file) {
  return "; make it, or write EnvironmentFile=-" + file.path + " if it may be missing";
}

struct Matches {
  Matches() = default;
  Matches(const Matches&) = delete;
  Matches& operator=(const Matches&) = delete;
  ~Matches() { ::globfree(&found); }
  glob_t found{};
};

Result<std::vector<std::string>> paths_of(const unit::EnvironmentFile& file) {
  if (file.path.find_first_of("*?[") == std::string::npos) return std::vector<std::string>{file.path};
  Matches matches;
  const int result = ::glob(file.path.c_str(), 0, nullptr, &matches.found);
  if (result == GLOB_NOMATCH) return Error::from_errno(ENOENT, "find", file.path);
  if (result != 0) return Error::from_errno(result == GLOB_NOSPACE ? ENOMEM : EIO, "search", file.path);
  if (matches.found.gl_pathc > environment_files_max) {
    return Error{fmt::format("{} matches more than {} files (E2BIG)", file.path, environment_files_max), E2BIG};
  }
  return std::vector<std::string>(matches.found.gl_pathv, matches.found.gl_pathv + matches.found.gl_pathc);
}

}  // namespace

bool is_variable_name(std::string_view name) noexcept {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && is_letter(name.front()) && name.size() < name_bytes_max &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

Result<EnvironmentText> parse_environment(std::string_view text, std::string_view source) {
  EnvironmentText out;
  if (text.find('\0') != std::string_view::npos)
    return Error{fmt::format("{}: there is a NUL byte at offset {} (EINVAL)", source, text.find('\0')), EINVAL};
  Reader reader{source, out};
  for (const char c : text) {
    if (!reader.take(c)) return Error{reader.failure(), EINVAL};
  }
  if (!reader.finish()) return Error{reader.failure(), EINVAL};
  return out;
}

Result<EnvironmentText> read_environment_files(std::span<const unit::EnvironmentFile> files) {
  EnvironmentText all;
  for (const unit::EnvironmentFile& file : files) {
    const auto refuse = [&file](const Error& error) {
      return Error{
          "EnvironmentFile=" + file.path + ": " + error.message() + (error.code() == ENOENT ? what_to_do(file) : ""),
          error.code()};
    };
    const auto paths = paths_of(file);
    if (!paths) {
      if (file.ignores_missing) continue;
      return refuse(paths.error());
    }
    for (const std::string& path : *paths) {
      const auto text = os::read_file(path, environment_file_bytes_max);
      Result<EnvironmentText> parsed = text ? parse_environment(*text, path) : Result<EnvironmentText>{text.error()};
      if (!parsed) {
        // As systemd: "-" forgives whatever keeps the file from being read.
        if (!file.ignores_missing) return refuse(parsed.error());
        if (parsed.error().code() != ENOENT) all.remarks.push_back(refuse(parsed.error()).message() + "; skipped");
        continue;
      }
      std::move(parsed->assignments.begin(), parsed->assignments.end(), std::back_inserter(all.assignments));
      std::move(parsed->remarks.begin(), parsed->remarks.end(), std::back_inserter(all.remarks));
    }
  }
  return all;
}

}  // namespace perdure::supervisor
