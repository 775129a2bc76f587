// load_unit(): the texts of a unit, merged into a UnitSpec.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/name_index.hpp"
#include "base/text.hpp"
#include "perdure/settings.hpp"
#include "unit/unit_file.hpp"
#include "unit/unit_spec.hpp"
#include "unit/values.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

using detail::misfit;

constexpr std::string_view service_types[] = {"simple", "exec", "forking", "oneshot", "dbus", "notify", "idle"};
constexpr std::string_view restart_words[] = {"no",          "on-success", "on-failure", "on-abnormal",
                                              "on-watchdog", "on-abort",   "always"};
constexpr std::string_view kill_modes[] = {"control-group", "mixed", "process", "none"};
constexpr std::string_view isolations[] = {"as-systemd", "strict"};

// Variables that a service finds in its environment without Environment=: systemd.exec(5), "Environment variables in spawned
// processes". Whoever starts it sets them.
constexpr std::string_view given_variables[] = {"PATH",
                                                "LANG",
                                                "USER",
                                                "LOGNAME",
                                                "HOME",
                                                "SHELL",
                                                "INVOCATION_ID",
                                                "MAINPID",
                                                "MANAGERPID",
                                                "XDG_RUNTIME_DIR",
                                                "RUNTIME_DIRECTORY",
                                                "STATE_DIRECTORY",
                                                "CACHE_DIRECTORY",
                                                "LOGS_DIRECTORY",
                                                "CONFIGURATION_DIRECTORY",
                                                "CREDENTIALS_DIRECTORY",
                                                "LISTEN_FDS",
                                                "LISTEN_PID",
                                                "LISTEN_FDNAMES",
                                                "NOTIFY_SOCKET",
                                                "WATCHDOG_PID",
                                                "WATCHDOG_USEC",
                                                "JOURNAL_STREAM",
                                                "SYSTEMD_EXEC_PID",
                                                "TERM",
                                                "PIDFILE"};

constexpr std::size_t unknown_uses_max = config::diagnostics_max;

/// Diagnostics up to a bound, where no warning takes the place of an error.
class Complaints {
 public:
  void add(Diagnostic diagnostic) {
    has_error_ = has_error_ || !diagnostic.is_warning;
    if (list_.size() < config::diagnostics_max) return list_.push_back(std::move(diagnostic));
    ++left_out_;
    if (diagnostic.is_warning) return;
    const auto warning = std::find_if(list_.rbegin(), list_.rend(), [](const Diagnostic& d) { return d.is_warning; });
    if (warning != list_.rend()) *warning = std::move(diagnostic);
  }
  [[nodiscard]] bool has_error() const noexcept { return has_error_; }
  /// Whether a further warning would be shown.
  [[nodiscard]] bool has_room() const noexcept { return list_.size() < config::diagnostics_max; }
  [[nodiscard]] std::vector<Diagnostic> take() && {
    if (left_out_ > 0)
      list_.push_back({.source = list_.front().source,
                       .message = "there are " + std::to_string(left_out_) + " more; repair the ones above first",
                       .is_warning = true});
    return std::move(list_);
  }

 private:
  std::vector<Diagnostic> list_;
  std::size_t left_out_ = 0;
  bool has_error_ = false;
};

/// What is known while the texts are read one after the other.
struct Load {
  UnitSpec spec;
  const Specifiers& machine;
  Isolation isolation;
  Complaints complaints{};
  std::optional<ServiceType> type{};
  // Of the assignment that is being read:
  std::vector<std::string> warnings{};
  std::string not_possible{};  ///< a value that systemd knows and this version does not

  [[nodiscard]] ServiceSpec& service() noexcept { return spec.service; }
  [[nodiscard]] Result<std::string> expand(std::string_view text) const {
    return expand_specifiers(text, {spec.name, machine, spec.source_path});
  }
};

// ---- reading one value -------------------------------------------------------------------------------------------------

using Read = Result<void> (*)(Load&, std::string_view value);

