#include <csignal>

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

TEST(CompatSignals, TheHandlerCanBeGivenToStdSignal) {
  EXPECT_NE(std::signal(SIGUSR1, signalHandler), SIG_ERR);
  std::raise(SIGUSR1);
  EXPECT_TRUE(takeSignal(SIGUSR1));
}

}  // namespace
}  // namespace atom::async
