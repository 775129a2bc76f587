// The files of a unit's directory: their names, which there are, and opening one without being led elsewhere.
//
// Left out: what is in them. Thread and fork safety: all. Signal safety: none.
//
//     PERDURE_TRY(std::vector<SegmentFile> files, list_segments(directory));
//     int fd = openat(directory, segment_name(files.back().number, data_suffix).c_str(), …);
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {

inline constexpr std::string_view data_suffix = ".log";
inline constexpr std::string_view index_suffix = ".idx";

/// A number that has a data file, an index, or both.
struct SegmentFile {
  std::uint32_t number = 0;
  bool has_data = false;
  bool has_index = false;
};

/// Further segments of one directory are not seen.
inline constexpr std::size_t segments_max = 65'536;

/// By number. Other names are left out.
Result<std::vector<SegmentFile>> list_segments(int directory);
/// "00000042.log"
std::string segment_name(std::uint32_t number, std::string_view suffix);

/// A file and its status when it was opened.
struct OpenFile {
  UniqueFd fd{};
  struct stat status {};
};
enum class Ownership { Any, Ours };
/// Opens a regular file of the directory, waiting for nothing and following no link. Ours: of our user's and without a second name.
/// `shown` names it in the error. On failure, code() is ENOENT, ELOOP (a link), EPERM (refused otherwise) or what open(2) said.
Result<OpenFile> open_regular_at(int directory, const std::string& name, int flags, Ownership ownership,
                                 const std::string& shown);

}  // namespace perdure::logbook
