// What is done with one file: its lines go, transformed, into another; it is moved. Whoever looks into a directory sees
// a file whole or not at all: it is written under a hidden name, and renamed once it is complete and on the disk.
// Thread safety: all calls, for different files.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "perdure/result.hpp"

inline constexpr std::size_t line_bytes_max = 1 << 20;

struct FilePair {
  std::string from, to;
  std::string hidden;  ///< in the directory of `to`; what was there is overwritten
};

/// Of the input: it cannot be read, or a line is too long. Of the rest: no room, `go_on` said no, …: worth another try.
struct Fault {
  enum class Of { Input, Rest } of;
  perdure::Error error;
};

using Transform = std::function<void(std::string& line)>;
/// Each line is transformed and ends with a newline, also the last. Replaces `to`.
perdure::Result<void, Fault> transform(const FilePair& files, const Transform& line, const std::function<bool()>& go_on);
/// rename(2), or a copy where that would cross file systems. Replaces `to`.
perdure::Result<void> move_file(const FilePair& files);
