#include "core/print.hpp"

#include <string.h>  // sigabbrev_np

#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::core {
namespace {

using namespace std::string_view_literals;

constexpr std::array state_names{"dead"sv,         "condition"sv,    "start-pre"sv, "start"sv,         "start-post"sv,
                                 "running"sv,      "exited"sv,       "reload"sv,    "stop"sv,          "stop-watchdog"sv,
                                 "stop-sigterm"sv, "stop-sigkill"sv, "stop-post"sv, "final-sigterm"sv, "final-sigkill"sv,
                                 "auto-restart"sv, "failed"sv,       "active"sv};
constexpr std::array active_names{"inactive"sv,     "activating"sv,   "activating"sv,   "activating"sv,   "activating"sv,
                                  "active"sv,       "active"sv,       "reloading"sv,    "deactivating"sv, "deactivating"sv,
                                  "deactivating"sv, "deactivating"sv, "deactivating"sv, "deactivating"sv, "deactivating"sv,
                                  "activating"sv,   "failed"sv,       "active"sv};
static_assert(state_names.size() == state_count && active_names.size() == state_count);
constexpr std::array result_names{"success"sv,   "resources"sv,      "exit-code"sv,       "signal"sv,
                                  "core-dump"sv, "timeout"sv,        "start-limit-hit"sv, "protocol"sv,
                                  "watchdog"sv,  "exec-condition"sv, "oom-kill"sv};
constexpr std::array job_names{"start"sv, "stop"sv, "restart"sv, "reload"sv, "try-restart"sv};
constexpr std::array job_result_names{"done"sv,    "failed"sv,     "canceled"sv, "timeout"sv,
                                      "refused"sv, "dependency"sv, "skipped"sv};
constexpr std::array phase_names{"condition"sv, "start-pre"sv, "start"sv,    "start-post"sv,
                                 "reload"sv,    "stop"sv,      "stop-post"sv};
constexpr std::array verdict_names{"met"sv, "unmet"sv, "assert-failed"sv};
constexpr std::array exit_names{"exited"sv, "killed"sv, "dumped"sv, "unknown"sv};
constexpr std::array problem_names{"resource"sv, "permanent"sv};
constexpr std::array target_names{"process"sv, "all"sv};
constexpr int signal_max = 64;

template <class Enum>
std::string_view name_in(std::span<const std::string_view> names, Enum value) noexcept {
  const auto index = static_cast<std::size_t>(value);
  return index < names.size() ? names[index] : "?"sv;
}

template <class Enum>
std::optional<Enum> value_in(std::span<const std::string_view> names, std::string_view word) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == word) return static_cast<Enum>(i);
  return std::nullopt;
}

// ── Writing ──

