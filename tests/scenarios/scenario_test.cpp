// Is the story right? Each x.scn is a story: what happens, and beside it what the core orders then.
//
// A story is lines; "#" begins a comment. `unit NAME KEY=VALUE …` loads a unit (ExecStartPre=2 are two commands, -a,b two of which the
// first may fail; RestartSec=grows is one that is not set), `at TIME` sets the clock, `> EVENT` tells an event in
// the words of core/print.hpp, `> time passes` tells DeadlinePassed when the next one is due, `> manager dies` starts the manager anew
// from what was recorded, and `> manager dies after N` does so before the action N + 1 of the last event was carried out (of the
// recovery: what is left of the story tells it). What follows an event, indented, are the actions; `= NAME` shows a unit's record.
//
//     PERDURE_SCENARIOS_REWRITE=1 scenario_test      writes what happens now into the stories; read the difference before you keep it
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "core/engine.hpp"
#include "core/print.hpp"

namespace perdure::core {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view action_indent = "    ";
/// In the order of CommandPhase.
constexpr std::string_view phase_keys[] = {"ExecCondition", "ExecStartPre", "ExecStart",   "ExecStartPost",
                                           "ExecReload",    "ExecStop",     "ExecStopPost"};

/// "1.5s", "300ms"; nothing for "infinity".
std::optional<base::Duration> parse_duration(std::string_view text) {
  if (text == "infinity") return std::nullopt;
  const bool is_ms = text.ends_with("ms");
  const double number = std::stod(std::string{text});
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>{is_ms ? number / 1000 : number});
}

class Story {
 public:
  /// The story's text with what happens now in the place of what it says happened.
  std::string retell(const std::string& text) {
    std::string told;
    bool skipping = false;  // what the story says followed an event
    for (const std::string_view line : base::lines(text)) {
      if (line.starts_with("> ") || line.starts_with("= ")) {
        told += std::string{line} + '\n';
        told += line.starts_with("> ") ? event(line.substr(2)) : show(line.substr(2));
        skipping = true;
        continue;
      }
      if (skipping && line.starts_with(action_indent)) continue;
      skipping = false;
      told += std::string{line} + '\n';
      if (line.starts_with("unit ")) unit(base::words(line.substr(5)));
      if (line.starts_with("at ")) now_ = base::Instant{} + parse_duration(line.substr(3)).value();
    }
    return told;
  }

 private:
  std::string event(std::string_view words) {
    if (words == "time passes") {
      const auto deadline = engine_.next_deadline();
      if (!deadline) return "    nothing is due\n";
      now_ = std::max(now_, *deadline);
      return step(DeadlinePassed{});
    }
    if (base::remove_prefix(words, "manager dies")) {
      base::remove_prefix(words, " after ");
      return restart_manager(words.empty() ? last_.size() : base::parse_number<std::size_t>(words).value());
    }
    const auto event = parse_event(words, names_);
    if (!event) throw std::runtime_error(fmt::format("no event: \"{}\"", words));
    return step(*event);
  }

  std::string step(const Event& event) {
    carry_out(last_.size());
    last_.clear();
    engine_.step(now_, event, last_);
    std::string told;
    for (const Action& action : last_) told += fmt::format("{}{}\n", action_indent, to_text(action, names_));
    return told;
  }

  void carry_out(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      if (const auto* record = std::get_if<RecordUnit>(&last_[i])) journal_[record->record.unit] = record->record;
  }

  /// Up to RecoveryCompleted, which is for the story to tell, as is what the keeper knows.
  std::string restart_manager(std::size_t carried_out) {
    carry_out(std::min(carried_out, last_.size()));
    last_.clear();
    engine_ = Engine{};
    ActionList actions;
    for (const auto& [id, settings] : settings_) engine_.step(now_, UnitLoaded{id, settings}, actions);
    for (const auto& [id, record] : journal_) engine_.step(now_, UnitRestored{record}, actions);
    std::string told;
    for (const Action& action : actions) told += fmt::format("{}{}\n", action_indent, to_text(action, names_));
    return told;
  }

  std::string show(std::string_view name) {
    const UnitRecord* record = engine_.record(id_of(name));
    const StateWords words = state_words(*record);
    return fmt::format("{}{} ({}) {}\n", action_indent, words.active, words.sub, to_text(*record, names_));
  }

  UnitId id_of(std::string_view name) {
    for (const auto& [id, known] : names_)
      if (known == name) return id;
    const auto id = static_cast<UnitId>(names_.size() + 1);
    names_[id] = std::string{name};
    return id;
  }

  void unit(const std::vector<std::string_view>& words) {
    ServiceSettings s;
    for (auto word = words.begin() + 1; word != words.end(); ++word) set(s, *word);
    const UnitId id = id_of(words.at(0));
    settings_[id] = s;
    ActionList actions;
    engine_.step(now_, UnitLoaded{id, s}, actions);
  }

