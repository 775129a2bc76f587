#include "os/random.hpp"
#include "os/system.hpp"

namespace perdure {

bool os::kernel_random(std::uint64_t& number) noexcept {
  constexpr unsigned never_block = 0x0004;  // GRND_INSECURE, Linux 5.6; glibc names it since 2.32
  return sys::getrandom(&number, sizeof number, never_block) == static_cast<ssize_t>(sizeof number);
}

}  // namespace perdure
