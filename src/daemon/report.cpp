#include "daemon/report.hpp"

#include <algorithm>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace perdure::daemon {

std::string span_text(std::chrono::nanoseconds span) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(span).count();
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {} min", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds % 86400 / 3600);
}

std::string one_line(std::string_view text) {
  std::string line{text};
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return line;
}

std::string in_system_call(std::string_view call) {
  return call.empty() ? std::string{} : fmt::format(" in system call {}", call);
}

bool Condition::is_ready() const noexcept {
  return state == State::Ready && std::all_of(checks.begin(), checks.end(),
                                              [](const CheckCondition& check) { return check.is_liveness || check.passed; });
}

Reply status_reply(const Condition& c) {
  const auto utc = fmt::gmtime(std::chrono::system_clock::to_time_t(c.started_at));
  std::string text =
      fmt::format("{}{}{}: {}{}, pid {}, since {:%Y-%m-%dT%H:%M:%SZ} ({})\n", c.name, c.version.empty() ? "" : " ",
                  c.version, c.state == State::Ready ? "running" : name(c.state),
                  c.unhealthy.empty() ? "" : " (" + one_line(c.unhealthy) + ")", c.pid, utc, span_text(c.uptime));
  text += fmt::format("reloads: {} done, {} refused\n", c.reloads, c.reloads_refused);
  if (!c.last_refusal.empty()) text += fmt::format("last reload refused: {}\n", one_line(c.last_refusal));
  for (const WorkerCondition& worker : c.workers) {
    text += fmt::format("worker {}: {}", worker.name, worker.state);
    if (worker.restarts > 0) text += fmt::format(", {} restart{}", worker.restarts, worker.restarts == 1 ? "" : "s");
    if (!worker.last_failure.empty()) text += fmt::format(", last failure: {}", one_line(worker.last_failure));
    text += '\n';
  }
  for (const CheckCondition& check : c.checks)
    text += fmt::format("check {}: {}\n", check.name, check.passed ? "passed" : "failed: " + one_line(check.why));
  if (c.rss) text += fmt::format("memory: {:.1f} MiB resident\n", static_cast<double>(*c.rss) / (1 << 20));
  if (c.open_fds) text += fmt::format("descriptors: {}\n", *c.open_fds);
  if (!c.rights.empty()) text += fmt::format("rights: {}\n", c.rights);
  for (const std::string& reduction : c.reductions) text += fmt::format("reduced: {}\n", reduction);
  text += fmt::format("log level: {}", level_name(c.log_level));
  if (c.lost_log_lines > 0) text += fmt::format(", {} lines lost", c.lost_log_lines);

  nlohmann::json data{
      {"name", c.name},
      {"version", c.version},
      {"state", name(c.state)},
      {"ready", c.is_ready()},
      {"healthy", c.is_healthy()},
      {"pid", c.pid},
      {"started_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc)},
      {"uptime_seconds", std::chrono::duration<double>(c.uptime).count()},
      {"reloads", c.reloads},
      {"reloads_refused", c.reloads_refused},
      {"log_level", level_name(c.log_level)},
      {"lost_log_lines", c.lost_log_lines},
  };
  if (!c.last_refusal.empty()) data["last_refusal"] = c.last_refusal;
  if (!c.rights.empty()) data["rights"] = {{"summary", c.rights}, {"reductions", c.reductions}};
  if (c.rss) data["rss_bytes"] = *c.rss;
  if (c.open_fds) data["open_fds"] = *c.open_fds;
  if (!c.workers.empty()) {
    nlohmann::json& workers = data["workers"] = nlohmann::json::array();
    for (const WorkerCondition& worker : c.workers)
      workers.push_back({{"name", worker.name},
                         {"state", worker.state},
                         {"restarts", worker.restarts},
                         {"last_failure", worker.last_failure}});
  }
  if (!c.checks.empty()) {
    nlohmann::json& checks = data["checks"] = nlohmann::json::array();
    for (const CheckCondition& check : c.checks)
      checks.push_back({{"name", check.name},
                        {"kind", check.is_liveness ? "liveness" : "readiness"},
                        {"passed", check.passed},
                        {"why", check.why}});
  }
  // A refusal may quote bytes of a file that are not UTF-8.
  return {
      .ok = true, .message = std::move(text), .json = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

std::string failed_readiness(const Condition& c) {
  std::string text;
  for (const CheckCondition& check : c.checks)
    if (!check.is_liveness && !check.passed)
      text += fmt::format("{}check \"{}\" fails: {}", text.empty() ? "" : ", ", check.name, one_line(check.why));
  return text;
}

bool is_metric_name(std::string_view name) noexcept {
  const auto may_begin = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto may_follow = [&](char c) { return may_begin(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && may_begin(name.front()) && std::all_of(name.begin(), name.end(), may_follow) &&
         !name.starts_with("perdure_") && !name.starts_with("process_");
}

std::string metrics_text(const Condition& c) {
  std::string text;
  const auto head = [&text](std::string_view metric_name, std::string_view type, std::string_view help) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", metric_name, help, type);
  };
  const auto metric = [&](std::string_view metric_name, std::string_view type, std::string_view help, auto value) {
    head(metric_name, type, help);
    text += fmt::format("{} {}\n", metric_name, value);
  };
  metric("perdure_up", "gauge", "Ready and not stopping.", c.is_ready() ? 1 : 0);
  metric("perdure_healthy", "gauge", "Ready and making progress.", c.is_healthy() ? 1 : 0);
  metric("perdure_uptime_seconds", "gauge", "Time since the start.", std::chrono::duration<double>(c.uptime).count());
  metric("perdure_reloads_total", "counter", "Reloads that were put in force.", c.reloads);
  metric("perdure_reloads_refused_total", "counter", "Reloads that were refused.", c.reloads_refused);
  metric("perdure_log_lines_lost_total", "counter", "Log lines that no sink could take.", c.lost_log_lines);
  metric("process_start_time_seconds", "gauge", "Start time since the epoch in seconds.",
         std::chrono::duration<double>(c.started_at.time_since_epoch()).count());
  if (c.rss) metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", *c.rss);
  if (c.open_fds) metric("process_open_fds", "gauge", "Number of open file descriptors.", *c.open_fds);
  if (!c.workers.empty()) {
    head("perdure_worker_restarts_total", "counter", "Starts of a worker after its first.");
    for (const WorkerCondition& worker : c.workers)
      text += fmt::format("perdure_worker_restarts_total{{worker=\"{}\"}} {}\n", worker.name, worker.restarts);
    head("perdure_worker_state", "gauge", "The state that a worker is in, as a label of the one line it has.");
    for (const WorkerCondition& worker : c.workers)
      text += fmt::format("perdure_worker_state{{worker=\"{}\",state=\"{}\"}} 1\n", worker.name, worker.state);
  }
  if (!c.checks.empty()) {
    head("perdure_check_passed", "gauge", "Whether a check passed when it was last asked.");
    for (const CheckCondition& check : c.checks)
      text += fmt::format("perdure_check_passed{{check=\"{}\"}} {}\n", check.name, check.passed ? 1 : 0);
  }
  for (const MetricCondition& own : c.metrics) {
    std::string help;  // the format escapes backslashes, and a help ends with its line
    for (const char at : one_line(own.help)) help += at == '\\' ? "\\\\" : std::string(1, at);
    metric(own.name, own.type, help, own.value);
  }
  return text;
}

}  // namespace perdure::daemon
