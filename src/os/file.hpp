// Whole files, read and written so that hostile or unlucky surroundings can neither block us nor lose what was there.
//
// Reading accepts regular files only and is bounded. Writing replaces: readers see the old content or the new, never a part.
// Left out: streaming, locking (process/pid_file), creating directories (runtime_directory.hpp makes the one we need).
// Thread safety: all, except absolute_path beside a chdir. Fork: nothing is kept. Signal safety: none.
//
//     PERDURE_TRY(std::string text, os::read_file("/etc/thermod.conf", config_bytes_max));
//     PERDURE_CHECK(os::write_file_atomically("/run/thermod.health", "ok\n", 0644));
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "perdure/result.hpp"

namespace perdure::os {

/// Whether the last part of a path may be a symbolic link.
enum class Links { Follow, Refuse };
/// Whether a power cut right after the call may take the new content away.
enum class Sync { No, Yes };

/// The content of a regular file of at most `max_bytes`. A FIFO, device, directory or larger file is refused, and never waited for.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes, Links links = Links::Follow);

/// Puts a new file with exactly `mode` (the umask has no say) in the place of `path`; a symbolic link there is itself replaced.
/// On failure: what was there is there unchanged, and no temporary file is left.
Result<void> write_file_atomically(const std::string& path, std::string_view content, mode_t mode, Sync sync = Sync::No);

/// Writes it all, however many calls it takes. `object` is for the error. Requires: a blocking descriptor; on a non-blocking one
/// that is full it fails with EAGAIN after a part.
Result<void> write_all(int fd, std::string_view bytes, std::string_view object = {});

/// Fails unless only root and we decide what the names in the directory mean: its owner is root or us, and nobody else may write
/// in it, or only under the sticky bit. Our effective group and root's count as we.
Result<void> check_directory_is_safe(const std::string& path);

/// `path` itself if absolute, else below the current directory. Links and ".." stay: what they mean is for the kernel to say.
Result<std::string> absolute_path(std::string_view path);
/// The directory that `path` names an entry of: "/run" for "/run/x.pid", "." for "x.pid".
std::string directory_of(std::string_view path);

}  // namespace perdure::os
