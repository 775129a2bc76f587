#include "client/unit_text.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

/// As the parser has it: a line with its continuations.
constexpr std::size_t line_bytes_max = 64U << 10;
/// Room for ".service", and for "@" and an instance.
constexpr std::size_t stem_bytes_max = 200;

bool is_letter_or_digit(char c) noexcept { return base::is_digit(c) || base::is_lower(base::to_lower(c)); }

/// What needs no quotes, wherever in a word it stands.
bool is_plain(char c) noexcept {
  return is_letter_or_digit(c) || std::string_view{"_-./:=,+@^~"}.find(c) != std::string_view::npos;
}

enum class Dollars : bool { Single, Doubled };

std::string word_text(std::string_view word, Dollars dollars) {
  // systemd takes "-", "@", ":", "+" and "!" in front of the program for itself; a word with one of them there is no program's
  // path, and quotes would not help it either.
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return std::string{word};
  std::string text{'"'};
  while (!word.empty()) {
    const std::size_t length = std::max<std::size_t>(base::utf8_length(word), 1);
    const std::string_view character = word.substr(0, length);
    word.remove_prefix(length);
    const char c = character.front();
    const auto byte = static_cast<unsigned char>(c);
    if (length == 1 && (byte < 0x20 || byte >= 0x7F)) {
      text += fmt::format("\\x{:02x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    if (c == '%' || (c == '$' && dollars == Dollars::Doubled)) text += c;
    text += character;
  }
  return text + '"';
}

bool is_program(const std::string& path) {
  struct stat status {};
  return os::sys::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && os::sys::access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::string command_word(std::string_view word) { return word_text(word, Dollars::Doubled); }
std::string setting_word(std::string_view word) { return word_text(word, Dollars::Single); }

std::string command_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    // The program is no argument: variables do not stand in its name.
    text += text.empty() ? setting_word(word) : ' ' + command_word(word);
  }
  return text;
}

std::string plain_value(std::string_view text) {
  std::string value;
  for (const char c : text) {
    if (c == '%') value += c;
    const auto byte = static_cast<unsigned char>(c);
    value += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  // A backslash at the end would go on in the next line.
  while (value.ends_with('\\') || value.ends_with(' ')) value.pop_back();
  return value;
}

std::string unit_stem_of(std::string_view text) {
  std::string stem;
  for (const char c : text.substr(0, stem_bytes_max))
    stem += is_letter_or_digit(c) || std::string_view{":-_."}.find(c) != std::string_view::npos ? c : '_';
  if (stem.empty() || stem.front() == '.') stem.insert(0, 1, '_');
  return stem;
}

Result<std::string> program_path(std::string_view word, std::string_view search_path) {
  if (word.find('/') != std::string_view::npos) {
    PERDURE_TRY(std::string path, os::absolute_path(word));
    struct stat status {};
    if (os::sys::stat(path.c_str(), &status) != 0) return Error::from_errno(errno, "run", path);
    if (!is_program(path))
      return Error{fmt::format("cannot run {}: it is no program that may be executed (EACCES)", base::escape(path)), EACCES};
    return path;
  }
  for (const std::string_view directory : base::split(search_path, ':')) {
    if (directory.empty() || word.empty()) continue;
    PERDURE_TRY(std::string path, os::absolute_path(fmt::format("{}/{}", directory, word)));
    if (is_program(path)) return path;
  }
  return Error{fmt::format("cannot run {}: no directory of PATH has such a program (ENOENT)", base::quote(word)), ENOENT};
}

Result<TransientUnit> transient_unit(const std::vector<std::string>& command, std::string_view search_path,
                                     std::string_view working_directory) {
  PERDURE_TRY(std::string program, program_path(command.front(), search_path));
  if (plain_value(program) != program && program.find('%') == std::string::npos)
    return Error{fmt::format("cannot run {}: such a name cannot stand in a unit file", base::quote(program))};
  const std::string directory = plain_value(working_directory);
  const auto percents = static_cast<std::size_t>(std::count(working_directory.begin(), working_directory.end(), '%'));
  if (directory.size() != working_directory.size() + percents ||
      std::any_of(working_directory.begin(), working_directory.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }))
    return Error{
        fmt::format("cannot run a command in {}: such a name cannot stand in a unit file", base::quote(working_directory))};

  std::vector<std::string> words = command;
  const std::string stem = unit_stem_of(std::string_view{program}.substr(program.rfind('/') + 1));
  words.front() = std::move(program);
  const std::string line = "ExecStart=" + command_text(words);
  if (line.size() >= line_bytes_max) {
    return Error{fmt::format("the command has {} bytes as a unit file writes it, and {} is the most; write a script",
                             line.size(), line_bytes_max),
                 E2BIG};
  }
  constexpr std::size_t description_max = 200;
  std::string description = fmt::format("{}", fmt::join(command, " "));
  if (description.size() > description_max) description = description.substr(0, description_max) + "...";
  return TransientUnit{stem + ".service",
                       fmt::format("# Written by \"perdure run -- COMMAND\", and again by the next one of this name.\n"
                                   "[Unit]\nDescription={}\n\n"
                                   "[Service]\n{}\nWorkingDirectory={}\nRestart=no\n\n"
                                   "[X-Perdure]\nEssential=yes\n",
                                   plain_value(base::escape(description)), line, directory)};
}

}  // namespace perdure::client
