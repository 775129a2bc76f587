// Site: everything this server answers: /status, /metrics, /health. All of it can be tried without a socket.
// Requests that are answered count as activity, but for the monitoring's own: a probe of /health keeps nothing healthy.
// Thread safety: respond() and refuse() from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "health_monitor.hpp"
#include "metrics.hpp"
#include "perdure/resources.hpp"
#include "routes.hpp"

class Site {
 public:
  /// Is asked at each probe, so that a reload changes it.
  using StaleAfter = std::function<std::chrono::milliseconds()>;
  explicit Site(StaleAfter stale_after, HealthMonitor::Now now = HealthMonitor::Clock::now)
      : stale_after_(std::move(stale_after)), health_(std::move(now)), metrics_(health_.now()) {
    routes_.get("/status", [] { return text_answer("OK"); });
    routes_.get("/metrics",
                [this] { return json_answer(200, metrics_.to_json(health_.now(), perdure::rss().value_or(0))); });
    routes_.get("/health", [this] { return health(); });
  }

  /// The answer to a request, which is counted from here on.
  Answer respond(std::string_view method, std::string_view path) {
    Answer answer = routes_.answer(method, path);
    metrics_.request_served();
    if (answer.status < 400 && path != "/health" && path != "/metrics") health_.record_activity();
    return answer;
  }
  /// The answer to what could not be routed: 400, 413, …
  Answer refuse(int status) {
    metrics_.request_served();
    return error_answer(status);
  }

 private:
  [[nodiscard]] Answer health() const {
    const HealthStatus health = health_.status(stale_after_());
    const nlohmann::json json{{"status", health.status}, {"processed_items", health.processed_items}};
    return json_answer(health.healthy ? 200 : 503, json.dump());
  }

  const StaleAfter stale_after_;
  HealthMonitor health_;
  Metrics metrics_;
  Routes routes_;
};
