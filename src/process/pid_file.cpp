// Two rules carry everything here.
//
// 1. A lock belongs to an inode, and a path may come to name another one at any instant (each write() and remove() does
//    that). So a lock counts only when the path still names the locked inode *after* locking; who finds another one starts
//    again.
// 2. Questions (holder(), is_locked()) take a shared lock for an instant; an owner holds an exclusive one. So whoever is
//    refused the exclusive lock tries the shared one: if that is given, only questions stood in the way, and it asks again.
//
// flock(2) locks are shared by forked processes: LOCK_UN in one of them would unlock all. Where a lock may be shared it is
// therefore only ever closed.
#include "perdure/pid_file.hpp"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/random.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/process_identity.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

constexpr mode_t file_mode = 0644;
/// O_NONBLOCK: a FIFO that somebody put there must not stop us.
constexpr int safe_open = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
/// How often the file may be replaced between opening and locking it before we say so.
constexpr int lost_races_max = 1000;
/// How long questions may stand in the way of a start: each holds its lock for microseconds.
constexpr int reader_waits_max = 2000;
constexpr int reader_wait_ms = 1;
constexpr std::size_t content_max = 32;
constexpr std::string_view unchanged = "nothing was started";

Error refusal(const std::string& path, std::string_view why, int code = 0) {
  return Error{fmt::format("cannot lock {}: {}; {}", base::escape(path), why, unchanged), code};
}

enum class Named : std::uint8_t { ThisFile, AnotherOrNone, NobodyKnows };

/// Whether `path` names the file behind `fd`. On NobodyKnows errno says why.
Named what_path_names(int fd, const std::string& path) noexcept {
  struct stat opened {
  }, named{};
  if (sys::fstat(fd, &opened) != 0) return Named::NobodyKnows;
  if (sys::lstat(path.c_str(), &named) != 0) return errno == ENOENT ? Named::AnotherOrNone : Named::NobodyKnows;
  return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino ? Named::ThisFile : Named::AnotherOrNone;
}

Result<std::string> absolute(std::string path) {
  if (path.empty()) return Error{"cannot lock a PID file without a name; nothing was started"};
  if (path.find('\0') != std::string::npos) return refusal(path, "the name contains a NUL");
  if (path.front() == '/') return path;
  // Relative paths mean the directory of now, not that of a detached process.
  auto from_here = os::absolute_path(path);
  if (!from_here) return std::move(from_here).error().with_advice(unchanged);
  return from_here;
}

Result<void> check_directory(const std::string& path) {
  const std::string directory = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
  struct stat status {};
  if (sys::stat(directory.c_str(), &status) != 0)
    return Error::from_errno(errno, "look at the directory of", path).with_advice(unchanged);
  if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0)
    return refusal(path, fmt::format("everybody may replace files in {}, which has no sticky bit", base::escape(directory)))
        .with_advice("choose a directory that only its owner may write to");
  return {};
}

Result<void> check_file(const std::string& path, const struct stat& status, std::optional<uid_t> also_of) {
  if (S_ISLNK(status.st_mode)) return refusal(path, "it is a symbolic link", ELOOP);
  if (S_ISDIR(status.st_mode)) return refusal(path, "it is a directory", EISDIR);
  if (!S_ISREG(status.st_mode)) return refusal(path, "it is not a regular file");
  if (status.st_uid != ::geteuid() && status.st_uid != 0 && status.st_uid != also_of)
    return refusal(path, fmt::format("it belongs to the user with the number {}", status.st_uid), EPERM);
  if (status.st_nlink > 1) return refusal(path, "it has a second name (hard link)");
  return {};
}

