#include "perdure/rotating_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "logbook/rotation_schedule.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure {
namespace {

constexpr unsigned backups_max = 1000;
constexpr int create_attempts_max = 8;

struct Opened {
  UniqueFd fd;
  std::uint64_t size;
  std::chrono::system_clock::time_point last_written;
};

std::string_view kind_of(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFLNK: return "a symbolic link";
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a FIFO";
    case S_IFSOCK: return "a socket";
    case S_IFCHR:
    case S_IFBLK: return "a device";
    default: return "no regular file";
  }
}

Error refused(const std::string& path, mode_t mode, int code) {
  return Error{
      fmt::format("cannot use {} as a log file: it is {}, not a regular file; nothing was written, choose another path",
                  base::escape(path), kind_of(mode)),
      code};
}

// Says what is in the way where open(2) only has an errno: a link (ELOOP), a directory (EISDIR), a FIFO or socket (ENXIO).
Error open_error(const std::string& path, int code) {
  struct stat status {};
  if (os::sys::lstat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) return refused(path, status.st_mode, code);
  return Error::from_errno(code, "open the log file", path);
}

// Opening and creating are apart, because only the creator sets the mode: somebody's chmod of a log is to last. Between the
// two another process may create or remove the file, hence the attempts.
Result<UniqueFd> open_or_create(const std::string& path, mode_t mode) {
  // O_NONBLOCK: opening a FIFO must not wait for a reader.
  constexpr int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  for (int attempt = 1;; ++attempt) {
    if (UniqueFd fd{os::sys::open(path.c_str(), flags)}) return fd;
    if (errno != ENOENT) return open_error(path, errno);
    if (UniqueFd fd{os::sys::open(path.c_str(), flags | O_CREAT | O_EXCL, mode)}) {
      // A file system without modes may refuse; the umask has then made it stricter than asked, never more open.
      (void)os::sys::fchmod(fd.get(), mode);
      return fd;
    }
    if (errno != EEXIST || attempt == create_attempts_max) return open_error(path, errno);
  }
}

Result<Opened> open_regular(const std::string& path, mode_t mode) {
  PERDURE_TRY(UniqueFd fd, open_or_create(path, mode));
  struct stat status {};
  if (os::sys::fstat(fd.get(), &status) != 0) return Error::from_errno(errno, "look at the log file", path);
  if (!S_ISREG(status.st_mode)) return refused(path, status.st_mode, EINVAL);
  return Opened{std::move(fd), static_cast<std::uint64_t>(status.st_size),
                std::chrono::system_clock::from_time_t(status.st_mtim.tv_sec)};
}

bool is_same_file(const struct stat& a, const struct stat& b) noexcept {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Error rename_error(const std::string& from, const std::string& to) {
  return Error::from_errno(errno, "rename", from + " to " + to).with_advice("the log goes on in the old file, which grows");
}

}  // namespace

RotatingFile::RotatingFile(RotatingFileOptions options, UniqueFd fd, std::uint64_t size)
    : options_(std::move(options)), fd_(std::move(fd)), size_(size) {}
RotatingFile::RotatingFile(RotatingFile&&) noexcept = default;
RotatingFile& RotatingFile::operator=(RotatingFile&&) noexcept = default;
RotatingFile::~RotatingFile() = default;

Result<RotatingFile> RotatingFile::open(RotatingFileOptions options) {
  if (options.path.empty()) return Error{"cannot open a log file: its path is empty", EINVAL};
  if (options.path.find('\0') != std::string::npos) {
    return Error{fmt::format("cannot open the log file {}: its path has a NUL byte in it", base::escape(options.path)),
                 EINVAL};
  }
  if (options.backups > backups_max) {
    return Error{fmt::format("cannot keep {} old files of {}: {} is the most", options.backups, base::escape(options.path),
                             backups_max),
                 EINVAL};
  }
  PERDURE_TRY(options.path, os::absolute_path(options.path));
  PERDURE_TRY(Opened opened, open_regular(options.path, options.mode));
  const RotateEvery every = options.rotate_every;
  RotatingFile file{std::move(options), std::move(opened.fd), opened.size};
  if (every != RotateEvery::Never) file.schedule_ = std::make_unique<logbook::RotationSchedule>(every, opened.last_written);
  return file;
}

