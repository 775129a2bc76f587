// Lookout: scans again and again, and logs only what is new and what is gone since the scan before.
//
// Thread safety: none, one owner.
#pragma once

#include <set>
#include <string>

#include "perdure/perdure.hpp"
#include "scan_config.hpp"

class Lookout {
 public:
  /// Beats while it looks, and leaves off when the daemon stops. Throws what look_below() throws; then nothing is new or gone.
  void scan(perdure::Context& ctx, const ScanConfig& rules);

 private:
  std::set<std::string> known_;
};
