#include "executor/rights.hpp"

#include "executor/report.hpp"
#include "raw/system_call.hpp"

namespace perdure::executor {
namespace {

// linux/prctl.h, linux/capability.h, linux/securebits.h
constexpr int set_keep_capabilities = 8;
constexpr int set_seccomp = 22;
constexpr int read_bounding_set = 23;
constexpr int drop_from_bounding_set = 24;
constexpr int get_secure_bits = 27;
constexpr int put_secure_bits = 28;
constexpr int set_no_new_privs = 38;
constexpr int ambient = 47;
constexpr int ambient_raise = 2;
constexpr int ambient_clear_all = 4;
constexpr int capability_set_pcap = 8;
constexpr int capabilities = 64;  // that a set has room for; the kernel knows fewer
constexpr int mode_filter = 2;

long prctl(int option, long a = 0, long b = 0) noexcept { return raw::call(__NR_prctl, option, a, b, 0, 0); }

struct CapabilityHeader {
  std::uint32_t version = 0x20080522;  // _LINUX_CAPABILITY_VERSION_3
  std::int32_t pid = 0;
};
/// Of each set the lower and the upper half.
struct Capabilities {
  struct Half {
    std::uint32_t effective, permitted, inheritable;
  } halves[2];
};

Capabilities own_capabilities(Step step) noexcept {
  const CapabilityHeader header;
  Capabilities sets{};
  require(step, raw::call(__NR_capget, raw::address(&header), raw::address(&sets)));
  return sets;
}

void set_own_capabilities(Step step, const Capabilities& sets) noexcept {
  const CapabilityHeader header;
  require(step, raw::call(__NR_capset, raw::address(&header), raw::address(&sets)));
}

std::uint32_t half_of(std::uint64_t set, int half) noexcept { return static_cast<std::uint32_t>(set >> 32 * half); }

bool needs_capabilities_as_user(SpecView spec) noexcept {
  return (spec.has(wire::spec_has_ambient_set) && spec->ambient_set != 0) || spec.has(wire::spec_has_secure_bits);
}

}  // namespace

void drop_bounding_set(SpecView spec) noexcept {
  if (!spec.has(wire::spec_has_bounding_set)) return;
  for (int capability = 0; capability < capabilities; ++capability) {
    const long is_there = prctl(read_bounding_set, capability);
    if (is_there < 0) break;  // EINVAL: the kernel knows no more
    if (is_there == 0 || (spec->bounding_set >> capability & 1U) != 0) continue;
    require(Step::BoundingSet, prctl(drop_from_bounding_set, capability));
    if (prctl(read_bounding_set, capability) != 0) give_up(Step::BoundingSet, raw::e_perm);
  }
  Capabilities sets = own_capabilities(Step::BoundingSet);
  for (int half = 0; half < 2; ++half) sets.halves[half].inheritable &= half_of(spec->bounding_set, half);
  set_own_capabilities(Step::BoundingSet, sets);
}

void set_ids(SpecView spec) noexcept {
  if (!spec.has(wire::spec_set_ids)) return;
  if (needs_capabilities_as_user(spec)) require(Step::User, prctl(set_keep_capabilities, 1));
  require(Step::Groups, raw::call(__NR_setgroups, static_cast<long>(spec->group_count),
                                  spec->group_count == 0 ? 0 : raw::address(spec.list(spec->groups))));
  require(Step::Group, raw::call(__NR_setresgid, spec->group, spec->group, spec->group));
  require(Step::User, raw::call(__NR_setresuid, spec->user, spec->user, spec->user));
  std::uint32_t real = 0;
  std::uint32_t effective = 0;
  std::uint32_t saved = 0;
  require(Step::VerifyIds, raw::call(__NR_getresuid, raw::address(&real), raw::address(&effective), raw::address(&saved)));
  if (real != spec->user || effective != spec->user || saved != spec->user) give_up(Step::VerifyIds, raw::e_perm);
  require(Step::VerifyIds, raw::call(__NR_getresgid, raw::address(&real), raw::address(&effective), raw::address(&saved)));
  if (real != spec->group || effective != spec->group || saved != spec->group) give_up(Step::VerifyIds, raw::e_perm);
}

void raise_ambient_set(SpecView spec) noexcept {
  if (!spec.has(wire::spec_has_ambient_set)) return;
  require(Step::AmbientSet, prctl(ambient, ambient_clear_all));
  if (spec->ambient_set == 0) return;
  // Only what is inheritable as well can be ambient: capabilities(7).
  Capabilities sets = own_capabilities(Step::AmbientSet);
  for (int half = 0; half < 2; ++half) sets.halves[half].inheritable |= half_of(spec->ambient_set, half);
  set_own_capabilities(Step::AmbientSet, sets);
  for (int capability = 0; capability < capabilities; ++capability) {
    if ((spec->ambient_set >> capability & 1U) != 0) require(Step::AmbientSet, prctl(ambient, ambient_raise, capability));
  }
}

void set_secure_bits(SpecView spec) noexcept {
  if (!spec.has(wire::spec_has_secure_bits)) return;
  if (prctl(get_secure_bits) == static_cast<long>(spec->secure_bits)) return;
  // The change of user has emptied the effective set; execve(2) computes it anew, so that this lends the program nothing.
  Capabilities sets = own_capabilities(Step::SecureBits);
  sets.halves[0].effective |= 1U << capability_set_pcap;
  set_own_capabilities(Step::SecureBits, sets);
  require(Step::SecureBits, prctl(put_secure_bits, static_cast<long>(spec->secure_bits)));
}

void set_no_new_privileges(SpecView spec) noexcept {
  if (spec.has(wire::spec_no_new_privileges)) require(Step::NoNewPrivileges, prctl(set_no_new_privs, 1));
}

void install_filters(SpecView spec) noexcept {
  for (std::uint32_t i = 0; i < spec->filter_count; ++i) {
    const auto& filter = spec.list<wire::SpecFilter>(spec->filters)[i];
    struct {
      std::uint16_t length;
      const void* instructions;
    } const program{static_cast<std::uint16_t>(filter.count), spec.text(filter.instructions)};
    long result = prctl(set_seccomp, mode_filter, raw::address(&program));
    if (result == -raw::e_acces) {  // without CAP_SYS_ADMIN only for who cannot gain rights, which systemd implies then, too
      require(Step::NoNewPrivileges, prctl(set_no_new_privs, 1));
      result = prctl(set_seccomp, mode_filter, raw::address(&program));
    }
    require(Step::SystemCallFilter, result);
  }
}

}  // namespace perdure::executor
