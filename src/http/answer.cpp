#include "http/answer.hpp"

#include <exception>

namespace perdure::http {
namespace {

Answer state(const std::string& why_not, const char* good) {
  if (why_not.empty()) return {200, plain_text, good};
  return {503, plain_text, why_not + "\n"};
}

Answer metrics(const DaemonView& daemon, const std::vector<Callback<std::string()>>& more) {
  std::string text = daemon.metrics();
  try {
    for (const auto& part : more) text += part();
  } catch (const std::exception& error) {
    return {500, plain_text, std::string{"the metrics cannot be collected: "} + error.what() + "\n"};
  }
  return {200, metrics_text, std::move(text)};
}

}  // namespace

Answer answer(std::string_view method, std::string_view path, const DaemonView& daemon,
              const std::vector<Callback<std::string()>>& more) {
  const bool is_health = path == "/healthz", is_ready = path == "/readyz", is_metrics = path == "/metrics";
  if (!is_health && !is_ready && !is_metrics)
    return {404, plain_text, "not found; there are /healthz, /readyz and /metrics\n"};
  if (method != "GET" && method != "HEAD") return {405, plain_text, "only GET and HEAD are answered\n"};
  if (is_health) return state(daemon.why_not_alive(), "ok\n");
  if (is_ready) return state(daemon.why_not_ready(), "ready\n");
  return metrics(daemon, more);
}

}  // namespace perdure::http
