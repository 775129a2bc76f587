// Routes, answers, metrics and health: everything but the sockets.
#include "site.hpp"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using testing::Gt;

TEST(Routes, AKnownPathIsAnsweredAndNothingLikeIt) {
  Routes routes;
  routes.get("/status", [] { return text_answer("OK"); });
  EXPECT_EQ(routes.answer("GET", "/status").body, "OK");
  EXPECT_EQ(routes.answer("HEAD", "/status").status, 200);
  for (const char* path : {"", "/", "/statu", "/status/", "//status", "/STATUS", "/../status"})
    EXPECT_EQ(routes.answer("GET", path).status, 404) << path;
}

TEST(Routes, AnotherMethodIsToldWhichAreAllowed) {
  Routes routes;
  routes.get("/status", [] { return text_answer("OK"); });
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""}) {
    EXPECT_EQ(routes.answer(method, "/status").status, 405) << method;
    EXPECT_EQ(routes.answer(method, "/status").allow, "GET, HEAD") << method;
    EXPECT_EQ(routes.answer(method, "/other").status, 404) << method;
  }
}

TEST(Responses, AnErrorSaysItsStatusInPlainText) {
  const Answer answer = error_answer(404);
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.content_type, "text/plain");
  EXPECT_EQ(answer.body, "error 404\n");
}

TEST(Metrics, CountsAndMeasures) {
  const Metrics::Clock::time_point start{100s};
  Metrics metrics{start};
  metrics.request_served();
  metrics.request_served();
  EXPECT_EQ(Json::parse(metrics.to_json(start + 1500ms, 4096)),
            (Json{{"uptime", 1.5}, {"requests_served", 2}, {"memory_usage", 4096}}));
}

struct HealthMonitorTest : testing::Test {
  HealthMonitor::Clock::time_point now{1000s};
  HealthMonitor health{[this] { return now; }};
};

TEST_F(HealthMonitorTest, TheStartCountsAsActivityButAsNoItem) {
  const HealthStatus status = health.status(60s);
  EXPECT_TRUE(status.healthy);
  EXPECT_EQ(status.status, "OK");
  EXPECT_EQ(status.last_activity, now);
  EXPECT_EQ(status.processed_items, 0u);
}

TEST_F(HealthMonitorTest, IsStaleAfterSixtySecondsWithoutActivityAndOkAfterTheNext) {
  now += 1s;
  health.record_activity();
  now += 60s - 1ns;
  EXPECT_TRUE(health.status(60s).healthy);
  now += 1ns;
  EXPECT_FALSE(health.status(60s).healthy);
  EXPECT_EQ(health.status(60s).status, "STALE");
  EXPECT_EQ(health.status(60s).last_activity, now - 60s);
  health.record_activity();
  EXPECT_EQ(health.status(60s).status, "OK");
  EXPECT_EQ(health.status(60s).processed_items, 2u);
}

struct SiteTest : testing::Test {
  HealthMonitor::Clock::time_point now{1000s};
  std::chrono::milliseconds stale_after{60s};
  Site site{[this] { return stale_after; }, [this] { return now; }};
  Json get(const std::string& path) { return Json::parse(site.respond("GET", path).body); }
};

TEST_F(SiteTest, StatusIsOkInPlainText) {
  const Answer answer = site.respond("GET", "/status");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.content_type, "text/plain");
  EXPECT_EQ(answer.body, "OK");
}

TEST_F(SiteTest, MetricsCountEveryRequestAnsweredBefore) {
  EXPECT_EQ(get("/metrics")["requests_served"], 0);
  site.respond("GET", "/status");
  site.respond("GET", "/nowhere");
  site.refuse(400);
  now += 2s;
  const Json metrics = get("/metrics");
  EXPECT_EQ(metrics["requests_served"], 4);
  EXPECT_EQ(metrics["uptime"], 2.0);
  EXPECT_THAT(metrics["memory_usage"].get<std::uint64_t>(), Gt(100'000u));
  EXPECT_EQ(site.respond("GET", "/metrics").content_type, "application/json");
}

TEST_F(SiteTest, HealthIsStaleWithoutRequestsAndProbesDoNotCount) {
  site.respond("GET", "/status");
  now += 60s;
  for (int probe = 0; probe < 3; ++probe) {
    get("/metrics");
    site.respond("GET", "/nowhere");
    site.refuse(400);
    const Answer answer = site.respond("GET", "/health");
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(Json::parse(answer.body), (Json{{"status", "STALE"}, {"processed_items", 1}}));
  }
  site.respond("GET", "/status");
  EXPECT_EQ(site.respond("GET", "/health").status, 200);
  EXPECT_EQ(get("/health"), (Json{{"status", "OK"}, {"processed_items", 2}}));
}

TEST_F(SiteTest, AReloadChangesWhatIsStale) {
  now += 60s;
  EXPECT_EQ(site.respond("GET", "/health").status, 503);
  stale_after = 61s;
  EXPECT_EQ(site.respond("GET", "/health").status, 200);
}

}  // namespace
