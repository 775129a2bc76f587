#include "supervisor/accounts.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/text.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

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

std::optional<User> user_of_line(std::string_view line) {
  const auto fields = split(line, ':');
  if (fields.size() < 7 || fields[0].empty()) return std::nullopt;
  const auto uid = id_of(fields[2]);
  const auto gid = id_of(fields[3]);
  if (!uid || !gid) return std::nullopt;
  return User{*uid, *gid, std::string{fields[0]}, std::string{fields[5]}, std::string{fields[6]}};
}

/// A name that may be asked for: no option of getent(1), no other line of its answer.
bool is_askable(std::string_view word) {
  constexpr std::size_t bytes_max = 256;
  return !word.empty() && word.size() <= bytes_max && word.front() != '-' && word.find_first_of(":\n/ ") == word.npos;
}

}  // namespace

Accounts::Version Accounts::version_of(const std::string& path) {
  struct stat status {};
  if (os::sys::stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino, status.st_size,
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

Result<Accounts> Accounts::read(const std::string& passwd, const std::string& group) {
  Accounts accounts;
  accounts.passwd_ = passwd;
  accounts.group_ = group;
  // Before the content: a change in between is then seen by the next look.
  accounts.passwd_version_ = version_of(passwd);
  accounts.group_version_ = version_of(group);
  PERDURE_TRY(const std::string users, read_list(passwd));
  for (const std::string_view line : split(users, '\n')) {
    if (auto user = user_of_line(line)) accounts.users_.push_back(*std::move(user));
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

Result<bool> Accounts::refresh() {
  if (version_of(passwd_) == passwd_version_ && version_of(group_) == group_version_) return false;
  PERDURE_TRY(Accounts fresh, read(passwd_, group_));
  fresh.ask_ = ask_;
  fresh.may_wait_ = may_wait_;
  fresh.last_asked_ = last_asked_;
  fresh.generation_ = generation_ + 1;
  *this = std::move(fresh);  // what the name service said is forgotten: an entry of the files counts more
  return true;
}

Result<std::string> Accounts::ask(const std::string& database, std::string_view key) const {
  if (ask_ == nullptr || !is_askable(key)) return Error{"there is no such entry (ESRCH)", ESRCH};
  ++generation_;  // also where the answer is remembered: it may be another one by the time somebody compares
  const base::Instant now = os::monotonic_now();
  const std::string question = database + ' ' + std::string{key};
  if (const auto known = answers_.find(question); known != answers_.end()) {
    if (now - known->second.asked < name_service_memory) return known->second.line;
    answers_.erase(known);
  }
  if (last_asked_ != base::Instant{}) {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_asked_);
    may_wait_ = std::min(name_service_wait_max, may_wait_ + since);
  }
  Result<std::string> line =
      may_wait_.count() > 0 ? ask_(database, std::string{key}, may_wait_)
                            : Result<std::string>{Error{"the name service did not answer in time (ETIMEDOUT)", ETIMEDOUT}};
  last_asked_ = os::monotonic_now();
  may_wait_ -= std::min(may_wait_, std::chrono::ceil<std::chrono::milliseconds>(last_asked_ - now));
  constexpr std::size_t answers_max = 1024;
  if (answers_.size() >= answers_max) answers_.clear();
  answers_.insert_or_assign(question, Answer{line, last_asked_});
  return line;
}

Error Accounts::no_such(std::string_view directive, std::string_view word, std::string_view what,
                        const Error& answer) const {
  std::string text = std::string{directive} + std::string{word} + ": no such " + std::string{what};
  if (ask_ == nullptr || answer.code() == ESRCH)
    return Error{text + (ask_ == nullptr ? " (ESRCH)" : ", and the name service has none (ESRCH)"), ESRCH};
  return Error{text + ", and " + answer.message(), answer.code()};
}

Result<User> Accounts::user(std::string_view word) const {
  const auto number = id_of(word);
  for (const User& user : users_) {
    if (number ? user.uid == *number : user.name == word) return user;
  }
  if (number) return User{*number, *number, {}, "/", "/bin/sh"};
  const auto line = ask("passwd", word);
  if (line) {
    auto user = user_of_line(*line);
    if (user && user->name == word) {
      user->is_from_name_service = true;
      return *std::move(user);
    }
    return no_such("User=", word, "user in " + passwd_, Error{"what the name service answers is no entry (EINVAL)", EINVAL});
  }
  return no_such("User=", word, "user in " + passwd_, line.error());
}

Result<gid_t> Accounts::group(std::string_view word, std::string_view directive) const {
  const auto number = id_of(word);
  if (number) return gid_t{*number};
  for (const Group& group : groups_) {
    if (group.name == word) return group.gid;
  }
  const auto line = ask("group", word);
  if (line) {
    const auto fields = split(*line, ':');
    const auto gid = fields.size() >= 3 && fields[0] == word ? id_of(fields[2]) : std::nullopt;
    if (gid) return gid_t{*gid};
    return no_such(directive, word, "group in " + group_,
                   Error{"what the name service answers is no entry (EINVAL)", EINVAL});
  }
  return no_such(directive, word, "group in " + group_, line.error());
}

std::vector<gid_t> Accounts::groups_of(const User& user) const {
  std::vector<gid_t> found{user.gid};
  for (const Group& group : groups_) {
    if (!user.name.empty() && std::find(group.members.begin(), group.members.end(), user.name) != group.members.end()) {
      found.push_back(group.gid);
    }
  }
  if (user.is_from_name_service) {
    // "alice  1000 27 50": without an answer, the user is in fewer groups, and has no right more for it.
    const auto line = ask("initgroups", user.name);
    const std::string text = line.value_or(std::string{});
    const std::vector<std::string_view> words = base::words(text);
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (const auto gid = id_of(words[i])) found.push_back(*gid);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace perdure::supervisor
