// The units that a manager knows: from their files and from its predecessor's, and what the core is told of them.
#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "base/buffer.hpp"
#include "base/hash.hpp"
#include "core/service_machine.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "supervisor/failure_text.hpp"
#include "supervisor/in_effect.hpp"
#include "supervisor/manager.hpp"

namespace perdure::supervisor {
namespace {

std::uint64_t hash_of(const FoundUnit& found) {
  std::uint64_t sum = base::fnv1a(found.name.text());  // its specifiers stand for
  for (const unit::UnitSource& source : found.sources) sum = base::fnv1a(source.text, base::fnv1a(source.path, sum));
  return sum;
}

core::ServiceType type_of(unit::ServiceType type) {
  switch (type) {
    case unit::ServiceType::Exec: return core::ServiceType::Exec;
    case unit::ServiceType::Forking: return core::ServiceType::Forking;
    case unit::ServiceType::Oneshot: return core::ServiceType::Oneshot;
    case unit::ServiceType::Notify: return core::ServiceType::Notify;
    case unit::ServiceType::Idle: return core::ServiceType::Idle;
    case unit::ServiceType::Dbus:  // refused when it is loaded
    case unit::ServiceType::Simple: break;
  }
  return core::ServiceType::Simple;
}

core::Commands count(const std::vector<unit::ExecCommand>& commands) {
  core::Commands counted{.count = static_cast<std::uint8_t>(commands.size())};
  for (std::size_t i = 0; i < commands.size(); ++i)
    if (commands[i].ignores_failure) counted.ignores_failure |= std::uint64_t{1} << i;
  return counted;
}
static_assert(unit::commands_max <= 64);

core::ServiceSettings settings_of(const unit::UnitSpec& unit) {
  const unit::ServiceSpec& service = unit.service;
  core::ServiceSettings settings;
  settings.has_conditions = !unit.conditions.empty();
  if (unit.name.type() == unit::UnitType::Target) {
    settings.kind = core::UnitKind::Target;
    return settings;
  }
  settings.type = type_of(service.type);
  settings.commands = {count(service.exec_condition),  count(service.exec_start_pre), count(service.exec_start),
                       count(service.exec_start_post), count(service.exec_reload),    count(service.exec_stop),
                       count(service.exec_stop_post)};
  settings.remain_after_exit = service.remain_after_exit;
  settings.has_pid_file = !service.pid_file.empty();
  settings.guess_main_pid = service.guess_main_pid;
  settings.watchdog = service.watchdog;
  settings.watchdog_signal = service.watchdog_signal;
  settings.runtime_max = service.runtime_max;
  settings.restart = static_cast<core::RestartWhen>(service.restart);
  settings.restart_sec = service.restart_sec;
  settings.pause_grows = !service.has_restart_sec;
  settings.timeout_start = service.timeout_start;
  settings.timeout_stop = service.timeout_stop;
  settings.timeout_abort = service.has_timeout_abort ? service.timeout_abort : service.timeout_stop;
  settings.start_limit_interval = service.start_limit_interval;
  settings.start_limit_burst = service.start_limit_burst;
  settings.start_limit_action = static_cast<core::EmergencyAction>(service.start_limit_action);
  settings.is_essential = unit.is_essential;
  settings.kill_mode = static_cast<core::KillMode>(service.kill_mode);
  settings.kill_signal = service.kill_signal;
  settings.restart_kill_signal = service.restart_kill_signal.value_or(0);
  settings.final_kill_signal = service.final_kill_signal;
  settings.send_sighup = service.send_sighup;
  settings.send_sigkill = service.send_sigkill;
  settings.success_status = {service.success_status.codes, service.success_status.signals};
  settings.restart_prevent_status = {service.restart_prevent_status.codes, service.restart_prevent_status.signals};
  settings.restart_force_status = {service.restart_force_status.codes, service.restart_force_status.signals};
  return settings;
}

/// One program that runs, as it was compiled when the unit was loaded: nothing else has to be known of the unit.
bool is_plain(const unit::UnitSpec& unit) {
  const unit::ServiceSpec& s = unit.service;
  const bool is_of_one_command = s.exec_condition.empty() && s.exec_start_pre.empty() && s.exec_start.size() == 1 &&
                                 s.exec_start_post.empty() && s.exec_reload.empty() && s.exec_stop.empty() &&
                                 s.exec_stop_post.empty();
  const bool is_of_one_process = s.type == unit::ServiceType::Simple || s.type == unit::ServiceType::Exec;
  const bool has_directories = std::any_of(s.directories.begin(), s.directories.end(),
                                           [](const unit::ManagedDirectories& d) { return !d.names.empty(); });
  return is_of_one_command && is_of_one_process && !has_directories && unit.conditions.empty() &&
         !wants_fresh_compile(unit) && s.notify_access == unit::NotifyAccess::None && !s.watchdog && s.user.empty() &&
         s.group.empty() && s.supplementary_groups.empty() && s.syslog_level_prefix && s.syslog_identifier.empty() &&
         !asks_for_priorities_or_limits(s) && !s.system_call_filter;
}

/// Whether the same texts would come to the same unit again, as long as the accounts are the same.
bool is_said_by_its_files(const unit::UnitSpec& unit) {
  if (wants_fresh_compile(unit)) return false;
  const std::vector<unit::ExecCommand>& start = unit.service.exec_start;
  return start.empty() || start.front().path.starts_with('/');  // else what it starts depends on what is where
}
static_assert(static_cast<int>(core::EmergencyAction::ExitForce) == static_cast<int>(unit::EmergencyAction::ExitForce));
static_assert(static_cast<int>(core::RestartWhen::Always) == static_cast<int>(unit::RestartWhen::Always));
static_assert(static_cast<int>(core::KillMode::None) == static_cast<int>(unit::KillMode::None));

}  // namespace

/// Of its texts, where they are suspected to bring managers down; 0: they are not.
std::uint64_t Manager::suspected_hash(const FoundUnit& found) const {
  const bool is_suspected = suspect_of(crashes_.record(), Input::Unit, found.name.text(), 0) != nullptr;
  return is_suspected ? hash_of(found) : 0;
}

void Manager::load_units(UniqueFd saved) {
  units_.resize(1);  // number 0 is none
  if (saved) {
    is_recovering_ = true;
    saved_ = SavedUnits::adopt(std::move(saved));
    for (SavedUnit& unit : saved_->load()) {
      const Result<unit::UnitName> name = unit::UnitName::parse(unit.name);
      if (!name) continue;
      FoundUnit found{
          *name, static_cast<LoadState>(unit.load_state), std::move(unit.fragment_path), std::move(unit.sources), {}};
      SupervisedUnit& added = add_unit(found, unit.id);
      if (!unit.load_error.empty()) added.load_error = unit.load_error;
    }
    introduce();
    is_recovering_ = false;
    return;
  }
  saved_ = SavedUnits::create(options_.state_dir);
  load_arguments();
}

/// Loads the units that the command line names, as far as they are not known yet, and notes them as wanted.
void Manager::load_arguments() {
  const UnitFiles::Pass pass{files_};
  std::vector<std::string> words = std::move(options_.units);  // once per instance
  if (words.empty()) {
    const auto read_guarded = [this](const FoundUnit& found, const std::function<void()>& read) {
      const std::uint64_t hash = suspected_hash(found);
      if (hash != 0 && is_quarantined(crashes_.record(), Input::Unit, found.name.text(), hash)) return;
      const CrashFile::Held held{crashes_, Input::Unit, found.name.text(), hash};
      read();
    };
    const UnitNames names = files_.default_units({}, read_guarded);
    for (const unit::UnitName& name : names.names) words.push_back(name.text());
    if (names.names.empty())
      for (const Diagnostic& diagnostic : names.diagnostics) say(diagnostic.text());
  }
  for (const std::string& word : words) {
    const Result<FoundUnit> found = files_.find_argument(word);
    if (!found) {
      say(found.error().message() + "; the other units start");
      continue;
    }
    if (const SupervisedUnit* const known = find(found->name.text())) {
      named_.push_back(known->id);
      continue;
    }
    SupervisedUnit& unit = add_unit(*found, static_cast<core::UnitId>(units_.size()));
    if (unit.load_state != LoadState::Loaded)
      say(unit.name + ": " + (unit.load_error.empty() ? "not found in the unit path" : unit.load_error) +
          "; it is not started, the other units are");
    named_.push_back(unit.id);
  }
  introduce();
}

SupervisedUnit* Manager::load_named(std::string_view name) {
  SupervisedUnit* const known = resolve(name);
  const bool may_be_mended = known != nullptr && known->load_state != LoadState::Loaded && known->runs.empty();
  if (known != nullptr && !may_be_mended) return known;
  const Result<unit::UnitName> parsed = unit::UnitName::parse(known != nullptr ? known->name : std::string{name});
  if (!parsed) return known;
  const FoundUnit found = files_.find(*parsed);
  if (found.state == LoadState::NotFound) return known;
  SupervisedUnit& unit = add_unit(found, known != nullptr ? known->id : static_cast<core::UnitId>(units_.size()));
  if (unit.name != name) aliases_.emplace(name, unit.id);
  return &unit;
}

/// The unit of that name, or of which it is another name (a link in the unit path).
SupervisedUnit* Manager::resolve(std::string_view name) const {
  if (SupervisedUnit* const known = find(name)) return known;
  const Result<unit::UnitName> parsed = unit::UnitName::parse(name);
  if (!parsed) return nullptr;
  SupervisedUnit* const meant = find(files_.name_of(*parsed).text());
  if (meant != nullptr) aliases_.emplace(name, meant->id);
  return meant;
}

/// Whether texts with that suspected_hash() are not to be parsed: then the unit says why it is not loaded.
bool Manager::refuse_quarantined(SupervisedUnit& unit, std::uint64_t hash) const {
  if (hash == 0 || unit.load_state != LoadState::Loaded || !is_quarantined(crashes_.record(), Input::Unit, unit.name, hash))
    return false;
  unit.load_state = LoadState::Error;
  unit.load_error = quarantine_text(Input::Unit, unit.name);
  unit.remarks.push_back(unit.load_error);
  return true;
}

SupervisedUnit& Manager::add_unit(const FoundUnit& found, core::UnitId id) {
  if (units_.size() <= id) units_.resize(std::size_t{id} + 1);
  const std::unique_ptr<SupervisedUnit> former = std::move(units_[id]);
  if (former != nullptr) by_name_.erase(former->name);  // its key lives in it
  units_[id] = std::make_unique<SupervisedUnit>();
  SupervisedUnit& unit = *units_[id];
  unit.id = id;
  unit.name = found.name.text();
  unit.fragment_path = found.fragment_path;
  unit.load_state = found.state;
  by_name_[unit.name] = &unit;
  for (const Diagnostic& diagnostic : found.diagnostics) {
    if (!diagnostic.is_warning && unit.load_error.empty()) unit.load_error = diagnostic.text();
    unit.remarks.push_back(diagnostic.text());
  }
  const std::uint64_t hash = suspected_hash(found);
  if (refuse_quarantined(unit, hash) && is_recovering_)
    unit.remarks.emplace_back(
        "its settings are not known: where it runs, it runs on, and is not restarted; stop it, change its file and start "
        "it");
  {
    const CrashFile::Held held{crashes_, Input::Unit, unit.name, hash};
    read_sources(unit, found);
  }
  if (unit.load_state != LoadState::Loaded) unit.sources_hash = hash_of(found);
  // What somebody starts every minute for a year, and nobody mends, is not saved every minute.
  const bool is_as_before = former != nullptr && unit.load_state != LoadState::Loaded &&
                            former->load_state == unit.load_state && former->sources_hash == unit.sources_hash &&
                            former->load_error == unit.load_error;
  if (!is_recovering_ && !is_as_before) {
    const Result<void> saved = saved_->add({unit.id, unit.name, unit.fragment_path,
                                            static_cast<std::uint8_t>(unit.load_state), unit.load_error, found.sources});
    if (!saved) {
      notes_.push_back(saved.error().message());
      unit.sources_hash = 0;
    }
  }
  return unit;
}

void Manager::read_sources(SupervisedUnit& unit, const FoundUnit& found) {
  unit.drop_ins = found.drop_ins();
  NewUnit fresh;
  fresh.id = unit.id;
  if (unit.load_state == LoadState::Loaded) {
    config::Parsed<unit::UnitSpec> parsed = unit::load_unit(found.name, found.sources, machine_, options_.isolation);
    for (const Diagnostic& diagnostic : parsed.diagnostics) {
      unit.remarks.push_back(diagnostic.text());
      if (!diagnostic.is_warning && unit.load_error.empty()) unit.load_error = diagnostic.text();
    }
    unit::UnitSpec& spec = parsed.value;
    unit.description = spec.description;
    fresh.settings = settings_of(spec);
    unit.kind = fresh.settings.kind;
    unit.type = fresh.settings.type;
    unit.restart = fresh.settings.restart;
    unit.has_default_dependencies = spec.default_dependencies;
    unit.refuses_manual_start = spec.refuses_manual_start;
    unit.refuses_manual_stop = spec.refuses_manual_stop;
    const bool is_runnable = found.name.type() == unit::UnitType::Service || unit.kind == core::UnitKind::Target;
    if (!spec.is_startable || !is_runnable) {
      unit.load_state = LoadState::Error;
      if (unit.load_error.empty()) unit.load_error = unit.name + ": only services and targets can be run by this version";
    } else if (unit.kind == core::UnitKind::Service && !spec.service.exec_start.empty()) {
      // A filter takes milliseconds to compile: a manager that has services to adopt does that when one of them is started.
      auto& filter = spec.service.system_call_filter;
      auto later = is_recovering_ ? std::exchange(filter, std::nullopt) : std::nullopt;
      Result<CompiledLaunch> compiled = compile(spec, *accounts_, surroundings_);
      if (later) filter = std::move(later);
      Result<SpecPlace> place = compiled ? specs_->add(compiled->bytes) : Result<SpecPlace>{compiled.error()};
      if (place) {
        unit.launch = std::move(compiled->launch);
        unit.launch.place = *place;
      } else {
        unit.load_state = LoadState::Error;
        unit.load_error = unit.name + ": " + place.error().message();
      }
    }
    fresh.named = named_dependencies(spec, names_);
    unit.named = fresh.named;
    unit.own_remarks = static_cast<std::uint32_t>(unit.remarks.size());
    const bool says_all = found.diagnostics.empty() && is_said_by_its_files(spec);
    unit.sources_hash = says_all ? hash_of(found) : 0;
    if (!is_plain(spec)) {
      spec.directives = {};  // of use to verify only, which reads the files itself
      unit.spec = std::make_unique<unit::UnitSpec>(std::move(spec));
    }
  }
  fresh.settings.cannot_start = unit.load_state != LoadState::Loaded;
  new_units_.push_back(std::move(fresh));
}

/// The unit's files as they are now. One that cannot be used any more leaves the unit as it was loaded, where it runs.
void Manager::reload_file(SupervisedUnit& unit) {
  const Result<unit::UnitName> name = unit::UnitName::parse(unit.name);
  if (!name) return;
  FoundUnit found = files_.find(*name);
  if (found.state == LoadState::NotFound && unit.fragment_path.find('/') != std::string::npos) {
    if (Result<FoundUnit> file = files_.find_argument(unit.fragment_path))
      found = std::move(*file);  // it was run by its path
  }
  if (is_as_loaded(unit, found)) return introduce_again(unit);
  SupervisedUnit fresh;
  fresh.id = unit.id;
  fresh.name = unit.name;
  fresh.fragment_path = found.fragment_path;
  fresh.load_state = found.state;
  for (const Diagnostic& diagnostic : found.diagnostics) {
    if (!diagnostic.is_warning && fresh.load_error.empty()) fresh.load_error = diagnostic.text();
    fresh.remarks.push_back(diagnostic.text());
  }
  const std::uint64_t hash = suspected_hash(found);
  refuse_quarantined(fresh, hash);
  {
    const CrashFile::Held held{crashes_, Input::Unit, unit.name, hash};
    read_sources(fresh, found);
  }
  if (fresh.load_state != LoadState::Loaded) {
    const core::UnitRecord* const record = engine_.record(unit.id);
    const bool is_at_rest =
        unit.runs.empty() && (record == nullptr || (core::is_inactive(record->state) && record->job == core::no_job));
    const bool is_known_to_core = engine_.settings(unit.id) != nullptr;
    // What the core knows of it stays, for what is under way with it; at rest, nobody who wants it starts it as it was.
    if (is_known_to_core) new_units_.pop_back();
    if (is_known_to_core && is_at_rest) {
      introduce_again(unit);
      new_units_.back().settings.cannot_start = true;
    }
    if (is_at_rest) {
      unit.fragment_path = fresh.fragment_path;
      unit.drop_ins = std::move(fresh.drop_ins);
      unit.sources_hash = 0;
      const Result<void> saved = saved_->add({unit.id, unit.name, unit.fragment_path,
                                              static_cast<std::uint8_t>(fresh.load_state), fresh.load_error, found.sources});
      if (!saved) notes_.push_back(saved.error().message());
    }
    fresh.remarks.push_back(unit.runs.empty() ? "its file cannot be used (any more); it cannot be started"
                                              : "its file cannot be used any more; it goes on as it was loaded");
    unit.remarks = std::move(fresh.remarks);
    unit.own_remarks = static_cast<std::uint32_t>(unit.remarks.size());
    unit.load_error = std::move(fresh.load_error);
    unit.load_state = fresh.load_state;
    return;
  }
  unit.description = std::move(fresh.description);
  unit.fragment_path = std::move(fresh.fragment_path);
  unit.drop_ins = std::move(fresh.drop_ins);
  unit.remarks = std::move(fresh.remarks);
  unit.load_error.clear();
  unit.load_state = LoadState::Loaded;
  unit.kind = fresh.kind;
  unit.type = fresh.type;
  unit.restart = fresh.restart;
  unit.has_default_dependencies = fresh.has_default_dependencies;
  unit.refuses_manual_start = fresh.refuses_manual_start;
  unit.refuses_manual_stop = fresh.refuses_manual_stop;
  unit.launch = std::move(fresh.launch);
  unit.spec = std::move(fresh.spec);
  unit.named = std::move(fresh.named);
  unit.own_remarks = fresh.own_remarks;
  const Result<void> saved = saved_->add(
      {unit.id, unit.name, unit.fragment_path, static_cast<std::uint8_t>(unit.load_state), unit.load_error, found.sources});
  if (!saved) notes_.push_back(saved.error().message());
  unit.sources_hash = saved ? fresh.sources_hash : 0;
}

/// Whether nothing would come of reading the texts again: only then are they not. What other units are, is another question.
bool Manager::is_as_loaded(const SupervisedUnit& unit, const FoundUnit& found) const {
  return found.state == LoadState::Loaded && found.diagnostics.empty() && unit.load_state == LoadState::Loaded &&
         unit.load_error.empty() && unit.sources_hash != 0 && unit.sources_hash == hash_of(found) &&
         engine_.settings(unit.id) != nullptr;
}

/// As read_sources() of the same texts: other units may have come, gone, or got other names.
void Manager::introduce_again(SupervisedUnit& unit) {
  NewUnit fresh{.id = unit.id, .named = unit.named, .settings = *engine_.settings(unit.id)};
  clear_lists(fresh.settings);
  fresh.settings.cannot_start = unit.load_state != LoadState::Loaded;
  unit.remarks.resize(unit.own_remarks);
  new_units_.push_back(std::move(fresh));
}

void Manager::reload_files() {
  const UnitFiles::Pass pass{files_};
  static_cast<void>(accounts_->refresh());
  // What was compiled with other accounts, or is not known to the core yet, cannot be taken as it is.
  const bool is_settled = accounts_->generation() == compiled_with_ && events_.empty();
  compiled_with_ = accounts_->generation();
  if (!is_settled)
    for (const auto& unit : units_)
      if (unit != nullptr) unit->sources_hash = 0;
  aliases_.clear();
  for (std::size_t id = 1; id < units_.size(); ++id)
    if (units_[id] != nullptr) reload_file(*units_[id]);
  introduce();
  say("the files of " + std::to_string(by_name_.size()) + " units were read again");
}

/// What the units that were added, from number `first` on, pull in is loaded, too; the other kinds of dependency are about units
/// that are loaded anyway.
void Manager::load_pulled_in(std::size_t first) {
  const auto pulls = [](DependencyKind kind) {
    return kind == DependencyKind::Wants || kind == DependencyKind::Requires || kind == DependencyKind::BindsTo ||
           kind == DependencyKind::Upholds || kind == DependencyKind::OnFailure || kind == DependencyKind::OnSuccess;
  };
  for (std::size_t i = first; i < new_units_.size(); ++i) {
    // By index: a unit that has to be loaded joins the list.
    for (std::size_t k = 0; k < new_units_[i].named.size(); ++k) {
      const NamedDependency dependency = new_units_[i].named[k];
      if (!pulls(dependency.kind)) continue;
      const unit::UnitName& name = names_[dependency.name];
      const SupervisedUnit* other = find(name.text());
      const bool is_run = name.type() == unit::UnitType::Service || name.type() == unit::UnitType::Target;
      // A former manager has loaded what there is; it may have known it by another name.
      if (other == nullptr && is_run) other = is_recovering_ ? resolve(name.text()) : load_named(name.text());
      const bool must_be = dependency.kind == DependencyKind::Requires || dependency.kind == DependencyKind::BindsTo;
      const bool is_usable = other != nullptr && other->load_state == LoadState::Loaded;
      SupervisedUnit* const unit = find(new_units_[i].id);
      if (must_be && is_run && !is_usable) {
        new_units_[i].settings.cannot_start = true;
        if (unit != nullptr)
          unit->remarks.push_back("it requires " + name.text() + ", which " +
                                  (other == nullptr ? "does not exist" : "cannot be loaded") + "; it cannot be started");
      }
      if (must_be && !is_run && unit != nullptr)
        unit->remarks.push_back(name.text() + " is not managed by this version; taken as satisfied");
    }
  }
}

/// Tells the core of the units that were added, with the names in their dependencies resolved.
void Manager::introduce() {
  load_pulled_in(0);
  const std::size_t added = new_units_.size();
  introduce_who_names_them();
  load_pulled_in(added);
  for (NewUnit& fresh : new_units_) {
    for (const NamedDependency dependency : fresh.named) {
      const auto kind = list_of(dependency.kind);
      if (kind == nullptr) continue;
      const unit::UnitName& name = names_[dependency.name];
      // What is loaded for no other's sake may be meant by another name of its.
      const bool is_service = name.type() == unit::UnitType::Service;
      const SupervisedUnit* const other = is_service ? resolve(name.text()) : find(name.text());
      if (other == nullptr || other->id == fresh.id) continue;
      if (dependency.kind == DependencyKind::After && objects_to_default_order(fresh, dependency)) continue;
      std::vector<core::UnitId>& list = fresh.settings.*kind;
      if (std::find(list.begin(), list.end(), other->id) == list.end()) list.push_back(other->id);
    }
  }
  for (const NewUnit& fresh : new_units_) {
    for (const NamedDependency dependency : fresh.named) {
      if (dependency.kind != DependencyKind::ReloadFrom) continue;
      const SupervisedUnit* const other = find(names_[dependency.name].text());
      for (NewUnit& source : new_units_)
        if (other != nullptr && source.id == other->id) source.settings.reload_to.push_back(fresh.id);
    }
  }
  static_cast<void>(specs_->flush());  // what is not written now is tried again with the first start
  for (NewUnit& fresh : new_units_) events_.emplace_back(core::UnitLoaded{fresh.id, std::move(fresh.settings)});
  base::clear_burst(new_units_);
}

/// A unit may have been named by others before it was loaded: for their order, it is known from now on.
void Manager::introduce_who_names_them() {
  if (is_recovering_) return;  // all that there is comes at once
  std::vector<core::UnitId> ids;
  std::vector<std::uint32_t> names;
  for (const NewUnit& fresh : new_units_) {
    ids.push_back(fresh.id);
    const SupervisedUnit* const unit = find(fresh.id);
    if (const auto number = unit == nullptr ? std::nullopt : names_.find(unit->name)) names.push_back(*number);
  }
  std::sort(ids.begin(), ids.end());
  std::sort(names.begin(), names.end());
  for (const auto& unit : units_) {
    if (unit == nullptr || engine_.settings(unit->id) == nullptr || std::binary_search(ids.begin(), ids.end(), unit->id))
      continue;
    const bool names_one = std::any_of(unit->named.begin(), unit->named.end(), [&](NamedDependency dependency) {
      return std::binary_search(names.begin(), names.end(), std::uint32_t{dependency.name});
    });
    if (names_one) introduce_again(*unit);
  }
}

/// A target comes after what it pulls in only where that says nothing else: the rule of settle_default_order().
bool Manager::objects_to_default_order(const NewUnit& target, NamedDependency dependency) const {
  const NamedDependency by_default{.kind = DependencyKind::DefaultAfter, .name = dependency.name};
  if (std::find(target.named.begin(), target.named.end(), by_default) == target.named.end()) return false;
  const SupervisedUnit* const other = find(names_[dependency.name].text());
  const SupervisedUnit* const own = find(target.id);
  if (other == nullptr || own == nullptr) return false;
  if (!other->has_default_dependencies) return true;
  for (const NewUnit& fresh : new_units_) {
    if (fresh.id != other->id) continue;
    return std::any_of(fresh.named.begin(), fresh.named.end(), [&](NamedDependency d) {
      return d.kind == DependencyKind::After && names_[d.name].text() == own->name;
    });
  }
  const core::ServiceSettings* const settings = engine_.settings(other->id);
  return settings != nullptr &&
         std::find(settings->after.begin(), settings->after.end(), target.id) != settings->after.end();
}

SupervisedUnit* Manager::find(core::UnitId id) const { return id < units_.size() ? units_[id].get() : nullptr; }
SupervisedUnit* Manager::find(std::string_view name) const {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
  const auto alias = aliases_.find(name);
  return alias == aliases_.end() ? nullptr : find(alias->second);
}

}  // namespace perdure::supervisor
