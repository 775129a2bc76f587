// The service that has much to say: how fast can a program get rid of its lines?
//
//     writer INDEX:FILE SIZE COUNT      COUNT lines of 100 bytes to standard output, SIZE bytes in each write(2)
//
// Every line begins with its number, so that a reader sees what is lost, doubled or torn. Stamps slot INDEX of FILE at its end:
// when the first write began and when the last had ended.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "stamps.hpp"
#include "writer_lines.hpp"

namespace {

std::int64_t now_ns() {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

void count_up(char* digits) {
  std::size_t i = bench::line_digits;
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i > 0) ++digits[i - 1];
}

}  // namespace

int main(int argc, char** argv) {
  using bench::Slot, bench::line_size, bench::line_digits;
  if (argc != 4) return 64;
  const char* const file = std::strchr(argv[1], ':');
  const std::size_t size = std::strtoul(argv[2], nullptr, 10);
  const std::size_t lines = std::strtoul(argv[3], nullptr, 10);
  if (file == nullptr || size == 0 || size % line_size != 0) return 64;
  const int stamps = ::open(file + 1, O_RDWR | O_CLOEXEC);
  const off_t slot = static_cast<off_t>(std::strtoul(argv[1], nullptr, 10) * sizeof(Slot));

  std::string text;
  for (std::size_t i = 0; i < size / line_size; ++i)
    text += std::string(line_digits, '0') + std::string(line_size - line_digits - 1, 'x') + '\n';
  std::string number(line_digits, '0');

  bench::Life life{.born_ns = now_ns(), .died_ns = 0, .pid = ::getpid(), .unused = 0};
  for (std::size_t written = 0; written < lines; written += size / line_size) {
    for (std::size_t at = 0; at < size; at += line_size) {
      std::memcpy(text.data() + at, number.data(), line_digits);
      count_up(number.data());
    }
    for (std::size_t done = 0; done < size;) {
      const ssize_t count = ::write(STDOUT_FILENO, text.data() + done, size - done);
      if (count <= 0) return 1;
      done += static_cast<std::size_t>(count);
    }
  }
  life.died_ns = now_ns();
  const std::uint64_t births = 1;
  const bool stamped =
      ::pwrite(stamps, &life, sizeof life, slot + static_cast<off_t>(offsetof(Slot, lives))) == sizeof life &&
      ::pwrite(stamps, &births, sizeof births, slot) == sizeof births;
  return stamped ? 0 : 111;
}
