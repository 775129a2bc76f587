#include <array>

#include "wire/spawn_spec.hpp"

namespace perdure::wire {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(Step::count_)> words{
    "nothing",
    "making a process",
    "executing the executor",
    "reading the spawn spec",
    "entering its control group",
    "starting a session",
    "setting Nice=",
    "setting OOMScoreAdjust=",
    "setting CPUSchedulingPolicy=",
    "setting IOSchedulingClass=",
    "setting up standard input, output and error",
    "mounting BindPaths= and BindReadOnlyPaths=",
    "changing to RootDirectory=",
    "setting a resource limit",
    "dropping what CapabilityBoundingSet= leaves out",
    "setting SupplementaryGroups=",
    "changing to Group=",
    "changing to User=",
    "verifying User= and Group=",
    "setting AmbientCapabilities=",
    "setting UMask=",
    "changing to WorkingDirectory=",
    "closing descriptors",
    "setting SecureBits=",
    "setting NoNewPrivileges=",
    "setting the signal mask",
    "installing SystemCallFilter= and SystemCallArchitectures=",
    "executing the program",
};

constexpr bool every_step_has_words() {
  for (const char* text : words) {
    if (text == nullptr || *text == '\0') return false;
  }
  return true;
}
static_assert(every_step_has_words());

}  // namespace

const char* step_words(Step step) noexcept {
  const auto index = static_cast<std::size_t>(step);
  return index < words.size() ? words[index] : "an unknown step";
}

}  // namespace perdure::wire
