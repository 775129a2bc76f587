// What the processes of a supervisor use: memory of their own, the kernel's memory, processor time, context switches.
//
// Read from /proc; what the whole machine uses (kernel_kib) is for differences only, with something to compare to.
// One thread. What cannot be read throws std::runtime_error.
//
//     const std::int64_t before = bench::kernel_kib();
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "fleet.hpp"

namespace bench {

/// The number after `name` at the beginning of a line; 0 where there is none.
inline std::int64_t field(const std::string& text, std::string_view name) {
  const auto at = ("\n" + text).find(fmt::format("\n{}:", name));
  return at == std::string::npos ? 0 : std::stoll(text.substr(at + name.size() + 1));
}

/// Proportional set size: private pages, and the share of each page that several processes have.
inline std::int64_t pss_kib(const std::vector<pid_t>& processes) {
  std::int64_t sum = 0;
  for (const pid_t pid : processes) {
    const std::string rollup = read_all(fmt::format("/proc/{}/smaps_rollup", pid));
    if (rollup.empty()) throw std::runtime_error(fmt::format("cannot read how much memory process {} has", pid));
    sum += field(rollup, "Pss");
  }
  return sum;
}

/// What the kernel uses for itself on this machine, as far as it counts: slab, stacks, page tables and per-processor memory.
inline std::int64_t kernel_kib() {
  const std::string all = read_all("/proc/meminfo");
  std::int64_t sum = 0;
  for (const char* name : {"Slab", "KernelStack", "PageTables", "SecPageTables", "Percpu"}) sum += field(all, name);
  return sum;
}

/// What all threads of some processes have done so far.
struct Work {
  std::int64_t switches = 0;  ///< voluntary and not
  std::int64_t cpu_ns = 0;
};

inline Work work_of(const std::vector<pid_t>& processes) {
  Work sum;
  for (const pid_t pid : processes) {
    for (const auto& task : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", pid)}) {
      const std::string status = read_all(task.path() / "status");
      sum.switches += field(status, "voluntary_ctxt_switches") + field(status, "nonvoluntary_ctxt_switches");
      std::istringstream schedstat{read_all(task.path() / "schedstat")};  // running, waiting, time slices
      std::int64_t running = 0;
      schedstat >> running;
      sum.cpu_ns += running;
    }
  }
  return sum;
}

}  // namespace bench
