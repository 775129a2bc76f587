#include "client/supervisord_file.hpp"

#include <dirent.h>
#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

constexpr std::size_t file_bytes_max = 1U << 20;
constexpr std::size_t files_max = 256;
constexpr std::string_view here_format = "%(here)s";

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

/// What stands before a comment.
std::string_view without_comment(std::string_view line) noexcept {
  for (std::size_t at = 0; at < line.size(); ++at) {
    if ((line[at] == ';' || line[at] == '#') && (at == 0 || base::is_space(line[at - 1]))) return line.substr(0, at);
  }
  return line;
}

class Reading {
 public:
  Reading(SupervisordFile& file, std::string path, const std::string& directory)
      : file_(file), path_(std::move(path)), directory_(directory) {}

  void read(std::string_view text) {
    base::remove_prefix(text, "\xef\xbb\xbf");
    std::size_t number = 0;
    for (const std::string_view line : base::lines(text)) {
      place_ = fmt::format("{}:{}", path_, ++number);
      take(line);
    }
    end_setting();
  }

 private:
  void take(std::string_view line) {
    const std::string_view content = base::trim_end(without_comment(line));
    const std::string_view trimmed = base::trim(content);
    if (trimmed.empty()) {
      // An empty line belongs to the value if the value goes on after it; a comment does not end it either.
      if (setting_ != nullptr && base::trim(line).empty()) ++empty_lines_;
      return;
    }
    const auto indent = static_cast<std::size_t>(trimmed.data() - content.data());
    if (setting_ != nullptr && indent > indent_) {
      setting_->value.append(std::exchange(empty_lines_, 0) + 1, '\n');
      setting_->value += trimmed;
      return;
    }
    end_setting();
    indent_ = indent;
    if (trimmed.front() == '[') begin_section(trimmed);
    else begin_setting(trimmed);
  }

  void begin_section(std::string_view header) {
    const std::size_t end = header.rfind(']');
    section_ = nullptr;
    if (end == std::string_view::npos || end < 2) return wrong("a section is written [NAME]");
    const std::string_view name = header.substr(1, end - 1);
    const auto known =
        std::find_if(file_.sections.begin(), file_.sections.end(), [&](const auto& s) { return s.name == name; });
    if (known == file_.sections.end()) {
      file_.sections.push_back({.name = std::string{name}, .place = place_});
      section_ = &file_.sections.back();
    } else {
      section_ = &*known;
    }
  }

  void begin_setting(std::string_view line) {
    const std::size_t end = line.find_first_of("=:");
    if (section_ == nullptr) return wrong("a setting stands before the first section");
    if (end == std::string_view::npos || base::trim(line.substr(0, end)).empty())
      return wrong(fmt::format("{} is neither a section nor NAME=VALUE", base::quote(line)));
    std::string name{base::trim(line.substr(0, end))};
    std::transform(name.begin(), name.end(), name.begin(), base::to_lower);
    auto& settings = section_->settings;
    std::erase_if(settings, [&](const auto& setting) { return setting.first == name; });
    settings.emplace_back(std::move(name), SupervisordSetting{std::string{base::trim(line.substr(end + 1))}, place_});
    setting_ = &settings.back().second;
  }

  void end_setting() {
    if (setting_ != nullptr) setting_->value = replaced(std::move(setting_->value), here_format, directory_);
    setting_ = nullptr;
    empty_lines_ = 0;
  }

  void wrong(std::string_view what) { file_.errors.push_back(fmt::format("{}: {}", base::escape(place_), what)); }

  SupervisordFile& file_;
  std::string path_;
  const std::string& directory_;
  std::string place_{};
  SupervisordSection* section_ = nullptr;
  SupervisordSetting* setting_ = nullptr;
  std::size_t indent_ = 0, empty_lines_ = 0;
};

/// The files that a pattern means, sorted. Only the last part of a path may be a pattern.
Result<std::vector<std::string>> files_of(const std::string& pattern) {
  const std::string directory = os::directory_of(pattern);
  const std::string last = pattern.substr(pattern.rfind('/') + 1);
  const auto is_glob = [](std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; };
  if (is_glob(directory)) return Error{fmt::format("only the last part of {} may be a pattern", base::quote(pattern))};
  if (!is_glob(last)) {
    if (os::sys::access(pattern.c_str(), F_OK) != 0) return std::vector<std::string>{};
    return std::vector<std::string>{pattern};
  }
  std::vector<std::string> found;
  DIR* const entries = os::sys::opendir(directory.c_str());
  if (entries == nullptr) {
    if (errno == ENOENT) return found;
    return Error::from_errno(errno, "look for files in", directory);
  }
  while (const dirent* const entry = ::readdir(entries)) {
    if (::fnmatch(last.c_str(), entry->d_name, FNM_PERIOD) == 0) found.push_back(directory + '/' + entry->d_name);
  }
  ::closedir(entries);
  std::sort(found.begin(), found.end());
  return found;
}

