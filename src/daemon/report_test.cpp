#include "daemon/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace perdure::daemon {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Condition condition() {
  return {.name = "thermod",
          .version = "1.2.0",
          .state = State::Ready,
          .unhealthy = {},
          .pid = 812,
          .started_at = std::chrono::system_clock::from_time_t(1'763'700'000),
          .uptime = std::chrono::seconds{125},
          .reloads = 2,
          .reloads_refused = 1,
          .last_refusal = {},
          .rss = 5 << 20,
          .open_fds = 9,
          .log_level = Level::Info,
          .lost_log_lines = 0};
}

TEST(Report, StatusIsForPeopleAndForPrograms) {
  const Reply reply = status_reply(condition());
  EXPECT_THAT(reply.message, StartsWith("thermod 1.2.0: running, pid 812, since 2025-11-21T04:40:00Z (2 min 5 s)\n"));
  EXPECT_THAT(reply.message, HasSubstr("reloads: 2 done, 1 refused"));
  const auto json = nlohmann::json::parse(reply.json);
  EXPECT_EQ(json["pid"], 812);
  EXPECT_EQ(json["ready"], true);
  EXPECT_EQ(json["open_fds"], 9);
}

TEST(Report, BytesThatAreNotTextCannotBreakTheAnswer) {
  Condition c = condition();
  c.last_refusal = "line \xff\n2";
  const Reply reply = status_reply(c);
  EXPECT_TRUE(nlohmann::json::accept(reply.json));
  EXPECT_THAT(reply.message, HasSubstr("line \xff 2\n"));
}

TEST(Report, MetricsFollowPrometheusTextFormat) {
  const std::string text = metrics_text(condition());
  EXPECT_THAT(text, HasSubstr("# TYPE perdure_reloads_total counter\nperdure_reloads_total 2\n"));
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes 5242880\n"));
  EXPECT_THAT(text, HasSubstr("perdure_uptime_seconds 125\n"));
}

TEST(Report, LargeNumbersKeepTheirLastDigit) {
  Condition c = condition();
  c.reloads = 9'007'199'254'740'993;
  EXPECT_THAT(metrics_text(c), HasSubstr("perdure_reloads_total 9007199254740993\n"));
}

TEST(Report, NumbersOfTheProgramsFollowOurs) {
  Condition c = condition();
  c.metrics = {{.name = "thermod_reads_total", .help = "Readings\nof C:\\.", .type = "counter", .value = 7},
               {.name = "thermod_degrees", .help = "Outside.", .type = "gauge", .value = -3}};
  EXPECT_THAT(metrics_text(c), testing::EndsWith("# HELP thermod_reads_total Readings of C:\\\\.\n"
                                                 "# TYPE thermod_reads_total counter\n"
                                                 "thermod_reads_total 7\n"
                                                 "# HELP thermod_degrees Outside.\n"
                                                 "# TYPE thermod_degrees gauge\n"
                                                 "thermod_degrees -3\n"));
}

TEST(Report, ANameOfAMetricCannotForgeALineOrTakeOneOfOurs) {
  for (const char* good : {"thermod_reads_total", "_x", "A9"}) EXPECT_TRUE(is_metric_name(good)) << good;
  for (const char* bad : {"", "9a", "a b", "a\nb", "a{x}", "a:b", "perdure_up", "process_open_fds"})
    EXPECT_FALSE(is_metric_name(bad)) << bad;
}

TEST(Report, OnlyReadinessChecksThatFailAreMissing) {
  Condition c = condition();
  EXPECT_EQ(failed_readiness(c), "");
  c.checks = {{.name = "sensor", .is_liveness = false, .passed = false, .why = "no\nanswer"},
              {.name = "disk", .is_liveness = true, .passed = false, .why = "full"},
              {.name = "net", .is_liveness = false, .passed = false, .why = "down"}};
  EXPECT_EQ(failed_readiness(c), "check \"sensor\" fails: no answer, check \"net\" fails: down");
}

TEST(Report, WorkersAndChecksAreToldOfByName) {
  Condition c = condition();
  c.workers = {{.name = "db", .state = "ready", .restarts = 1, .last_failure = "threw: gone\naway"},
               {.name = "poll", .state = "starting", .restarts = 0, .last_failure = {}}};
  c.checks = {{.name = "sensor", .is_liveness = false, .passed = false, .why = "no answer"},
              {.name = "disk", .is_liveness = true, .passed = true, .why = {}}};
  const Reply status = status_reply(c);
  EXPECT_THAT(status.message, HasSubstr("worker db: ready, 1 restart, last failure: threw: gone away\n"
                                        "worker poll: starting\n"
                                        "check sensor: failed: no answer\n"
                                        "check disk: passed\n"));
  const auto json = nlohmann::json::parse(status.json);
  EXPECT_EQ(json["workers"][0]["restarts"], 1);
  EXPECT_EQ(json["checks"][1]["kind"], "liveness");
  EXPECT_EQ(json["ready"], false) << "what readiness depends on is not so any more";
  EXPECT_EQ(json["healthy"], true) << "but it makes progress";
  const std::string metrics = metrics_text(c);
  EXPECT_THAT(metrics, HasSubstr("perdure_worker_restarts_total{worker=\"db\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("perdure_worker_state{worker=\"poll\",state=\"starting\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("perdure_check_passed{check=\"sensor\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("perdure_up 0\n"));
}

TEST(Report, WhatIsUnhealthySaysWhy) {
  Condition c = condition();
  c.unhealthy = "stuck: worker \"poll\" has not made progress in time";
  EXPECT_THAT(status_reply(c).message, StartsWith("thermod 1.2.0: running (stuck: worker \"poll\" has not made progress"));
  EXPECT_EQ(nlohmann::json::parse(status_reply(c).json)["healthy"], false);
}

TEST(Report, SpansHaveTwoUnitsAtMost) {
  EXPECT_EQ(span_text(std::chrono::seconds{0}), "0 s");
  EXPECT_EQ(span_text(std::chrono::seconds{3'723}), "1 h 2 min");
  EXPECT_EQ(span_text(std::chrono::hours{49}), "2 d 1 h");
}

}  // namespace
}  // namespace perdure::daemon
