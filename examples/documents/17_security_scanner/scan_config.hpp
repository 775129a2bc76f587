// ScanConfig: what to look for, and how often, from a YAML text.
//
// Text in, value or error out; reading the file is the caller's business. Unknown keys are errors, so that a mistyped one is not a
// default. Thread safety: plain values.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "perdure/result.hpp"

struct ScanConfig {
  std::optional<std::chrono::duration<double>> interval;  ///< of scan_interval
  std::string root = "/";
  bool world_writable = true, setuid = true, listening = true;
  std::vector<std::string> ignore;
};

/// On failure: `NAME:3:5: scan_interval: a number of seconds above 0 is wanted`.
perdure::Result<ScanConfig> parse_scan_config(const std::string& text, const std::string& name);
