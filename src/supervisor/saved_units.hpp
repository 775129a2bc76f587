// SavedUnits: the unit set as it was loaded, so that a new manager knows it without looking at files that may have changed since.
//
// One frame per unit: its number, its name, and the texts of its files. Framed by length with a CRC; nothing in a text can become
// structure. Only appended to; lives in the state directory, or in memory where that cannot be written, and is parked in the
// keeper. Left out: parsing (unit/).
// Thread safety: one thread. Fork and signal safety: none.
//
//     saved.add({.id = 7, .name = "web.service", .sources = …});
//     for (const SavedUnit& unit : saved.load()) …
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/service_settings.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

struct SavedUnit {
  core::UnitId id = core::no_unit;
  std::string name{};
  std::string fragment_path{};
  std::uint8_t load_state = 0;
  std::string load_error{};
  std::vector<unit::UnitSource> sources{};
};

class SavedUnits {
 public:
  /// An empty one in `state_dir`.
  static SavedUnits create(const std::string& state_dir);
  /// The one in `state_dir` as it is; fails where there is none.
  static Result<SavedUnits> open(const std::string& state_dir);
  static SavedUnits adopt(UniqueFd file) { return SavedUnits{std::move(file)}; }

  /// Damaged frames end the list, and the file: what follows them cannot be trusted to begin where it seems to.
  std::vector<SavedUnit> load();
  Result<void> add(const SavedUnit& unit);
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

 private:
  explicit SavedUnits(UniqueFd file) noexcept : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace perdure::supervisor
