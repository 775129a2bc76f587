#include "supervisor/instance_request.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "unit/unit_name.hpp"
#include "unit/values.hpp"

namespace perdure::supervisor {
namespace {

using core::JobId;
using Json = nlohmann::json;

enum Member : unsigned {
  units_member = 1,
  properties_member = 2,
  wait_member = 4,
  jobs_member = 8,
  after_member = 16,
  signal_member = 32,
  whom_member = 64,
  reverse_member = 128,
  all_member = 256,
  code_member = 512,
};

struct Row {
  std::string_view name;
  Verb verb;
  unsigned members;        ///< which it takes
  bool needs_one = false;  ///< at least one unit, or job
};

constexpr std::array<Row, 26> table{{
    {"cancel", Verb::Cancel, jobs_member, true},
    {"cat", Verb::Cat, units_member, true},
    {"daemon-reload", Verb::DaemonReload, 0},
    {"exit", Verb::Exit, code_member},
    {"instance", Verb::Instance, properties_member},
    {"is-active", Verb::IsActive, units_member, true},
    {"is-failed", Verb::IsFailed, units_member, true},
    {"is-system-running", Verb::IsSystemRunning, 0},
    {"kill", Verb::Kill, units_member | signal_member | whom_member, true},
    {"list-dependencies", Verb::ListDependencies, units_member | reverse_member | all_member},
    {"list-jobs", Verb::ListJobs, 0},
    {"list-units", Verb::ListUnits, after_member},
    {"ping", Verb::Ping, 0},
    {"reload", Verb::Reload, units_member | wait_member, true},
    {"reload-or-restart", Verb::ReloadOrRestart, units_member | wait_member, true},
    {"reset-failed", Verb::ResetFailed, units_member},
    {"restart", Verb::Restart, units_member | wait_member, true},
    {"show", Verb::Show, units_member | properties_member},
    {"show-environment", Verb::ShowEnvironment, 0},
    {"shutdown", Verb::Shutdown, 0},
    {"start", Verb::Start, units_member | wait_member, true},
    {"status", Verb::Status, units_member | properties_member},
    {"stop", Verb::Stop, units_member | wait_member, true},
    {"try-restart", Verb::TryRestart, units_member | wait_member, true},
    {"verify", Verb::Verify, units_member, true},
    {"wait", Verb::Wait, jobs_member, true},
}};

const Row* row_of(std::string_view verb) noexcept {
  const auto* const row = std::find_if(table.begin(), table.end(), [&](const Row& r) { return r.name == verb; });
  return row == table.end() ? nullptr : row;
}

Fault bad_request(std::string message) { return {"bad-request", std::move(message)}; }

std::optional<Fault> read_strings(std::string_view member, const Json& value, std::size_t most,
                                  std::vector<std::string>& out) {
  const auto wanted = [&] {
    return bad_request(fmt::format("\"{}\" must be an array of at most {} strings", member, most));
  };
  if (!value.is_array() || value.size() > most) return wanted();
  for (const Json& element : value) {
    if (!element.is_string()) return wanted();
    out.push_back(element.get_ref<const std::string&>());
  }
  return std::nullopt;
}

std::optional<Fault> read_jobs(const Json& value, std::vector<JobId>& jobs) {
  const auto wanted = [] {
    return bad_request(fmt::format("\"jobs\" must be an array of at most {} job numbers", units_max));
  };
  if (!value.is_array() || value.size() > units_max) return wanted();
  for (const Json& element : value) {
    if (!element.is_number_unsigned() || element.get<JobId>() == core::no_job) return wanted();
    jobs.push_back(element.get<JobId>());
  }
  return std::nullopt;
}

std::optional<Fault> read_signal(const Json& value, int& signal) {
  const Result<int> number =
      value.is_string() ? unit::parse_signal(value.get_ref<const std::string&>()) : Result<int>{Error{"no string"}};
  if (!number) return bad_request("\"signal\" must be the name or number of a signal: \"SIGTERM\", \"9\"");
  signal = *number;
  return std::nullopt;
}

std::optional<Fault> read_whom(const Json& value, KillWhom& whom) {
  const std::string word = value.is_string() ? value.get<std::string>() : std::string{};
  if (word == "all") whom = KillWhom::All;
  else if (word == "main") whom = KillWhom::Main;
  else if (word == "control") whom = KillWhom::Control;
  else return bad_request("\"whom\" must be \"all\", \"main\" or \"control\"");
  return std::nullopt;
}

std::optional<Fault> read_flag(std::string_view member, const Json& value, bool& flag) {
  if (!value.is_boolean()) return bad_request(fmt::format("\"{}\" must be true or false", member));
  flag = value.get<bool>();
  return std::nullopt;
}

std::string members_of(const Row& row) {
  std::vector<std::string_view> names;
  if ((row.members & units_member) != 0) names.emplace_back("units");
  if ((row.members & properties_member) != 0) names.emplace_back("properties");
  if ((row.members & jobs_member) != 0) names.emplace_back("jobs");
  if ((row.members & after_member) != 0) names.emplace_back("after");
  if ((row.members & wait_member) != 0) names.emplace_back("wait");
  if ((row.members & signal_member) != 0) names.emplace_back("signal");
  if ((row.members & whom_member) != 0) names.emplace_back("whom");
  if ((row.members & reverse_member) != 0) names.emplace_back("reverse");
  if ((row.members & all_member) != 0) names.emplace_back("all");
  if ((row.members & code_member) != 0) names.emplace_back("code");
  return names.empty() ? "nothing else" : fmt::format("{}", fmt::join(names, ", "));
}

std::optional<Fault> read_json(const Row& row, const Request& request, InstanceRequest& question) {
  // The control server has seen the whole of it: valid JSON, an object, and shallow enough for a tree.
  const Json tree = Json::parse(request.json, nullptr, false);
  for (const auto& [name, value] : tree.items()) {
    const auto takes = [&](Member member) { return (row.members & member) != 0; };
    std::optional<Fault> fault;
    if (name == "verb" || name == "protocol" || name == "text") continue;
    if (name == "units" && takes(units_member)) {
      fault = read_strings(name, value, units_max, question.units);
    } else if (name == "properties" && takes(properties_member)) {
      fault = read_strings(name, value, properties_max, question.properties);
    } else if (name == "jobs" && takes(jobs_member)) {
      fault = read_jobs(value, question.jobs);
    } else if (name == "after" && takes(after_member)) {
      if (!value.is_string()) return bad_request("\"after\" must be a string");
      question.after = value.get_ref<const std::string&>();
    } else if (name == "wait" && takes(wait_member)) {
      fault = read_flag(name, value, question.waits);
    } else if (name == "signal" && takes(signal_member)) {
      fault = read_signal(value, question.signal);
    } else if (name == "whom" && takes(whom_member)) {
      fault = read_whom(value, question.whom);
    } else if (name == "reverse" && takes(reverse_member)) {
      fault = read_flag(name, value, question.is_reverse);
    } else if (name == "all" && takes(all_member)) {
      fault = read_flag(name, value, question.wants_all);
    } else if (name == "code" && takes(code_member)) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 255)
        return bad_request("\"code\" must be a number from 0 to 255");
      question.code = value.get<int>();
    } else {
      fault = bad_request(fmt::format("{} does not take {}; it takes {}", row.name, base::quote(name), members_of(row)));
    }
    if (fault) return fault;
  }
  return std::nullopt;
}

