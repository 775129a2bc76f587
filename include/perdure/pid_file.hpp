// PidFile: at most one instance, and where it runs.
//
// The lock (flock(2)) is the truth; the number in the file is information for people and scripts, never used by us to decide
// whom to signal. Each content is a new file that is locked and then renamed over the old one, so a reader never sees a
// partial number; nothing is ever truncated. A file left by a crash, an empty one or garbage never blocks a start.
// Deliberately left out: kill(pid, 0) as a lock, O_EXCL, fcntl record locks (any close in the process drops them).
// Thread safety: as a plain value. Fork: a child inherits the lock; it stays held until every process that inherited it has
// closed it, and only the process that called acquire(), adopt() or write() last
// removes the file. Signal safety: none.
//
//     auto lock = perdure::PidFile::acquire("/run/thermod.pid");       // before detaching, so that a refusal is seen
//     if (!lock) { fmt::print(stderr, "{}\n", lock.error().message()); return lock.error().exit_code(); }
//     … detach …
//     lock->write();                                                   // the pid of this process
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "perdure/export.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

/// Why a PID file could not be taken. "Already running" is told apart from failures of the file system.
class PERDURE_EXPORT PidFileError : public Error {
 public:
  explicit PidFileError(Error error) : Error(std::move(error)) {}
  static PidFileError already_running(const std::string& path, std::optional<pid_t> holder);

  /// True where another process holds the lock.
  [[nodiscard]] bool is_already_running() const noexcept { return already_running_; }
  /// What the other instance wrote into the file, where it is the number of a living process: information, unproven.
  [[nodiscard]] std::optional<pid_t> holder() const noexcept { return holder_; }
  /// 75 (already running), 77 (rights) or 73 (the file cannot be made): see exit_code.hpp.
  [[nodiscard]] int exit_code() const noexcept;

 private:
  bool already_running_ = false;
  std::optional<pid_t> holder_;
};

class PERDURE_EXPORT PidFile {
 public:
  /// Takes the lock; waits for nobody but those who just ask (holder()). A relative path is made absolute.
  /// The file is made (mode 0644 whatever the umask) where it is missing; its content is not touched before write().
  ///
  /// Refused: a path that is a symbolic link, not a regular file, not ours or hard-linked elsewhere; a directory that others
  /// may write to and that has no sticky bit. Nothing is changed in any of these cases.
  /// `also_of`: a user whose file is as good as ours: whom a daemon became, and who has left it behind.
  static Result<PidFile, PidFileError> acquire(std::string path, std::optional<uid_t> also_of = std::nullopt);

  /// The pid that the lock's holder wrote, if somebody holds the lock now and the number names a living process.
  /// Information: between this answer and its use the holder may be gone. Never blocks on a FIFO, never follows a symbolic
  /// link, reads 32 bytes at most. Takes a shared lock for an instant, which acquire() tells from an owner's: asking never
  /// stops a start.
  static std::optional<pid_t> holder(const std::string& path);
  /// True if somebody holds the lock now, whatever the content.
  static bool is_locked(const std::string& path);

  /// A lock that another process took at `path`, an absolute one, and handed over with its descriptor. The file stays that
  /// process's until adopt() or write().
  static PidFile handed_over(std::string path, UniqueFd lock);

  PidFile(PidFile&&) noexcept;
  PidFile& operator=(PidFile&&) noexcept;
  /// remove()s the file when this process owns it, else only closes.
  ~PidFile();

  /// Publishes the calling process's pid ("812\n", mode 0644) and makes it the file's owner.
  /// On failure: the old content and the lock stay. Refused where somebody removed or replaced the locked file (ESTALE).
  Result<void> write();
  /// The same with the pid of a successor, which gets a copy of fd() and adopt()s the file. Until abandon() it is ours to remove.
  Result<void> write_for(pid_t pid);
  /// Makes the calling process, which has the lock through fork(2), the file's owner before it can write() its pid.
  void adopt() noexcept;
  /// Unlinks the file under the lock, then unlocks; where the directory refuses, the file stays, unlocked.
  /// A process that is not the owner only closes its copy.
  void remove() noexcept;
  /// Closes this process's copy; the file and, where another process has a copy, the lock stay.
  void abandon() noexcept { fd_.reset(); }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// The descriptor that carries the lock; close-on-exec.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  PidFile(std::string path, UniqueFd fd);
  std::string path_;
  UniqueFd fd_;
  pid_t owner_;
};

}  // namespace perdure
