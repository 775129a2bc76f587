#include "supervisor/safe_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr mode_t part_mode = 0755;
constexpr int directory_flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

Error failed(int error, std::string_view attempt, std::string_view name) {
  return Error::from_errno(error, attempt, std::string{name});
}

/// The directory `name` of `parent`, which is no link and, within a tree, nothing mounted.
int open_directory(int parent, const char* name, int flags, bool within_tree) noexcept {
  const std::uint64_t resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | (within_tree ? RESOLVE_NO_XDEV : 0);
  const int fd = sys::openat2(parent, name, flags | directory_flags, 0, resolve);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
  // A container's filter may not know openat2(2). One name without "/" is as safe by openat(2), but for what is mounted on it.
  const int plain = sys::openat(parent, name, flags | directory_flags);
  struct stat above {};
  struct stat here {};
  if (plain < 0 || !within_tree) return plain;
  if (sys::fstat(parent, &above) == 0 && sys::fstat(plain, &here) == 0 && above.st_dev == here.st_dev) return plain;
  sys::close(plain);
  errno = EXDEV;
  return -1;
}

/// What stands in the way of opening a directory, told apart: a link is ELOOP, whichever call found it.
Error why_not_opened(int parent, const std::string& name, int error) {
  struct stat status {};
  if ((error == ENOTDIR || error == ELOOP) && sys::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISLNK(status.st_mode))
    return Error{base::quote(name) + " is a symbolic link, which may lead anywhere (ELOOP)", ELOOP};
  return failed(error, "open", name);
}

Result<UniqueFd> step_into(int parent, const std::string& name, MissingParts missing) {
  int fd = open_directory(parent, name.c_str(), O_PATH, false);
  if (fd < 0 && errno == ENOENT && missing == MissingParts::Make) {
    if (sys::mkdirat(parent, name.c_str(), part_mode) != 0 && errno != EEXIST) return failed(errno, "make", name);
    fd = open_directory(parent, name.c_str(), O_PATH, false);
  }
  if (fd < 0) return why_not_opened(parent, name, errno);
  return UniqueFd{fd};
}

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using Listing = std::unique_ptr<DIR, CloseDirectory>;

bool is_dots(std::string_view name) noexcept { return name == "." || name == ".."; }

/// One walk through a tree, with what is left of its allowance.
class Walk {
 public:
  /// `directory`: owned from now on, opened for reading.
  Result<void> give(UniqueFd directory, uid_t user, gid_t group, std::size_t depth) {
    const int own = directory.get();
    PERDURE_TRY(const Listing list, listing(std::move(directory), depth));
    PERDURE_TRY(bool has_next, next(list));
    for (; has_next;) {
      PERDURE_CHECK(give_entry(own, user, group, depth));
      PERDURE_TRY(has_next, next(list));
    }
    if (sys::fchownat(own, "", user, group, AT_EMPTY_PATH) != 0) return failed(errno, "change the owner of", "a directory");
    return {};
  }