std::optional<Fault> read_plain(const Row& row, const Request& request, InstanceRequest& question) {
  const auto words = base::words(request.text);
  if (words.size() > units_max) return bad_request(fmt::format("more than {} words", units_max));
  for (const std::string_view text : words) {
    if ((row.members & units_member) != 0) {
      question.units.emplace_back(text);
    } else if ((row.members & jobs_member) != 0) {
      const auto job = base::parse_number<JobId>(text);
      if (!job || *job == core::no_job) return bad_request(fmt::format("{} is no job number", base::quote(text)));
      question.jobs.push_back(*job);
    } else {
      return bad_request(fmt::format("{} takes no words", row.name));
    }
  }
  return std::nullopt;
}

std::optional<Fault> check(const Row& row, const InstanceRequest& question) {
  if (row.needs_one && question.units.empty() && question.jobs.empty()) {
    return bad_request(fmt::format("{} needs at least one {}", row.name, (row.members & jobs_member) != 0 ? "job" : "unit"));
  }
  for (const std::string& unit : question.units) {
    if (row.verb == Verb::Verify && unit.starts_with('/')) continue;  // a file's path
    if (const auto name = unit::UnitName::parse(unit); !name) return Fault{"bad-unit-name", name.error().message()};
  }
  return std::nullopt;
}

}  // namespace

Result<InstanceRequest, Fault> InstanceRequest::parse(const Request& request) {
  const Row* const row = row_of(request.verb);
  if (row == nullptr) return Fault{"unknown-verb", Reply::unknown().message};
  InstanceRequest question{.id = request.id, .verb = row->verb};
  if (!request.json.empty()) {
    if (auto fault = read_json(*row, request, question)) return *std::move(fault);
  }
  if (!request.text.empty()) {
    if (auto fault = read_plain(*row, request, question)) return *std::move(fault);
  }
  if (auto fault = check(*row, question)) return *std::move(fault);
  return question;
}

}  // namespace perdure::supervisor
