#include "client/instance_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "wire/keeper_message.hpp"

namespace perdure::client {
namespace {
namespace sys = os::sys;

constexpr std::size_t text_max = 4608;  // a pid and a path

/// Who wrote the file of a lock: "PID\n", and in other directories than the runtime directory that one's path, "PATH\n".
struct Holder {
  pid_t pid = 0;  ///< 0: it does not say
  std::string runtime{};
};

Holder written_holder(int lock) {
  std::array<char, text_max> bytes{};
  const ssize_t size = sys::pread(lock, bytes.data(), bytes.size(), 0);
  std::string_view text{bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
  Holder holder;
  const std::size_t end = text.find('\n');
  holder.pid = base::parse_number<pid_t>(base::trim(text.substr(0, end))).value_or(0);
  if (end == std::string_view::npos) return holder;
  text.remove_prefix(end + 1);
  holder.runtime = std::string{text.substr(0, text.find('\n'))};
  return holder;
}

/// The lock's file, locked unless somebody else has it.
struct Attempt {
  UniqueFd file{};
  bool is_held_by_other = false;
};

Result<Attempt> try_lock(const std::string& path) {
  const auto failed = [&](std::string_view attempt) {
    return Error::from_errno(errno, attempt, path).with_advice("nothing was started");
  };
  Attempt lock{UniqueFd{sys::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600)}};
  if (!lock.file) return failed("open the lock");
  struct stat status {};
  if (sys::fstat(lock.file.get(), &status) != 0) return failed("look at the lock");
  if (!S_ISREG(status.st_mode)) {
    return Error{fmt::format("cannot lock {}: it is no regular file; remove it; nothing was started", base::escape(path))};
  }
  if (sys::flock(lock.file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock");
    lock.is_held_by_other = true;
  }
  return lock;
}

Result<void> sign(const UniqueFd& lock, const std::string& path, const std::string& text) {
  if (sys::ftruncate(lock.get(), 0) != 0)
    return Error::from_errno(errno, "write our pid into", path).with_advice("nothing was started");
  return os::write_all(lock.get(), text, path);
}

/// `which`: "state" or "log".
Result<UniqueFd> take_directory_lock(std::string_view which, const std::string& directory, const std::string& runtime) {
  const std::string path = directory + "/lock";
  PERDURE_TRY(Attempt lock, try_lock(path));
  if (lock.is_held_by_other) {
    const Holder holder = written_holder(lock.file.get());
    return Error{
        fmt::format("cannot start: the {} directory {} is in use by {}{}; use --{}-dir=DIR to name another; nothing "
                    "was started",
                    which, base::escape(directory),
                    holder.runtime.empty()
                        ? "another instance"
                        : fmt::format("the instance with runtime directory {}", base::escape(holder.runtime)),
                    holder.pid > 0 ? fmt::format(" (keeper PID {})", holder.pid) : "", which),
        EWOULDBLOCK};
  }
  PERDURE_CHECK(sign(lock.file, path, fmt::format("{}\n{}\n", ::getpid(), runtime)));
  return std::move(lock.file);
}

bool is_same_directory(const std::string& one, const std::string& other) {
  struct stat a {
  }, b{};
  return sys::stat(one.c_str(), &a) == 0 && sys::stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

}  // namespace

Result<UniqueFd> take_instance_lock(const std::string& path) {
  PERDURE_TRY(Attempt lock, try_lock(path));
  if (lock.is_held_by_other) {
    const pid_t holder = written_holder(lock.file.get()).pid;
    return Error{fmt::format("already running{}: {} is locked; nothing was started; ask it with \"perdure status\", or run "
                             "another one beside it with --runtime-dir",
                             holder > 0 ? fmt::format(" (pid {})", holder) : "", base::escape(path)),
                 EWOULDBLOCK};
  }
  PERDURE_CHECK(sign(lock.file, path, fmt::format("{}\n", ::getpid())));
  return std::move(lock.file);
}

Result<DirectoryLocks> take_directory_locks(const Places& places) {
  DirectoryLocks locks;
  if (!is_same_directory(places.state, places.runtime)) {
    PERDURE_TRY(locks.state, take_directory_lock("state", places.state, places.runtime));
  }
  if (!is_same_directory(places.log, places.runtime) && !is_same_directory(places.log, places.state)) {
    PERDURE_TRY(locks.log, take_directory_lock("log", places.log, places.runtime));
  }
  return locks;
}

bool wake_keeper(const std::string& lock_path) {
  const UniqueFd lock{sys::open(lock_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)};
  if (!lock) return false;
  const pid_t pid = written_holder(lock.get()).pid;
  if (pid < 1) return false;
  // In this order: whoever the descriptor means is who has the lock open, or it has ended and gets no signal.
  const UniqueFd keeper{sys::pidfd_open(pid, 0)};
  struct stat own {
  }, its{};
  const std::string held = fmt::format("/proc/{}/fd/{}", pid, wire::keeper::instance_lock_fd);
  if (!keeper || sys::fstat(lock.get(), &own) != 0 || sys::stat(held.c_str(), &its) != 0) return false;
  if (own.st_dev != its.st_dev || own.st_ino != its.st_ino) return false;
  return sys::pidfd_send_signal(keeper.get(), SIGCONT) == 0;
}

}  // namespace perdure::client
