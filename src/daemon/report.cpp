#include "daemon/report.hpp"

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

Reply status_reply(const Condition& c) {
  const auto utc = fmt::gmtime(std::chrono::system_clock::to_time_t(c.started_at));
  std::string text = fmt::format(
      "{}{}{}: {}{}, pid {}, since {:%Y-%m-%dT%H:%M:%SZ} ({})\n", c.name, c.version.empty() ? "" : " ", c.version,
      c.state == State::Ready ? "running" : name(c.state), c.stuck ? " (stuck)" : "", c.pid, utc, span_text(c.uptime));
  text += fmt::format("reloads: {} done, {} refused\n", c.reloads, c.reloads_refused);
  if (!c.last_refusal.empty()) text += fmt::format("last reload refused: {}\n", one_line(c.last_refusal));
  if (c.rss) text += fmt::format("memory: {:.1f} MiB resident\n", static_cast<double>(*c.rss) / (1 << 20));
  if (c.open_fds) text += fmt::format("descriptors: {}\n", *c.open_fds);
  text += fmt::format("log level: {}", level_name(c.log_level));
  if (c.lost_log_lines > 0) text += fmt::format(", {} lines lost", c.lost_log_lines);

  nlohmann::json data{
      {"name", c.name},
      {"version", c.version},
      {"state", name(c.state)},
      {"ready", c.state == State::Ready},
      {"healthy", c.state == State::Ready && !c.stuck},
      {"pid", c.pid},
      {"started_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc)},
      {"uptime_seconds", std::chrono::duration<double>(c.uptime).count()},
      {"reloads", c.reloads},
      {"reloads_refused", c.reloads_refused},
      {"log_level", level_name(c.log_level)},
      {"lost_log_lines", c.lost_log_lines},
  };
  if (!c.last_refusal.empty()) data["last_refusal"] = c.last_refusal;
  if (c.rss) data["rss_bytes"] = *c.rss;
  if (c.open_fds) data["open_fds"] = *c.open_fds;
  // A refusal may quote bytes of a file that are not UTF-8.
  return {
      .ok = true, .message = std::move(text), .json = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

Reply metrics_reply(const Condition& c) {
  std::string text;
  const auto metric = [&text](std::string_view metric_name, std::string_view type, std::string_view help, double value) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", metric_name, help, type, value);
  };
  metric("perdure_up", "gauge", "Ready and not stopping.", c.state == State::Ready ? 1 : 0);
  metric("perdure_healthy", "gauge", "Ready and making progress.", c.state == State::Ready && !c.stuck ? 1 : 0);
  metric("perdure_reloads_total", "counter", "Reloads that were put in force.", static_cast<double>(c.reloads));
  metric("perdure_reloads_refused_total", "counter", "Reloads that were refused.", static_cast<double>(c.reloads_refused));
  metric("perdure_log_lines_lost_total", "counter", "Log lines that no sink could take.",
         static_cast<double>(c.lost_log_lines));
  metric("process_start_time_seconds", "gauge", "Start time since the epoch in seconds.",
         std::chrono::duration<double>(c.started_at.time_since_epoch()).count());
  if (c.rss) metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", static_cast<double>(*c.rss));
  if (c.open_fds) metric("process_open_fds", "gauge", "Number of open file descriptors.", static_cast<double>(*c.open_fds));
  if (!text.empty()) text.pop_back();  // the plain answer ends with a newline of its own
  return Reply::text(std::move(text));
}

}  // namespace perdure::daemon
