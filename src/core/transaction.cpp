#include "core/transaction.hpp"

#include <algorithm>

#include "core/job_merge.hpp"

namespace perdure::core {
namespace {

bool stays_down(const UnitRecord& record) {
  return record.is_held_down && (is_inactive(record.state) || is_being_stopped(record));
}

}  // namespace

const Unit* Transaction::find(UnitId unit) const {
  const auto found = units_.find(unit);
  return found == units_.end() ? nullptr : &found->second;
}

/// Also of a unit that is up already: its job may have to wait until it is down and starts again.
bool Transaction::is_planned_up(UnitId unit) const {
  if (const auto planned = jobs_.find(unit); planned != jobs_.end()) return planned->second != JobType::Stop;
  const Unit* const known = find(unit);
  return known != nullptr && known->record.job != no_job && known->record.job_type != JobType::Stop;
}

std::optional<JobResult> Transaction::add(UnitId unit, JobType type) {
  const std::size_t mark = log_.size();
  for (;;) {
    problem_ = JobResult::Refused;
    bool is_possible = false;
    switch (type) {
      case JobType::Start: is_possible = start(unit, Pull::Asked); break;
      case JobType::Stop: is_possible = stop(unit) && plan(unit, JobType::Stop); break;
      case JobType::Restart:
      case JobType::TryRestart: is_possible = restart(unit); break;
      case JobType::Reload: {
        is_possible = plan(unit, JobType::Reload);
        for (const UnitId other : find(unit)->settings.reload_to) {
          const Unit* const known = find(other);
          if (known != nullptr && is_up(known->record.state)) static_cast<void>(plan(other, JobType::Reload));
        }
        break;
      }
    }
    if (!is_possible) {
      undo(mark);
      return problem_;
    }
    std::vector<UnitId> cycle;
    for (std::size_t i = mark; i < log_.size() && cycle.empty() && ordering_.has_circles(); ++i)
      cycle = ordering_.find_cycle([this](UnitId u) { return is_planned_up(u); }, log_[i].unit);
    if (cycle.empty()) return std::nullopt;
    // None of them is more to blame than the others. Each turn of the loop leaves out one unit more at least.
    const std::size_t known = circular_.size();
    circular_.insert(cycle.begin(), cycle.end());
    cycles_.push_back(std::move(cycle));
    undo(mark);
    if (circular_.size() == known) return JobResult::Refused;
  }
}

/// False: it contradicts what is planned.
bool Transaction::plan(UnitId id, JobType type) {
  const auto planned = jobs_.find(id);
  if (planned == jobs_.end()) {
    log_.push_back({id, std::nullopt});
    jobs_.emplace(id, type);
    return true;
  }
  const JobMerge merge = merge_jobs(planned->second, type);
  if (merge.cancels) return false;
  if (merge.type == planned->second) return true;
  log_.push_back({id, planned->second});
  planned->second = merge.type;
  return true;
}

void Transaction::undo(std::size_t mark) {
  for (; log_.size() > mark; log_.pop_back()) {
    const Change& change = log_.back();
    if (change.before) jobs_[change.unit] = *change.before;
    else jobs_.erase(change.unit);
  }
}

bool Transaction::start(UnitId id, Pull pull) {
  const Unit* const unit = find(id);
  if (unit == nullptr || unit->settings.cannot_start) {
    problem_ = JobResult::Dependency;
    return false;
  }
  if (circular_.contains(id)) {
    problem_ = pull == Pull::Asked ? JobResult::Refused : JobResult::Dependency;
    return false;
  }
  // What is to be reloaded is up, and what it needs is too.
  if (const auto planned = jobs_.find(id); planned != jobs_.end()) return planned->second != JobType::Stop;
  if (pull != Pull::Asked) {
    const UnitRecord& r = unit->record;
    if (is_being_stopped(r) ? pull == Pull::Wanted : is_up(r.state)) return true;
    if (cause_ == Cause::Automatic && stays_down(r)) {
      problem_ = JobResult::Dependency;
      return false;
    }
  }
  return plan(id, JobType::Start) && start_what_it_needs(*unit);
}

bool Transaction::start_what_it_needs(const Unit& unit) {
  const ServiceSettings& s = unit.settings;
  const auto must_start = [this](UnitId other) { return start(other, Pull::Required); };
  if (!std::all_of(s.requires_.begin(), s.requires_.end(), must_start)) return false;
  if (!std::all_of(s.binds_to.begin(), s.binds_to.end(), must_start)) return false;
  for (const UnitId other : s.requisite) {
    const Unit* const known = find(other);
    if (known != nullptr && !is_being_stopped(known->record) && (is_up(known->record.state) || is_planned_up(other)))
      continue;
    problem_ = JobResult::Dependency;
    return false;
  }
  const auto must_stop = [this](UnitId other) { return stop(other); };
  if (!std::all_of(s.conflicts.begin(), s.conflicts.end(), must_stop)) return false;
  const std::vector<UnitId>& conflicted = relations_.of(unit.record.unit).conflicted_by;
  if (!std::all_of(conflicted.begin(), conflicted.end(), must_stop)) return false;
  for (const std::vector<UnitId>* const list : {&s.wants, &s.upholds}) {
    for (const UnitId other : *list) {
      const std::size_t mark = log_.size();
      if (!start(other, Pull::Wanted)) undo(mark);
    }
  }
  problem_ = JobResult::Refused;
  return true;
}

bool Transaction::stop(UnitId id) {
  const Unit* const unit = find(id);
  if (unit == nullptr) return true;
  if (const auto planned = jobs_.find(id); planned != jobs_.end() && planned->second == JobType::Stop) return true;
  const bool is_at_rest = is_inactive(unit->record.state) && unit->record.job == no_job;
  if (is_at_rest && !jobs_.contains(id)) return true;
  if (!plan(id, JobType::Stop)) return false;
  const RelatedUnits& related = relations_.of(id);
  for (const std::vector<UnitId>* const list :
       {&related.required_by, &related.bound_by, &related.consists_of, &related.requisite_of}) {
    for (const UnitId other : *list)
      if (!stop(other)) return false;
  }
  return true;
}

bool Transaction::restart(UnitId id) {
  const Unit* const unit = find(id);
  if (unit == nullptr) return true;
  if (const auto planned = jobs_.find(id); planned != jobs_.end() && planned->second == JobType::Restart) return true;
  if (circular_.contains(id)) return false;
  if (unit->settings.cannot_start) {
    problem_ = JobResult::Dependency;
    return false;
  }
  if (!plan(id, JobType::Restart) || !start_what_it_needs(*unit)) return false;
  const RelatedUnits& related = relations_.of(id);
  for (const std::vector<UnitId>* const list :
       {&related.required_by, &related.bound_by, &related.consists_of, &related.requisite_of}) {
    for (const UnitId other : *list) {
      const Unit* const dependent = find(other);
      if (dependent == nullptr || is_inactive(dependent->record.state)) continue;
      // Its pause is not made shorter by one that is restarted because of it.
      if (cause_ == Cause::Automatic && dependent->record.state == ServiceState::AutoRestart) continue;
      if (!restart(other)) return false;
    }
  }
  return true;
}

}  // namespace perdure::core