template <std::size_t Count>
Result<std::size_t> parse_choice(std::string_view text, const std::string_view (&words)[Count]) {
  PERDURE_TRY(const std::size_t index, detail::parse_word(text, {std::begin(words), std::end(words)}));
  if (words[index] != text) return misfit(text, "has to be written " + std::string{words[index]});
  return index;
}

Result<void> accept(Load&, std::string_view) { return {}; }

template <auto Member>
Result<void> truth(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().*Member, parse_truth(value));
  return {};
}

template <auto Member>
Result<void> account(Load& load, std::string_view value) {
  if (value.empty()) {
    (load.service().*Member).clear();
    return {};
  }
  PERDURE_TRY(std::string name, load.expand(value));
  PERDURE_CHECK(check_account(name));
  load.service().*Member = std::move(name);
  return {};
}

Result<void> supplementary_groups(Load& load, std::string_view value) {
  std::vector<std::string>& groups = load.service().supplementary_groups;
  if (value.empty()) groups.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string name, load.expand(word));
    PERDURE_CHECK(check_account(name));
    groups.push_back(std::move(name));
  }
  return {};
}

Result<void> description(Load& load, std::string_view value) {
  PERDURE_TRY(load.spec.description, load.expand(value));
  return {};
}

Result<void> documentation(Load& load, std::string_view value) {
  if (value.empty()) load.spec.documentation.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string uri, load.expand(word));
    load.spec.documentation.push_back(std::move(uri));
  }
  return {};
}

// Dependencies cannot be taken back: systemd.unit(5), "Example 2" of its drop-ins.
template <auto Member>
Result<void> dependencies(Load& load, std::string_view value) {
  std::vector<UnitName>& all = load.spec.*Member;
  PERDURE_TRY(const auto words, split_words(value, Escapes::Keep));
  for (const std::string& word : words) {
    const auto expanded = load.expand(word);
    const auto name = expanded ? UnitName::parse(*expanded) : Result<UnitName>{expanded.error()};
    if (!name) {
      load.warnings.push_back(name.error().message() + "; it is left out");
    } else if (all.size() >= dependencies_max) {
      return Error{"there are more than " + std::to_string(dependencies_max) + " names"};
    } else if (*name != load.spec.name && std::find(all.begin(), all.end(), *name) == all.end()) {
      all.push_back(*name);
    }
  }
  return {};
}

Result<void> exec_start(Load& load, std::string_view value) {
  std::vector<ExecCommand>& commands = load.service().exec_start;
  if (value.empty()) {
    commands.clear();
    return {};
  }
  PERDURE_TRY(CommandLine line, parse_command_line(value, {load.spec.name, load.machine, load.spec.source_path}));
  std::move(line.warnings.begin(), line.warnings.end(), std::back_inserter(load.warnings));
  std::move(line.commands.begin(), line.commands.end(), std::back_inserter(commands));
  if (commands.size() > commands_max) return Error{"there are more than " + std::to_string(commands_max) + " commands"};
  return {};
}

Result<void> type(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, service_types));
  load.type = static_cast<ServiceType>(index);
  return {};
}

Result<void> restart(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, restart_words));
  load.service().restart = static_cast<RestartWhen>(index);
  return {};
}

Result<void> kill_mode(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, kill_modes));
  load.service().kill_mode = static_cast<KillMode>(index);
  return {};
}

Result<void> isolation(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, isolations));
  load.isolation = static_cast<Isolation>(index);
  return {};
}

Result<void> kill_signal(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().kill_signal, parse_signal(value));
  return {};
}

template <auto Member>
Result<void> span(Load& load, std::string_view value) {
  PERDURE_TRY(const auto parsed, parse_span(value));
  load.service().*Member = parsed.value_or(span_max);
  return {};
}

// 0 means no timeout, as it always has: systemd.service(5), TimeoutStartSec=.
Result<std::optional<base::Duration>> parse_timeout(std::string_view value) {
  PERDURE_TRY(const auto parsed, parse_span(value));
  return parsed == base::Duration::zero() ? std::nullopt : parsed;
}