/// The file, made where it is missing. Empty where it came or went meanwhile: look again.
Result<UniqueFd> open_or_create(const std::string& path, std::optional<uid_t> also_of) {
  struct stat status {};
  if (sys::lstat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) return Error::from_errno(errno, "look at", path).with_advice(unchanged);
    UniqueFd file{sys::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | safe_open, file_mode)};
    if (!file && errno == EEXIST) return UniqueFd{};
    if (!file) return Error::from_errno(errno, "create", path).with_advice(unchanged);
    if (sys::fchmod(file.get(), file_mode) != 0) {
      Error error = Error::from_errno(errno, "set the mode of", path);
      // Only under its lock: another start may have found the new file meanwhile, and be running with it.
      if (sys::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && what_path_names(file.get(), path) == Named::ThisFile)
        sys::unlink(path.c_str());
      return std::move(error).with_advice(unchanged);
    }
    return file;
  }
  // Before opening it, because opening a device or a FIFO can have effects; and after it, because it may have been replaced.
  PERDURE_CHECK(check_file(path, status, also_of));
  UniqueFd file{sys::open(path.c_str(), O_RDWR | safe_open)};
  if (!file && errno == ENOENT) return UniqueFd{};
  if (!file) return Error::from_errno(errno, "open", path).with_advice(unchanged);
  if (sys::fstat(file.get(), &status) != 0) return Error::from_errno(errno, "look at", path).with_advice(unchanged);
  PERDURE_CHECK(check_file(path, status, also_of));
  return file;
}

enum class Lock : std::uint8_t { Ours, Theirs };

Result<Lock> take_lock(int fd, const std::string& path) {
  for (int waits = 0; waits < reader_waits_max; ++waits) {
    if (sys::flock(fd, LOCK_EX | LOCK_NB) == 0) return Lock::Ours;
    if (errno != EWOULDBLOCK) return Error::from_errno(errno, "lock", path).with_advice(unchanged);
    if (sys::flock(fd, LOCK_SH | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return Lock::Theirs;
      return Error::from_errno(errno, "lock", path).with_advice(unchanged);
    }
    sys::flock(fd, LOCK_UN);  // this descriptor was opened a moment ago: nobody shares it
    sys::poll(nullptr, 0, reader_wait_ms);
  }
  return refusal(path, "other processes keep shared locks on it (EWOULDBLOCK)", EWOULDBLOCK);
}

std::optional<pid_t> read_pid(int fd) {
  std::array<char, content_max> content{};
  const ssize_t size = sys::pread(fd, content.data(), content.size(), 0);
  if (size < 2) return std::nullopt;
  const std::string_view text{content.data(), static_cast<std::size_t>(size)};
  if (text.back() != '\n') return std::nullopt;
  const auto pid = base::parse_number<pid_t>(text.substr(0, text.size() - 1));
  // Between taking the lock and the first write() the file still names whoever was there before.
  return pid && is_alive(*pid) ? pid : std::nullopt;
}

/// The file if somebody else holds its lock now.
UniqueFd open_if_locked(const std::string& path) {
  for (int races = 0; races < lost_races_max; ++races) {
    UniqueFd file{sys::open(path.c_str(), O_RDONLY | safe_open)};
    struct stat status {};
    if (!file || sys::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    if (sys::flock(file.get(), LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK ? std::move(file) : UniqueFd{};
    // An unlocked file that is no longer at the path was replaced by its owner: the lock is on the new one.
    if (what_path_names(file.get(), path) != Named::AnotherOrNone) return {};
  }
  return {};
}

/// A new, locked file beside `path` that goes away unless it is published.
class Draft {
 public:
  /// `path` outlives it.
  static Result<Draft> make(const std::string& path);
  Draft(Draft&& other) noexcept : path_(other.path_), name_(std::exchange(other.name_, {})), file_(std::move(other.file_)) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    if (!name_.empty()) sys::unlink(name_.c_str());
  }

  Result<void> fill(std::string_view text);
  Result<UniqueFd> publish();

 private:
  Draft(const std::string& path, std::string name, UniqueFd file)
      : path_(path), name_(std::move(name)), file_(std::move(file)) {}
  const std::string& path_;  ///< what it is to become, and what errors are about: nobody has heard of the draft's own name
  std::string name_;
  UniqueFd file_;
};

Result<Draft> Draft::make(const std::string& path) {
  std::string name = fmt::format("{}.pid-{}", std::string_view{path}.substr(0, path.rfind('/') + 1), os::random_name());
  UniqueFd file{sys::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | safe_open, file_mode)};
  if (!file) return Error::from_errno(errno, "create a file beside", path);
  return Draft{path, std::move(name), std::move(file)};
}

Result<void> Draft::fill(std::string_view text) {
  if (sys::fchmod(file_.get(), file_mode) != 0) return Error::from_errno(errno, "set the mode of", path_);
  if (sys::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) return Error::from_errno(errno, "lock", path_);
  const ssize_t written = sys::write(file_.get(), text.data(), text.size());
  if (written < 0) return Error::from_errno(errno, "write", path_);
  if (static_cast<std::size_t>(written) != text.size()) return Error::from_errno(ENOSPC, "write", path_);
  return {};
}

// Not flushed to disk: after a crash of the machine the content means nothing, and any content lets the next start through.
Result<UniqueFd> Draft::publish() {
  if (sys::rename(name_.c_str(), path_.c_str()) != 0) return Error::from_errno(errno, "replace", path_);
  name_.clear();
  return std::move(file_);
}

}  // namespace

PidFileError PidFileError::already_running(const std::string& path, std::optional<pid_t> holder) {
  const std::string who = holder ? fmt::format("another instance runs as pid {}", *holder) : "another instance runs";
  PidFileError error{refusal(path, who + " (EWOULDBLOCK)", EWOULDBLOCK)};
  error.already_running_ = true;
  error.holder_ = holder;
  return error;
}

int PidFileError::exit_code() const noexcept {
  if (already_running_) return exit_already_running;
  return code() == EACCES || code() == EPERM ? exit_rights : exit_cannot_create;
}

Result<PidFile, PidFileError> PidFile::acquire(std::string given_path, std::optional<uid_t> also_of) {
  auto path = absolute(std::move(given_path));
  if (!path) return PidFileError{std::move(path).error()};
  if (auto directory = check_directory(*path); !directory) return PidFileError{std::move(directory).error()};

  for (int races = 0; races < lost_races_max; ++races) {
    auto file = open_or_create(*path, also_of);
    if (!file) return PidFileError{std::move(file).error()};
    if (!*file) continue;
    const auto lock = take_lock(file->get(), *path);
    if (!lock) return PidFileError{lock.error()};
    switch (what_path_names(file->get(), *path)) {
      case Named::ThisFile:
        if (*lock == Lock::Theirs) return PidFileError::already_running(*path, read_pid(file->get()));
        return PidFile{std::move(*path), std::move(*file)};
      case Named::AnotherOrNone: continue;
      case Named::NobodyKnows: return PidFileError{Error::from_errno(errno, "look at", *path).with_advice(unchanged)};
    }
  }
  return PidFileError{refusal(*path, "it is replaced again and again")};
}

std::optional<pid_t> PidFile::holder(const std::string& path) {
  const UniqueFd file = open_if_locked(path);
  return file ? read_pid(file.get()) : std::nullopt;
}

bool PidFile::is_locked(const std::string& path) { return static_cast<bool>(open_if_locked(path)); }

PidFile::PidFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)), owner_(::getpid()) {}

