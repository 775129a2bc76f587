// Special targets: the targets that unit files may name though nobody wrote a file for them, systemd.special(7).
//
// Where the machine has no file for one of these, it is there all the same: empty, passive, with no dependencies of its own, so
// that After=network.target and WantedBy=multi-user.target mean something without systemd's own units.
// Left out: what systemd's own files make of them (mounts, swaps, device nodes, shutting a machine down).
// Thread and fork safety: constants. Signal safety: all.
//
//     if (const SpecialTarget* t = find_special_target("network.target")) say(t->description);
#pragma once

#include <span>
#include <string_view>

namespace perdure::unit {

struct SpecialTarget {
  std::string_view name;
  std::string_view description;
};

/// Sorted by name.
std::span<const SpecialTarget> special_targets() noexcept;
/// nullptr where the name is none of them. "blockdev@sda.target" is an instance of one.
const SpecialTarget* find_special_target(std::string_view name) noexcept;

}  // namespace perdure::unit