template <auto Member>
Result<void> timeout(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().*Member, parse_timeout(value));
  return {};
}

Result<void> both_timeouts(Load& load, std::string_view value) {
  PERDURE_CHECK(timeout<&ServiceSpec::timeout_start>(load, value));
  return timeout<&ServiceSpec::timeout_stop>(load, value);
}

Result<void> start_limit_burst(Load& load, std::string_view value) {
  PERDURE_TRY(const std::uint64_t count, detail::parse_unsigned(value, std::numeric_limits<std::uint32_t>::max()));
  load.service().start_limit_burst = static_cast<std::uint32_t>(count);
  return {};
}

template <auto Member>
Result<void> statuses(Load& load, std::string_view value) {
  StatusSet& set = load.service().*Member;
  if (value.empty()) set = {};
  PERDURE_TRY(const auto words, split_words(value, Escapes::Keep));
  for (const std::string& word : words)
    if (const auto added = add_status(word, set); !added)
      load.warnings.push_back(added.error().message() + "; it is left out");
  return {};
}

Result<void> working_directory(Load& load, std::string_view value) {
  WorkingDirectory directory;
  directory.ignores_missing = base::remove_prefix(value, "-");
  if (value == "~") {
    directory.is_home = true;
  } else if (!value.empty()) {
    PERDURE_TRY(const std::string path, load.expand(value));
    auto parsed = parse_path(path);
    if (!parsed && directory.ignores_missing) {
      load.warnings.push_back(parsed.error().message() + "; the line is left out");
      return {};
    }
    PERDURE_TRY(directory.path, std::move(parsed));
  }
  load.service().working_directory = std::move(directory);
  return {};
}

Result<void> environment(Load& load, std::string_view value) {
  std::vector<std::string>& all = load.service().environment;
  if (value.empty()) all.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string assignment, load.expand(word));
    if (!is_assignment(assignment)) {
      // The value may be a secret, and without a name nobody knows where it begins.
      load.warnings.emplace_back(
          "a word is no NAME=VALUE and is left out; quotes go around a whole assignment, as in \"A=b c\"");
      continue;
    }
    const std::string_view name = std::string_view{assignment}.substr(0, assignment.find('=') + 1);
    std::size_t bytes = assignment.size() + 1;
    for (const std::string& other : all) bytes += other.size() + 1;
    if (bytes > environment_bytes_max)
      return Error{"the environment would have more than " + std::to_string(environment_bytes_max) + " bytes"};
    const auto same = std::find_if(all.begin(), all.end(), [&](const std::string& a) { return a.starts_with(name); });
    if (same != all.end()) {
      *same = std::move(assignment);
    } else {
      all.push_back(std::move(assignment));
    }
  }
  return {};
}

Result<void> umask(Load& load, std::string_view value) {
  if (value.empty()) {
    load.warnings.emplace_back("it is empty; the line is left out");
    return {};
  }
  PERDURE_TRY(load.service().umask, parse_mode(value, 0777));
  return {};
}

template <auto Member, int Min, int Max>
Result<void> number(Load& load, std::string_view value) {
  if (value.empty()) {
    (load.service().*Member).reset();
    return {};
  }
  base::remove_prefix(value, "+");
  PERDURE_TRY(const std::int64_t parsed, detail::parse_integer(value, Min, Max));
  load.service().*Member = static_cast<int>(parsed);
  return {};
}

template <Limit Which>
Result<void> limit(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().limits[static_cast<std::size_t>(Which)], parse_limit(Which, value));
  return {};
}

Result<void> standard_input(Load& load, std::string_view value) {
  static constexpr std::string_view words[] = {"null", "tty", "tty-force", "tty-fail", "data", "socket"};
  Input input;
  std::string_view path = value;
  if (base::remove_prefix(path, "file:")) {
    input.kind = InputKind::File;
    PERDURE_TRY(const std::string expanded, load.expand(path));
    PERDURE_TRY(input.path, parse_path(expanded));
  } else if (value == "fd" || value.starts_with("fd:")) {
    load.not_possible = value;
  } else {
    PERDURE_TRY(const std::size_t index, parse_choice(value, words));
    if (index > 0) load.not_possible = value;
  }
  load.service().standard_input = std::move(input);
  return {};
}

