// Spool: the directories that a file goes through, and who may take it.
//
//     input/NAME → claimed/NAME → (output/NAME) → processed/NAME, or failed/NAME
//
// A file is claimed when nobody has it open for writing and it has not changed for a while; a hidden one (".NAME"), a
// symbolic link, a directory are left alone. What is in `claimed` belongs to the one process that locked it: what a crash
// left there is simply done again, with the same result.
// Thread safety: process() and is_claimed() from workers, for different files; the rest one thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "files.hpp"
#include "jobs.hpp"
#include "perdure/unique_fd.hpp"

struct Directories {
  std::string input{}, claimed{}, output{}, processed{}, failed{};
};

class Spool {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Spool(Directories directories) : directories_(std::move(directories)) {}

  /// Makes the directories that are missing, and locks `claimed`. To be called before each look, for directories may vanish.
  perdure::Result<void> prepare();
  /// Takes what has been complete for `settle`.
  perdure::Result<void> claim(std::chrono::milliseconds settle, Clock::time_point now);
  /// Offers what is claimed; false when there was no room for all.
  bool offer_to(Jobs& jobs) const;
  /// Does one claimed file, as worker number `worker`. A bad one is put aside, then the Fault is Of::Input.
  perdure::Result<void, Fault> process(const std::string& name, unsigned worker, const Transform& line,
                                       const std::function<bool()>& go_on) const;

  /// False where a worker has already moved it, after its name was looked up for an offer.
  [[nodiscard]] bool is_claimed(const std::string& name) const;
  [[nodiscard]] std::string input_path(const std::string& name) const { return directories_.input + "/" + name; }

 private:
  using Stamp = std::array<std::int64_t, 4>;  ///< inode, size, time of the last change
  struct Seen {
    Stamp stamp;
    Clock::time_point since;
  };
  const Directories directories_;
  std::map<std::string, Seen> seen_;
  perdure::UniqueFd lock_;
};
