// What captured logs may take in all, and what goes when it is more: the segments that were written to longest ago, whose ever.
//
// Left out: when to look (LogDirectory), the bound of a single unit (UnitLog).
// Thread and fork safety: all. Signal safety: none.
//
//     CaptureLimits limits = limits_of_file_system("/var/log/perdure");
//     std::vector<StoredSegment> stored = stored_segments(logs);
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "logbook/log_directory.hpp"

namespace perdure::logbook {

/// A tenth of a file system of so many bytes, 1 GiB at most and 1 MiB at least, for all units together; half of that for one.
/// Segments are so large that a few of them make the whole.
CaptureLimits limits_for(std::uint64_t file_system_bytes) noexcept;
/// For the one that `path` is on; the defaults where it does not say how large it is.
CaptureLimits limits_of_file_system(const std::string& path);

struct StoredSegment {
  std::int64_t written_ns = 0;  ///< since 1970, when the last byte came
  std::string unit{};
  std::uint32_t number = 0;
  std::uint64_t bytes = 0;  ///< with its index
};

/// Further ones are not seen.
inline constexpr std::size_t stored_segments_max = 65'536;

/// Those of all units, the one that was written to longest ago first. `logs`: a descriptor of LOGS. What cannot be read is left
/// out.
std::vector<StoredSegment> stored_segments(int logs);

}  // namespace perdure::logbook
