// What this process holds: memory, descriptors; and a watch that warns once per crossing.
//
// Figures come from /proc/self (proc(5)); where it is missing there is no value. ResourceWatch is pure: figures in, warnings
// out; the caller decides when to look and what to do with a warning.
// Thread safety: free functions from any thread; a ResourceWatch belongs to one.
//
//     perdure::ResourceWatch watch{{.rss_max = 50 << 20, .open_fds_max = 100}};
//     for (const auto& warning : watch.check({.rss = perdure::rss(), .open_fds = perdure::open_fds()})) log.warning("{}", warning);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "perdure/export.hpp"

namespace perdure {

/// Resident set size in bytes (VmRSS).
PERDURE_EXPORT std::optional<std::uint64_t> rss();
/// Number of open descriptors, without the one that is needed to count them.
PERDURE_EXPORT std::optional<std::uint64_t> open_fds();
/// Number of threads.
PERDURE_EXPORT std::optional<std::uint64_t> threads();

struct ResourceLimits {
  /// Bytes; 0: not watched.
  std::uint64_t rss_max = 0;
  /// 0: not watched.
  std::uint64_t open_fds_max = 0;
  /// Warns when descriptors grew in each of this many looks in a row; 0: not watched.
  unsigned growing_looks = 0;
};

struct ResourceUse {
  std::optional<std::uint64_t> rss{};
  std::optional<std::uint64_t> open_fds{};
};

class PERDURE_EXPORT ResourceWatch {
 public:
  explicit ResourceWatch(ResourceLimits limits) : limits_(limits) {}
  /// The warnings that are new: a limit that was already exceeded at the last look is not repeated until the use was below it
  /// again. Texts: `MEMORY WARNING: RSS=61440 KB exceeds limit 51200 KB`, `FD WARNING: 123 file descriptors open, limit=100`.
  std::vector<std::string> check(const ResourceUse& use);

 private:
  ResourceLimits limits_;
  bool rss_exceeded_ = false;
  bool fds_exceeded_ = false;
  unsigned growing_ = 0;
  std::optional<std::uint64_t> last_fds_;
};

}  // namespace perdure
