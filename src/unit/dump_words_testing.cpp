#include "unit/dump_words_testing.hpp"

#include <algorithm>
#include <csignal>
#include <sstream>

#include <gtest/gtest.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "perdure/settings.hpp"
#include "unit/capabilities.hpp"

namespace perdure::unit::testing {
namespace {

// How systemd prints an argument in its dump (shell_maybe_quote).
std::string quoted(const std::string& argument) {
  if (!argument.empty() && argument.find_first_of(" \t\n\r\"\\`$*?['()<>|&;!") == std::string::npos) return argument;
  std::string out = "\"";
  for (const char c : argument) {
    if (std::string_view{"\"\\`$"}.find(c) != std::string_view::npos) out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string span_text(const std::optional<base::Duration>& span) {
  return !span || *span == span_max ? "infinity" : *span == span->zero() ? "0" : detail::print_duration(*span);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return words.empty() ? absent : text;
}

std::string error_text(int error) { return error == 0 ? "kill" : std::string{base::errno_name(error)}; }

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string octal(std::uint32_t mode) {
  std::ostringstream out;
  out << std::oct << mode;
  return std::string(4 - std::min<std::size_t>(out.str().size(), 4), '0') + out.str();
}

std::string signal_name(int signal) {
  return signal == SIGTERM   ? "SIGTERM"
         : signal == SIGKILL ? "SIGKILL"
         : signal == SIGINT  ? "SIGINT"
         : signal == SIGQUIT ? "SIGQUIT"
         : signal == SIGHUP  ? "SIGHUP"
         : signal == SIGUSR2 ? "SIGUSR2"
                             : std::to_string(signal);
}

std::string word_of(const Input& input) { return input.kind == InputKind::File ? "file" : "null"; }
std::string word_of(const Output& output) {
  switch (output.kind) {
    case OutputKind::Inherit: return "inherit";
    case OutputKind::Null: return "null";
    case OutputKind::Journal: return "journal";
    case OutputKind::File: return "file";
    case OutputKind::Append: return "append";
    case OutputKind::Truncate: break;
  }
  return "truncate";
}

constexpr std::string_view limit_words[] = {"CPU",      "FSIZE",  "DATA",    "STACK", "CORE",  "RSS",
                                            "NPROC",    "NOFILE", "MEMLOCK", "AS",    "LOCKS", "SIGPENDING",
                                            "MSGQUEUE", "NICE",   "RTPRIO",  "RTTIME"};
constexpr std::string_view kind_words[] = {"Runtime", "State", "Cache", "Logs", "Configuration"};
constexpr std::string_view access_words[] = {"none", "main", "exec", "all"};
constexpr std::string_view preserve_words[] = {"no", "restart", "yes"};
constexpr std::string_view io_words[] = {"none", "realtime", "best-effort", "idle"};
constexpr std::string_view cpu_words[] = {"other", "fifo", "rr", "batch", "", "idle"};

// System calls that systemd 252 names and the libseccomp of the recording does not know, so that its dump lacks them.
constexpr std::string_view unknown_to_libseccomp[] = {"riscv_hwprobe", "uretprobe", "sys_debug_setcontext"};

std::string words_of(const SystemCallFilter& filter) {
  std::string text = filter.is_allow_list ? "" : "~";
  for (const SystemCallRule& rule : filter.rules) {
    const auto* const end = std::end(unknown_to_libseccomp);
    if (std::find(std::begin(unknown_to_libseccomp), end, rule.name) != end) continue;
    text += (text.size() > 1 ? " " : "") + rule.name +
            (rule.error < 0 ? "" : ':' + (rule.error == 0 ? "kill" : std::string{base::errno_name(rule.error)}));
  }
  return text;
}

}  // namespace

std::string command_line(const ExecCommand& command) {
  std::string out;
  for (const std::string& argument : command.argv) out += (out.empty() ? "" : " ") + quoted(argument);
  return out;
}

// A word of many, in whatever order systemd's hash tables have them.
std::string sorted_words(std::string_view text) {
  const bool is_inverted = base::remove_prefix(text, "~");
  auto words = base::words(text);
  std::sort(words.begin(), words.end());
  std::string out = is_inverted ? "~" : "";
  for (const std::string_view word : words) out += ' ' + std::string{word};
  return out;
}

// What we would print in the dump's words, for keys that are there once.
std::map<std::string, std::string> properties(const UnitSpec& unit) {
  const ServiceSpec& s = unit.service;
  std::map<std::string, std::string> all{
      {"Type", std::string{word_of(s.type)}},
      {"Restart", std::string{word_of(s.restart)}},
      {"RestartSec", span_text(s.restart_sec)},
      {"TimeoutStartSec", span_text(s.timeout_start)},
      {"TimeoutStopSec", span_text(s.timeout_stop)},
      {"TimeoutAbortSec", s.has_timeout_abort ? span_text(s.timeout_abort) : absent},
      {"RuntimeMaxSec", span_text(s.runtime_max)},
      {"WatchdogSec", s.watchdog ? span_text(s.watchdog) : "0"},
      {"RemainAfterExit", yes_no(s.remain_after_exit)},
      {"GuessMainPID", yes_no(s.guess_main_pid)},
      {"NotifyAccess", std::string{access_words[static_cast<std::size_t>(s.notify_access)]}},
      {"PIDFile", s.pid_file.empty() ? absent : s.pid_file},
      {"KillMode", std::string{word_of(s.kill_mode)}},
      {"KillSignal", signal_name(s.kill_signal)},
      {"RestartKillSignal", signal_name(s.restart_kill_signal.value_or(s.kill_signal))},
      {"FinalKillSignal", signal_name(s.final_kill_signal)},
      {"SendSIGKILL", yes_no(s.send_sigkill)},
      {"SendSIGHUP", yes_no(s.send_sighup)},
      {"IgnoreSIGPIPE", yes_no(s.ignore_sigpipe)},
      {"UMask", octal(s.umask)},
      {"User", s.user.empty() ? absent : s.user},
      {"Group", s.group.empty() ? absent : s.group},
      {"SupplementaryGroups", joined(s.supplementary_groups)},
      {"Nice", s.nice ? std::to_string(*s.nice) : absent},
      {"RootDirectory", s.root_directory.empty() ? "/" : s.root_directory},
      {"StandardInput", word_of(s.standard_input)},
      {"StandardOutput", word_of(s.standard_output)},
      {"StandardError", word_of(s.standard_error)},
      {"StandardOutputFileToAppend", s.standard_output.kind == OutputKind::Append ? s.standard_output.path : absent},
      {"StandardErrorFileToAppend", s.standard_error.kind == OutputKind::Append ? s.standard_error.path : absent},
      {"StandardOutputFile", s.standard_output.kind == OutputKind::File ? s.standard_output.path : absent},
      {"StandardErrorFile", s.standard_error.kind == OutputKind::File ? s.standard_error.path : absent},
      {"RuntimeDirectoryPreserve", std::string{preserve_words[static_cast<std::size_t>(s.runtime_directory_preserve)]}},
      {"CapabilityBoundingSet", s.capability_bounding_set ? capability_names(*s.capability_bounding_set) : absent},
      {"AmbientCapabilities", s.ambient_capabilities != 0 ? capability_names(s.ambient_capabilities) : absent},
      {"Secure Bits", s.secure_bits == 0 ? absent : std::to_string(s.secure_bits)},
      {"IOSchedulingClass", s.io_scheduling ? std::string{io_words[s.io_scheduling->io_class]} : absent},
      {"IOPriority", s.io_scheduling ? std::to_string(s.io_scheduling->priority) : absent},
      {"CPUSchedulingPolicy", s.cpu_scheduling ? std::string{cpu_words[s.cpu_scheduling->policy]} : absent},
      {"CPUSchedulingPriority", s.cpu_scheduling ? std::to_string(s.cpu_scheduling->priority) : absent},
      {"CPUSchedulingResetOnFork", s.cpu_scheduling ? yes_no(s.cpu_scheduling->resets_on_fork) : absent},
      {"SystemCallErrorNumber", error_text(s.system_call_filter.value_or(SystemCallFilter{}).error)},
      {"SystemCallArchitectures", joined(s.system_call_filter.value_or(SystemCallFilter{}).architectures)},
      {"DefaultDependencies", yes_no(unit.default_dependencies)},
      {"RefuseManualStart", yes_no(unit.refuses_manual_start)},
      {"RefuseManualStop", yes_no(unit.refuses_manual_stop)},
  };
  if (!unit.description.empty()) all["Description"] = unit.description;
  // The recording's defaults are those of the machine where it was made.
  if (s.oom_score_adjust) all["OOMScoreAdjust"] = std::to_string(*s.oom_score_adjust);
  for (std::size_t i = 0; i < limit_count; ++i) {
    if (!s.limits[i]) continue;
    const std::string key = "Limit" + std::string{limit_words[i]};
    all[key] = std::to_string(s.limits[i]->hard);
    all[key + "Soft"] = std::to_string(s.limits[i]->soft);
  }
  for (std::size_t i = 0; i < directory_kind_count; ++i)
    all[std::string{kind_words[i]} + "DirectoryMode"] = octal(s.directories[i].mode);
  if (!s.working_directory.path.empty()) all["WorkingDirectory"] = s.working_directory.path;
  if (s.system_call_filter && !s.system_call_filter->rules.empty())
    all["SystemCallFilter"] = sorted_words(words_of(*s.system_call_filter));
  return all;
}

// Keys that are there once for each value, in any order.
std::map<std::string, std::vector<std::string>> lists(const UnitSpec& unit) {
  const ServiceSpec& s = unit.service;
  std::map<std::string, std::vector<std::string>> all{
      {"Environment", s.environment},
      {"PassEnvironment", s.pass_environment},
      {"UnsetEnvironment", s.unset_environment},
      {"Documentation", unit.documentation},
      {"EnvironmentFile", {}},
      {"BindPaths", {}},
      {"BindReadOnlyPaths", {}},
  };
  for (const EnvironmentFile& file : s.environment_files)
    all["EnvironmentFile"].push_back((file.ignores_missing ? "-" : "") + file.path);
  for (const BindMount& mount : s.bind_mounts)
    all[mount.is_read_only ? "BindReadOnlyPaths" : "BindPaths"].push_back((mount.ignores_missing ? "-" : "") + mount.source +
                                                                          ':' + mount.destination +
                                                                          (mount.is_recursive ? ":rbind" : ":norbind"));
  for (std::size_t i = 0; i < directory_kind_count; ++i) {
    const std::string key = std::string{kind_words[i]} + "Directory";
    all[key] = s.directories[i].names;
    for (const DirectoryLink& link : s.directories[i].links)
      all[key + "Symlink"].push_back(link.directory + ':' + link.path);
  }
  return all;
}

std::vector<std::string> conditions(const UnitSpec& unit) {
  std::vector<std::string> all;
  for (const Condition& c : unit.conditions)
    all.push_back((c.is_assert ? "Assert" : "Condition") + c.kind + ": " + (c.is_trigger ? "|" : "") +
                  (c.is_negated ? "!" : "") + c.argument);
  return all;
}

}  // namespace perdure::unit::testing
