#include "os/file.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/text.hpp"
#include "os/random.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::os {
namespace {

constexpr std::size_t block_size = 16384;
constexpr std::size_t block_size_min = 512;
constexpr int temporary_names_max = 8;  // random ones: more than one is taken only by somebody who wants us to fail

constexpr std::string_view unchanged = "nothing was changed";

// A path with a NUL inside would name another file to the kernel than to our caller.
Result<void> check_path(const std::string& path, std::string_view attempt) {
  std::string_view problem;
  if (path.empty()) problem = "the path is empty";
  if (path.find('\0') != std::string::npos) problem = "the path contains a NUL byte";
  if (problem.empty()) return {};
  return Error{"cannot " + std::string{attempt} + " " + base::quote(path) + ": " + std::string{problem}, EINVAL};
}

Error cannot_read(const std::string& path, const std::string& cause, int code) {
  return Error{"cannot read " + base::escape(path) + ": " + cause, code};
}

std::string_view kind_of(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFIFO: return "a FIFO";
    case S_IFCHR: return "a character device";
    case S_IFBLK: return "a block device";
    case S_IFSOCK: return "a socket";
    default: return "something else";
  }
}

Error too_large(const std::string& path, std::size_t max_bytes) {
  return cannot_read(path, "it is larger than the " + std::to_string(max_bytes) + " bytes that are accepted (EFBIG)", EFBIG);
}

/// A file that goes away again unless it takes the place it was made for.
class TemporaryFile {
 public:
  static Result<TemporaryFile> in_directory_of(const std::string& path) {
    const std::string prefix = path.substr(0, path.find_last_of('/') + 1) + ".perdure-";
    for (int attempt = 0; attempt < temporary_names_max; ++attempt) {
      std::string name = prefix + random_name() + ".tmp";
      UniqueFd file{sys::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
      if (file) return TemporaryFile{std::move(name), std::move(file)};
      if (errno != EEXIST) break;
    }
    return Error::from_errno(errno, "create a file beside", path).with_advice(unchanged);
  }
  TemporaryFile(TemporaryFile&& other) noexcept : name_(std::exchange(other.name_, {})), file_(std::move(other.file_)) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (name_.empty()) return;
    const int error = errno;
    sys::unlink(name_.c_str());
    errno = error;
  }

  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  /// Some file systems report only at the close that there was no room.
  int close() noexcept { return sys::close(file_.release()); }
  int rename_to(const std::string& path) noexcept {
    const int result = sys::rename(name_.c_str(), path.c_str());
    if (result == 0) name_.clear();
    return result;
  }

 private:
  TemporaryFile(std::string name, UniqueFd file) : name_(std::move(name)), file_(std::move(file)) {}
  std::string name_;
  UniqueFd file_;
};

