// The least daemon with the compat header, for start_bench and idle_bench; its argument is the path of the PID file.
#include <unistd.h>

#include "perdure/compat/daemon.hpp"

int main(int argc, char** argv) {
  atom::async::DaemonGuard daemon;
  if (argc > 1) daemon.setPidFilePath(argv[1]);
  return daemon.startDaemon(
      argc, argv,
      [](int, char**) {
        for (;;) (void)::pause();  // TERM ends it
        return 0;
      },
      true);
}
