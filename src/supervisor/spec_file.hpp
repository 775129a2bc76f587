// SpecFile: the spawn specs of all units in one memory file, which goes along with every order to the keeper.
//
// A spec that is compiled for every start anew takes the place of the one before, where it fits: the executor has read that when
// its process has become the program or ended. Commands that can run beside each other want a place each.
// Left out: what a spec says (launch.hpp); memory that is given back.
// Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(launch.place, specs.add(compiled.bytes));
//     PERDURE_CHECK(specs.put(launch.place, compiled_again.bytes));      // before the next start
//     PERDURE_CHECK(specs.flush());
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

/// Where a spec stands in the SpecFile.
struct SpecPlace {
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  std::uint32_t capacity = 0;  ///< bytes that may be written there; 0: there is no place yet
};

class SpecFile {
 public:
  static Result<SpecFile> open();
  /// Appends a block and says where it stands, or will stand after the next flush().
  Result<SpecPlace> add(const std::vector<char>& bytes);
  /// Puts a block at `place`, or where it does not fit, at the end, with room to grow, and says so in `place`.
  /// Requires: no executor has still to read what stands there.
  Result<void> put(SpecPlace& place, const std::vector<char>& bytes);
  /// Writes what was added since; where that fails, all of it is tried again by the next. Nothing to do costs nothing.
  Result<void> flush();
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

 private:
  explicit SpecFile(UniqueFd file) noexcept : file_(std::move(file)) {}
  UniqueFd file_;
  std::uint64_t size_ = 0;         ///< with what is not written yet
  std::vector<char> unwritten_{};  ///< the end of it
};

}  // namespace perdure::supervisor