std::string unit_text(UnitId unit, const UnitNames& names) {
  const auto found = names.find(unit);
  return found == names.end() ? fmt::format("#{}", unit) : found->second;
}
std::string run_text(const RunKey& run, const UnitNames& names) {
  return fmt::format("{}/{}", unit_text(run.unit, names), run.run);
}
std::string key_text(const SpawnKey& key, const UnitNames& names) {
  return fmt::format("{}/{}", run_text(key.run_key(), names), key.spawn);
}
std::string job_text(JobId job) { return job == unasked_job ? "unasked" : fmt::format("{}", job); }
/// "12.25s": as many digits as it takes, down to milliseconds.
std::string seconds_text(base::Instant instant) {
  const auto ms = std::chrono::round<std::chrono::milliseconds>(instant.time_since_epoch()).count();
  std::string text = fmt::format("{}.{:03}", ms / 1000, ms % 1000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + 's';
}
std::int64_t milliseconds(base::Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
std::string request_text(const JobRequested& request, const UnitNames& names) {
  return fmt::format("{} {} job={}", name(request.type), unit_text(request.unit, names), job_text(request.job));
}

struct EventText {
  const UnitNames& names;
  std::string operator()(const UnitLoaded& e) const { return "UnitLoaded " + unit_text(e.unit, names); }
  std::string operator()(const JobRequested& e) const { return "JobRequested " + request_text(e, names); }
  std::string operator()(const JobsRequested& e) const {
    std::string text = "JobsRequested";
    for (const JobRequested& job : e.jobs) text += (&job == e.jobs.data() ? " " : ", ") + request_text(job, names);
    return text;
  }
  std::string operator()(const JobCanceled& e) const { return "JobCanceled job=" + job_text(e.job); }
  std::string operator()(const ConditionsChecked& e) const {
    return fmt::format("ConditionsChecked {} {}", unit_text(e.unit, names), name_in(verdict_names, e.verdict));
  }
  std::string operator()(const MainFound& e) const { return "MainFound " + run_text(e.run, names); }
  std::string operator()(const MainMissing& e) const { return "MainMissing " + run_text(e.run, names); }
  std::string operator()(const Notified& e) const {
    std::string text = "Notified " + run_text(e.run, names);
    if (e.is_ready) text += " ready";
    if (e.is_reloading) text += " reloading";
    if (e.is_stopping) text += " stopping";
    if (e.is_alive) text += " watchdog";
    if (e.asks_to_be_ended) text += " watchdog-trigger";
    if (e.watchdog) text += fmt::format(" watchdog-ms={}", milliseconds(*e.watchdog));
    if (e.extend_timeout) text += fmt::format(" extend-ms={}", milliseconds(*e.extend_timeout));
    if (e.is_dumping) text += " dumping";
    return text;
  }
  std::string operator()(const ProcessStarted& e) const { return "ProcessStarted " + key_text(e.key, names); }
  std::string operator()(const SpawnFailed& e) const {
    return fmt::format("SpawnFailed {} {}", key_text(e.key, names), name_in(problem_names, e.problem));
  }
  std::string operator()(const ProgramExecuted& e) const { return "ProgramExecuted " + key_text(e.key, names); }
  std::string operator()(const ProcessExited& e) const {
    return fmt::format("ProcessExited {} {}{}{}", key_text(e.key, names), to_text(e.exit),
                       e.setup_failed ? " in set-up" : "", e.out_of_memory ? " out-of-memory" : "");
  }
  std::string operator()(const RunEmptied& e) const {
    return "RunEmptied " + (e.spawn == 0 ? run_text(e.run, names) : key_text({e.run.unit, e.run.run, e.spawn}, names));
  }
  std::string operator()(const DeadlinePassed&) const { return "DeadlinePassed"; }
  std::string operator()(const ShutdownRequested& e) const {
    return e.began ? fmt::format("ShutdownRequested since-ms={}", milliseconds(e.began->time_since_epoch()))
                   : "ShutdownRequested";
  }
  std::string operator()(const FailureReset& e) const { return "FailureReset " + unit_text(e.unit, names); }
  std::string operator()(const UnitRestored& e) const { return "UnitRestored " + to_text(e.record, names); }
  std::string operator()(const RecoveryCompleted& e) const {
    return e.stop_within ? fmt::format("RecoveryCompleted stop-within-ms={}", milliseconds(*e.stop_within))
                         : "RecoveryCompleted";
  }
};

struct ActionText {
  const UnitNames& names;
  std::string operator()(const RecordUnit& a) const { return "RecordUnit " + to_text(a.record, names); }
  std::string operator()(const SpawnProcess& a) const {
    std::string text = "SpawnProcess " + key_text(a.key, names);
    if (a.phase != CommandPhase::Start) text += fmt::format(" {}", name_in(phase_names, a.phase));
    else if (!a.is_main) text += " start";
    if (a.command > 0) text += fmt::format(" command={}", a.command);
    return text;
  }
  std::string operator()(const CheckConditions& a) const { return "CheckConditions " + unit_text(a.unit, names); }
  std::string operator()(const FindMain& a) const { return "FindMain " + run_text(a.run, names); }
  std::string operator()(const TrackMain& a) const { return "TrackMain " + key_text(a.key, names); }
  std::string operator()(const ReleaseProcess& a) const { return "ReleaseProcess " + key_text(a.key, names); }
  std::string operator()(const SendSignal& a) const {
    return fmt::format("SendSignal {} {} {}", key_text(a.key, names), name_in(target_names, a.target),
                       signal_name(a.signal));
  }
  std::string operator()(const KillRun& a) const { return "KillRun " + run_text(a.run, names); }
  std::string operator()(const WatchRun& a) const { return "WatchRun " + run_text(a.run, names); }
  std::string operator()(const ReleaseRun& a) const { return "ReleaseRun " + run_text(a.run, names); }
  std::string operator()(const FinishJob& a) const {
    return fmt::format("FinishJob {} job={} {}", unit_text(a.unit, names), job_text(a.job), name(a.result));
  }
  std::string operator()(const AnnounceState& a) const {
    return fmt::format("AnnounceState {} {} -> {} ({})", unit_text(a.unit, names), name(a.from), name(a.to), name(a.result));
  }
  std::string operator()(const AnnounceCycle& a) const {
    std::string text = "AnnounceCycle";
    for (const UnitId unit : a.units) text += ' ' + unit_text(unit, names);
    return text;
  }
  std::string operator()(const AnnounceCutShort& a) const {
    std::string text = "AnnounceCutShort";
    for (const UnitId unit : a.units) text += ' ' + unit_text(unit, names);
    return text;
  }
  std::string operator()(const EndInstance& a) const {
    return fmt::format("EndInstance {} {} {}{}", unit_text(a.unit, names),
                       a.cause == EndCause::Essential ? "essential" : "start-limit-action", to_text(a.exit),
                       a.is_forced ? " at once" : "");
  }
  std::string operator()(const AnnounceIgnored& a) const {
    return fmt::format("AnnounceIgnored {}: {}", unit_text(a.unit, names), a.rule);
  }
  std::string operator()(const AnnounceAllStopped&) const { return "AnnounceAllStopped"; }
};

// ── Reading ──

std::optional<UnitId> unit_named(std::string_view word, const UnitNames& names) {
  for (const auto& [unit, unit_name] : names)
    if (unit_name == word) return unit;
  return std::nullopt;
}

/// "web/3/1", or "web/3" where `parts` is 2.
std::optional<SpawnKey> parse_key(std::string_view word, std::size_t parts, const UnitNames& names) {
  const std::vector<std::string_view> part = base::split(word, '/');
  if (part.size() != parts) return std::nullopt;
  const auto unit = unit_named(part[0], names);
  const auto run = base::parse_number<std::uint64_t>(part[1]);
  const auto spawn = parts == 3 ? base::parse_number<std::uint32_t>(part[2]) : std::optional<std::uint32_t>{0};
  if (!unit || !run || !spawn) return std::nullopt;
  return SpawnKey{*unit, *run, *spawn};
}

std::optional<int> parse_signal(std::string_view word) {
  for (int number = 1; number <= signal_max; ++number)
    if (signal_name(number) == word) return number;
  return base::parse_number<int>(word);
}

std::optional<Exit> parse_exit(std::span<const std::string_view> words) {
  if (words.empty()) return std::nullopt;
  const auto kind = value_in<ExitKind>(exit_names, words[0]);
  if (!kind) return std::nullopt;
  if (*kind == ExitKind::Unknown) return words.size() == 1 ? std::optional{Exit{}} : std::nullopt;
  if (words.size() != 2) return std::nullopt;
  const auto status = *kind == ExitKind::Exited ? base::parse_number<int>(words[1]) : parse_signal(words[1]);
  if (!status) return std::nullopt;
  return Exit{*kind, *status};
}

/// "start web job=1"
std::optional<JobRequested> parse_request(std::string_view text, const UnitNames& names) {
  std::vector<std::string_view> word = base::words(text);
  if (word.size() != 3 || !base::remove_prefix(word[2], "job=")) return std::nullopt;
  const auto type = value_in<JobType>(job_names, word[0]);
  const auto unit = unit_named(word[1], names);
  const auto job = base::parse_number<JobId>(word[2]);
  if (!type || !unit || !job) return std::nullopt;
  return JobRequested{.job = *job, .type = *type, .unit = *unit};
}

std::optional<Event> parse_requests(std::string_view text, const UnitNames& names) {
  JobsRequested event;
  for (const std::string_view part : base::split(text, ',')) {
    const auto request = parse_request(part, names);
    if (!request) return std::nullopt;
    event.jobs.push_back(*request);
  }
  return event;
}

std::optional<Notified> parse_notified(std::span<const std::string_view> words, const RunKey& run) {
  Notified event{.run = run};
  for (std::string_view word : words) {
    if (word == "ready") event.is_ready = true;
    else if (word == "reloading") event.is_reloading = true;
    else if (word == "stopping") event.is_stopping = true;
    else if (word == "watchdog") event.is_alive = true;
    else if (word == "watchdog-trigger") event.asks_to_be_ended = true;
    else if (word == "dumping") event.is_dumping = true;
    else {
      auto& span = word.starts_with("watchdog-ms=") ? event.watchdog : event.extend_timeout;
      if (!base::remove_prefix(word, "watchdog-ms=") && !base::remove_prefix(word, "extend-ms=")) return std::nullopt;
      const auto number = base::parse_number<std::int64_t>(word);
      if (!number) return std::nullopt;
      span = std::chrono::milliseconds{*number};
    }
  }
  return event;
}

std::optional<Event> parse_exited(std::span<const std::string_view> words, const SpawnKey& key) {
  const bool out_of_memory = !words.empty() && words.back() == "out-of-memory";
  if (out_of_memory) words = words.first(words.size() - 1);
  const bool setup_failed = words.size() >= 2 && words[words.size() - 2] == "in" && words.back() == "set-up";
  const auto exit = parse_exit(words.first(words.size() - (setup_failed ? 2 : 0)));
  if (!exit) return std::nullopt;
  return ProcessExited{.key = key, .exit = *exit, .setup_failed = setup_failed, .out_of_memory = out_of_memory};
}

}  // namespace

std::string_view name(ServiceState state) noexcept { return name_in(state_names, state); }
std::string_view name(ServiceResult result) noexcept { return name_in(result_names, result); }
std::string_view name(JobType type) noexcept { return name_in(job_names, type); }
std::string_view name(JobResult result) noexcept { return name_in(job_result_names, result); }

StateWords state_words(const UnitRecord& record) noexcept {
  return {.active = name_in(active_names, record.state), .sub = name(record.state)};
}

std::string signal_name(int number) {
  if (const char* abbreviation = ::sigabbrev_np(number)) return std::string{"SIG"} + abbreviation;
  return fmt::format("signal {}", number);
}

std::string to_text(const Exit& exit) {
  const std::string_view kind = name_in(exit_names, exit.kind);
  if (exit.kind == ExitKind::Unknown) return std::string{kind};
  return fmt::format("{} {}", kind,
                     exit.kind == ExitKind::Exited ? fmt::format("{}", exit.status) : signal_name(exit.status));
}

std::string to_text(const Event& event, const UnitNames& names) { return std::visit(EventText{names}, event); }
std::string to_text(const Action& action, const UnitNames& names) { return std::visit(ActionText{names}, action); }

std::string to_text(const UnitRecord& r, const UnitNames& names) {
  std::string text = fmt::format("{} {}", unit_text(r.unit, names), name(r.state));
  if (r.result != ServiceResult::Success) text += fmt::format(" result={}", name(r.result));
  if (r.run != 0) text += fmt::format(" run={}/{}", r.run, r.spawn);
  if (r.former != 0) text += fmt::format(" former={}", r.former);
  if (r.main_running) text += r.main_executed ? " main=executed" : " main=running";
  if (r.main_ended) text += " main=ended";
  if (r.control != 0) text += fmt::format(" control={}{}", r.control, r.control_running ? ":running" : "");
  if (r.retry_spawn) text += " retry";
  if (r.last_exit != Exit{}) text += fmt::format(" exit=\"{}\"", to_text(r.last_exit));
  if (r.job != no_job) text += fmt::format(" job={}:{}", job_text(r.job), name(r.job_type));
  if (r.restarts != 0) text += fmt::format(" restarts={}", r.restarts);
  if (r.is_blocked) text += " blocked";
  if (r.deadline != base::Instant{}) text += fmt::format(" deadline={}", seconds_text(r.deadline));
  if (r.watchdog != base::Instant{}) text += fmt::format(" watchdog={}", seconds_text(r.watchdog));
  return text;
}

std::optional<Event> parse_event(std::string_view text, const UnitNames& names) {
  const std::vector<std::string_view> words = base::words(text);
  if (words.empty()) return std::nullopt;
  const std::string_view what = words[0];
  const auto rest = std::span{words}.subspan(1);
  const auto after = [&] { return text.substr(static_cast<std::size_t>(what.data() + what.size() - text.data())); };

  if (what == "JobRequested") {
    const auto request = parse_request(after(), names);
    return request ? std::optional<Event>{*request} : std::nullopt;
  }
  if (what == "JobsRequested") return parse_requests(after(), names);
  if (rest.empty()) {
    if (what == "DeadlinePassed") return DeadlinePassed{};
    if (what == "ShutdownRequested") return ShutdownRequested{};
    if (what == "RecoveryCompleted") return RecoveryCompleted{};
    return std::nullopt;
  }
  if (what == "ShutdownRequested" || what == "RecoveryCompleted") {
    std::string_view word = rest[0];
    const bool is_shutdown = what == "ShutdownRequested";
    const bool is_known = base::remove_prefix(word, is_shutdown ? "since-ms=" : "stop-within-ms=");
    const auto number = base::parse_number<std::int64_t>(word);
    if (!is_known || !number || rest.size() != 1) return std::nullopt;
    const std::chrono::milliseconds span{*number};
    if (is_shutdown) return ShutdownRequested{.began = base::Instant{span}};
    return RecoveryCompleted{.stop_within = span};
  }
  if (what == "FailureReset") {
    const auto unit = unit_named(rest[0], names);
    return unit && rest.size() == 1 ? std::optional<Event>{FailureReset{*unit}} : std::nullopt;
  }
  if (what == "JobCanceled") {
    std::string_view word = rest[0];
    const auto job = base::remove_prefix(word, "job=") ? base::parse_number<JobId>(word) : std::nullopt;
    return job && rest.size() == 1 ? std::optional<Event>{JobCanceled{*job}} : std::nullopt;
  }
  if (what == "ConditionsChecked") {
    const auto unit = unit_named(rest[0], names);
    const auto verdict = rest.size() == 2 ? value_in<ConditionVerdict>(verdict_names, rest[1]) : std::nullopt;
    return unit && verdict ? std::optional<Event>{ConditionsChecked{*unit, *verdict}} : std::nullopt;
  }
  if (what == "RunEmptied" && rest.size() == 1) {
    auto run = parse_key(rest[0], 2, names);
    if (!run) run = parse_key(rest[0], 3, names);
    return run ? std::optional<Event>{RunEmptied{run->run_key(), run->spawn}} : std::nullopt;
  }
  const bool is_about_run = what == "MainFound" || what == "MainMissing" || what == "Notified";
  const auto key = parse_key(rest[0], is_about_run ? 2 : 3, names);
  if (!key) return std::nullopt;
  if (what == "ProcessExited") return parse_exited(rest.subspan(1), *key);
  if (what == "SpawnFailed" && rest.size() == 2) {
    const auto problem = value_in<SpawnProblem>(problem_names, rest[1]);
    return problem ? std::optional<Event>{SpawnFailed{*key, *problem}} : std::nullopt;
  }
  if (what == "Notified") {
    const auto event = parse_notified(rest.subspan(1), key->run_key());
    return event ? std::optional<Event>{*event} : std::nullopt;
  }
  if (rest.size() != 1) return std::nullopt;
  if (what == "MainFound") return MainFound{key->run_key()};
  if (what == "MainMissing") return MainMissing{key->run_key()};
  if (what == "ProcessStarted") return ProcessStarted{*key};
  if (what == "ProgramExecuted") return ProgramExecuted{*key};
  return std::nullopt;
}

}  // namespace perdure::core
