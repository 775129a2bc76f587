// SpecView: the spec that the executor obeys, and the texts and lists behind its offsets.
//
// Requires of all: wire::is_sound() has accepted the block. Freestanding. A view: valid as long as the block.
//
//     raw::call(__NR_chdir, raw::address(spec.text(spec->working_directory)));
#pragma once

#include <cstdint>

#include "wire/spawn_spec.hpp"

namespace perdure::executor {

class SpecView {
 public:
  explicit SpecView(char* bytes) noexcept : bytes_(bytes) {}
  const wire::SpawnSpec* operator->() const noexcept { return reinterpret_cast<const wire::SpawnSpec*>(bytes_); }
  [[nodiscard]] bool has(wire::SpecFlags flag) const noexcept { return ((*this)->flags & flag) != 0; }
  /// May be written to: a path is taken apart in place.
  [[nodiscard]] char* text(std::uint32_t offset) const noexcept { return bytes_ + offset; }
  template <class Entry = std::uint32_t>
  [[nodiscard]] const Entry* list(std::uint32_t offset) const noexcept {
    return reinterpret_cast<const Entry*>(bytes_ + offset);
  }

 private:
  char* bytes_;
};

}  // namespace perdure::executor
