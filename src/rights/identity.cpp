#include "rights/identity.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::rights {
namespace {

constexpr std::size_t entry_bytes_max = std::size_t{1} << 20;
constexpr int groups_max = 65536;  // NGROUPS_MAX of the kernel

/// getpwnam_r(3) says "nobody has this name" in two ways: no entry and 0, or one of these.
bool means_unknown(int code) noexcept {
  return code == 0 || code == ENOENT || code == ESRCH || code == EBADF || code == EPERM;
}

/// A number as people write it: no sign, no zeros in front, and not the one that means "unchanged" to setresuid(2).
std::optional<unsigned> plain_number(const std::string& text) {
  const auto number = base::parse_number<unsigned>(text);
  return number && *number != static_cast<unsigned>(-1) && std::to_string(*number) == text ? number : std::nullopt;
}

Error unknown(std::string_view what, const std::string& name) {
  return Error{fmt::format("there is no {} {}", what, base::quote(name)), ENOENT};
}

/// Calls `ask` (one of the getXXnam_r family) with a buffer that is large enough. An empty answer: nobody has this name.
template <class Entry, class Ask>
Result<std::optional<Entry>> entry_of(std::string_view what, const std::string& name, std::vector<char>& buffer, Ask ask) {
  Entry entry{};
  Entry* found = nullptr;
  int code = ERANGE;
  for (buffer.resize(1024); code == ERANGE && buffer.size() < entry_bytes_max; buffer.resize(buffer.size() * 2)) {
    do code = ask(&entry, buffer.data(), buffer.size(), &found);
    while (code == EINTR);
    if (code != ERANGE) break;
  }
  if (found != nullptr) return std::optional<Entry>{entry};
  if (means_unknown(code)) return std::optional<Entry>{};
  return Error::from_errno(code, fmt::format("look up the {}", what), name);
}

std::vector<gid_t> groups_of(const char* name, gid_t group) {
  std::vector<gid_t> groups(32);
  auto count = static_cast<int>(groups.size());
  while (::getgrouplist(name, group, groups.data(), &count) < 0 && count <= groups_max)
    groups.resize(static_cast<std::size_t>(count = std::max(count, static_cast<int>(groups.size()) * 2)));
  groups.resize(static_cast<std::size_t>(std::min(count, static_cast<int>(groups.size()))));
  return groups;
}

}  // namespace

Result<Identity> look_up(const std::string& user, const std::string& group) {
  Identity identity{.user = ::geteuid(), .group = ::getegid()};
  std::vector<char> buffer;
  std::string account;  // the name that groups are listed under; "" for a number without an entry
  if (!user.empty()) {
    PERDURE_TRY(std::optional<passwd> entry,
                entry_of<passwd>("user", user, buffer, [&](auto... place) { return ::getpwnam_r(user.c_str(), place...); }));
    const auto number = plain_number(user);
    if (!entry && number) {
      PERDURE_TRY(entry,
                  entry_of<passwd>("user", user, buffer, [&](auto... place) { return ::getpwuid_r(*number, place...); }));
    }
    if (entry) {
      identity.user = entry->pw_uid;
      identity.group = entry->pw_gid;
      account = entry->pw_name;
    } else if (number) {
      if (group.empty())
        return Error{fmt::format("there is no user {}, so that a group has to be named, too", base::quote(user)), ENOENT};
      identity.user = *number;
    } else {
      return unknown("user", user);
    }
  }
  if (!group.empty()) {
    PERDURE_TRY(const auto entry, entry_of<::group>("group", group, buffer,
                                                    [&](auto... place) { return ::getgrnam_r(group.c_str(), place...); }));
    const auto number = plain_number(group);
    if (!entry && !number) return unknown("group", group);
    identity.group = entry ? entry->gr_gid : *number;
  }
  identity.user_name = user.empty() ? std::to_string(identity.user) : user;
  identity.group_name = group.empty() ? std::to_string(identity.group) : group;
  identity.groups = account.empty() ? std::vector<gid_t>{identity.group} : groups_of(account.c_str(), identity.group);
  return identity;
}

}  // namespace perdure::rights