  Result<void> clear(UniqueFd directory, std::size_t depth) {
    const int own = directory.get();
    PERDURE_TRY(const Listing list, listing(std::move(directory), depth));
    PERDURE_TRY(bool has_next, next(list));
    for (; has_next;) {
      const std::string name = name_;
      if (sys::unlinkat(own, name.c_str(), 0) != 0 && errno != ENOENT) {
        if (errno != EISDIR && errno != EPERM) return failed(errno, "remove", name);
        UniqueFd below{open_directory(own, name.c_str(), O_RDONLY, true)};
        if (!below) return failed(errno, "remove", name);
        PERDURE_CHECK(clear(std::move(below), depth + 1));
        if (sys::unlinkat(own, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return failed(errno, "remove", name);
      }
      PERDURE_TRY(has_next, next(list));
    }
    return {};
  }

 private:
  static Result<Listing> listing(UniqueFd directory, std::size_t depth) {
    if (depth > tree_depth_max)
      return Error{"there are directories more than " + std::to_string(tree_depth_max) + " deep (E2BIG)", E2BIG};
    DIR* const opened = sys::fdopendir(directory.get());
    if (opened == nullptr) return failed(errno, "read", "a directory");
    static_cast<void>(directory.release());  // the listing's now
    return Listing{opened};
  }
  /// Puts the next name into name_.
  Result<bool> next(const Listing& list) {
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(list.get());
      if (entry == nullptr && errno != 0) return failed(errno, "read", "a directory");
      if (entry == nullptr) return false;
      if (is_dots(entry->d_name)) continue;
      if (++entries_ > tree_entries_max)
        return Error{"there are more than " + std::to_string(tree_entries_max) + " files (E2BIG)", E2BIG};
      name_ = entry->d_name;
      return true;
    }
  }
  Result<void> give_entry(int parent, uid_t user, gid_t group, std::size_t depth) {
    const std::string name = name_;
    const UniqueFd entry{sys::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    if (!entry && errno == ENOENT) return {};
    struct stat status {};
    if (!entry || sys::fstat(entry.get(), &status) != 0) return failed(errno, "look at", name);
    if (S_ISDIR(status.st_mode)) {
      UniqueFd below{open_directory(parent, name.c_str(), O_RDONLY, true)};
      if (!below && errno == EXDEV) return {};  // somebody mounted it, who decides whose it is
      if (!below) return failed(errno, "open", name);
      return give(std::move(below), user, group, depth + 1);
    }
    if (status.st_uid == user && status.st_gid == group) return {};
    if (S_ISREG(status.st_mode) && status.st_nlink > 1) {
      return Error{base::quote(name) +
                       " has a second name, under which it may be somebody else's (EMLINK); remove it, or change "
                       "its owner by hand",
                   EMLINK};
    }
    if (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode))
      return Error{base::quote(name) + " is a device, which no service is given (EPERM); remove it", EPERM};
    if (sys::fchownat(entry.get(), "", user, group, AT_EMPTY_PATH) != 0) return failed(errno, "change the owner of", name);
    return {};
  }

  std::size_t entries_ = 0;
  std::string name_{};
};

}  // namespace

Result<UniqueFd> open_base(const std::string& path, MissingParts missing) {
  UniqueFd base{sys::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (base || errno != ENOENT || missing == MissingParts::Refuse)
    return base ? Result<UniqueFd>{std::move(base)} : failed(errno, "open", path);
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    if (sys::mkdir(path.substr(0, at).c_str(), part_mode) != 0 && errno != EEXIST) return failed(errno, "make", path);
  }
  base.reset(sys::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return failed(errno, "open", path);
  return base;
}

Result<UniqueFd> open_below(int base, std::string_view name, MissingParts missing) {
  UniqueFd directory{sys::openat(base, ".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!directory) return failed(errno, "open", name);
  while (!name.empty()) {
    const std::size_t end = std::min(name.find('/'), name.size());
    const std::string part{name.substr(0, end)};
    name.remove_prefix(std::min(end + 1, name.size()));
    if (part.empty()) continue;
    if (is_dots(part)) return Error{base::quote(part) + " may be no part of a directory's name (EINVAL)", EINVAL};
    PERDURE_TRY(directory, step_into(directory.get(), part, missing));
  }
  return directory;
}

Result<void> give_tree(int directory, uid_t user, gid_t group) {
  UniqueFd readable{sys::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!readable) return failed(errno, "read", "a directory");
  return Walk{}.give(std::move(readable), user, group, 0);
}

Result<void> remove_tree(int parent, const std::string& name) {
  UniqueFd directory{open_directory(parent, name.c_str(), O_RDONLY, true)};
  if (!directory && errno == ENOENT) return {};
  if (!directory) return why_not_opened(parent, name, errno);
  PERDURE_CHECK(Walk{}.clear(std::move(directory), 0));
  if (sys::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return failed(errno, "remove", name);
  return {};
}

}  // namespace perdure::supervisor