Result<void> RotatingFile::write(std::string_view bytes, std::chrono::system_clock::time_point now) {
  if (schedule_ && schedule_->take_due(now)) is_of_yesterday_ = true;
  if (is_of_yesterday_ && size_ == 0) is_of_yesterday_ = false;
  if (is_of_yesterday_) rotate_by_itself();
  // After a write that a full disk cut short, this one would be glued to the half line.
  static constexpr char newline = '\n';
  std::size_t prefix = ends_torn_ ? 1 : 0;
  while (prefix + bytes.size() > 0) {
    const iovec parts[] = {{const_cast<char*>(&newline), prefix}, {const_cast<char*>(bytes.data()), bytes.size()}};
    const ssize_t result =
        prefix > 0 ? os::sys::writev(fd_.get(), parts, 2) : os::sys::write(fd_.get(), bytes.data(), bytes.size());
    if (result <= 0) {
      const Error error = Error::from_errno(result < 0 ? errno : EIO, "write to the log file", options_.path);
      lost_bytes_ += bytes.size();
      return error;
    }
    const auto written = static_cast<std::size_t>(result);
    size_ += written;
    bytes.remove_prefix(written - prefix);
    prefix = 0;
    ends_torn_ = !bytes.empty();
  }
  if (options_.max_bytes > 0 && size_ > options_.max_bytes) rotate_by_itself();
  return {};
}

void RotatingFile::rotate_by_itself() {
  auto rotated = rotate();
  if (rotated) {
    rotation_failure_.reset();
  } else {
    rotation_failure_ = std::move(rotated).error();
  }
}

Result<void> RotatingFile::rotate() {
  struct stat ours {};
  struct stat at_path {};
  if (os::sys::fstat(fd_.get(), &ours) != 0) return Error::from_errno(errno, "look at the log file", options_.path);
  const bool is_in_place = os::sys::lstat(options_.path.c_str(), &at_path) == 0 && is_same_file(ours, at_path);
  // Else: moved or removed by somebody else, or by an earlier rotation of ours that could not open a fresh one.
  if (is_in_place) PERDURE_CHECK(move_away());
  return reopen();
}

// Stops at the first failure: renaming on would put one old file over another.
Result<void> RotatingFile::move_away() const {
  const std::string& path = options_.path;
  if (options_.backups == 0) {
    if (os::sys::unlink(path.c_str()) != 0) return Error::from_errno(errno, "remove the full log file", path);
    return {};
  }
  for (unsigned number = options_.backups; number > 1; --number) {
    const std::string from = fmt::format("{}.{}", path, number - 1);
    const std::string to = fmt::format("{}.{}", path, number);
    if (os::sys::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) return rename_error(from, to);
  }
  const std::string newest = path + ".1";
  if (os::sys::rename(path.c_str(), newest.c_str()) != 0) return rename_error(path, newest);
  return {};
}

Result<void> RotatingFile::reopen() {
  auto opened = open_regular(options_.path, options_.mode);
  if (!opened) return std::move(opened).error().with_advice("the log goes on in the old file");
  adopt(std::move(opened->fd), opened->size);
  return {};
}

void RotatingFile::adopt(UniqueFd fd, std::uint64_t size) noexcept {
  struct stat ours {};
  const bool is_known = os::sys::fstat(fd_.get(), &ours) == 0;
  for (const int standard : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat theirs {};
    if (is_known && os::sys::fstat(standard, &theirs) == 0 && is_same_file(ours, theirs)) {
      (void)os::sys::dup2(fd.get(), standard);
    }
  }
  fd_ = std::move(fd);
  size_ = size;
  ends_torn_ = false;
  is_of_yesterday_ = false;
}

}  // namespace perdure
