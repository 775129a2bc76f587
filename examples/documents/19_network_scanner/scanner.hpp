// Scanner: a round over the targets in a file, each scanned by a process of its own.
//
// The process is this program as `--scan HOST PORTS`, or the command in the daemon's arguments with {target} replaced. Whatever hangs
// there is killed at its time limit with all it started, and stopped with the daemon. Thread safety: none, one owner.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "perdure/command.hpp"
#include "perdure/perdure.hpp"

class Scanner {
 public:
  static constexpr std::size_t targets_bytes_max = 4 << 20;
  struct Limits {
    std::string ports;  ///< for the scan of our own
    std::chrono::milliseconds within;
  };

  Scanner(perdure::Context& ctx, std::string targets) : ctx_(ctx), log_(ctx.log()), targets_(std::move(targets)) {}

  /// Reads the file and scans what it names; returns early when the daemon stops.
  void scan_all(const Limits& limits);

 private:
  std::vector<std::string> load();
  void say_once(const std::string& summary, const std::vector<std::string>& problems);
  [[nodiscard]] perdure::Command command_for(const std::string& target, const Limits& limits) const;
  void scan(const std::string& target, const Limits& limits);

  perdure::Context& ctx_;
  perdure::Log& log_;
  std::string targets_, last_said_;
};
