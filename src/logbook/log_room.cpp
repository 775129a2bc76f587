#include "logbook/log_room.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "logbook/segment_files.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {
namespace {

constexpr std::uint64_t share_of_file_system = 10;
constexpr std::uint64_t all_bytes_min = 1ULL << 20;
constexpr std::uint64_t segments_of_all = 16;

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

void add_segments(int logs, const std::string& unit, std::vector<StoredSegment>& stored) {
  const UniqueFd directory{os::sys::openat(logs, unit.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!directory) return;
  const auto files = list_segments(directory.get());
  if (!files) return;
  for (const SegmentFile& file : *files) {
    StoredSegment segment{.unit = unit, .number = file.number};
    for (const std::string_view suffix : {data_suffix, index_suffix}) {
      struct stat status {};
      const std::string name = segment_name(file.number, suffix);
      if (os::sys::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      segment.bytes += static_cast<std::uint64_t>(status.st_size);
      const std::int64_t written = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
      segment.written_ns = std::max(segment.written_ns, written);
    }
    if (stored.size() < stored_segments_max) stored.push_back(std::move(segment));
  }
}

}  // namespace

CaptureLimits limits_for(std::uint64_t file_system_bytes) noexcept {
  CaptureLimits limits;
  limits.all_bytes_max = std::clamp(file_system_bytes / share_of_file_system, all_bytes_min, limits.all_bytes_max);
  limits.unit_bytes_max = limits.all_bytes_max / 2;
  limits.segment_bytes_max = limits.all_bytes_max / segments_of_all;
  return limits;
}

CaptureLimits limits_of_file_system(const std::string& path) {
  struct statvfs system {};
  if (os::sys::statvfs(path.c_str(), &system) != 0 || system.f_blocks == 0) return {};
  return limits_for(std::uint64_t{system.f_blocks} * system.f_frsize);
}

std::vector<StoredSegment> stored_segments(int logs) {
  std::vector<StoredSegment> stored;
  UniqueFd copy{os::sys::openat(logs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!copy) return stored;
  const std::unique_ptr<DIR, CloseDirectory> entries{os::sys::fdopendir(copy.get())};
  if (!entries) return stored;
  (void)copy.release();
  while (const dirent* entry = ::readdir(entries.get())) {
    if (is_log_name(entry->d_name)) add_segments(logs, entry->d_name, stored);
  }
  std::sort(stored.begin(), stored.end(), [](const StoredSegment& a, const StoredSegment& b) {
    return std::tie(a.written_ns, a.unit, a.number) < std::tie(b.written_ns, b.unit, b.number);
  });
  return stored;
}

}  // namespace perdure::logbook
