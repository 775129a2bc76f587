// A service class that owns its guard: one instance at a time, a configuration that must be there, foreground or detached.
//
//     service_manager [--foreground] [--config PATH] [--pid-file PATH]
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include "daemon.hpp"

namespace {

class ServiceManager {
 public:
  explicit ServiceManager(std::string config_path) : config_path_(std::move(config_path)) {}

  void use_pid_file(const std::string& path) { daemon_.setPidFilePath(path); }

  int start(int argc, char** argv, bool detached) {
    return daemon_.startDaemon(
        argc, argv, [this](int, char**) { return serve(); }, detached);
  }

 private:
  int serve() {
    if (atom::async::checkPidFile()) return fail("Service already running");
    atom::async::writePidFile();
    if (!std::ifstream{config_path_}.good()) return fail("Failed to load configuration");
    if (!atom::async::registerSignalHandlers()) return fail("Failed to install the signal handlers");
    std::cout << "serving, " << daemon_.toString() << std::endl;
    while (!atom::async::stopRequested()) std::this_thread::sleep_for(std::chrono::milliseconds{50});
    return 0;
  }

  static int fail(const char* why) {
    std::cerr << why << '\n';
    syslog(LOG_ERR, "%s", why);  // detached, nobody reads stderr
    return 1;
  }

  atom::async::DaemonGuard daemon_;
  std::string config_path_;
};

int usage() {
  std::cerr << "usage: service_manager [--foreground] [--config PATH] [--pid-file PATH]\n";
  return 64;
}

}  // namespace

int main(int argc, char** argv) {
  bool detached = true;
  std::string config = "/etc/service_manager.conf", pid_file;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--foreground") {
      detached = false;
    } else if (i + 1 == argc) {
      return usage();
    } else if (word == "--config") {
      config = argv[++i];
    } else if (word == "--pid-file") {
      pid_file = argv[++i];
    } else {
      return usage();
    }
  }
  if (detached && config.front() != '/') {  // the daemon's directory is /, where a relative path would mean another file
    std::cerr << "service_manager: --config must be an absolute path unless --foreground is given\n";
    return 64;
  }
  ServiceManager manager{config};
  if (!pid_file.empty()) manager.use_pid_file(pid_file);
  return manager.start(argc, argv, detached);
}