constexpr struct {
  std::string_view prefix;
  OutputKind kind;
} output_files[] = {{"file:", OutputKind::File}, {"append:", OutputKind::Append}, {"truncate:", OutputKind::Truncate}};

template <auto Member>
Result<void> output(Load& load, std::string_view value) {
  static constexpr std::string_view words[] = {"inherit",         "null",   "journal",        "tty",    "kmsg",
                                               "journal+console", "syslog", "syslog+console", "socket", "kmsg+console"};
  Output& output = load.service().*Member;
  for (const auto& file : output_files) {
    std::string_view path = value;
    if (!base::remove_prefix(path, file.prefix)) continue;
    PERDURE_TRY(const std::string expanded, load.expand(path));
    PERDURE_TRY(std::string parsed, parse_path(expanded));
    output = {.kind = file.kind, .path = std::move(parsed)};
    return {};
  }
  if (value == "fd" || value.starts_with("fd:")) {
    load.not_possible = value;
    return {};
  }
  PERDURE_TRY(const std::size_t index, parse_choice(value, words));
  const std::string_view word = words[index];
  output = {.kind = word == "inherit" ? OutputKind::Inherit : word == "null" ? OutputKind::Null : OutputKind::Journal};
  if (word == "tty" || word == "socket") {
    load.not_possible = value;
  } else if (output.kind == OutputKind::Journal && word != "journal") {
    load.warnings.push_back(std::string{word} + " goes to the unit's log only");
  }
  return {};
}

// ---- the directives that are carried out ---------------------------------------------------------------------------------

/// What follows from a value that cannot be read.
enum class Invalid : std::uint8_t {
  LeavesOut,  ///< the assignment counts for nothing, as under systemd, and that is said
  Refuses,    ///< the unit does not start: without it the service would be another, or have more rights
};

struct Reader {
  std::string_view section;
  std::string_view name;
  Invalid invalid;
  Read read;
};

using enum Invalid;
using S = ServiceSpec;

