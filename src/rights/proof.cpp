#include "rights/proof.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include <fmt/format.h>

#include "os/system.hpp"
#include "rights/capabilities.hpp"

namespace perdure::rights {

namespace sys = os::sys;

namespace {

Error not_gone(std::string_view what) { return Error{fmt::format("cannot give up rights: {}", what), EPERM}; }

std::vector<gid_t> current_groups() {
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  groups.resize(static_cast<std::size_t>(std::max(0, ::getgroups(static_cast<int>(groups.size()), groups.data()))));
  return groups;
}

std::vector<gid_t> sorted(std::vector<gid_t> groups) {
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

}  // namespace

Result<void> prove_identity(const Identity& identity, Groups groups) {
  uid_t user = 0, effective_user = 0, saved_user = 0;
  gid_t group = 0, effective_group = 0, saved_group = 0;
  if (::getresuid(&user, &effective_user, &saved_user) != 0 || ::getresgid(&group, &effective_group, &saved_group) != 0)
    return Error::from_errno(errno, "ask who this process is");
  const uid_t wanted_user = identity.user;
  const gid_t wanted_group = identity.group;
  if (user != wanted_user || effective_user != wanted_user || saved_user != wanted_user)
    return not_gone(fmt::format("the user is {}/{}/{} and not {}", user, effective_user, saved_user, wanted_user));
  if (group != wanted_group || effective_group != wanted_group || saved_group != wanted_group)
    return not_gone(fmt::format("the group is {}/{}/{} and not {}", group, effective_group, saved_group, wanted_group));
  if (groups == Groups::AsWanted && sorted(current_groups()) != sorted(identity.groups))
    return not_gone(fmt::format("the supplementary groups are not those of {}", identity.user_name));
  return {};
}

Result<void> prove_no_way_back(std::uint64_t kept) {
  sys::CapabilitySets sets;
  if (sys::capget(&sets) != 0) return Error::from_errno(errno, "read the capabilities of this process");
  if (sets.permitted != kept || sets.effective != kept)
    return not_gone(
        fmt::format("this process has {} and not {}", names_of(sets.permitted | sets.effective), names_of(kept)));
  const bool is_root = ::geteuid() == 0;
  if (!is_root && (kept & bit_of(Capability::Setuid)) == 0 && sys::setuid(0) == 0)
    return not_gone("setuid(0) made this process root again");
  if ((kept & bit_of(Capability::Setgid)) == 0 && sys::setgroups(0, nullptr) == 0)
    return not_gone("setgroups(2) still changes the groups");
  return {};
}

}  // namespace perdure::rights