  void set(ServiceSettings& s, std::string_view setting) {
    const std::size_t equals = setting.find('=');
    const std::string key{setting.substr(0, equals)};
    const std::string_view value = setting.substr(equals + 1);
    const auto index_in = [&](std::initializer_list<std::string_view> names) {
      const auto found = std::find(names.begin(), names.end(), value);
      if (found == names.end()) throw std::runtime_error(fmt::format("no value of {}: \"{}\"", key, value));
      return static_cast<int>(found - names.begin());
    };
    const auto codes = [&] {
      StatusSet set;
      for (const std::string_view code : base::split(value, ','))
        set.codes.push_back(base::parse_number<std::uint8_t>(code).value());
      return set;
    };
    const auto units = [&] {
      std::vector<UnitId> ids;
      for (const std::string_view name : base::split(value, ',')) ids.push_back(id_of(name));
      return ids;
    };
    const auto is_yes = [&] { return index_in({"no", "yes"}) == 1; };
    const auto signal = [&] {
      return index_in({"0", "SIGHUP", "SIGINT", "SIGQUIT", "4", "5", "SIGABRT", "7", "8", "SIGKILL"});
    };
    if (const auto phase = std::find(std::begin(phase_keys), std::end(phase_keys), key); phase != std::end(phase_keys))
      s.commands[static_cast<std::size_t>(phase - std::begin(phase_keys))] = commands(value);
    else if (const auto list = unit_lists().find(key); list != unit_lists().end()) s.*list->second = units();
    else if (key == "Type")
      s.type = static_cast<ServiceType>(index_in({"simple", "exec", "forking", "oneshot", "notify", "idle"}));
    else if (key == "Restart")
      s.restart = static_cast<RestartWhen>(
          index_in({"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"}));
    else if (key == "KillMode") s.kill_mode = static_cast<KillMode>(index_in({"control-group", "mixed", "process", "none"}));
    else if (key == "Kind") s.kind = static_cast<UnitKind>(index_in({"service", "target"}));
    else if (key == "RemainAfterExit") s.remain_after_exit = is_yes();
    else if (key == "PIDFile") s.has_pid_file = is_yes();
    else if (key == "Condition") s.has_conditions = is_yes();
    else if (key == "Essential") s.is_essential = is_yes();
    else if (key == "SendSIGKILL") s.send_sigkill = is_yes();
    else if (key == "SendSIGHUP") s.send_sighup = is_yes();
    else if (key == "KillSignal") s.kill_signal = signal();
    else if (key == "RestartKillSignal") s.restart_kill_signal = signal();
    else if (key == "FinalKillSignal") s.final_kill_signal = signal();
    else if (key == "WatchdogSignal") s.watchdog_signal = signal();
    else if (key == "StartLimitAction")
      s.start_limit_action = static_cast<EmergencyAction>(index_in({"none", "exit", "exit-force"}));
    else if (key == "RestartSec") {
      s.pause_grows = value == "grows";
      s.restart_sec = s.pause_grows ? 100ms : parse_duration(value).value();
    } else if (key == "TimeoutStartSec") s.timeout_start = parse_duration(value);
    else if (key == "TimeoutStopSec") s.timeout_stop = parse_duration(value);
    else if (key == "TimeoutAbortSec") s.timeout_abort = parse_duration(value);
    else if (key == "WatchdogSec") s.watchdog = parse_duration(value);
    else if (key == "RuntimeMaxSec") s.runtime_max = parse_duration(value);
    else if (key == "StartLimitIntervalSec") s.start_limit_interval = parse_duration(value).value();
    else if (key == "StartLimitBurst") s.start_limit_burst = base::parse_number<std::uint32_t>(value).value();
    else if (key == "SuccessExitStatus") s.success_status = codes();
    else if (key == "RestartPreventExitStatus") s.restart_prevent_status = codes();
    else if (key == "RestartForceExitStatus") s.restart_force_status = codes();
    else throw std::runtime_error(fmt::format("no setting: \"{}\"", key));
  }

  /// "2", or one word for each, with "-" in front of those whose failure is ignored: "-mkdir,start".
  static Commands commands(std::string_view value) {
    if (const auto count = base::parse_number<std::uint8_t>(value)) return {.count = *count};
    Commands commands;
    for (const std::string_view command : base::split(value, ','))
      commands.ignores_failure |= std::uint64_t{command.starts_with('-')} << commands.count++;
    return commands;
  }

  static const std::map<std::string, std::vector<UnitId> ServiceSettings::*>& unit_lists() {
    using S = ServiceSettings;
    static const std::map<std::string, std::vector<UnitId> S::*> lists{
        {"Wants", &S::wants},          {"Requires", &S::requires_},   {"Requisite", &S::requisite},
        {"BindsTo", &S::binds_to},     {"PartOf", &S::part_of},       {"Upholds", &S::upholds},
        {"Conflicts", &S::conflicts},  {"After", &S::after},          {"Before", &S::before},
        {"OnFailure", &S::on_failure}, {"OnSuccess", &S::on_success}, {"PropagatesReloadTo", &S::reload_to}};
    return lists;
  }

  Engine engine_{};
  base::Instant now_ = base::Instant{} + 1s;
  UnitNames names_{};
  std::map<UnitId, ServiceSettings> settings_{};
  std::map<UnitId, UnitRecord> journal_{};
  ActionList last_{};  ///< of the last event; taken as carried out when the next one comes
};

std::vector<std::filesystem::path> stories() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator{PERDURE_SCENARIOS})
    if (entry.path().extension() == ".scn") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

class Scenario : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Scenario, HappensAsItIsTold) {
  std::ifstream file{GetParam()};
  const std::string told{std::istreambuf_iterator<char>{file}, {}};
  const std::string happened = Story{}.retell(told);
  if (std::getenv("PERDURE_SCENARIOS_REWRITE") != nullptr) {
    std::ofstream{GetParam()} << happened;
    return;
  }
  EXPECT_EQ(happened, told) << "in " << GetParam().filename()
                            << "; PERDURE_SCENARIOS_REWRITE=1 writes what happens now into it";
}

INSTANTIATE_TEST_SUITE_P(, Scenario, testing::ValuesIn(stories()), [](const auto& scenario) {
  std::string name = scenario.param.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace perdure::core
