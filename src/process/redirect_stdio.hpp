// The three standard descriptors: making sure that they exist, and replacing them all or not at all.
// Thread safety: none (they belong to the process). Fork safety: all. Signal safety: none.
#pragma once

#include <array>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::process {

inline constexpr int stdio_fds = 3;

/// /dev/null for reading and writing, close-on-exec, never one of 0–2.
Result<UniqueFd> open_null();

/// 0–2, each filled with /dev/null if it was closed; closed again at the end, unless keep() was called.
class FilledStdio {
 public:
  /// On failure: what was closed is closed again.
  static Result<FilledStdio> fill();
  void keep() noexcept;

 private:
  std::array<UniqueFd, stdio_fds> filled_;
};

/// Makes `input` descriptor 0 and `output` descriptors 1 and 2. On failure: 0–2 are as before.
Result<void> put_on_stdio(int input, int output);

/// Everything that stdio and iostreams have buffered is written.
void flush_stdio();

}  // namespace perdure::process
