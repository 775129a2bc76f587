// Code written against daemon.hpp: it must compile as C++17 and must not need to know perdure or fmt.
#include "daemon.hpp"

#if __cplusplus != 201703L
#error "perdure::compat raised the language level of its user"
#endif
#ifdef FMT_VERSION
#error "perdure::compat shows fmt to its user"
#endif

int main(int argc, char** argv) {
  atom::async::DaemonGuard guard;
  return guard.startDaemon(
      argc, argv,
      [](int, char**) {
        std::cout << "the callback ran" << std::endl;
        return 0;
      },
      false);
}
