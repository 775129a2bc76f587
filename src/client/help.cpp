// help_text(): the tables of the command line as a page for people.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/arguments.hpp"
#include "client/command_table.hpp"

namespace perdure::client {
namespace {

constexpr std::size_t help_column = 32;

std::string option_words(const OptionRow& row) {
  const char letter = letter_of(row);
  std::string words = letter == 0 ? "    " : fmt::format("-{}{}", letter, row.name == nullptr ? "" : ", ");
  if (row.name != nullptr) words += fmt::format("--{}", row.name);
  if (row.argument == nullptr) return words;
  if (row.name == nullptr) return words + fmt::format(" {}", row.argument);
  return words + (row.argument_is_free ? fmt::format("[={}]", row.argument) : fmt::format("={}", row.argument));
}

/// Columns that `text` takes on a terminal; all of it is ASCII but for "…".
std::size_t width(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void add_line(std::string& text, std::string_view left, std::string_view right) {
  text += fmt::format("  {}", left);
  // What is too long for the column stands on a line of its own.
  text += width(left) < help_column ? std::string(help_column - width(left), ' ') : '\n' + std::string(help_column + 2, ' ');
  text += fmt::format("{}\n", right);
}

std::string_view opening(CommandLine line) noexcept {
  switch (line) {
    case CommandLine::Perdure: break;
    case CommandLine::Systemctl:
      return "What perdure has of systemctl's command line.\n\n"
             "Usage: systemctl [OPTIONS] VERB [WORDS]      (no verb: list-units)\n";
    case CommandLine::Journalctl:
      return "What perdure has of journalctl's command line.\n\n"
             "Usage: journalctl [OPTIONS] [_SYSTEMD_UNIT=UNIT | SYSLOG_IDENTIFIER=NAME]…\n";
  }
  return "Examples:\n"
         "  perdure run ./units                       run what stands in a directory of unit files\n"
         "  perdure run -- ./server --port 80         run one command\n"
         "  perdure status web.service                how is it?\n"
         "  perdure logs web -f                       what does it say?\n"
         "  perdure logs --since -1h -p warning       what went wrong anywhere in the last hour?\n"
         "  perdure restart web.service\n"
         "\n"
         "Usage: perdure [OPTIONS] VERB [WORDS]        (no verb: list-units)\n";
}

}  // namespace

Result<std::string> help_text(std::string_view verb, CommandLine line) {
  const std::uint8_t here = bit_of(line);
  if (!verb.empty() && line != CommandLine::Journalctl) {
    const auto rows = verb_rows();
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const VerbRow& r) { return r.name == verb && (r.command_lines & here) != 0; });
    if (row == rows.end())
      return Error{fmt::format("unknown verb {}; see \"{} --help\"", base::escape(verb), name_of(line))};
    return fmt::format("{} [OPTIONS] {}{}{}\n\n  {}\n\nOptions: {} --help\n", name_of(line), row->name,
                       row->words.empty() ? "" : " ", row->words, row->help, name_of(line));
  }
  std::string text{opening(line)};
  if (line != CommandLine::Journalctl) {
    text += "\nVerbs:\n";
    for (const VerbRow& row : verb_rows()) {
      if ((row.command_lines & here) == 0) continue;
      add_line(text, row.words.empty() ? std::string{row.name} : fmt::format("{} {}", row.name, row.words), row.help);
    }
  }
  text += "\nOptions:\n";
  for (const OptionRow& row : option_rows()) {
    if ((row.command_lines & here) != 0) add_line(text, option_words(row), row.help);
  }
  text += "\nUnits: \"web\" means web.service; patterns such as \"web*\" mean the units that the instance knows.\n";
  text +=
      "Times: \"2026-11-21 18:00:00\", \"18:00\", \"today\", \"yesterday\", \"now\", \"-2h\", \"2h ago\", \"@1763700010\".\n"
      "Environment: PERDURE_RUNTIME_DIR, PERDURE_STATE_DIR, PERDURE_LOG_DIR stand for the options of that name.\n"
      "Exit codes: 0 done; 1 failed, or wrong usage; 3 status, is-active: not active; 4 status: no such unit, or no "
      "rights;\n"
      "5 start, stop, restart, …: no such unit; 6: its file cannot be used.\n";
  return text;
}

}  // namespace perdure::client
