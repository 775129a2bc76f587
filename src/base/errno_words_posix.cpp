#include <string.h>

#include <array>

#include "base/errno_name.hpp"

namespace perdure::base {

std::string errno_words(int code) {
  // What POSIX has: in the locale's language. On failure it has filled in what it could, "Unknown error 99".
  std::array<char, 256> words{};
  static_cast<void>(::strerror_r(code, words.data(), words.size()));
  return words[0] != '\0' ? std::string{words.data()} : "Unknown error " + std::to_string(code);
}

}  // namespace perdure::base