int sync_directory(const std::string& directory) noexcept {
  const UniqueFd fd{sys::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return fd ? sys::fsync(fd.get()) : -1;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes, Links links) {
  PERDURE_CHECK(check_path(path, "read"));
  // Without O_NONBLOCK, opening a FIFO waits for a writer; without O_NOCTTY, opening a terminal may make it ours.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (links == Links::Refuse ? O_NOFOLLOW : 0);
  const UniqueFd file{sys::open(path.c_str(), flags)};
  if (!file) {
    if (errno == ELOOP && links == Links::Refuse) {
      return cannot_read(path, "it is a symbolic link, and those are not followed here (ELOOP)", ELOOP);
    }
    return Error::from_errno(errno, "read", path);
  }
  struct stat status {};
  if (sys::fstat(file.get(), &status) != 0) return Error::from_errno(errno, "read", path);
  if (S_ISDIR(status.st_mode)) return Error::from_errno(EISDIR, "read", path);
  if (!S_ISREG(status.st_mode)) {
    return cannot_read(path, "it is " + std::string{kind_of(status.st_mode)} + ", and only a regular file is accepted", 0);
  }
  if (std::cmp_greater(status.st_size, max_bytes)) return too_large(path, max_bytes);

  // Read to the end whatever the size says: in /proc it is 0, and a file may grow meanwhile. Where the size is true and less was
  // there than asked for, that is the end, and no second read has to say so.
  const auto size = static_cast<std::size_t>(status.st_size);
  const std::size_t block = size == 0 ? block_size : std::clamp(size, block_size_min, block_size);
  std::string content;
  for (;;) {
    const std::size_t before = content.size();
    const std::size_t wanted = std::min(block, max_bytes - before) + 1;  // the one more tells that there is more
    content.resize(before + wanted);
    const ssize_t count = sys::read(file.get(), content.data() + before, wanted);
    if (count < 0) return Error::from_errno(errno, "read", path);
    content.resize(before + static_cast<std::size_t>(count));
    const bool is_whole = content.size() == size && std::cmp_less(count, wanted);
    if (count == 0 || is_whole) return content;
    if (content.size() > max_bytes) return too_large(path, max_bytes);
  }
}

Result<void> write_file_atomically(const std::string& path, std::string_view content, mode_t mode, Sync sync) {
  PERDURE_CHECK(check_path(path, "write"));
  PERDURE_TRY(TemporaryFile file, TemporaryFile::in_directory_of(path));
  const auto failed = [&] { return Error::from_errno(errno, "write", path).with_advice(unchanged); };
  if (sys::fchmod(file.fd(), mode) != 0) return failed();
  if (auto written = write_all(file.fd(), content, path); !written) return std::move(written).error().with_advice(unchanged);
  if (sync == Sync::Yes && sys::fsync(file.fd()) != 0) return failed();
  if (file.close() != 0) return failed();
  if (file.rename_to(path) != 0) return Error::from_errno(errno, "replace", path).with_advice(unchanged);
  if (sync == Sync::Yes && sync_directory(directory_of(path)) != 0) {
    return Error::from_errno(errno, "make safe against a power cut", path).with_advice("its new content is in place");
  }
  return {};
}

Result<void> write_all(int fd, std::string_view bytes, std::string_view object) {
  while (!bytes.empty()) {
    const ssize_t count = sys::write(fd, bytes.data(), bytes.size());
    if (count <= 0) return Error::from_errno(count == 0 ? EIO : errno, "write", object);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> check_directory_is_safe(const std::string& path) {
  PERDURE_CHECK(check_path(path, "use the directory"));
  const auto refused = [&](const std::string& cause) {
    return Error{"cannot use the directory " + base::escape(path) + ": " + cause, EPERM};
  };
  struct stat status {};
  if (sys::stat(path.c_str(), &status) != 0) return Error::from_errno(errno, "use the directory", path);
  if (!S_ISDIR(status.st_mode)) return Error::from_errno(ENOTDIR, "use the directory", path);
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    return refused("it belongs to the user with uid " + std::to_string(status.st_uid) +
                   ", who could replace what we put there; choose one that belongs to root or to the daemon's user");
  }
  if ((status.st_mode & S_ISVTX) != 0) return {};
  if ((status.st_mode & S_IWOTH) != 0) {
    return refused(
        "every user may write in it and it has no sticky bit, so anybody could replace what we put there; take that "
        "right away with chmod o-w, or choose another directory");
  }
  const bool group_is_ours = status.st_gid == 0 || status.st_gid == ::getegid();
  if ((status.st_mode & S_IWGRP) != 0 && !group_is_ours) {
    return refused(
        "the group with gid " + std::to_string(status.st_gid) +
        " may write in it and it has no sticky bit, so a member could replace what we put there; take that right away "
        "with chmod g-w, or choose another directory");
  }
  return {};
}

Result<std::string> absolute_path(std::string_view path) {
  PERDURE_CHECK(check_path(std::string{path}, "make absolute"));
  if (path.front() == '/') return std::string{path};
  while (path.starts_with("./")) {
    path.remove_prefix(2);
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  }
  char* const current = ::getcwd(nullptr, 0);
  if (current == nullptr) return Error::from_errno(errno, "find the current directory for", path);
  std::string absolute{current};
  std::free(current);
  if (absolute.back() != '/') absolute += '/';
  return absolute.append(path);
}

std::string directory_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos) return ".";
  return std::string{path.substr(0, std::max<std::size_t>(slash, 1))};
}

}  // namespace perdure::os
