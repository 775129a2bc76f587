#include <cerrno>

#include <climits>

#include "os/system.hpp"
#include "process/at_load.hpp"

namespace perdure::process {
namespace {

char program[PATH_MAX];

// Before the constructors of other sources (101 is the first number not reserved).
__attribute__((constructor(101))) void read_own_program() noexcept {
  const int error = errno;
  const ssize_t size = os::sys::readlink("/proc/self/exe", program, sizeof program - 1);
  program[size > 0 ? size : 0] = '\0';
  errno = error;
}

}  // namespace

const char* own_program() noexcept { return program[0] == '\0' ? "/proc/self/exe" : program; }

}  // namespace perdure::process