bool read_one(SupervisordFile& file, const std::string& path, const std::string& shown, std::string_view from) {
  const auto text = os::read_file(path, file_bytes_max);
  if (!text) {
    file.errors.push_back(from.empty() ? text.error().message() : fmt::format("{}: {}", from, text.error().message()));
    return false;
  }
  const std::string directory = os::directory_of(path);
  Reading{file, shown, directory}.read(*text);
  return true;
}

/// The number in front of a conversion: flags and width.
struct Conversion {
  bool pads_with_zeros = false, is_left = false;
  std::size_t width = 0;
  char kind = 0;
};

std::string padded(std::string text, const Conversion& conversion) {
  if (text.size() >= conversion.width) return text;
  const std::size_t missing = conversion.width - text.size();
  if (conversion.is_left) return text + std::string(missing, ' ');
  if (!conversion.pads_with_zeros) return std::string(missing, ' ') + text;
  const std::size_t sign = text.starts_with('-') ? 1 : 0;
  return text.insert(sign, missing, '0');
}

bool is_word_character(char c) noexcept {
  return base::is_digit(c) || base::is_lower(base::to_lower(c)) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view{"_/.+-():"}.find(c) != std::string_view::npos;
}

}  // namespace

const SupervisordSetting* SupervisordSection::find(std::string_view setting) const {
  const auto found = std::find_if(settings.begin(), settings.end(), [&](const auto& s) { return s.first == setting; });
  return found == settings.end() ? nullptr : &found->second;
}

const SupervisordSection* SupervisordFile::find(std::string_view section) const {
  const auto found = std::find_if(sections.begin(), sections.end(), [&](const auto& s) { return s.name == section; });
  return found == sections.end() ? nullptr : &*found;
}

SupervisordFile read_supervisord_file(const std::string& path, const Variables& environment) {
  SupervisordFile file;
  const auto absolute = os::absolute_path(path);
  if (!absolute) {
    file.errors.push_back(absolute.error().message());
    return file;
  }
  file.directory = os::directory_of(*absolute);
  if (!read_one(file, *absolute, path, {})) return file;
  const SupervisordSection* const include = file.find("include");
  if (include == nullptr) return file;
  const SupervisordSetting* const files = include->find("files");
  const auto wrong = [&](std::string_view place, std::string_view what) {
    file.errors.push_back(fmt::format("{}: {}", place, what));
  };
  if (files == nullptr) {
    wrong(include->place, "[include] has no files=");
    return file;
  }
  Variables variables = environment;
  variables.emplace("here", file.directory);
  const std::string place = files->place;
  const auto expanded = expand_supervisord(files->value, variables);
  if (!expanded) {
    wrong(place, expanded.error().message());
    return file;
  }
  std::set<std::string, std::less<>> seen{*absolute};
  for (const std::string_view word : base::words(*expanded)) {
    const std::string pattern = word.starts_with('/') ? std::string{word} : file.directory + '/' + std::string{word};
    const auto found = files_of(pattern);
    if (!found) {
      wrong(place, found.error().message());
      continue;
    }
    if (found->empty()) file.remarks.push_back(fmt::format("{}: no file matches {}", place, base::quote(word)));
    for (const std::string& one : *found) {
      if (!seen.insert(one).second) continue;
      if (seen.size() > files_max) {
        wrong(place, fmt::format("more than {} files are included", files_max));
        return file;
      }
      read_one(file, one, one, place);
    }
  }
  return file;
}

