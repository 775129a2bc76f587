#include "supervisor/verbs.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "supervisor/json_text.hpp"
#include "supervisor/properties.hpp"

namespace perdure::supervisor {
namespace {

using core::JobId;
using core::JobResult;
using core::JobType;

/// Bytes of `data` in one answer; what the control server refuses to send (1 MiB) is never built.
constexpr std::size_t data_max = 960 * 1024;
/// Room for one more unit, with all its properties, below that.
constexpr std::size_t unit_bytes_max = 64 * 1024;
/// Bytes of a denied request that are read for its line; of a longer one, only the verb is told.
constexpr std::size_t denied_bytes_max = 8 * 1024;

std::string_view word(JobType type) noexcept {
  switch (type) {
    case JobType::Start: return "start";
    case JobType::Stop: return "stop";
    case JobType::Restart: return "restart";
    case JobType::Reload: return "reload";
    case JobType::TryRestart: return "try-restart";
  }
  return "start";
}

std::string_view code_of(Refusal::Code code) noexcept {
  switch (code) {
    case Refusal::Code::NoSuchUnit: return "no-such-unit";
    case Refusal::Code::BadUnit: return "bad-unit";
    case Refusal::Code::ShuttingDown: return "shutting-down";
    case Refusal::Code::NotApplicable: return "not-applicable";
    case Refusal::Code::Busy: return "busy";
  }
  return "busy";
}

/// What is said where the instance leaves the words to us.
std::string default_message(Refusal::Code code, JobType type, std::string_view unit) {
  const auto refused_because = [&](std::string_view why) {
    return fmt::format("cannot {} {}: {}; nothing was changed", word(type), unit, why);
  };
  switch (code) {
    case Refusal::Code::NoSuchUnit:
      return refused_because(fmt::format("Unit {} not found", unit)) + "; see \"perdure list-units --all\"";
    case Refusal::Code::BadUnit:
      return refused_because("its file cannot be used") + fmt::format("; see \"perdure status {}\"", unit);
    case Refusal::Code::ShuttingDown: return refused_because("the instance is stopping");
    case Refusal::Code::NotApplicable: return refused_because("its file does not say how");
    case Refusal::Code::Busy: break;
  }
  return refused_because("too much is under way") + "; try again later";
}

std::string not_found(std::string_view unit) { return fmt::format("Unit {} could not be found.", unit); }

void put_error(JsonText& json, std::string_view code, std::string_view unit, std::string_view message) {
  json.key("error").begin_object();
  json.key("code").string(code);
  if (!unit.empty()) json.key("unit").string(unit);
  json.key("message").string(message);
  json.end_object();
}

Reply refused(const Fault& fault) {
  JsonText json;
  json.begin_object();
  put_error(json, fault.code(), fault.unit(), fault.message());
  json.end_object();
  return {false, fault.message(), std::move(json).text(), true};
}

std::string_view word(JobResult result) noexcept {
  switch (result) {
    case JobResult::Done: return "done";
    case JobResult::Failed: return "failed";
    case JobResult::Canceled: return "canceled";
    case JobResult::Timeout: return "timeout";
    case JobResult::Refused: return "refused";
    case JobResult::Dependency: return "dependency";
    case JobResult::Skipped: return "skipped";
  }
  return "failed";
}

/// What is said of a unit that nobody knows.
UnitStatus absent(std::string_view name) {
  return {.name = name, .load_state = "not-found", .active_state = "inactive", .sub_state = "dead", .result = "success"};
}

Fault too_long() {
  return {"too-long", fmt::format("the answer would be longer than {} bytes; name fewer units at a time", data_max)};
}

/// {"units":[…]} with the properties of each; `text` has a word or two per unit.
Reply describe_units(const InstanceView& instance, const std::vector<std::string>& units,
                     std::span<const std::string_view> wanted, bool needs_all) {
  JsonText json;
  std::string text;
  const std::string* missing = nullptr;
  const bool has_remarks = wanted.empty() || std::find(wanted.begin(), wanted.end(), "Remarks") != wanted.end();
  const auto detail = has_remarks ? InstanceView::Detail::WithProcess : InstanceView::Detail::Known;
  json.begin_object().key("units").begin_array();
  for (const std::string& name : units) {
    const auto known = instance.unit(name, detail);
    if (!known && missing == nullptr) missing = &name;
    const UnitStatus unit = known ? *known : absent(name);
    put_unit(json, unit, wanted);
    if (!text.empty()) text += '\n';
    text += unit.active_state;
    if (json.size() > data_max - unit_bytes_max) return refused(too_long());
  }
  json.end_array();
  const bool is_complete = missing == nullptr || !needs_all;
  if (!is_complete) put_error(json, "no-such-unit", *missing, text = not_found(*missing));
  json.end_object();
  return {is_complete, std::move(text), std::move(json).text(), true};
}

Reply describe_instance(const InstanceView& instance, std::span<const std::string_view> wanted) {
  const InstanceFacts facts = instance.facts();
  JsonText json;
  json.begin_object().key("instance");
  put_instance(json, facts, wanted);
  json.end_object();
  return {true, std::string{system_state(facts)}, std::move(json).text(), true};
}

Reply list_units(const InstanceView& instance, const std::string& after) {
  static constexpr std::array<std::string_view, 7> wanted{"Id",       "Description", "LoadState", "ActiveState",
                                                          "SubState", "MainPID",     "JobType"};
  JsonText json;
  std::size_t count = 0;
  std::string last;
  bool is_cut = false;
  json.begin_object().key("units").begin_array();
  instance.visit_units(after, [&](const UnitStatus& unit) {
    is_cut = count == page_max || json.size() > data_max - unit_bytes_max;
    if (is_cut) return false;
    put_unit(json, unit, wanted);
    last = unit.name;
    ++count;
    return true;
  });
  json.end_array();
  if (is_cut) json.key("next").string(last);
  json.end_object();
  return {true, fmt::format("{} units", count), std::move(json).text(), true};
}

Reply send_signal(InstanceView& instance, const InstanceRequest& question) {
  for (const std::string& unit : question.units) {
    if (!instance.unit(unit, InstanceView::Detail::Known))
      return refused({"no-such-unit", not_found(unit) + " Nothing was signalled.", unit});
  }
  for (const std::string& unit : question.units) {
    auto done = instance.send_signal(unit, question.signal, question.whom);
    if (auto* const refusal = std::get_if<Refusal>(&done))
      return refused({code_of(refusal->code), std::move(refusal->message), unit});
  }
  return Reply::text("");
}

Reply cat(const InstanceView& instance, const std::vector<std::string>& units) {
  JsonText json;
  const std::string* missing = nullptr;
  json.begin_object().key("files").begin_array();
  for (const std::string& unit : units) {
    const std::vector<UnitText> texts = instance.texts(unit);
    if (texts.empty() && missing == nullptr) missing = &unit;
    for (const UnitText& text : texts) {
      if (json.size() + text.text.size() * 2 > data_max - unit_bytes_max) return refused(too_long());
      json.begin_object().key("path").string(text.path).key("text").string(text.text).end_object();
    }
  }
  json.end_array();
  if (missing != nullptr) put_error(json, "no-such-unit", *missing, "No files found for " + *missing + ".");
  json.end_object();
  return {missing == nullptr, missing == nullptr ? "" : "No files found for " + *missing + ".", std::move(json).text(),
          true};
}

/// Below the first level, only what targets want is shown, unless all is wanted. A unit that is its own ancestor has no children.
class DependencyTree {
 public:
  DependencyTree(const InstanceView& instance, const InstanceRequest& question, JsonText& json)
      : instance_(instance), question_(question), json_(json) {}

