#include <cstdio>

#include "supervisor/manager.hpp"

// The keeper starts this program, and starts it again when it dies.
int main(int argc, char** argv) {
  using perdure::supervisor::Manager;
  auto options = perdure::supervisor::parse_manager_arguments(argc, argv);
  if (!options) {
    std::fprintf(stderr, "%s\n", options.error().message().c_str());
    return 64;
  }
  auto manager = Manager::start(std::move(*options), perdure::UniqueFd{perdure::wire::keeper::channel_fd});
  if (!manager) {
    std::fprintf(stderr, "perdure: the manager cannot start: %s\n", manager.error().message().c_str());
    return 70;
  }
  return (*manager)->run();
}
