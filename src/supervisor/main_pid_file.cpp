#include "supervisor/main_pid_file.hpp"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr int links_max = 32;
constexpr std::size_t parts_max = 1024;
constexpr std::size_t bytes_max = 128;
constexpr pid_t pid_max = 4'194'304;  // PID_MAX_LIMIT of linux/threads.h
constexpr std::size_t shown_max = 40;

struct Node {
  UniqueFd fd;
  struct stat status {};
};

Result<Node> look_at(int parent, const std::string& name) {
  Node node;
  node.fd.reset(sys::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!node.fd || sys::fstat(node.fd.get(), &node.status) != 0) return Error::from_errno(errno, "open", name);
  return node;
}

/// As CHASE_SAFE of systemd: who is not root, nor we, must not lead to what belongs to another one.
Result<void> check_step(const struct stat& from, const struct stat& to, const std::string& name) {
  if (from.st_uid == 0 || from.st_uid == ::geteuid() || from.st_uid == to.st_uid) return {};
  return Error{fmt::format("{} belongs to uid {}, and the way to it to uid {}, who could have chosen it (EPERM)",
                           base::quote(name), to.st_uid, from.st_uid),
               EPERM};
}

/// The file at the end of all links, and the directory that has it under `name`.
struct Found {
  Node directory;
  std::string name;
  struct stat status {};
};

Result<Found> walk(const std::string& path) {
  std::string rest = path;
  PERDURE_TRY(Node directory, look_at(AT_FDCWD, "/"));
  struct stat previous = directory.status;
  int links = 0;
  for (std::size_t parts = 0; parts < parts_max; ++parts) {
    const std::size_t begin = std::min(rest.find_first_not_of('/'), rest.size());
    const std::size_t end = std::min(rest.find('/', begin), rest.size());
    const std::string part = rest.substr(begin, end - begin);
    rest.erase(0, end);
    if (part.empty()) return Error::from_errno(EISDIR, "read", path);
    PERDURE_TRY(Node node, look_at(directory.fd.get(), part));
    PERDURE_CHECK(check_step(previous, node.status, part));
    previous = node.status;
    if (S_ISLNK(node.status.st_mode)) {
      std::array<char, PATH_MAX> target{};
      const ssize_t size = sys::readlinkat(node.fd.get(), "", target.data(), target.size());
      if (size < 0) return Error::from_errno(errno, "read the link", part);
      if (++links > links_max || static_cast<std::size_t>(size) + rest.size() >= PATH_MAX)
        return Error::from_errno(ELOOP, "follow", part);
      rest.insert(0, std::string_view{target.data(), static_cast<std::size_t>(size)});
      if (rest.starts_with('/')) {
        PERDURE_TRY(directory, look_at(AT_FDCWD, "/"));
      }
      continue;
    }
    if (rest.find_first_not_of('/') == std::string::npos) return Found{std::move(directory), part, node.status};
    if (!S_ISDIR(node.status.st_mode)) return Error::from_errno(ENOTDIR, "open", part);
    directory = std::move(node);
  }
  return Error::from_errno(ENAMETOOLONG, "open", path);
}

Result<pid_t> number_in(std::string_view text) {
  const std::string_view line = base::trim(text.substr(0, text.find('\n')));
  if (line.empty()) return Error{"it is empty (ENODATA)", ENODATA};
  const auto number = base::parse_number<std::int64_t>(line);
  const bool is_plain = std::all_of(line.begin(), line.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_plain || !number || *number <= 1 || *number > pid_max) {
    return Error{fmt::format("it holds {} and not the number of a process (EINVAL)", base::quote(line.substr(0, shown_max))),
                 EINVAL};
  }
  return static_cast<pid_t>(*number);
}

Result<pid_t> read_claim(const std::string& path) {
  if (!path.starts_with('/') || path.size() >= PATH_MAX) return Error{"it is no absolute path (EINVAL)", EINVAL};
  PERDURE_TRY(const Found found, walk(path));
  const UniqueFd file{
      sys::openat(found.directory.fd.get(), found.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
  struct stat status {};
  if (!file || sys::fstat(file.get(), &status) != 0) return Error::from_errno(errno, "open", found.name);
  if (status.st_dev != found.status.st_dev || status.st_ino != found.status.st_ino)
    return Error{"it was replaced while it was read (EAGAIN)", EAGAIN};
  if (!S_ISREG(status.st_mode)) return Error{"it is no regular file (EINVAL)", EINVAL};
  std::array<char, bytes_max> bytes{};
  const ssize_t count = sys::read(file.get(), bytes.data(), bytes.size());
  if (count < 0) return Error::from_errno(errno, "read", found.name);
  const std::string_view text{bytes.data(), static_cast<std::size_t>(count)};
  if (text.size() == bytes.size() && text.find('\n') == std::string_view::npos)
    return Error{fmt::format("its first line is longer than {} bytes (EFBIG)", bytes.size()), EFBIG};
  return number_in(text);
}

}  // namespace

Result<pid_t> read_pid_file(const std::string& path) {
  Result<pid_t> claim = read_claim(path);
  if (!claim) return Error{"PIDFile=" + base::escape(path) + ": " + claim.error().message(), claim.error().code()};
  return claim;
}

}  // namespace perdure::supervisor