  /// False: it is too much for one answer.
  bool put(std::string_view unit, std::size_t depth) {
    const auto known = instance_.unit(unit, InstanceView::Detail::Known);
    json_.begin_object().key("unit").string(unit);
    json_.key("state").string(known ? known->active_state : "inactive");
    json_.key("children").begin_array();
    constexpr std::size_t depth_max = 6;  // a reader of JSON may take eight levels
    const bool is_open = depth == 0 || question_.wants_all || unit.ends_with(".target");
    const bool is_inside = std::find(path_.begin(), path_.end(), unit) != path_.end();
    bool fits = json_.size() < data_max - unit_bytes_max;
    if (is_open && !is_inside && depth < depth_max) {
      path_.emplace_back(unit);
      for (const std::string_view child : instance_.dependencies(unit, question_.is_reverse))
        fits = fits && put(child, depth + 1);
      path_.pop_back();
    }
    json_.end_array().end_object();
    return fits;
  }

 private:
  const InstanceView& instance_;
  const InstanceRequest& question_;
  JsonText& json_;
  std::vector<std::string> path_{};
};

Reply list_dependencies(const InstanceView& instance, const InstanceRequest& question) {
  std::vector<std::string> units = question.units;
  if (units.empty()) {
    instance.visit_units("", [&units](const UnitStatus& unit) {
      if (unit.name.ends_with(".target") && unit.active_state == "active") units.emplace_back(unit.name);
      return true;
    });
  }
  JsonText json;
  json.begin_object().key("units").begin_array();
  for (const std::string& unit : units) {
    if (!instance.unit(unit, InstanceView::Detail::Known)) return refused({"no-such-unit", not_found(unit), unit});
    if (!DependencyTree{instance, question, json}.put(unit, 0)) return refused(too_long());
  }
  json.end_array().end_object();
  return {true, "", std::move(json).text(), true};
}

Reply list_jobs(const InstanceView& instance) {
  JsonText json;
  std::size_t count = 0;
  json.begin_object().key("jobs").begin_array();
  instance.visit_units("", [&](const UnitStatus& unit) {
    if (unit.job == core::no_job) return true;
    const bool is_running =
        unit.active_state == "activating" || unit.active_state == "deactivating" || unit.active_state == "reloading";
    json.begin_object();
    json.key("id").number(unit.job == core::unasked_job ? 0 : unit.job);
    json.key("unit").string(unit.name).key("type").string(word(unit.job_type));
    json.key("state").string(is_running ? "running" : "waiting").end_object();
    return ++count < page_max;
  });
  json.end_array().end_object();
  return {true, fmt::format("{} jobs", count), std::move(json).text(), true};
}

Reply cancel(InstanceView& instance, const std::vector<JobId>& jobs) {
  for (const JobId job : jobs) {
    if (!instance.cancel(job)) return refused({"no-such-job", fmt::format("Job {} does not exist.", job)});
  }
  return Reply::text("");
}

Reply is_system_running(const InstanceView& instance) {
  const std::string_view state = system_state(instance.facts());
  JsonText json;
  json.begin_object().key("state").string(state).end_object();
  return {true, std::string{state}, std::move(json).text(), true};
}

Reply show_environment(const InstanceView& instance) {
  JsonText json;
  json.begin_object().key("environment").begin_array();
  for (const std::string& assignment : instance.environment()) json.string(assignment);
  json.end_array().end_object();
  return {true, "", std::move(json).text(), true};
}

Reply verify(const InstanceView& instance, const std::vector<std::string>& units) {
  static constexpr std::array<std::string_view, 3> severities{"error", "warning", "remark"};
  JsonText json;
  json.begin_object().key("findings").begin_array();
  for (const std::string& unit : units) {
    for (const Finding& finding : instance.verify(unit)) {
      json.begin_object().key("path").string(finding.path).key("line").number(static_cast<std::uint64_t>(finding.line));
      json.key("severity").string(severities.at(static_cast<std::size_t>(finding.severity)));
      json.key("message").string(finding.message).end_object();
      if (json.size() > data_max - unit_bytes_max) return refused(too_long());
    }
  }
  json.end_array().end_object();
  return {true, "", std::move(json).text(), true};
}

Reply reset_failed(InstanceView& instance, std::vector<std::string> units) {
  if (units.empty()) {
    instance.visit_units("", [&](const UnitStatus& unit) {
      if (unit.active_state == "failed") units.emplace_back(unit.name);
      return true;
    });
  }
  for (const std::string& unit : units) {
    if (!instance.unit(unit, InstanceView::Detail::Known))
      return refused({"no-such-unit", not_found(unit) + " Nothing was changed.", unit});
  }
  for (const std::string& unit : units) {
    if (auto refusal = instance.reset_failed(unit)) {
      return refused({code_of(refusal->code), std::move(refusal->message), unit});
    }
  }
  return Reply::text("");
}

/// The first of the units that a denied request names, and how many there are; only these words are made of it.
std::pair<std::string, std::size_t> named_units(const Request& request) {
  if (request.json.size() + request.text.size() > denied_bytes_max) return {};
  if (request.json.empty()) {
    const auto words = base::words(request.text);
    return words.empty() ? std::pair{std::string{}, std::size_t{0}} : std::pair{std::string{words.front()}, words.size()};
  }
  const auto tree = nlohmann::json::parse(request.json, nullptr, false);
  const auto units = tree.find("units");
  if (units == tree.end() || !units->is_array() || units->empty() || !units->front().is_string()) return {};
  return {units->front().get<std::string>(), units->size()};
}

/// Whether the verb takes units, and one may have this name: nothing else is repeated in a log.
bool is_about(const std::string& verb, const std::string& unit) {
  const auto question = InstanceRequest::parse({.verb = verb, .text = unit});
  return question && question->units.size() == 1 && question->units.front() == unit;
}

}  // namespace

void Verbs::handle(const Request& request, base::Instant now, Answers& answers) {
  const auto question = InstanceRequest::parse(request);
  if (!question) {
    answers.push_back({request.id, refused(question.error())});
    return;
  }
  static constexpr std::array<std::string_view, 3> state_only{"Id", "LoadState", "ActiveState"};
  const std::vector<std::string_view> wanted{question->properties.begin(), question->properties.end()};
  const auto reply = [&](Reply what) { answers.push_back({question->id, std::move(what)}); };
  switch (question->verb) {
    case Verb::Ping: return reply(Reply::text("pong"));
    case Verb::Instance: return reply(describe_instance(instance_, wanted));
    case Verb::IsActive:
    case Verb::IsFailed: return reply(describe_units(instance_, question->units, state_only, false));
    case Verb::Status:
    case Verb::Show:
      return reply(question->units.empty()
                       ? describe_instance(instance_, wanted)
                       : describe_units(instance_, question->units, wanted, question->verb == Verb::Status));
    case Verb::ListUnits: return reply(list_units(instance_, question->after));
    case Verb::ResetFailed: return reply(reset_failed(instance_, question->units));
    case Verb::Start: return change(JobType::Start, *question, now, answers);
    case Verb::Stop: return change(JobType::Stop, *question, now, answers);
    case Verb::Restart: return change(JobType::Restart, *question, now, answers);
    case Verb::Reload: return change(JobType::Reload, *question, now, answers);
    case Verb::TryRestart: return change(JobType::TryRestart, *question, now, answers);
    case Verb::ReloadOrRestart: return change(std::nullopt, *question, now, answers);
    case Verb::Kill: return reply(send_signal(instance_, *question));
    case Verb::Cat: return reply(cat(instance_, question->units));
    case Verb::ListDependencies: return reply(list_dependencies(instance_, *question));
    case Verb::ListJobs: return reply(list_jobs(instance_));
    case Verb::Cancel: return reply(cancel(instance_, question->jobs));
    case Verb::IsSystemRunning: return reply(is_system_running(instance_));
    case Verb::ShowEnvironment: return reply(show_environment(instance_));
    case Verb::Verify: return reply(verify(instance_, question->units));
    case Verb::DaemonReload: instance_.reload_files(); return reply(Reply::text(""));
    case Verb::Exit:
      reply(Reply::text("stopping"));
      return question->code ? instance_.exit_with(*question->code) : instance_.shut_down();
    case Verb::Wait: return wait(*question, now, answers);
    case Verb::Shutdown: reply(Reply::text("stopping")); return instance_.shut_down();
  }
}

void Verbs::refuse(const Request& request, const Fault& why, Answers& answers) {
  answers.push_back({request.id, refused(why)});
}

std::string Verbs::deny(const Request& request, Answers& answers) {
  std::string words = request.verb;  // letters, digits and hyphens
  std::string unit;
  auto [first, count] = named_units(request);
  if (is_about(request.verb, first)) {
    unit = std::move(first);
    words += ' ' + unit;
    if (count > 1) words += fmt::format(" and {} more", count - 1);
  }
  const std::string message = fmt::format("permission denied: uid {} may not {}", request.peer.uid, words);
  refuse(request, {"permission-denied", message, unit}, answers);
  return words;
}

/// No type: a reload where the unit is up and can be reloaded, else a restart.
void Verbs::change(std::optional<JobType> wanted, const InstanceRequest& question, base::Instant now, Answers& answers) {
  std::vector<Outcome> outcomes;
  for (const std::string& unit : question.units) {
    Outcome outcome{.unit = unit};
    JobType type = wanted.value_or(JobType::Restart);
    if (!wanted) {
      const auto known = instance_.unit(unit, InstanceView::Detail::Known);
      const bool is_up = known && (known->active_state == "active" || known->active_state == "reloading");
      if (is_up && known->can_reload) type = JobType::Reload;
    }
    auto taken = instance_.request_job(type, unit);
    if (auto* const refusal = std::get_if<Refusal>(&taken)) {
      if (refusal->message.empty()) refusal->message = default_message(refusal->code, type, unit);
      outcome.refusal = std::move(*refusal);
    } else {
      outcome.job = std::get<JobId>(taken);
    }
    outcomes.push_back(std::move(outcome));
  }
  answer_or_wait(question, std::move(outcomes), now, answers);
}

void Verbs::wait(const InstanceRequest& question, base::Instant now, Answers& answers) {
  std::vector<Outcome> outcomes;
  for (const JobId job : question.jobs) {
    Outcome outcome{.job = job, .result = remembered(job)};
    outcome.is_unknown = !outcome.result && !instance_.is_in_flight(job);
    outcomes.push_back(std::move(outcome));
  }
  answer_or_wait(question, std::move(outcomes), now, answers);
}

void Verbs::answer_or_wait(const InstanceRequest& question, std::vector<Outcome> outcomes, base::Instant now,
                           Answers& answers) {
  if (!question.waits || is_settled(outcomes) || waiting_.size() >= waiting_max) {
    answers.push_back({question.id, reply_of(outcomes)});
    return;
  }
  waiting_.push_back({question.id, now + wait_within, std::move(outcomes)});
}

template <class Predicate>
void Verbs::answer_where(Predicate is_due, Answers& answers) {
  const auto due =
      std::stable_partition(waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) { return !is_due(waiting); });
  for (auto waiting = due; waiting != waiting_.end(); ++waiting) {
    answers.push_back({waiting->request, reply_of(waiting->outcomes)});
  }
  waiting_.erase(due, waiting_.end());
}

