#include "perdure/callback.hpp"

#include "base/assert.hpp"

namespace perdure::detail {

void empty_callback_called() noexcept {
  base::assertion_failed(__FILE__, __LINE__, "held_ != nullptr", "a perdure::Callback was called that holds nothing");
}

}  // namespace perdure::detail
