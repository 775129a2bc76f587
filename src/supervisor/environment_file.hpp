// EnvironmentFile=: files of NAME=VALUE lines, systemd.exec(5).
//
// As systemd 252 reads them: lines beginning with # or ; are comments; '…' and "…" keep blanks and newlines; a backslash at the end
// of a line continues it, within "…" it escapes only what a shell would escape there; blanks around names and unquoted values go.
// No $VAR is replaced. A name that no variable can have is skipped and remarked; text that is not UTF-8 refuses the file.
// Left out: who asks when (launch.hpp). Read by the manager itself: a file on a network file system can make it wait.
// Thread and fork safety: reads files, keeps nothing. Signal safety: none.
//
//     PERDURE_TRY(const EnvironmentText text, read_environment_files(service.environment_files));
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

inline constexpr std::size_t environment_file_bytes_max = std::size_t{1} << 20;
inline constexpr std::size_t environment_files_max = 256;  // that one pattern may match

struct EnvironmentText {
  std::vector<std::string> assignments{};  ///< NAME=VALUE, in their order; the last one of a name counts
  std::vector<std::string> remarks{};      ///< what was skipped, one line each
};

/// `source` is for messages. On failure: the line that cannot be read.
Result<EnvironmentText> parse_environment(std::string_view text, std::string_view source);

/// All files of all entries, patterns in the order of their names. On failure: the file, why, and what to do.
Result<EnvironmentText> read_environment_files(std::span<const unit::EnvironmentFile> files);

/// Letters, digits and "_", not beginning with a digit.
bool is_variable_name(std::string_view name) noexcept;

}  // namespace perdure::supervisor
