// Rules: the ScanConfig in force. It is replaced as a whole, by a reload, between two scans.
//
// Thread safety: all calls; a snapshot stays as it is. Left out: when to load, and what becomes of a file that is refused.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "perdure/result.hpp"
#include "scan_config.hpp"

class Rules {
 public:
  using Snapshot = std::shared_ptr<const ScanConfig>;
  static constexpr std::size_t file_bytes_max = 1 << 20;

  /// From a YAML file. On failure: the Error's code is ENOENT where there is none, 0 where its text is refused.
  static perdure::Result<Snapshot> load(const std::string& path);

  void put_in_force(Snapshot rules) noexcept;
  [[nodiscard]] Snapshot get() const;

 private:
  mutable std::mutex mutex_;
  Snapshot rules_ = std::make_shared<const ScanConfig>();
};
