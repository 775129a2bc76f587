#include "rights/capabilities.hpp"

#include <sys/prctl.h>

#include <cerrno>
#include <string_view>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure {
namespace {

constexpr std::string_view names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
static_assert(std::size(names) == static_cast<std::size_t>(Capability::CheckpointRestore) + 1);

}  // namespace

std::string_view capability_name(Capability capability) noexcept {
  const auto index = static_cast<std::size_t>(capability);
  return index < std::size(names) ? names[index] : "?";
}

std::optional<Capability> parse_capability(std::string_view name) noexcept {
  constexpr std::size_t prefix = std::string_view{"CAP_"}.size();
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (base::equals_ignoring_case(name, names[i]) || base::equals_ignoring_case(name, names[i].substr(prefix)))
      return static_cast<Capability>(i);
  }
  return std::nullopt;
}

namespace rights {

namespace sys = os::sys;

std::uint64_t bits_of(const std::vector<Capability>& capabilities) noexcept {
  std::uint64_t bits = 0;
  for (const Capability capability : capabilities) bits |= bit_of(capability);
  return bits;
}

std::string names_of(std::uint64_t capabilities) {
  std::string text;
  for (std::size_t i = 0; i < std::size(names); ++i)
    if ((capabilities >> i & 1U) != 0) text += (text.empty() ? "" : " ") + std::string{names[i]};
  return text.empty() ? "no capabilities" : text;
}

Result<std::uint64_t> effective_capabilities() {
  sys::CapabilitySets sets;
  if (sys::capget(&sets) != 0) return Error::from_errno(errno, "read the capabilities of this process");
  return sets.effective;
}

Result<void> reduce_bounding_set(std::uint64_t kept) {
  constexpr unsigned sets_hold = 64;
  for (unsigned capability = 0; capability < sets_hold; ++capability) {
    const int is_there = sys::prctl(PR_CAPBSET_READ, capability);
    if (is_there < 0 && errno == EINVAL) break;  // the kernel knows no more
    if (is_there < 0) return Error::from_errno(errno, "read the bounding set of capabilities");
    if (is_there == 0 || (kept >> capability & 1U) != 0) continue;
    if (sys::prctl(PR_CAPBSET_DROP, capability) != 0)
      return Error::from_errno(errno, "take away from the bounding set",
                               capability_name(static_cast<Capability>(capability)));
  }
  return {};
}

Result<void> set_capabilities(std::uint64_t kept, std::uint64_t inherited) {
  if (sys::capset({.effective = kept, .permitted = kept, .inheritable = inherited}) != 0)
    return Error::from_errno(errno, "reduce the capabilities to", names_of(kept));
  if (sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL) != 0 && errno != EINVAL)  // EINVAL: older than Linux 4.3
    return Error::from_errno(errno, "empty the ambient set of capabilities");
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if ((inherited >> i & 1U) != 0 && sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i) != 0)
      return Error::from_errno(errno, "hand on to programs", names[i]);
  }
  return {};
}

}  // namespace rights
}  // namespace perdure
