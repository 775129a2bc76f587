// StopFile: what the next manager must know of a stop of everything, in a memory file that is parked in the keeper before anything
// is stopped: when it began, and with which code the instance is to end.
//
// Where there is no memory for it, another descriptor is parked in its place, and all that is known is that everything is to stop.
// Left out: parking it. Thread safety: one thread. Fork safety: none. Signal safety: none.
//
//     StopFile stop = parked ? StopFile::adopt(std::move(parked)) : StopFile::create(now);
//     stop.set_code(3);                  // written at once, so whoever is killed afterwards has said it
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

class StopFile {
 public:
  /// Of no stop.
  StopFile() = default;
  static StopFile create(base::Instant began);
  /// What cannot be read tells nothing.
  static StopFile adopt(UniqueFd file);

  /// -1: there is none.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  /// None: not known.
  [[nodiscard]] std::optional<base::Instant> began() const noexcept;
  /// None: nobody has said one.
  [[nodiscard]] std::optional<int> code() const noexcept;
  void set_code(int code);

 private:
  /// As it stands in the file; of the present boot, so in this machine's bytes.
  struct Bytes {
    std::uint64_t mark = 0;
    std::int64_t began_ns = 0;
    std::int32_t code = 0;
    std::int32_t has_code = 0;
  };
  void write() const;

  UniqueFd file_{};
  Bytes bytes_{};
};

}  // namespace perdure::supervisor
