#include "os/random.hpp"

#include <unistd.h>

#include "os/clock.hpp"

namespace perdure::os {
namespace {

// splitmix64's last step: neighbouring clock values come out far apart.
std::uint64_t scatter(std::uint64_t value) noexcept {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

}  // namespace

std::uint64_t random_number() noexcept {
  std::uint64_t number = 0;
  if (kernel_random(number)) return number;
  const auto time = static_cast<std::uint64_t>(monotonic_now().time_since_epoch().count());
  return scatter(time ^ (static_cast<std::uint64_t>(::getpid()) << 40));
}

double random_fraction() noexcept {
  return static_cast<double>(random_number() >> 11) * 0x1p-53;  // the 53 bits that a double holds
}

std::string random_name() {
  std::string name(16, '0');
  std::uint64_t number = random_number();
  for (char& digit : name) {
    digit = "0123456789abcdef"[number & 15U];
    number >>= 4;
  }
  return name;
}

}  // namespace perdure::os
