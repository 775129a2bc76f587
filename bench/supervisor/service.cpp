// The service that is started, killed and stopped: what is the earliest that any program can know that it runs?
//
//     service INDEX[,MILLISECONDS][+FD]:FILE      stamps slot INDEX of FILE, then ends at SIGTERM, or by itself after MILLISECONDS;
//                                                 says on descriptor FD that it is ready, as s6 wants it
//     service                                     ends at once: the no-op
//
// There is no C library in it: with one, most of the latency would be the start of the library. The word is one word so that
// it fits behind #! as well, where supervisors want a script. Exit codes: 0 ended as told, 2 for the word, 111 for the file.
#include <cstddef>
#include <cstdint>

#include "raw/start.hpp"
#include "raw/system_call.hpp"
#include "stamps.hpp"

namespace raw = perdure::raw;

namespace {

constexpr long at_cwd = -100, open_read_write = 2, clock_monotonic = 1, block_signals = 0;
constexpr int sigterm = 15;

std::int64_t now_ns() {
  raw::Time now{};
  (void)raw::call(__NR_clock_gettime, clock_monotonic, raw::address(&now));
  return now.seconds * 1'000'000'000 + now.nanoseconds;
}

/// The number at `text`, which stands behind it afterwards.
std::int64_t number(const char*& text) {
  constexpr std::int64_t number_max = 1'000'000;
  const char* begin = text;
  std::int64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) {
    value = value * 10 + (*text - '0');
    if (value > number_max) raw::exit(2);
  }
  if (text == begin) raw::exit(2);
  return value;
}

}  // namespace

extern "C" [[noreturn]] void bench_service_main(const long* stack) {
  using bench::Life, bench::Slot, bench::lives_kept;
  Life life{.born_ns = now_ns(), .died_ns = 0, .pid = 0, .unused = 0};
  if (stack[0] < 2) raw::exit(0);
  const char* word = reinterpret_cast<const char*>(stack[2]);  // argc, argv[0], argv[1]
  const std::int64_t index = number(word);
  std::int64_t lifetime_ms = 0, ready = -1;
  if (*word == ',') lifetime_ms = number(++word);
  if (*word == '+') ready = number(++word);
  if (*word != ':') raw::exit(2);

  life.pid = static_cast<std::int32_t>(raw::call(__NR_getpid));
  const int file =
      static_cast<int>(raw::call(__NR_openat, at_cwd, raw::address(word + 1), open_read_write | raw::close_on_exec));
  const std::uint64_t slot = static_cast<std::uint64_t>(index) * sizeof(Slot);
  std::uint64_t births = 0;
  if (file < 0 || raw::pread(file, &births, sizeof births, slot) != sizeof births) raw::exit(111);
  const std::uint64_t place = slot + offsetof(Slot, lives) + births % lives_kept * sizeof(Life);
  ++births;
  if (raw::pwrite(file, &life, sizeof life, place) != sizeof life ||
      raw::pwrite(file, &births, sizeof births, slot) != sizeof births)
    raw::exit(111);
  if (ready >= 0) (void)raw::write(static_cast<int>(ready), "\n", 1);

  // A signal that is waited for needs no handler, and a handler would need a C library's trampoline.
  const std::uint64_t terminate = 1ULL << (sigterm - 1);
  (void)raw::call(__NR_rt_sigprocmask, block_signals, raw::address(&terminate), 0, sizeof terminate);
  const raw::Time lifetime{lifetime_ms / 1'000, lifetime_ms % 1'000 * 1'000'000};
  const long limit = lifetime_ms > 0 ? raw::address(&lifetime) : 0;
  for (long got = 0; got != sigterm && got != -raw::e_again;)
    got = raw::call(__NR_rt_sigtimedwait, raw::address(&terminate), 0, limit, sizeof terminate);
  life.died_ns = now_ns();
  (void)raw::pwrite(file, &life, sizeof life, place);
  raw::exit(0);
}
PERDURE_RAW_START(bench_service_main);
