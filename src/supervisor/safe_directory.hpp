// Directories below a base, walked name by name, so that whoever may write in one of them cannot lead us out of it.
//
// No part of a way is a symbolic link, none is "." or "..", and a tree that is changed or removed is one file system: what is
// mounted in it is left alone. Nothing is done by path: each entry is opened, looked at and changed through its descriptor. A
// regular file with a second name may be a hard link to a file of somebody else and is never given away. Trees are bounded in
// depth and entries, for the manager does this itself.
// Left out: which directories, and whose (unit_directories.hpp).
// Thread safety: all. Fork and signal safety: none, it allocates.
//
//     PERDURE_TRY(const UniqueFd base, open_base("/var/lib"));
//     PERDURE_TRY(const UniqueFd parent, open_below(base.get(), "acme", MissingParts::Make));
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

inline constexpr std::size_t tree_depth_max = 64;
inline constexpr std::size_t tree_entries_max = 100'000;

enum class MissingParts : bool { Refuse, Make };

/// The directory itself: links on the way to it are the administrator's. Missing ones are made, mode 0755, where `missing` says so.
Result<UniqueFd> open_base(const std::string& path, MissingParts missing);
/// The directory `name` ("a/b") below `base`; empty: `base` itself. ELOOP: a part of it is a symbolic link.
Result<UniqueFd> open_below(int base, std::string_view name, MissingParts missing);

/// Gives the directory and all in it to user and group, itself last, so that what was interrupted is done again. Errors: EMLINK a
/// file with a second name, E2BIG beyond the bounds; what was given before stays given.
Result<void> give_tree(int directory, uid_t user, gid_t group);
/// Removes the entry `name` of `parent` with all in it. Nothing there: nothing to do. Errors: EXDEV something is mounted in it,
/// E2BIG beyond the bounds, ELOOP it is a symbolic link; what was removed before stays removed.
Result<void> remove_tree(int parent, const std::string& name);

}  // namespace perdure::supervisor
