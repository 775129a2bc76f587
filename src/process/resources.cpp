#include "perdure/resources.hpp"

#include <dirent.h>

#include <cerrno>

#include <fmt/core.h>

#include "os/system.hpp"
#include "process/proc.hpp"

namespace perdure {

namespace {

constexpr std::uint64_t kilobyte = 1024;

std::optional<std::uint64_t> own_status_field(const char* name) {
  const auto status = process::read_proc_file("/proc/self/status");
  return status ? process::status_field(*status, name) : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> rss() {
  const auto kilobytes = own_status_field("VmRSS");
  return kilobytes ? std::optional{*kilobytes * kilobyte} : std::nullopt;
}

std::optional<std::uint64_t> threads() { return own_status_field("Threads"); }

std::optional<std::uint64_t> open_fds() {
  DIR* const directory = os::sys::opendir("/proc/self/fd");
  if (directory == nullptr) return std::nullopt;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const auto fd = process::number_of_entry(entry->d_name);
    if (fd && *fd != ::dirfd(directory)) ++count;
  }
  ::closedir(directory);
  return count;
}

std::vector<std::string> ResourceWatch::check(const ResourceUse& use) {
  std::vector<std::string> warnings;
  if (use.rss && limits_.rss_max != 0) {
    const bool exceeded = *use.rss > limits_.rss_max;
    if (exceeded && !rss_exceeded_)
      warnings.push_back(
          fmt::format("MEMORY WARNING: RSS={} KB exceeds limit {} KB", *use.rss / kilobyte, limits_.rss_max / kilobyte));
    rss_exceeded_ = exceeded;
  }
  if (use.open_fds && limits_.open_fds_max != 0) {
    const bool exceeded = *use.open_fds > limits_.open_fds_max;
    if (exceeded && !fds_exceeded_)
      warnings.push_back(fmt::format("FD WARNING: {} file descriptors open, limit={} - possible leak!", *use.open_fds,
                                     limits_.open_fds_max));
    fds_exceeded_ = exceeded;
  }
  if (use.open_fds && limits_.growing_looks != 0) {
    growing_ = last_fds_ && *use.open_fds > *last_fds_ ? growing_ + 1 : 0;
    last_fds_ = use.open_fds;
    if (growing_ == limits_.growing_looks)
      warnings.push_back(
          fmt::format("FD WARNING: {} file descriptors open, more in each of the last {} looks - possible leak!",
                      *use.open_fds, growing_));
  }
  return warnings;
}

}  // namespace perdure
