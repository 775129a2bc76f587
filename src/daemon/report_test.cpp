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
          .stuck = false,
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
  const Reply reply = metrics_reply(condition());
  EXPECT_THAT(reply.message, HasSubstr("# TYPE perdure_reloads_total counter\nperdure_reloads_total 2\n"));
  EXPECT_THAT(reply.message, HasSubstr("process_resident_memory_bytes 5242880\n"));
}

TEST(Report, SpansHaveTwoUnitsAtMost) {
  EXPECT_EQ(span_text(std::chrono::seconds{0}), "0 s");
  EXPECT_EQ(span_text(std::chrono::seconds{3'723}), "1 h 2 min");
  EXPECT_EQ(span_text(std::chrono::hours{49}), "2 d 1 h");
}

}  // namespace
}  // namespace perdure::daemon
