// RuntimeDirectory=, StateDirectory=, CacheDirectory=, LogsDirectory=, ConfigurationDirectory=: made before a unit's first command.
//
// As systemd 252: what is above the last part of a name is root's, mode 0755; the last part gets the mode of its …Mode= and, all
// but the configuration, the unit's user and group, with everything in it where its owner is another one. A configuration directory
// that is there already is left as it is. "NAME:LINK" makes a link to it, which goes with the runtime directory. For a user's
// instance nothing changes hands. How trees are walked: safe_directory.hpp.
// Unlike systemd: a hard link in a tree that is to change hands, a device, or a link in the place of a directory is an error.
// Left out: DynamicUser= and its private directories; when what is made and removed (core).
// Thread safety: all. Fork and signal safety: none, it allocates.
//
//     if (const auto failed = make_directories(unit.service, surroundings.directory_bases, owner, remarks)) …
//     PERDURE_CHECK(remove_runtime_directories(unit.service, surroundings.directory_bases));    // when the unit has stopped
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "supervisor/accounts.hpp"
#include "supervisor/launch.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

/// "RuntimeDirectory="
std::string_view directive_of(unit::DirectoryKind kind) noexcept;
/// The exit code of systemd.exec(5) for a directory of this kind that could not be made: 233, 238 … 241.
int directory_exit_code(unit::DirectoryKind kind) noexcept;

struct DirectoryFailure {
  unit::DirectoryKind kind{};
  Error error;  ///< one line: directive, attempt, cause, what to do
};

/// Nothing to make costs nothing. `owner`: of launch.hpp's user_of_unit(). Remarks are added to `remarks`.
/// On failure: the first that could not be made; those before it stay.
std::optional<DirectoryFailure> make_directories(const unit::ServiceSpec& service, const DirectoryBases& bases,
                                                 const User& owner, std::vector<std::string>& remarks);

/// All of them are tried; the error is of the first that stays. Requires: no process of the unit is left.
Result<void> remove_runtime_directories(const unit::ServiceSpec& service, const DirectoryBases& bases);

}  // namespace perdure::supervisor