Result<std::string> expand_supervisord(std::string_view text, const Variables& variables) {
  std::string out;
  const auto bad = [&](std::string_view what) {
    return Error{fmt::format("{} in {}; \"%\" itself is written \"%%\"", what, base::quote(text))};
  };
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t percent = std::min(rest.find('%'), rest.size());
    out += rest.substr(0, percent);
    rest.remove_prefix(percent);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    if (base::remove_prefix(rest, "%")) {
      out += '%';
      continue;
    }
    const std::size_t end = rest.find(')');
    if (!rest.starts_with('(') || end == std::string_view::npos)
      return bad("\"%\" is followed by neither \"(NAME)s\" nor \"%\"");
    const std::string_view name = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    Conversion conversion;
    while (!rest.empty() && (rest.front() == '0' || rest.front() == '-')) {
      (rest.front() == '0' ? conversion.pads_with_zeros : conversion.is_left) = true;
      rest.remove_prefix(1);
    }
    constexpr std::size_t width_max = 64;
    for (; !rest.empty() && base::is_digit(rest.front()) && conversion.width <= width_max; rest.remove_prefix(1))
      conversion.width = conversion.width * 10 + static_cast<std::size_t>(rest.front() - '0');
    if (rest.empty() || conversion.width > width_max)
      return bad(fmt::format("%({}) is not followed by \"s\" or \"d\"", base::escape(name)));
    conversion.kind = rest.front();
    rest.remove_prefix(1);
    const auto value = variables.find(name);
    if (value == variables.end()) {
      if (name.starts_with("ENV_"))
        return Error{
            fmt::format("%({})s stands for the variable {}, which is not set here; set it for the import as it is for "
                        "supervisord",
                        base::escape(name), base::escape(name.substr(4)))};
      return Error{fmt::format("%({})s is not known in {}", base::escape(name), base::quote(text))};
    }
    if (conversion.kind != 's' && conversion.kind != 'd' && conversion.kind != 'i')
      return bad(fmt::format("%({}) is not followed by \"s\" or \"d\"", base::escape(name)));
    if (conversion.kind != 's' && !base::parse_number<long>(value->second))
      return bad(fmt::format("%({}){} wants a number", base::escape(name), conversion.kind));
    if (conversion.kind == 's') conversion.pads_with_zeros = false;
    out += padded(value->second, conversion);
  }
  return out;
}

// supervisord cuts this with shlex.shlex(), not POSIX, and takes KEY, "=", VALUE and one more token by turns.
Result<std::vector<std::pair<std::string, std::string>>> split_supervisord_environment(std::string_view text) {
  std::vector<std::string> tokens;
  for (std::string_view rest = text; !rest.empty();) {
    const char c = rest.front();
    std::size_t size = 1;
    if (base::is_space(c)) {
      rest.remove_prefix(1);
      continue;
    }
    if (c == '#') {
      rest.remove_prefix(std::min(rest.find('\n'), rest.size()));
      continue;
    }
    if (c == '"' || c == '\'') {
      const std::size_t end = rest.find(c, 1);
      if (end == std::string_view::npos) return Error{fmt::format("a quote is not closed in {}", base::quote(text))};
      size = end + 1;
    } else if (is_word_character(c)) {
      while (size < rest.size() && (is_word_character(rest[size]) || rest[size] == '"' || rest[size] == '\'')) ++size;
    }
    tokens.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  std::vector<std::pair<std::string, std::string>> variables;
  for (std::size_t i = 0; i < tokens.size(); i += 4) {
    if (i + 2 >= tokens.size() || tokens[i + 1] != "=" || (i + 3 < tokens.size() && tokens[i + 3] != ","))
      return Error{
          fmt::format("{} is not KEY=\"value\",KEY2=\"value2\"; a value with other characters than letters, digits and "
                      "_/.+-(): stands in quotes",
                      base::quote(text))};
    std::string_view value{tokens[i + 2]};
    while (!value.empty() && (value.front() == '"' || value.front() == '\'')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == '"' || value.back() == '\'')) value.remove_suffix(1);
    std::erase_if(variables, [&](const auto& known) { return known.first == tokens[i]; });
    variables.emplace_back(tokens[i], value);
  }
  return variables;
}

Result<std::vector<std::string>> split_supervisord_command(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  const auto put = [&](char c) {
    if (!std::exchange(in_word, true)) words.emplace_back();
    words.back() += c;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (base::is_space(c)) {
      in_word = false;
    } else if (c == '\\') {
      if (++i == text.size()) return Error{fmt::format("nothing follows the backslash at the end of {}", base::quote(text))};
      put(text[i]);
    } else if (c == '"' || c == '\'') {
      if (!std::exchange(in_word, true)) words.emplace_back();
      std::size_t end = i + 1;
      for (; end < text.size() && text[end] != c; ++end) {
        const bool escapes =
            c == '"' && text[end] == '\\' && end + 1 < text.size() && (text[end + 1] == '"' || text[end + 1] == '\\');
        if (escapes) ++end;
        put(text[end]);
      }
      if (end >= text.size()) return Error{fmt::format("a quote is not closed in {}", base::quote(text))};
      i = end;
    } else {
      put(c);
    }
  }
  return words;
}

}  // namespace perdure::client