// clang-format off
constexpr Reader readers[] = {
    {"Unit", "Description", LeavesOut, description},
    {"Unit", "Documentation", LeavesOut, documentation},
    {"Unit", "SourcePath", LeavesOut, accept},
    {"Unit", "Wants", LeavesOut, dependencies<&UnitSpec::wants>},
    {"Unit", "Requires", LeavesOut, dependencies<&UnitSpec::requires_>},
    {"Unit", "RequiresOverridable", LeavesOut, dependencies<&UnitSpec::requires_>},
    {"Unit", "BindsTo", LeavesOut, dependencies<&UnitSpec::requires_>},
    {"Unit", "BindTo", LeavesOut, dependencies<&UnitSpec::requires_>},
    {"Unit", "After", LeavesOut, dependencies<&UnitSpec::after>},
    {"Unit", "Before", LeavesOut, dependencies<&UnitSpec::before>},
    {"Unit", "StartLimitIntervalSec", LeavesOut, span<&S::start_limit_interval>},
    {"Unit", "StartLimitInterval", LeavesOut, span<&S::start_limit_interval>},
    {"Unit", "StartLimitBurst", LeavesOut, start_limit_burst},
    {"Unit", "DefaultDependencies", LeavesOut, accept},
    {"Unit", "IgnoreOnIsolate", LeavesOut, accept},
    {"Unit", "AllowIsolate", LeavesOut, accept},
    {"Unit", "OnFailureIsolate", LeavesOut, accept},
    {"Unit", "CollectMode", LeavesOut, accept},
    {"Service", "Type", LeavesOut, type},
    {"Service", "ExecStart", Refuses, exec_start},
    {"Service", "Restart", LeavesOut, restart},
    {"Service", "RestartSec", LeavesOut, span<&S::restart_sec>},
    {"Service", "TimeoutSec", LeavesOut, both_timeouts},
    {"Service", "TimeoutStartSec", LeavesOut, timeout<&S::timeout_start>},
    {"Service", "TimeoutStopSec", LeavesOut, timeout<&S::timeout_stop>},
    {"Service", "StartLimitInterval", LeavesOut, span<&S::start_limit_interval>},
    {"Service", "StartLimitBurst", LeavesOut, start_limit_burst},
    {"Service", "SuccessExitStatus", LeavesOut, statuses<&S::success_status>},
    {"Service", "RestartPreventExitStatus", LeavesOut, statuses<&S::restart_prevent_status>},
    {"Service", "RestartForceExitStatus", LeavesOut, statuses<&S::restart_force_status>},
    {"Service", "KillMode", LeavesOut, kill_mode},
    {"Service", "KillSignal", LeavesOut, kill_signal},
    {"Service", "SendSIGKILL", LeavesOut, truth<&S::send_sigkill>},
    {"Service", "User", Refuses, account<&S::user>},
    {"Service", "Group", Refuses, account<&S::group>},
    {"Service", "SupplementaryGroups", Refuses, supplementary_groups},
    {"Service", "NoNewPrivileges", Refuses, truth<&S::no_new_privileges>},
    {"Service", "UMask", Refuses, umask},
    {"Service", "WorkingDirectory", Refuses, working_directory},
    {"Service", "Environment", LeavesOut, environment},
    {"Service", "Nice", LeavesOut, number<&S::nice, -20, 19>},
    {"Service", "OOMScoreAdjust", LeavesOut, number<&S::oom_score_adjust, -1000, 1000>},
    {"Service", "LimitCPU", LeavesOut, limit<Limit::Cpu>},
    {"Service", "LimitFSIZE", LeavesOut, limit<Limit::FileSize>},
    {"Service", "LimitDATA", LeavesOut, limit<Limit::Data>},
    {"Service", "LimitSTACK", LeavesOut, limit<Limit::Stack>},
    {"Service", "LimitCORE", LeavesOut, limit<Limit::Core>},
    {"Service", "LimitRSS", LeavesOut, limit<Limit::Rss>},
    {"Service", "LimitNPROC", LeavesOut, limit<Limit::Processes>},
    {"Service", "LimitNOFILE", LeavesOut, limit<Limit::OpenFiles>},
    {"Service", "LimitMEMLOCK", LeavesOut, limit<Limit::LockedMemory>},
    {"Service", "LimitAS", LeavesOut, limit<Limit::AddressSpace>},
    {"Service", "LimitLOCKS", LeavesOut, limit<Limit::Locks>},
    {"Service", "LimitSIGPENDING", LeavesOut, limit<Limit::PendingSignals>},
    {"Service", "LimitMSGQUEUE", LeavesOut, limit<Limit::MessageQueues>},
    {"Service", "LimitNICE", LeavesOut, limit<Limit::Nice>},
    {"Service", "LimitRTPRIO", LeavesOut, limit<Limit::RealTimePriority>},
    {"Service", "LimitRTTIME", LeavesOut, limit<Limit::RealTimeTime>},
    {"Service", "StandardInput", LeavesOut, standard_input},
    {"Service", "StandardOutput", LeavesOut, output<&S::standard_output>},
    {"Service", "StandardError", LeavesOut, output<&S::standard_error>},
    {"Service", "IgnoreSIGPIPE", LeavesOut, truth<&S::ignore_sigpipe>},
    {"Service", "GuessMainPID", LeavesOut, accept},
    {"Service", "PermissionsStartOnly", LeavesOut, accept},
    {"Service", "RootDirectoryStartOnly", LeavesOut, accept},
    {"Install", "Alias", LeavesOut, accept},
    {"Install", "WantedBy", LeavesOut, accept},
    {"Install", "RequiredBy", LeavesOut, accept},
    {"Install", "Also", LeavesOut, accept},
    {"Install", "DefaultInstance", LeavesOut, accept},
    {"X-Perdure", "Isolation", Refuses, isolation},
};
// clang-format on

