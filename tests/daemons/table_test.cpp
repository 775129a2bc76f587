// What daemons.cpp says of systemd is what was recorded of it.
#include <perdure/testing/process.hpp>

#include <map>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "daemons.hpp"

namespace daemons_test {
namespace {

using nlohmann::json;

TEST(DaemonTable, SaysOfSystemdWhatWasRecorded) {
  const auto text = perdure::testing::read_file(RECORD_OF_SYSTEMD);
  if (!text) GTEST_SKIP() << "the record is not here: " << RECORD_OF_SYSTEMD;
  std::map<std::string, json> records;
  for (json& record : json::parse(*text)) records[record.at("unit")] = record;

  for (const Daemon& daemon : daemons()) {
    SCOPED_TRACE(daemon.unit);
    ASSERT_TRUE(records.contains(std::string{daemon.unit}));
    const json& record = records.at(std::string{daemon.unit});
    EXPECT_EQ(record.at("SubState"), "running");
    EXPECT_EQ(record.at("Result"), "success");
    EXPECT_NE(record.at("MainPID"), "0");
    EXPECT_EQ(record.at("NRestarts"), "0");
    EXPECT_EQ(record.at("CanReload"), daemon.can_reload ? "yes" : "no");
    if (daemon.can_reload) {
      EXPECT_EQ(record.at("after_reload").at("SubState"), "running");
    }
    const json& killed = record.at("after_kill9");
    const json& stopped = record.at("after_stop");
    if (daemon.after_kill == AfterKill::Failed) {
      EXPECT_EQ(killed.at("SubState"), "failed");
      EXPECT_EQ(killed.at("Result"), daemon.result_of_kill);
      EXPECT_EQ(stopped.at("SubState"), "failed");
      EXPECT_EQ(stopped.at("Result"), daemon.result_of_kill);
    } else {
      EXPECT_NE(killed.at("ActiveState"), "failed") << "it was on its way back, or there";
      EXPECT_EQ(stopped.at("SubState"), "dead");
      EXPECT_EQ(stopped.at("Result"), "success");
    }
  }
}

}  // namespace
}  // namespace daemons_test
