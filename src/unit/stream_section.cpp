// systemd.exec(5): standard input and output, and how lines are logged.
#include <array>
#include <utility>

#include "unit/load.hpp"

namespace perdure::unit {
namespace {

bool is_named_descriptor(std::string_view value) noexcept { return value == "fd" || value.starts_with("fd:"); }

Result<void> standard_input(Load& load, std::string_view value) {
  static constexpr std::string_view words[] = {"null", "tty", "tty-force", "tty-fail", "data", "socket"};
  Input input;
  std::string_view path = value;
  if (base::remove_prefix(path, "file:")) {
    input.kind = InputKind::File;
    PERDURE_TRY(const std::string expanded, load.expand(path));
    PERDURE_TRY(input.path, parse_path(expanded));
  } else if (is_named_descriptor(value)) {
    load.exception = {Exception::Kind::Refused, std::string{value}};
  } else {
    PERDURE_TRY(const std::size_t index, parse_choice(value, words));
    if (index > 0) load.exception = {Exception::Kind::Refused, std::string{value}};
  }
  load.service().standard_input = std::move(input);
  return {};
}

constexpr struct {
  std::string_view prefix;
  OutputKind kind;
} output_files[] = {{"file:", OutputKind::File}, {"append:", OutputKind::Append}, {"truncate:", OutputKind::Truncate}};

/// What each word comes to: its kind, and what is different from systemd.
constexpr struct {
  std::string_view word;
  OutputKind kind;
  Exception::Kind exception;
} outputs[] = {
    {"inherit", OutputKind::Inherit, Exception::Kind::None},
    {"null", OutputKind::Null, Exception::Kind::None},
    {"journal", OutputKind::Journal, Exception::Kind::None},
    {"syslog", OutputKind::Journal, Exception::Kind::None},  // which systemd too takes for journal
    {"kmsg", OutputKind::Journal, Exception::Kind::Emulated},
    {"journal+console", OutputKind::Journal, Exception::Kind::Emulated},
    {"syslog+console", OutputKind::Journal, Exception::Kind::Emulated},
    {"kmsg+console", OutputKind::Journal, Exception::Kind::Emulated},
    {"tty", OutputKind::Journal, Exception::Kind::Refused},
    {"socket", OutputKind::Journal, Exception::Kind::Refused},
};
constexpr auto output_words = [] {
  std::array<std::string_view, std::size(outputs)> words{};
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = outputs[i].word;
  return words;
}();

template <auto Member>
Result<void> output(Load& load, std::string_view value) {
  Output& output = load.service().*Member;
  for (const auto& file : output_files) {
    std::string_view path = value;
    if (!base::remove_prefix(path, file.prefix)) continue;
    PERDURE_TRY(const std::string expanded, load.expand(path));
    PERDURE_TRY(std::string parsed, parse_path(expanded));
    output = {.kind = file.kind, .path = std::move(parsed)};
    return {};
  }
  if (is_named_descriptor(value)) {
    load.exception = {Exception::Kind::Refused, std::string{value}};
    return {};
  }
  PERDURE_TRY(const std::size_t index, parse_choice(value, output_words));
  const auto& meant = outputs[index];
  output = {.kind = meant.kind};
  if (meant.exception == Exception::Kind::Refused) load.exception = {meant.exception, std::string{value}};
  if (meant.exception == Exception::Kind::Emulated)
    load.exception = {meant.exception, std::string{value} + " goes to the unit's log only"};
  return {};
}

Result<void> syslog_identifier(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().syslog_identifier, load.expand(value));
  return {};
}

using enum Invalid;
using S = ServiceSpec;

constexpr Reader readers[] = {
    {"Service", "StandardInput", LeavesOut, standard_input},
    {"Service", "StandardOutput", LeavesOut, output<&S::standard_output>},
    {"Service", "StandardError", LeavesOut, output<&S::standard_error>},
    {"Service", "SyslogIdentifier", LeavesOut, syslog_identifier},
    {"Service", "SyslogLevelPrefix", LeavesOut, truth<&S::syslog_level_prefix>},
};

}  // namespace

std::span<const Reader> stream_readers() noexcept { return readers; }

}  // namespace perdure::unit