PidFile::PidFile(PidFile&&) noexcept = default;

PidFile& PidFile::operator=(PidFile&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::move(other.path_);
  fd_ = std::move(other.fd_);
  owner_ = other.owner_;
  return *this;
}

PidFile::~PidFile() { remove(); }

PidFile PidFile::handed_over(std::string path, UniqueFd lock) {
  PidFile file{std::move(path), std::move(lock)};
  file.owner_ = 0;
  return file;
}

Result<void> PidFile::write() { return write_for(::getpid()); }

Result<void> PidFile::write_for(pid_t pid) {
  if (!fd_) return Error{fmt::format("cannot write {}: this process gave up its lock", base::escape(path_)), EBADF};
  switch (what_path_names(fd_.get(), path_)) {
    case Named::ThisFile: break;
    case Named::AnotherOrNone:
      return Error{fmt::format("cannot write {}: it was removed or replaced after it was locked (ESTALE); "
                               "another instance may run",
                               base::escape(path_)),
                   ESTALE};
    case Named::NobodyKnows: return Error::from_errno(errno, "look at", path_);
  }
  PERDURE_TRY(Draft draft, Draft::make(path_));
  PERDURE_CHECK(draft.fill(fmt::format("{}\n", pid)));
  PERDURE_TRY(UniqueFd published, draft.publish());
  fd_ = std::move(published);  // closes the old file only now: the path never named an unlocked one
  owner_ = ::getpid();
  return {};
}

void PidFile::adopt() noexcept { owner_ = ::getpid(); }

void PidFile::remove() noexcept {
  if (fd_ && owner_ == ::getpid() && what_path_names(fd_.get(), path_) == Named::ThisFile) sys::unlink(path_.c_str());
  fd_.reset();
}

}  // namespace perdure
