#include <pthread.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "perdure/compat/daemon.hpp"

namespace atom::async {
namespace {

TEST(CompatSignals, AHandlerThatIsInstalledNotesEachSignalOnce) {
  ASSERT_TRUE(registerSignalHandlers());
  for (const int signal : {SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGTERM}) {
    EXPECT_FALSE(takeSignal(signal)) << signal;
    std::raise(signal);
    EXPECT_TRUE(takeSignal(signal)) << signal;
    EXPECT_FALSE(takeSignal(signal)) << signal;
  }
  EXPECT_TRUE(stopRequested()) << "taking the signal does not take back the request";
}

TEST(CompatSignals, OtherNumbersAreIgnored) {
  for (const int signal : {0, -1, SIGKILL, SIGCHLD, 4711}) {
    signalHandler(signal);
    EXPECT_FALSE(takeSignal(signal)) << signal;
  }
}

TEST(CompatSignals, AStormOfThemDisturbsNoAllocation) {
  ASSERT_TRUE(registerSignalHandlers());
  const pthread_t allocates = ::pthread_self();
  std::jthread storm{[&](const std::stop_token& stop) {
    while (!stop.stop_requested())
      for (const int signal : {SIGTERM, SIGHUP, SIGUSR1}) ::pthread_kill(allocates, signal);
  }};
  std::size_t total = 0;
  for (int round = 0; round < 2'000; ++round) {
    std::vector<std::string> many;
    for (std::size_t i = 0; i < 100; ++i) total += many.emplace_back(10 * i, 'x').size();
  }
  storm.request_stop();
  storm.join();
  EXPECT_EQ(total, 2'000U * 49'500U);
  EXPECT_TRUE(takeSignal(SIGHUP));
}

TEST(CompatSignals, TheHandlerCanBeGivenToStdSignal) {
  EXPECT_NE(std::signal(SIGUSR1, signalHandler), SIG_ERR);
  std::raise(SIGUSR1);
  EXPECT_TRUE(takeSignal(SIGUSR1));
}

}  // namespace
}  // namespace atom::async
