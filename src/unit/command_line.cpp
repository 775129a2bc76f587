#include "unit/command_line.hpp"

#include <algorithm>
#include <optional>

#include "base/text.hpp"
#include "unit/values.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

constexpr std::size_t file_name_bytes_max = 255;

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool has_control(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

bool is_word_alone(std::string_view text, std::string_view word) noexcept {
  return text.starts_with(word) && (text.size() == word.size() || is_blank(text[word.size()]));
}

struct Prefixes {
  bool has_own_argv0 = false;
  std::string_view program{};
};

// Takes the characters before the program's path, each kind once, in any order.
Prefixes take_prefixes(std::string_view word, ExecCommand& command) {
  Prefixes prefixes;
  for (; !word.empty(); word.remove_prefix(1)) {
    const char c = word.front();
    if (c == '-' && !command.ignores_failure) {
      command.ignores_failure = true;
    } else if (c == '@' && !prefixes.has_own_argv0) {
      prefixes.has_own_argv0 = true;
    } else if (c == ':' && command.expands_variables) {
      command.expands_variables = false;
    } else if (c == '+' && command.rights == Rights::OfUnit) {
      command.rights = Rights::Full;
    } else if (c == '!' && command.rights == Rights::OfUnit) {
      command.rights = Rights::KeepUser;
    } else if (c == '!' && command.rights == Rights::KeepUser) {
      command.rights = Rights::KeepUserIfNeeded;
    } else {
      break;
    }
  }
  prefixes.program = word;
  return prefixes;
}

Result<void> check_program(std::string_view path) {
  const std::string shown = "the program " + base::quote(path) + ' ';
  if (path.empty()) return Error{"the program's path is missing"};
  if (has_control(path)) return Error{shown + "contains a control character"};
  if (path.find('$') == 0) return Error{"the program may not be a variable, " + base::quote(path) + "; name it as it is"};
  if (path.ends_with('/')) return Error{shown + "is a directory"};
  if (path.starts_with('/')) return {};
  if (path.find('/') != std::string_view::npos)
    return Error{shown + "is a relative path; write an absolute one, or only the program's name"};
  if (path == "." || path == ".." || path.size() > file_name_bytes_max) return Error{shown + "is no name of a file"};
  return {};
}

Error unbalanced() { return Error{"a quote is not closed, or a backslash stands at the end"}; }

// The words after the program, up to the end or to a ";" of its own.
Result<bool> read_arguments(WordReader& words, const SpecifierContext& context, ExecCommand& command) {
  while (!words.rest().empty()) {
    if (command.argv.size() >= arguments_max)
      return Error{"there are more than " + std::to_string(arguments_max) + " arguments"};
    // Only the bare words: "\;" within quotes is text.
    if (is_word_alone(words.rest(), ";")) {
      words.skip(1);
      return true;
    }
    if (is_word_alone(words.rest(), "\\;")) {
      words.skip(2);
      command.argv.emplace_back(";");
      continue;
    }
    const auto word = words.next();
    if (!word) return unbalanced();
    PERDURE_TRY(std::string argument, expand_specifiers(*word, context));
    command.argv.push_back(std::move(argument));
  }
  return false;
}

// What stands after the prefixes; whether another command follows.
Result<bool> read_command(WordReader& words, const Prefixes& prefixes, const SpecifierContext& context,
                          ExecCommand& command) {
  PERDURE_TRY(const std::string path, expand_specifiers(prefixes.program, context));
  PERDURE_CHECK(check_program(path));
  if (!prefixes.has_own_argv0) command.argv.push_back(path);
  if (path.starts_with('/')) {
    PERDURE_TRY(command.path, parse_program_path(path));
  } else {
    command.path = path;
  }
  PERDURE_TRY(const bool goes_on, read_arguments(words, context, command));
  if (command.argv.empty() || command.argv.front().empty())
    return Error{"the name after \"@" + base::escape(path) + "\", which the program is to see as its own, is missing"};
  return goes_on;
}

bool is_name_of_one(std::string_view word) noexcept {
  return word.size() > 1 && word[0] == '$' && word[1] != '{' && word[1] != '$';
}

std::string_view value_of(std::string_view name, std::span<const std::string> environment) noexcept {
  for (auto entry = environment.rbegin(); entry != environment.rend(); ++entry) {
    const std::string_view text = *entry;
    if (text.size() > name.size() && text[name.size()] == '=' && text.starts_with(name)) return text.substr(name.size() + 1);
  }
  return {};
}

// Calls `text` with what stands as it is and `name` with each NAME of a ${NAME}; an open "${" is text.
template <class Text, class Name>
void for_each_part(std::string_view word, Text text, Name name) {
  while (!word.empty()) {
    const std::size_t dollar = std::min(word.find('$'), word.size());
    text(word.substr(0, dollar));
    word.remove_prefix(dollar);
    if (word.size() < 2) return text(word);
    const std::size_t end = word[1] == '{' ? word.find('}') : std::string_view::npos;
    if (end != std::string_view::npos) {
      name(word.substr(2, end - 2));
      word.remove_prefix(end + 1);
    } else if (word[1] == '{') {
      return text(word);
    } else {
      text("$");
      word.remove_prefix(word[1] == '$' ? 2 : 1);
    }
  }
}

}  // namespace

Result<CommandLine> parse_command_line(std::string_view text, const SpecifierContext& context) {
  WordReader words{text};
  CommandLine line;
  for (bool goes_on = true; goes_on;) {
    const auto first = words.next();
    if (!first && words.has_failed()) return unbalanced();
    if (!first) break;
    if (line.commands.size() >= commands_max)
      return Error{"there are more than " + std::to_string(commands_max) + " commands"};
    ExecCommand command;
    const Prefixes prefixes = take_prefixes(*first, command);
    auto read = read_command(words, prefixes, context, command);
    if (!read && !command.ignores_failure) return std::move(read).error();
    if (!read) {
      line.warnings.push_back(read.error().message() + "; because of its \"-\", the command is left out");
      break;
    }
    goes_on = *read;
    line.commands.push_back(std::move(command));
  }
  if (words.has_unknown_escape())
    line.warnings.emplace_back(
        R"(a backslash stands before a character with which it forms no escape, and stays; write \\)");
  return line;
}

std::vector<std::string> expand_arguments(const ExecCommand& command, std::span<const std::string> environment) {
  if (!command.expands_variables) return command.argv;
  std::vector<std::string> out;
  for (const std::string& word : command.argv) {
    if (is_name_of_one(word) || word == "$") {
      WordReader words{value_of(std::string_view{word}.substr(1), environment), Escapes::DropMark, OpenQuote::CloseAtEnd};
      while (auto part = words.next()) out.push_back(*std::move(part));
      continue;
    }
    std::string replaced;
    for_each_part(
        word, [&](std::string_view part) { replaced += part; },
        [&](std::string_view name) { replaced += value_of(name, environment); });
    out.push_back(std::move(replaced));
  }
  if (out.empty()) out.push_back(command.path);
  return out;
}

std::vector<std::string> variables_of(const ExecCommand& command) {
  std::vector<std::string> names;
  if (!command.expands_variables) return names;
  const auto add = [&](std::string_view name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  };
  for (const std::string& word : command.argv) {
    if (is_name_of_one(word)) {
      add(std::string_view{word}.substr(1));
    } else {
      for_each_part(
          word, [](std::string_view) {}, add);
    }
  }
  return names;
}

}  // namespace perdure::unit
