#include "os/random.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

bool os::kernel_random(std::uint64_t& number) noexcept {
  const UniqueFd source{sys::open("/dev/urandom", O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  return source && sys::read(source.get(), &number, sizeof number) == static_cast<ssize_t>(sizeof number);
}

}  // namespace perdure
