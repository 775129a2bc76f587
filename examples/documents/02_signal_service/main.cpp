// A service that is steered by signals: TERM and INT stop it, HUP is noted, and everything it does goes to syslog.
//
//     signal_service [--foreground] [--pid-file PATH]        (in the foreground the log is on stderr as well)
//
// The handlers only set flags (signal-safety(7)); syslog(3) is called in the loop.
#include <cstdlib>
#include <iostream>
#include <string>

#include "daemon.hpp"

namespace {

using namespace atom::async;

constexpr std::chrono::seconds period{1};
constexpr std::chrono::milliseconds longest_look{50};  // a flag that is set between two looks is seen this late at most

/// Sleeps until the next round, a signal that is to be answered, or the stop.
void wait_a_round() {
  const auto end = std::chrono::steady_clock::now() + period;
  while (!stopRequested() && std::chrono::steady_clock::now() < end) {
    if (takeSignal(SIGHUP)) syslog(LOG_INFO, "asked to reload");
    std::this_thread::sleep_for(longest_look);
  }
}

int serve(bool foreground) {
  openlog("signal_service", LOG_PID | (foreground ? LOG_PERROR : 0), LOG_DAEMON);
  if (!registerSignalHandlers()) {
    syslog(LOG_ERR, "cannot install the signal handlers");
    return 1;
  }
  syslog(LOG_INFO, "started");
  while (!stopRequested()) wait_a_round();
  syslog(LOG_INFO, "asked to stop by %s", takeSignal(SIGINT) ? "SIGINT" : "SIGTERM");
  closelog();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  DaemonGuard daemon;
  bool detached = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--foreground") {
      detached = false;
    } else if (word == "--pid-file" && i + 1 < argc) {
      daemon.setPidFilePath(argv[++i]);
    } else {
      std::cerr << "usage: signal_service [--foreground] [--pid-file PATH]\n";
      return 64;
    }
  }
  return daemon.startDaemon(
      argc, argv, [detached](int, char**) { return serve(!detached); }, detached);
}