const Reader* find_reader(std::string_view section, std::string_view name) noexcept {
  static const base::NameIndex<Reader, std::size(readers)> index{readers};
  return index.find(section, name);
}

// ---- merging ------------------------------------------------------------------------------------------------------------

/// An assignment and the file it stands in.
struct Place {
  std::string_view source;
  int line;
};

Diagnostic error_at(Place place, std::string message) {
  return {.source = std::string{place.source}, .line = place.line, .message = std::move(message)};
}
Diagnostic warning_at(Place place, std::string message) {
  return {.source = std::string{place.source}, .line = place.line, .message = std::move(message), .is_warning = true};
}

bool asks_for_nothing(const Directive& directive, std::string_view value) {
  if (directive.neutral == Neutral::Never) return false;
  if (value.empty()) return true;
  if (directive.neutral == Neutral::Infinity) return value == "infinity";
  if (directive.neutral == Neutral::No) return !parse_truth(value).value_or(true);
  return directive.name == "RootDirectory" && value == "/";
}

// systemd.exec(5): with "-" before it, a security context that cannot be had is no reason not to start.
bool is_optional(const Directive& directive, std::string_view value) {
  return value.starts_with('-') && (directive.name == "SELinuxContext" || directive.name == "AppArmorProfile");
}

constexpr std::string_view refused = "the unit does not start";

class Merger {
 public:
  Merger(const UnitName& name, const Specifiers& machine, Isolation isolation)
      : load_{.spec = {.name = name}, .machine = machine, .isolation = isolation} {}

  void take(const UnitSource& source) {
    config::Parsed<UnitFile> file = parse_unit_file(source.text, source.path);
    for (Diagnostic& diagnostic : file.diagnostics) load_.complaints.add(std::move(diagnostic));
    // Its error may be among those that were too many to be said.
    if (!file.value.is_usable && !load_.complaints.has_error()) refuse({source.path, 0}, "the file cannot be used");
    for (const SectionHeader& section : file.value.sections) take_header(section, source.path);
    for (const Assignment& assignment : file.value.assignments) take(assignment, {source.path, assignment.line});
  }
  void set_source_path(const std::string& path) { load_.spec.source_path = path; }

  config::Parsed<UnitSpec> finish() && {
    judge_unit();
    for (const Use& use : uses_) judge(use);
    UnitSpec& spec = load_.spec;
    for (const UnitName& name : spec.requires_)
      if (std::find(spec.wants.begin(), spec.wants.end(), name) == spec.wants.end()) spec.wants.push_back(name);
    spec.is_startable = !load_.complaints.has_error();
    return {std::move(spec), std::move(load_.complaints).take()};
  }

 private:
  /// A directive that the unit sets, with what there is to say about it when all is read.
  struct Use {
    const Directive* directive;
    std::size_t index;  ///< in UnitSpec::directives
    bool is_optional = false;
    std::string not_possible{};  ///< the last value, where this version cannot do it
  };

  [[nodiscard]] bool is_known_section(std::string_view name) const {
    if (name == "Unit" || name == "Install") return true;
    std::string own{suffix_of(load_.spec.name.type())};
    own.front() = static_cast<char>(own.front() - 'a' + 'A');
    return name == own;
  }

  void take_header(const SectionHeader& section, std::string_view source) {
    if (section.name == "Install") load_.spec.has_install_section = true;
    if (section.name.starts_with("X-") || is_known_section(section.name) || !load_.complaints.has_room()) return;
    static constexpr std::string_view names[] = {"Unit", "Service", "Install", "X-Perdure"};
    warn({source, section.line},
         "the section [" + section.name + "] has no meaning here and is left out" + did_you_mean(section.name, names));
  }

  void take(const Assignment& assignment, Place place) {
    const std::string& section = assignment.section;
    // What is not for us, by convention: systemd.unit(5).
    if ((section.starts_with("X-") && section != "X-Perdure") || assignment.key.starts_with("X-")) return;
    if (section != "X-Perdure" && !is_known_section(section)) return;
    const Directive* const directive = find_directive(section, assignment.key);
    if (directive != nullptr) return take(*directive, assignment, place);
    // Sections of other types of units: those do not start anyway.
    if (section == "Unit" || section == "Service" || section == "Install" || section == "X-Perdure")
      take_unknown(assignment, place);
  }

