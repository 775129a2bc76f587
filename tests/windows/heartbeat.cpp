// The first step of the guide that daemon.hpp follows, in our own words. HEARTBEAT: as it stands there, detached; HEARTBEAT foreground: in
// this process.
#include "daemon.hpp"

int main(int argc, char** argv) {
  atom::async::DaemonGuard daemon;
  const auto beat = [](int, char**) -> int {
    std::cout << "started at " << std::time(nullptr) << std::endl;
    for (int beats = 0; beats < 3; ++beats) {
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
      std::cout << "heartbeat " << std::time(nullptr) << std::endl;
    }
    return 7;
  };
  return daemon.startDaemon(argc, argv, beat, argc == 1);
}
