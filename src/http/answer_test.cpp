#include "http/answer.hpp"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/log.hpp"

namespace perdure::http {
namespace {

using testing::HasSubstr;

struct FakeDaemon final : DaemonView {
  std::string not_alive{}, not_ready{};
  mutable Log quiet{"fake"};
  [[nodiscard]] std::string why_not_alive() const override { return not_alive; }
  [[nodiscard]] std::string why_not_ready() const override { return not_ready; }
  [[nodiscard]] std::string metrics() const override { return "perdure_up 1\n"; }
  [[nodiscard]] Log& log() const noexcept override { return quiet; }
};

TEST(Answer, LivenessAndReadinessAreTwoQuestions) {
  FakeDaemon daemon;
  EXPECT_EQ(answer("GET", "/healthz", daemon, {}).status, 200U);
  EXPECT_EQ(answer("GET", "/readyz", daemon, {}).body, "ready\n");
  daemon.not_ready = "starting: worker \"db\" is starting";
  EXPECT_EQ(answer("GET", "/healthz", daemon, {}).body, "ok\n");
  const Answer starting = answer("GET", "/readyz", daemon, {});
  EXPECT_EQ(starting.status, 503U);
  EXPECT_EQ(starting.body, "starting: worker \"db\" is starting\n");
  daemon.not_ready.clear();
  daemon.not_alive = "stuck: the body has not made progress in time";
  EXPECT_EQ(answer("GET", "/healthz", daemon, {}).status, 503U);
  EXPECT_EQ(answer("GET", "/readyz", daemon, {}).status, 200U);
}

TEST(Answer, ThePathIsAllOfIt) {
  const FakeDaemon daemon;
  for (const char* path :
       {"", "/", "/healthz/", "/health", "//healthz", "/METRICS", "/metrics/..", "*", "http://x/metrics"}) {
    const Answer it = answer("GET", path, daemon, {});
    EXPECT_EQ(it.status, 404U) << path;
    EXPECT_THAT(it.body, HasSubstr("/healthz, /readyz and /metrics")) << path;
  }
  EXPECT_EQ(answer("POST", "/", daemon, {}).status, 404U);
}

TEST(Answer, OnlyGetAndHead) {
  const FakeDaemon daemon;
  for (const char* path : {"/healthz", "/readyz", "/metrics"}) {
    EXPECT_EQ(answer("HEAD", path, daemon, {}).status, 200U);
    for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "GETS", ""})
      EXPECT_EQ(answer(method, path, daemon, {}).status, 405U) << method;
  }
}

TEST(Answer, FurtherMetricsFollowTheDaemons) {
  const FakeDaemon daemon;
  const Answer it =
      answer("GET", "/metrics", daemon, {[] { return std::string{"a 1\n"}; }, [] { return std::string{"b 2\n"}; }});
  EXPECT_EQ(it.status, 200U);
  EXPECT_STREQ(it.content_type, metrics_text);
  EXPECT_EQ(it.body, "perdure_up 1\na 1\nb 2\n");
}

TEST(Answer, MetricsThatCannotBeCollectedAreNotToldByHalves) {
  const FakeDaemon daemon;
  const Answer it = answer("GET", "/metrics", daemon, {[]() -> std::string { throw std::runtime_error{"no memory"}; }});
  EXPECT_EQ(it.status, 500U);
  EXPECT_EQ(it.body, "the metrics cannot be collected: no memory\n");
}

}  // namespace
}  // namespace perdure::http