  void take_unknown(const Assignment& assignment, Place place) {
    if (unknown_uses_++ >= unknown_uses_max) return;
    std::vector<std::string_view> names;
    std::string_view home;
    for (const Directive& known : directives()) {
      if (known.section == assignment.section) names.push_back(known.name);
      if (known.name == assignment.key) home = known.section;
    }
    warn(place, base::escape(assignment.key) + "= is unknown in [" + assignment.section + "] and is left out" +
                    (home.empty() ? did_you_mean(assignment.key, names) : "; it belongs in [" + std::string{home} + "]"));
    load_.spec.directives.push_back({.section = assignment.section,
                                     .name = assignment.key,
                                     .outcome = Outcome::Unknown,
                                     .source = std::string{place.source},
                                     .line = place.line});
  }

  void take(const Directive& directive, const Assignment& assignment, Place place) {
    const Reader* const reader = find_reader(directive.section, directive.name);
    if (reader == nullptr) {
      if (asks_for_nothing(directive, assignment.value)) return forget(directive);
      note(directive, place).is_optional = is_optional(directive, assignment.value);
      return;
    }
    load_.warnings.clear();
    load_.not_possible.clear();
    const Result<void> read = reader->read(load_, assignment.value);
    const std::string object = std::string{directive.name} + "=: ";
    for (const std::string& warning : load_.warnings) warn(place, object + warning);
    if (!read && reader->invalid == Invalid::Refuses)
      return load_.complaints.add(error_at(place, object + read.error().message() + "; " + std::string{refused}));
    if (!read) return warn(place, object + read.error().message() + "; the line is left out");
    note(directive, place).not_possible = load_.not_possible;
  }

  // The use of the directive, made or moved to its last place.
  Use& note(const Directive& directive, Place place) {
    auto use = std::find_if(uses_.begin(), uses_.end(), [&](const Use& u) { return u.directive == &directive; });
    if (use == uses_.end()) {
      load_.spec.directives.push_back({.section = std::string{directive.section},
                                       .name = std::string{directive.name},
                                       .outcome = directive.outcome,
                                       .note = std::string{directive.note}});
      use = uses_.insert(uses_.end(), {.directive = &directive, .index = load_.spec.directives.size() - 1});
    }
    DirectiveUse& shown = load_.spec.directives[use->index];
    shown.source = place.source;
    shown.line = place.line;
    return *use;
  }

  void forget(const Directive& directive) {
    const auto use = std::find_if(uses_.begin(), uses_.end(), [&](const Use& u) { return u.directive == &directive; });
    if (use == uses_.end()) return;
    const std::size_t index = use->index;
    load_.spec.directives.erase(load_.spec.directives.begin() + static_cast<std::ptrdiff_t>(index));
    uses_.erase(use);
    for (Use& other : uses_)
      if (other.index > index) --other.index;
  }

  [[nodiscard]] Place place_of(std::string_view section, std::string_view name) const {
    for (const DirectiveUse& use : load_.spec.directives)
      if (use.section == section && use.name == name) return {use.source, use.line};
    return {load_.spec.source_path, 0};
  }

  void warn(Place place, std::string message) { load_.complaints.add(warning_at(place, std::move(message))); }
  void refuse(Place place, const std::string& message) {
    load_.complaints.add(error_at(place, message + "; " + std::string{refused}));
  }

  void judge_unit() {
    const UnitName& name = load_.spec.name;
    const Place file{load_.spec.source_path, 0};
    if (name.is_template()) {
      return refuse(file, name.text() + " is a template; name an instance, as in " + std::string{name.prefix()} + "@NAME." +
                              std::string{suffix_of(name.type())});
    }
    if (name.type() == UnitType::Service) return judge_service();
    if (name.type() != UnitType::Target)
      refuse(file, "units of the type ." + std::string{suffix_of(name.type())} + " are not possible yet");
  }