void Verbs::job_finished(JobId job, JobResult result, Answers& answers) {
  if (finished_.insert_or_assign(job, result).second) finished_order_.push_back(job);
  if (finished_order_.size() > finished_jobs_max) {
    finished_.erase(finished_order_.front());
    finished_order_.pop_front();
  }
  for (Waiting& waiting : waiting_) {
    for (Outcome& outcome : waiting.outcomes) {
      if (outcome.job == job) outcome.result = result;
    }
  }
  answer_where([](const Waiting& waiting) { return is_settled(waiting.outcomes); }, answers);
}

void Verbs::expire(base::Instant now, Answers& answers) {
  answer_where([&](const Waiting& waiting) { return now >= waiting.deadline; }, answers);
}

std::optional<base::Instant> Verbs::next_deadline() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.front().deadline;
}

std::optional<JobResult> Verbs::remembered(JobId job) const {
  const auto found = finished_.find(job);
  if (found == finished_.end()) return std::nullopt;
  return found->second;
}

bool Verbs::is_settled(const std::vector<Outcome>& outcomes) noexcept {
  return std::all_of(outcomes.begin(), outcomes.end(),
                     [](const Outcome& o) { return o.result || o.refusal || o.is_unknown; });
}

/// {"jobs":[{"unit":…,"job":…,"result":…}…]}; the first that did not go well is also the answer's error.
Reply Verbs::reply_of(const std::vector<Outcome>& outcomes) {
  JsonText json;
  std::optional<Fault> first;
  json.begin_object().key("jobs").begin_array();
  for (const Outcome& outcome : outcomes) {
    std::optional<Fault> fault;
    if (outcome.refusal) {
      fault = Fault{code_of(outcome.refusal->code), outcome.refusal->message, outcome.unit};
    } else if (outcome.is_unknown) {
      fault = Fault{"no-such-job", fmt::format("job {} is not known; it ended long ago, or never was", outcome.job)};
    } else if (outcome.result && *outcome.result != JobResult::Done && *outcome.result != JobResult::Skipped) {
      fault = Fault{"job-failed",
                    fmt::format("the job {}{} ended as: {}", outcome.job, outcome.unit.empty() ? "" : " of " + outcome.unit,
                                word(*outcome.result)),
                    outcome.unit};
    }
    json.begin_object();
    if (!outcome.unit.empty()) json.key("unit").string(outcome.unit);
    if (outcome.job != core::no_job) json.key("job").number(outcome.job);
    if (outcome.result) json.key("result").string(word(*outcome.result));
    if (fault && !outcome.result) put_error(json, fault->code(), fault->unit(), fault->message());
    json.end_object();
    if (fault && !first) first = std::move(fault);
  }
  json.end_array();
  if (first) put_error(json, first->code(), first->unit(), first->message());
  json.end_object();
  return {!first, first ? first->message() : "", std::move(json).text(), true};
}

}  // namespace perdure::supervisor
