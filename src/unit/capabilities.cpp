#include "unit/capabilities.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/text.hpp"
#include "perdure/settings.hpp"
#include "unit/unit_name.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

// In the order of linux/capability.h, CAP_CHOWN is 0.
// clang-format off
constexpr std::string_view names[] = {
    "cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner", "cap_fsetid", "cap_kill", "cap_setgid", "cap_setuid",
    "cap_setpcap", "cap_linux_immutable", "cap_net_bind_service", "cap_net_broadcast", "cap_net_admin", "cap_net_raw",
    "cap_ipc_lock", "cap_ipc_owner", "cap_sys_module", "cap_sys_rawio", "cap_sys_chroot", "cap_sys_ptrace", "cap_sys_pacct",
    "cap_sys_admin", "cap_sys_boot", "cap_sys_nice", "cap_sys_resource", "cap_sys_time", "cap_sys_tty_config", "cap_mknod",
    "cap_lease", "cap_audit_write", "cap_audit_control", "cap_setfcap", "cap_mac_override", "cap_mac_admin", "cap_syslog",
    "cap_wake_alarm", "cap_block_suspend", "cap_audit_read", "cap_perfmon", "cap_bpf", "cap_checkpoint_restore",
};
// clang-format on
static_assert(std::size(names) == capability_count);

constexpr int capability_max = 62;  // of the numbers that systemd 252 takes

Result<int> parse_capability(std::string_view word) {
  if (const auto number = base::parse_number<int>(word); number && *number >= 0 && *number <= capability_max) return *number;
  std::string lower;
  std::transform(word.begin(), word.end(), std::back_inserter(lower), base::to_lower);
  const auto* const at = std::find(std::begin(names), std::end(names), lower);
  if (at != std::end(names)) return static_cast<int>(at - std::begin(names));
  return perdure::detail::misfit(word, "is no capability" + did_you_mean(lower, names));
}

}  // namespace

Result<std::uint64_t> parse_capabilities(std::string_view text) {
  std::uint64_t set = 0;
  PERDURE_TRY(const auto words, split_words(text));
  for (const std::string& word : words) {
    PERDURE_TRY(const int number, parse_capability(word));
    set |= std::uint64_t{1} << number;
  }
  return set;
}

std::string capability_names(std::uint64_t set) {
  std::string text;
  for (std::size_t i = 0; i < std::size(names); ++i)
    if ((set >> i & 1) != 0) text += (text.empty() ? "" : " ") + std::string{names[i]};
  return text;
}

}  // namespace perdure::unit
