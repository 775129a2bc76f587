// Specifiers: %n, %i, %t and the others of systemd.unit(5).
//
// Those that follow from the unit's name are computed; the others are facts about the machine and the user, which the caller has
// looked up. An empty one means "not known": a unit that uses it is refused, because guessing would put files in wrong places.
// As in systemd 252, % before a letter or digit that is no specifier is an error; before anything else it stays as it is.
// Thread and fork safety: plain values, pure functions. Signal safety: none.
//
//     const Specifiers machine{.hostname = "box", .runtime_directory = "/run"};
//     PERDURE_TRY(std::string text, expand_specifiers("/run/%N.pid", {name, machine}));
#pragma once

#include <string>
#include <string_view>

#include "perdure/result.hpp"
#include "unit/unit_name.hpp"

namespace perdure::unit {

/// As root, directories are /run, /var/lib …; for a user those of the XDG variables: "Specifiers" in systemd.unit(5).
struct Specifiers {
  std::string architecture{};               ///< %a: "x86-64"
  std::string boot_id{};                    ///< %b: 32 hexadecimal digits
  std::string cache_directory{};            ///< %C: /var/cache
  std::string configuration_directory{};    ///< %E: /etc
  std::string group_name{};                 ///< %g: of who runs the manager
  std::string gid{};                        ///< %G
  std::string home{};                       ///< %h: of who runs the manager, whatever User= says
  std::string hostname{};                   ///< %H
  std::string short_hostname{};             ///< %l: up to the first dot
  std::string log_directory{};              ///< %L: /var/log
  std::string machine_id{};                 ///< %m
  std::string os_id{};                      ///< %o: ID= of os-release
  std::string shell{};                      ///< %s
  std::string state_directory{};            ///< %S: /var/lib
  std::string runtime_directory{};          ///< %t: /run
  std::string temporary_directory{};        ///< %T: /tmp
  std::string user_name{};                  ///< %u
  std::string uid{};                        ///< %U
  std::string kernel_release{};             ///< %v: as uname -r
  std::string large_temporary_directory{};  ///< %V: /var/tmp
  std::string os_version_id{};              ///< %w
};

struct SpecifierContext {
  const UnitName& name;
  const Specifiers& machine;
  std::string_view fragment_path{};  ///< %y, and %Y for its directory
};

/// On failure: the Error says which specifier is none, or cannot be known here.
Result<std::string> expand_specifiers(std::string_view text, const SpecifierContext& context);

}  // namespace perdure::unit
