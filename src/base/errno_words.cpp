#include <cstring>

#include "base/errno_name.hpp"

namespace perdure::base {

std::string errno_words(int code) {
  // strerror() follows the locale, and its buffer is shared in older C libraries.
  const char* const words = strerrordesc_np(code);
  return words != nullptr ? std::string{words} : "Unknown error " + std::to_string(code);
}

}  // namespace perdure::base