  void judge_service() {
    ServiceSpec& service = load_.spec.service;
    const Place exec = place_of("Service", "ExecStart");
    const bool has_bus_name = place_of("Service", "BusName").line != 0;
    const ServiceType by_itself = has_bus_name                 ? ServiceType::Dbus
                                  : service.exec_start.empty() ? ServiceType::Oneshot
                                                               : ServiceType::Simple;
    service.type = load_.type.value_or(by_itself);
    const bool is_possible = service.type == ServiceType::Simple || service.type == ServiceType::Exec;
    if (!is_possible && (load_.type || has_bus_name)) {
      const Place place = load_.type ? place_of("Service", "Type") : place_of("Service", "BusName");
      refuse(place, "Type=" + std::string{word_of(service.type)} + (load_.type ? "" : ", which follows from BusName=,") +
                        " is not possible yet");
    } else if (service.exec_start.empty()) {
      // Where one was there and could not be read, that has been said.
      if (!load_.complaints.has_error()) refuse({load_.spec.source_path, 0}, "ExecStart= is missing");
    } else if (service.exec_start.size() > 1) {
      refuse(exec,
             "ExecStart= has more than one command, which only Type=oneshot allows; an empty ExecStart= takes back "
             "the earlier ones");
    }
    for (const ExecCommand& command : service.exec_start)
      if (command.rights == Rights::KeepUser) refuse(exec, "ExecStart=: the prefix ! is not possible yet");
    if (place_of("Service", "EnvironmentFile").line == 0) warn_of_variables(exec);
  }

  void warn_of_variables(Place exec) {
    for (const ExecCommand& command : load_.spec.service.exec_start) {
      for (const std::string& name : variables_of(command)) {
        const std::string prefix = name + '=';
        const auto& all = load_.spec.service.environment;
        if (std::any_of(all.begin(), all.end(), [&](const std::string& a) { return a.starts_with(prefix); })) continue;
        if (std::find(std::begin(given_variables), std::end(given_variables), name) != std::end(given_variables)) continue;
        warn(exec, "ExecStart=: $" + base::escape(name) + " is set nowhere and stands for nothing");
      }
    }
  }

  void judge(const Use& use) {
    const Directive& directive = *use.directive;
    DirectiveUse& shown = load_.spec.directives[use.index];
    const Place place{shown.source, shown.line};
    const std::string object = std::string{directive.name} + '=';
    if (!use.not_possible.empty()) {
      shown.outcome = Outcome::NotYet;
      shown.note = use.not_possible;
      return refuse(place, object + use.not_possible + " is not possible yet");
    }
    if (find_reader(directive.section, directive.name) != nullptr) return;
    const bool is_strict = load_.isolation == Isolation::Strict && directive.without == Without::Isolated;
    if (is_strict) return refuse(place, object + " is not carried out yet, and strict isolation needs it");
    if (directive.without == Without::Refused && !use.is_optional)
      return refuse(place, object + " is not carried out yet; without it " + std::string{directive.note});
    warn(place, object + " is not carried out yet; the unit starts without it");
  }

  Load load_;
  std::vector<Use> uses_;
  std::size_t unknown_uses_ = 0;
};

}  // namespace

std::string_view word_of(ServiceType type) noexcept { return service_types[static_cast<std::size_t>(type)]; }
std::string_view word_of(RestartWhen when) noexcept { return restart_words[static_cast<std::size_t>(when)]; }
std::string_view word_of(KillMode mode) noexcept { return kill_modes[static_cast<std::size_t>(mode)]; }

config::Parsed<UnitSpec> load_unit(const UnitName& name, std::span<const UnitSource> sources, const Specifiers& machine,
                                   Isolation isolation) {
  Merger merger{name, machine, isolation};
  if (!sources.empty()) merger.set_source_path(sources.front().path);
  for (const UnitSource& source : sources) merger.take(source);
  return std::move(merger).finish();
}

}  // namespace perdure::unit
