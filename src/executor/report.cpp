#include "executor/report.hpp"

#include "raw/system_call.hpp"

namespace perdure::executor {
namespace {

std::uint64_t failure_slot = 0;
wire::Failure* mapped_slot = nullptr;
int gate = -1;
bool is_announced = false;

}  // namespace

void report_to(std::uint64_t slot) noexcept { failure_slot = slot; }
void open_gate(int fd) noexcept { gate = fd; }

void announce_execution() noexcept {
  if (gate < 0) return;
  raw::write(gate, "x", 1);
  is_announced = true;
}

void report_without_calls() noexcept {
  constexpr std::uint64_t page = 4096;
  constexpr int read_write = 3;
  constexpr int shared = 1;
  const std::uint64_t offset = failure_slot * sizeof(wire::Failure);
  const long map =
      raw::call(__NR_mmap, 0, page, read_write, shared, wire::failure_fd, static_cast<long>(offset / page * page));
  require(Step::SystemCallFilter, map);
  mapped_slot = reinterpret_cast<wire::Failure*>(map + static_cast<long>(offset % page));
}

void tell(Step step, long error) noexcept {
  const wire::Failure failure{static_cast<std::uint32_t>(step), static_cast<std::int32_t>(error)};
  if (mapped_slot != nullptr) {
    *mapped_slot = failure;
  } else {
    raw::pwrite(wire::failure_fd, &failure, sizeof failure, failure_slot * sizeof failure);
  }
}

void give_up(Step step, long result) noexcept {
  tell(step, result < 0 ? -result : result);
  if (is_announced) raw::write(gate, "f", 1);
  raw::exit(wire::step_exit_code(step));
}

void begin_deadline(Step step) noexcept {
  constexpr int unblock = 1;  // SIG_UNBLOCK
  constexpr std::int64_t within_seconds = 10;
  const std::uint64_t alarm = std::uint64_t{1} << (14 - 1);
  tell(step, 0);
  require(step, raw::call(__NR_rt_sigprocmask, unblock, raw::address(&alarm), 0, 8));
  const raw::IntervalTimer timer{0, 0, within_seconds, 0};
  require(step, raw::call(__NR_setitimer, 0, raw::address(&timer), 0));
}

void end_deadline() noexcept {
  const raw::IntervalTimer none{};
  raw::call(__NR_setitimer, 0, raw::address(&none), 0);
  tell(Step::None, 0);
}

}  // namespace perdure::executor
