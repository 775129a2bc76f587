#include "app/checks.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/crew.hpp"
#include "base/text.hpp"

namespace perdure::app {

Result<void> check_checks(const std::vector<Check>& checks) {
  if (checks.size() > checks_max) return Error{fmt::format("{} checks are more than {}", checks.size(), checks_max)};
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const auto& [name, is_liveness, options] = checks[i];
    if (!is_valid_name(name))
      return Error{fmt::format("\"{}\" is no name for a check: a word of lower-case letters, digits, - and _ is wanted",
                               base::escape(name))};
    if (options.every.count() <= 0 || options.within.count() <= 0)
      return Error{fmt::format("check \"{}\" has a time that is not positive", name)};
    for (std::size_t k = 0; k < i; ++k)
      if (checks[k].name == name) return Error{fmt::format("two checks are called \"{}\"", name)};
  }
  return {};
}

Checks::Checks(std::vector<Check> checks, base::Instant now) {
  for (Check& check : checks) {
    const bool is_liveness = check.is_liveness;
    if (!is_liveness) ++unready_;
    entries_.push_back({.check = std::move(check),
                        .passes = is_liveness,
                        .why = is_liveness ? "" : "not asked yet",
                        .due = now,
                        .overdue = {}});
  }
}

std::vector<std::size_t> Checks::take_due(base::Instant now) {
  std::vector<std::size_t> due;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].due || *entries_[i].due > now) continue;
    entries_[i].due.reset();
    due.push_back(i);
  }
  return due;
}

void Checks::begun(std::size_t check, base::Instant now) {
  Entry& entry = entries_.at(check);
  entry.overdue = now + entry.check.options.within;
}

std::optional<Checks::Change> Checks::answered(std::size_t check, base::Instant now, const Health& health) {
  Entry& entry = entries_.at(check);
  entry.overdue.reset();
  auto change = note(check, health.is_good, health.is_good ? "" : health.why.empty() ? "it says no more" : health.why);
  const base::Duration every = entry.check.options.every;
  const bool is_awaited = !entry.check.is_liveness && !are_ready();
  entry.due = now + (is_awaited ? std::min(every, unready_interval) : every);
  return change;
}

std::vector<Checks::Change> Checks::take_overdue(base::Instant now) {
  std::vector<Change> changes;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (!entry.overdue || *entry.overdue > now) continue;
    entry.overdue.reset();
    if (auto change = note(i, false, fmt::format("no answer within {} ms", entry.check.options.within.count())))
      changes.push_back(*std::move(change));
  }
  return changes;
}

std::optional<Checks::Change> Checks::note(std::size_t check, bool passes, std::string why) {
  Entry& entry = entries_.at(check);
  if (passes && !std::exchange(entry.has_passed, true) && !entry.check.is_liveness) --unready_;
  const bool is_new = entry.passes != passes || !std::exchange(entry.was_told, true);
  entry.passes = passes;
  entry.why = std::move(why);
  if (!is_new) return std::nullopt;
  return Change{check, passes, entry.why};
}

bool Checks::is_missing(std::size_t check) const {
  const Entry& entry = entries_.at(check);
  return !entry.check.is_liveness && !entry.has_passed;
}

std::optional<base::Instant> Checks::next_deadline() const {
  std::optional<base::Instant> next;
  for (const Entry& entry : entries_)
    for (const auto& at : {entry.due, entry.overdue})
      if (at && (!next || *at < *next)) next = at;
  return next;
}

}  // namespace perdure::app
