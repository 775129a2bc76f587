#include "supervisor/accounts.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "os/file.hpp"

namespace perdure::supervisor {
namespace {

constexpr std::size_t file_bytes_max = std::size_t{16} << 20;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// A whole number in decimal and nothing else: 0x10, 007 and -1 are names, and none that exist. The highest number means "no id" to
/// the kernel.
std::optional<std::uint32_t> id_of(std::string_view word) {
  if (word.size() > 1 && word.front() == '0') return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || error != std::errc{} || end != word.data() + word.size() || value == 0xffffffffU) return std::nullopt;
  return value;
}

/// A minimal container may have neither file: then nobody has a name.
Result<std::string> read_list(const std::string& path) {
  auto text = os::read_file(path, file_bytes_max);
  if (!text && text.error().code() == ENOENT) return std::string{};
  return text;
}

}  // namespace

Result<Accounts> Accounts::read(const std::string& passwd, const std::string& group) {
  PERDURE_TRY(const std::string users, read_list(passwd));
  Accounts accounts;
  for (const std::string_view line : split(users, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 7 || fields[0].empty()) continue;
    const auto uid = id_of(fields[2]);
    const auto gid = id_of(fields[3]);
    if (!uid || !gid) continue;
    accounts.users_.push_back({*uid, *gid, std::string{fields[0]}, std::string{fields[5]}, std::string{fields[6]}});
  }
  PERDURE_TRY(const std::string groups, read_list(group));
  for (const std::string_view line : split(groups, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4 || fields[0].empty()) continue;
    const auto gid = id_of(fields[2]);
    if (!gid) continue;
    Group entry{std::string{fields[0]}, *gid, {}};
    for (const std::string_view member : split(fields[3], ',')) {
      if (!member.empty()) entry.members.emplace_back(member);
    }
    accounts.groups_.push_back(std::move(entry));
  }
  return accounts;
}

Result<User> Accounts::user(std::string_view word) const {
  const auto number = id_of(word);
  for (const User& user : users_) {
    if (number ? user.uid == *number : user.name == word) return user;
  }
  if (number) return User{*number, *number, {}, "/", "/bin/sh"};
  return Error{"User=" + std::string{word} + ": no such user in /etc/passwd (ESRCH)", ESRCH};
}

Result<gid_t> Accounts::group(std::string_view word) const {
  const auto number = id_of(word);
  if (number) return gid_t{*number};
  for (const Group& group : groups_) {
    if (group.name == word) return group.gid;
  }
  return Error{"Group=" + std::string{word} + ": no such group in /etc/group (ESRCH)", ESRCH};
}

std::vector<gid_t> Accounts::groups_of(const User& user) const {
  std::vector<gid_t> found{user.gid};
  for (const Group& group : groups_) {
    if (!user.name.empty() && std::find(group.members.begin(), group.members.end(), user.name) != group.members.end()) {
      found.push_back(group.gid);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace perdure::supervisor
