// Why this order. What needs root comes first. Limits before the user, because raising needs a capability. Namespaces before
// chroot, whose mounts they copy. The bounding set needs CAP_SETPCAP, the groups CAP_SETGID, and both are gone with the user.
// Capabilities are set after the user, because that change empties the effective set. Then the proof, while nothing stands in
// the way of an attempt: a filter before it would answer EPERM and prove nothing. Landlock and seccomp need no_new_privs; the
// filter is last, since it may forbid what the others call.
// Sources: daemon(7) step 13, CERT POS36-C and POS37-C, capabilities(7).
#include "perdure/rights.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/unique_fd.hpp"
#include "rights/call_filter.hpp"
#include "rights/capabilities.hpp"
#include "rights/identity.hpp"
#include "rights/proof.hpp"
#include "rights/write_fence.hpp"

namespace perdure {

namespace sys = os::sys;
using rights::bit_of;

namespace {

constexpr mode_t directory_mode = 0755;
/// What a program may always write: nothing is kept there.
constexpr std::array harmless_devices{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};

bool any(const Namespaces& n) noexcept { return n.mount || n.network || n.ipc || n.host_name; }
bool any(const ProcessLimits& l) noexcept { return l.open_files || l.core_bytes || l.address_space_bytes || l.processes; }

RightsError may_not(std::string_view attempt, Capability missing) {
  return {Error{fmt::format("cannot {}: this process is uid {} and has no {} (EPERM); {}", attempt, ::geteuid(),
                            capability_name(missing),
                            ::geteuid() == 0 ? "whoever starts it has to leave it that one" : "start it as root"),
                EPERM},
          exit_rights};
}

RightsError wrong(std::string text) { return {Error{std::move(text), EINVAL}, exit_configuration}; }

// ── The steps of carry_out, in its order ──────────────────────────────────────────────────────────────────────────────────

Result<void> set_limits(const ProcessLimits& limits) {
  struct Limit {
    const std::optional<std::uint64_t>& wanted;
    int resource;
    const char* name;
  };
  for (const Limit& limit :
       {Limit{limits.open_files, RLIMIT_NOFILE, "RLIMIT_NOFILE"}, Limit{limits.core_bytes, RLIMIT_CORE, "RLIMIT_CORE"},
        Limit{limits.address_space_bytes, RLIMIT_AS, "RLIMIT_AS"}, Limit{limits.processes, RLIMIT_NPROC, "RLIMIT_NPROC"}}) {
    if (!limit.wanted) continue;
    const rlimit value{.rlim_cur = *limit.wanted, .rlim_max = *limit.wanted};
    if (sys::prlimit(limit.resource, &value, nullptr) == 0) continue;
    const int code = errno;
    rlimit current{};
    const bool is_known = sys::prlimit(limit.resource, nullptr, &current) == 0;
    return Error::from_errno(code, "set", fmt::format("{} to {}", limit.name, *limit.wanted))
        .with_advice(is_known ? fmt::format("whoever starts this allows {} at most", current.rlim_max)
                              : "whoever starts this allows less");
  }
  return {};
}

Result<void> leave_namespaces(const Namespaces& namespaces) {
  const int flags = (namespaces.mount ? CLONE_NEWNS : 0) | (namespaces.network ? CLONE_NEWNET : 0) |
                    (namespaces.ipc ? CLONE_NEWIPC : 0) | (namespaces.host_name ? CLONE_NEWUTS : 0);
  if (flags == 0) return {};
  if (sys::unshare(flags) != 0) return Error::from_errno(errno, "make namespaces for this process");
  // Copied mounts are shared: without this, a mount of ours would appear for everybody.
  if (namespaces.mount && sys::mount("none", "/", nullptr, MS_REC | MS_SLAVE) != 0)
    return Error::from_errno(errno, "keep mounts of this process from others");
  return {};
}

/// fchdir(2) on a directory that is open leads out of a chroot.
Result<void> refuse_open_directories(const std::string& root) {
  DIR* const listing = sys::opendir("/proc/self/fd");
  if (listing == nullptr) return Error::from_errno(errno, "look for directories that are open, in", "/proc/self/fd");
  Result<void> result;
  while (const dirent* entry = ::readdir(listing)) {
    const auto fd = base::parse_number<int>(entry->d_name);
    struct stat status {};
    if (!fd || *fd == ::dirfd(listing) || sys::fstat(*fd, &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    std::array<char, 256> name{};
    const std::string link = fmt::format("/proc/self/fd/{}", *fd);
    const ssize_t size = sys::readlink(link.c_str(), name.data(), name.size());
    result = Error{
        fmt::format("cannot make {} the root directory: descriptor {} is the open directory {}, a way out of it; close "
                    "it first",
                    base::escape(root), *fd, base::escape({name.data(), size > 0 ? static_cast<std::size_t>(size) : 0})),
        EBUSY};
    break;
  }
  ::closedir(listing);
  return result;
}

Result<void> change_root(const std::string& root) {
  PERDURE_CHECK(refuse_open_directories(root));
  ::tzset();  // the zone's file is outside a moment later
  if (sys::chdir(root.c_str()) != 0) return Error::from_errno(errno, "enter the new root directory", root);
  if (sys::chroot(".") != 0) return Error::from_errno(errno, "make the root directory of", root);
  if (sys::chdir("/") != 0) return Error::from_errno(errno, "enter the new root directory", root);
  return {};
}

Result<void> filter_calls(const Rights& wanted, RightsReport& report) {
  const auto program = rights::call_filter(wanted.sandbox, wanted.forbidden_calls);
  if (program.empty()) {
    report.reductions.emplace_back("there is no list of system calls for this processor: none is forbidden");
    return {};
  }
  const sock_fprog what{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  if (sys::seccomp(SECCOMP_SET_MODE_FILTER, 0, &what) == 0) {
    report.summary += ", seccomp";
    return {};
  }
  if (errno != ENOSYS && errno != EINVAL) return Error::from_errno(errno, "install the filter of system calls");
  report.reductions.push_back(
      fmt::format("this kernel filters no system calls ({}): none is forbidden", base::errno_name(errno)));
  return {};
}

Result<void> fence(std::vector<std::string> writable, RightsReport& report) {
  writable.insert(writable.end(), harmless_devices.begin(), harmless_devices.end());
  PERDURE_TRY(const rights::Fence fence, rights::fence_writing(writable));
  constexpr int abi_with_truncate = 3;
  if (fence.abi == 0) {
    report.reductions.push_back(
        fmt::format("this kernel has no Landlock ({}): writing is not fenced", base::errno_name(fence.why)));
    return {};
  }
  report.summary += fmt::format(", Landlock ABI {}", fence.abi);
  if (fence.abi < abi_with_truncate)
    report.reductions.push_back(fmt::format("Landlock ABI {}: truncate(2) is not fenced", fence.abi));
  return {};
}

}  // namespace

std::string_view sandbox_name(Sandbox sandbox) noexcept {
  switch (sandbox) {
    case Sandbox::None: return "None";
    case Sandbox::NetworkServer: return "NetworkServer";
    case Sandbox::SelfContained: return "SelfContained";
  }
  return "?";
}

bool RightsDrop::reduces_capabilities() const noexcept {
  return !wanted_.user.empty() || kept() != 0 || wanted_.sandbox != Sandbox::None;
}

std::uint64_t RightsDrop::kept() const noexcept {
  return rights::bits_of(wanted_.keep_caps) | rights::bits_of(wanted_.ambient_caps);
}

bool RightsDrop::is_asked_for() const noexcept {
  return reduces_capabilities() || identity_ != nullptr || !wanted_.chroot.empty() || wanted_.no_new_privs ||
         any(wanted_.limits) || any(wanted_.namespaces);
}

std::optional<uid_t> RightsDrop::new_user() const noexcept {
  if (identity_ == nullptr || identity_->user == ::geteuid()) return std::nullopt;
  return identity_->user;
}

Result<RightsDrop, RightsError> RightsDrop::prepare(const Rights& wanted) {
  RightsDrop drop;
  drop.wanted_ = wanted;
  for (const std::string& path : wanted.writable)
    if (!path.starts_with('/'))
      return wrong(fmt::format("cannot let {} be written: an absolute path is wanted", base::quote(path)));
  if (!wanted.chroot.empty() && !wanted.chroot.starts_with('/'))
    return wrong(fmt::format("cannot make {} the root directory: an absolute path is wanted", base::quote(wanted.chroot)));
  if (!wanted.user.empty() || !wanted.group.empty()) {
    auto identity = rights::look_up(wanted.user, wanted.group);
    if (!identity) {
      const bool is_unknown = identity.error().code() == ENOENT;
      return RightsError{std::move(identity).error(), is_unknown ? exit_configuration : exit_system};
    }
    drop.identity_ = std::make_shared<const rights::Identity>(*std::move(identity));
  }
  if (!drop.is_asked_for()) return drop;

  auto own = rights::effective_capabilities();
  if (!own) return RightsError{std::move(own).error(), exit_system};
  const auto lacks = [&](Capability capability) { return (*own & bit_of(capability)) == 0; };
  if (const rights::Identity* identity = drop.identity_.get()) {
    if (identity->user != ::geteuid() && lacks(Capability::Setuid))
      return may_not(fmt::format("become the user {}", base::escape(identity->user_name)), Capability::Setuid);
    if (identity->group != ::getegid() && lacks(Capability::Setgid))
      return may_not(fmt::format("become the group {}", base::escape(identity->group_name)), Capability::Setgid);
    if (identity->user != ::geteuid() && lacks(Capability::Setgid))
      return may_not(fmt::format("take on the groups of {}", base::escape(identity->user_name)), Capability::Setgid);
  }
  if (!wanted.chroot.empty() && lacks(Capability::SysChroot))
    return may_not(fmt::format("make {} the root directory", base::escape(wanted.chroot)), Capability::SysChroot);
  if (any(wanted.namespaces) && lacks(Capability::SysAdmin)) return may_not("make namespaces", Capability::SysAdmin);
  for (const auto* list : {&wanted.keep_caps, &wanted.ambient_caps})
    for (const Capability capability : *list)
      if (lacks(capability)) return may_not(fmt::format("keep {}", capability_name(capability)), capability);
  return drop;
}

Result<RightsDrop, RightsError> RightsDrop::prepare_successor(const Rights& wanted) {
  bool is_given_up = wanted.sandbox == Sandbox::None || sys::prctl(PR_GET_SECCOMP, 0) == SECCOMP_MODE_FILTER;
  if (!wanted.user.empty()) {
    const auto identity = rights::look_up(wanted.user, wanted.group);
    is_given_up = is_given_up && identity && identity->user == ::geteuid();
  } else if (wanted.sandbox == Sandbox::None) {
    is_given_up = false;  // nothing that could be seen from here
  }
  if (!is_given_up) return prepare(wanted);
  RightsDrop drop;
  drop.wanted_ = wanted;
  drop.is_inherited_ = true;
  return drop;
}

Result<bool> RightsDrop::make_directory(const std::string& directory) const {
  if (!new_user()) return false;
  if (sys::mkdir(directory.c_str(), directory_mode) != 0) {
    if (errno == EEXIST) return false;
    return Error::from_errno(errno, "create the directory", directory);
  }
  const auto failed = [&] {
    Error error = Error::from_errno(errno, fmt::format("give to {} the directory", identity_->user_name), directory);
    sys::rmdir(directory.c_str());
    return error;
  };
  const UniqueFd made{sys::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!made || sys::fchmod(made.get(), directory_mode) != 0) return failed();  // the umask
  if (sys::fchown(made.get(), identity_->user, identity_->group) != 0) return failed();
  return true;
}

Result<void> RightsDrop::give(const std::string& path) const {
  if (!new_user()) return {};
  const auto failed = [&] { return Error::from_errno(errno, fmt::format("give to {}", identity_->user_name), path); };
  const UniqueFd file{sys::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  struct stat status {};
  if (!file || sys::fstat(file.get(), &status) != 0) return failed();
  // A second name may be one that somebody put in our way: /etc/shadow.
  const bool is_ours = status.st_uid == ::geteuid() && status.st_nlink == 1;
  if (!is_ours || !(S_ISREG(status.st_mode) || S_ISSOCK(status.st_mode))) return {};
  if (sys::fchownat(file.get(), "", identity_->user, identity_->group, AT_EMPTY_PATH) != 0) return failed();
  return {};
}

Result<RightsReport> RightsDrop::carry_out(const std::vector<std::string>& writable) const {
  RightsReport report;
  if (!is_asked_for()) return report;
  const bool is_confined = reduces_capabilities();
  PERDURE_TRY(const std::uint64_t own, rights::effective_capabilities());
  if (is_inherited_) {
    report.summary = fmt::format("uid {}, {}, as its predecessor left it", ::geteuid(), rights::names_of(own));
    return report;
  }

  PERDURE_CHECK(set_limits(wanted_.limits));
  PERDURE_CHECK(leave_namespaces(wanted_.namespaces));
  if (!wanted_.chroot.empty()) PERDURE_CHECK(change_root(wanted_.chroot));

  if (is_confined && (own & bit_of(Capability::Setpcap)) != 0) {
    PERDURE_CHECK(rights::reduce_bounding_set(kept()));
  } else if (is_confined && own != 0) {
    report.reductions.emplace_back(
        "the bounding set of capabilities stays, for this process has no CAP_SETPCAP; no_new_privs stands in for it");
  }
  if (const rights::Identity* who = identity_.get()) {
    const bool sets_groups = (own & bit_of(Capability::Setgid)) != 0;  // else prepare() found that they need no change
    const std::string& name = who->user_name;
    if (kept() != 0 && sys::prctl(PR_SET_KEEPCAPS, 1) != 0)
      return Error::from_errno(errno, "keep capabilities as the user", name);
    if (sets_groups && sys::setgroups(who->groups.size(), who->groups.data()) != 0)
      return Error::from_errno(errno, "take on the groups of", name);
    if (sys::setresgid(who->group, who->group, who->group) != 0)
      return Error::from_errno(errno, "become the group", who->group_name);
    if (sys::setresuid(who->user, who->user, who->user) != 0) return Error::from_errno(errno, "become the user", name);
    PERDURE_CHECK(rights::prove_identity(*who, sets_groups ? rights::Groups::AsWanted : rights::Groups::AsFound));
    report.summary = fmt::format("user {}, group {}, ", name, who->group_name);
  }
  if (is_confined) {
    PERDURE_CHECK(rights::set_capabilities(kept(), rights::bits_of(wanted_.ambient_caps)));
    PERDURE_CHECK(rights::prove_no_way_back(kept()));
    report.summary += rights::names_of(kept());
  } else {
    report.summary += "capabilities as they were";
  }
  if (!wanted_.chroot.empty()) report.summary += fmt::format(", root directory {}", base::escape(wanted_.chroot));

  if ((is_confined || wanted_.no_new_privs) && sys::prctl(PR_SET_NO_NEW_PRIVS, 1) != 0)
    return Error::from_errno(errno, "forbid that programs gain rights");
  if (wanted_.sandbox != Sandbox::None) {
    report.summary += fmt::format(", sandbox {}", sandbox_name(wanted_.sandbox));
    std::vector<std::string> places{wanted_.writable};
    places.insert(places.end(), writable.begin(), writable.end());
    PERDURE_CHECK(fence(std::move(places), report));
    PERDURE_CHECK(filter_calls(wanted_, report));
  }
  return report;
}

}  // namespace perdure
