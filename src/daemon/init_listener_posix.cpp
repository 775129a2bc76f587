#include "daemon/init_listener.hpp"

namespace perdure::daemon {

Result<std::unique_ptr<InitListener>> InitListener::connect(const sigset_t&, base::Duration) {
  return std::unique_ptr<InitListener>{};
}

}  // namespace perdure::daemon
