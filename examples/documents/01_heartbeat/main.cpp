// The smallest daemon on the compat header: one line at the start and one for each heartbeat.
//
//     heartbeat [--foreground] [--period-ms N] [--pid-file PATH]
#include <cstdlib>
#include <iostream>
#include <string>

#include "daemon.hpp"

namespace {

struct Options {
  bool detached = true;
  std::chrono::milliseconds period{5000};
  std::string pid_file;
};

[[noreturn]] void usage() {
  std::cerr << "usage: heartbeat [--foreground] [--period-ms N] [--pid-file PATH]\n";
  std::exit(64);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--foreground") {
      options.detached = false;
    } else if (word == "--pid-file" && i + 1 < argc) {
      options.pid_file = argv[++i];
    } else if (word == "--period-ms" && i + 1 < argc) {
      options.period = std::chrono::milliseconds{std::atoi(argv[++i])};
      if (options.period < std::chrono::milliseconds{1}) usage();
    } else {
      usage();
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  atom::async::DaemonGuard daemon;
  if (!options.pid_file.empty()) daemon.setPidFilePath(options.pid_file);

  // No handler is installed, so SIGTERM ends the loop by its default action; the supervising parent takes that as a stop.
  const auto beat = [&options](int, char**) -> int {
    std::cout << "heartbeat: started at " << std::time(nullptr) << std::endl;
    for (;;) {
      std::this_thread::sleep_for(options.period);
      std::cout << "heartbeat: alive at " << std::time(nullptr) << std::endl;
    }
  };
  return daemon.startDaemon(argc, argv, beat, options.detached);
}
