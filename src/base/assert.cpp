#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace perdure::base {

void assertion_failed(const char* file, int line, const char* expression, const char* words) noexcept {
  const char* const slash = std::strrchr(file, '/');  // the directory is the build machine's and tells the reader nothing
  std::fprintf(stderr, "perdure: %s:%d: %s (%s is not true)\n", slash != nullptr ? slash + 1 : file, line, words,
               expression);
  std::abort();
}

}  // namespace perdure::base
