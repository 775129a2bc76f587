#include "supervisor/program_text.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

extern "C" {
extern const char __executable_start;  // NOLINT(bugprone-reserved-identifier): named by the linker
extern const char etext;
}

namespace perdure::supervisor {

void release_program_text() noexcept {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(&__executable_start) / page * page;
  // The last page may hold the begin of something that is written to, which a private mapping would lose.
  const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(&etext) / page * page;
  if (end > begin) static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
}

}  // namespace perdure::supervisor
