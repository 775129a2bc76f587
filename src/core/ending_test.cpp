#include "core/ending.hpp"

#include <csignal>
#include <iterator>

#include <gtest/gtest.h>

namespace perdure::core {
namespace {

constexpr Exit exited(int code) { return {ExitKind::Exited, code}; }
constexpr Exit killed(int signal) { return {ExitKind::Killed, signal}; }
constexpr Exit dumped(int signal) { return {ExitKind::Dumped, signal}; }

TEST(ResultOf, CallsCleanWhatTheManualCallsClean) {
  EXPECT_EQ(result_of(exited(0), {}), ServiceResult::Success);
  for (int code = 1; code < 256; ++code) EXPECT_EQ(result_of(exited(code), {}), ServiceResult::ExitCode) << code;
  for (int signal = 1; signal <= 64; ++signal) {
    const bool is_clean = signal == SIGHUP || signal == SIGINT || signal == SIGTERM || signal == SIGPIPE;
    EXPECT_EQ(result_of(killed(signal), {}), is_clean ? ServiceResult::Success : ServiceResult::Signal) << signal;
    EXPECT_EQ(result_of(dumped(signal), {}), ServiceResult::CoreDump) << signal;
  }
}

TEST(ResultOf, TakesSuccessExitStatusIntoAccount) {
  const StatusSet set{.codes = {3, 143}, .signals = {SIGKILL}};
  EXPECT_EQ(result_of(exited(3), set), ServiceResult::Success);
  EXPECT_EQ(result_of(exited(143), set), ServiceResult::Success);
  EXPECT_EQ(result_of(exited(4), set), ServiceResult::ExitCode);
  EXPECT_EQ(result_of(killed(SIGKILL), set), ServiceResult::Success);
  EXPECT_EQ(result_of(exited(SIGKILL), set), ServiceResult::ExitCode) << "a code is no signal";
  EXPECT_EQ(result_of(killed(3), set), ServiceResult::Signal) << "a signal is no code";
}

TEST(ResultOf, AnExitThatNobodySawIsNoSuccess) { EXPECT_EQ(result_of(Exit{}, {.codes = {0}}), ServiceResult::Resources); }

TEST(WantsRestart, IsTheTableOfThePolicy) {
  constexpr ServiceResult results[] = {ServiceResult::Success, ServiceResult::Resources, ServiceResult::ExitCode,
                                       ServiceResult::Signal,  ServiceResult::CoreDump,  ServiceResult::Timeout,
                                       ServiceResult::OomKill};
  constexpr policy::ServiceEnding endings[] = {policy::ServiceEnding::Clean,         policy::ServiceEnding::Resources,
                                               policy::ServiceEnding::UncleanCode,   policy::ServiceEnding::UncleanSignal,
                                               policy::ServiceEnding::UncleanSignal, policy::ServiceEnding::Timeout,
                                               policy::ServiceEnding::Resources};
  for (int when = 0; when < 7; ++when)
    for (std::size_t i = 0; i < std::size(results); ++i) {
      const ServiceSettings settings{.restart = static_cast<RestartWhen>(when)};
      EXPECT_EQ(wants_restart(settings, results[i], std::nullopt), policy::wants_restart(settings.restart, endings[i]))
          << when << ' ' << i;
    }
}

TEST(WantsRestart, NeverFollowsAStartLimit) {
  EXPECT_FALSE(wants_restart({.restart = RestartWhen::Always}, ServiceResult::StartLimitHit, std::nullopt));
}

TEST(WantsRestart, PreventionWinsOverForceAndForceOverTheTable) {
  ServiceSettings settings{.restart = RestartWhen::Always, .restart_prevent_status = {.codes = {1}, .signals = {SIGABRT}}};
  EXPECT_FALSE(wants_restart(settings, ServiceResult::ExitCode, exited(1)));
  EXPECT_FALSE(wants_restart(settings, ServiceResult::CoreDump, dumped(SIGABRT)));
  EXPECT_TRUE(wants_restart(settings, ServiceResult::ExitCode, exited(2)));
  EXPECT_TRUE(wants_restart(settings, ServiceResult::Timeout, std::nullopt)) << "no exit, no exception";

  settings = {
      .restart = RestartWhen::No, .restart_prevent_status = {.codes = {1}}, .restart_force_status = {.codes = {0, 1}}};
  EXPECT_TRUE(wants_restart(settings, ServiceResult::Success, exited(0)));
  EXPECT_FALSE(wants_restart(settings, ServiceResult::ExitCode, exited(1)));
  EXPECT_FALSE(wants_restart(settings, ServiceResult::ExitCode, exited(2)));
}

}  // namespace
}  // namespace perdure::core
