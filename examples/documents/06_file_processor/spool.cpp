#include "spool.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using perdure::Error;
using perdure::Result;
using perdure::UniqueFd;

constexpr std::size_t watched_max = 10'000;  // files not yet complete; more have to wait
constexpr std::string_view hidden_prefix = ".file_processor.";

std::string hidden_in(const std::string& directory, unsigned worker) {
  return directory + "/" + std::string{hidden_prefix} + std::to_string(worker);
}

/// Calls `visit` with each name until it returns false. A directory that cannot be read is an empty one.
template <class Visit>
void for_each_name(const std::string& directory, Visit visit) {
  std::error_code error;
  for (fs::directory_iterator entry{directory, error}, end; !error && entry != end; entry.increment(error))
    if (!visit(entry->path().filename().string())) return;
}

/// What the kernel knows of: a read lease is not granted while somebody has the file open for writing (fcntl(2)). It asks
/// for our own file, or CAP_LEASE; where it is refused for another reason, the file's rest has to do.
bool has_writer(const std::string& path) {
  const UniqueFd file{open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  if (!file || fcntl(file.get(), F_SETSIG, SIGURG) != 0) return false;  // a signal that nobody minds, if the lease is broken
  if (fcntl(file.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  fcntl(file.get(), F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace

Result<void> Spool::prepare() {
  const auto& [input, claimed, output, processed, failed] = directories_;
  for (const std::string& directory : {input, claimed, output, processed, failed}) {
    std::error_code error;
    if (fs::create_directories(directory, error) && directory == claimed) lock_.reset();
    if (error) return Error::from_errno(error.value(), "make directory", directory);
  }
  if (lock_) return {};
  lock_.reset(open(claimed.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_ || flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    lock_.reset();
    return Error::from_errno(code, "lock", claimed).with_advice("another process works on it");
  }
  for (const std::string& directory : {claimed, output, processed, failed})
    for_each_name(directory, [&](const std::string& name) {
      if (name.starts_with(hidden_prefix)) unlink((directory + "/" + name).c_str());  // what a crash left half written
      return true;
    });
  return {};
}

Result<void> Spool::claim(std::chrono::milliseconds settle, Clock::time_point now) {
  Result<void> result;
  std::map<std::string, Seen> seen;
  for_each_name(directories_.input, [&](const std::string& name) {
    const std::string path = input_path(name);
    struct stat status {};
    if (name.starts_with('.') || lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return true;
    const Stamp stamp{static_cast<std::int64_t>(status.st_ino), status.st_size, status.st_ctim.tv_sec,
                      status.st_ctim.tv_nsec};
    const auto last = seen_.find(name);
    const Seen file{stamp, last != seen_.end() && last->second.stamp == stamp ? last->second.since : now};
    // One that is claimed is an older file of this name, not yet done.
    const bool may_be_claimed = now - file.since >= settle && !is_claimed(name) && !has_writer(path);
    if (!may_be_claimed) return seen.emplace(name, file), seen.size() < watched_max;
    if (auto moved = move_file({path, directories_.claimed + "/" + name, hidden_in(directories_.claimed, 0)}); !moved)
      result = moved;
    return true;
  });
  seen_ = std::move(seen);
  return result;
}

bool Spool::is_claimed(const std::string& name) const {
  return access((directories_.claimed + "/" + name).c_str(), F_OK) == 0;
}

bool Spool::offer_to(Jobs& jobs) const {
  bool room = true;
  for_each_name(directories_.claimed,
                [&](const std::string& name) { return room = name.starts_with('.') || jobs.offer(name); });
  return room;
}

Result<void, Fault> Spool::process(const std::string& name, unsigned worker, const Transform& line,
                                   const std::function<bool()>& go_on) const {
  const auto& [input, claimed, output, processed, failed] = directories_;
  const std::string from = claimed + "/" + name;
  auto done = transform({from, output + "/" + name, hidden_in(output, worker)}, line, go_on);
  if (!done && done.error().of != Fault::Of::Input) return done;
  const std::string& aside = done ? processed : failed;
  const auto moved = move_file({from, aside + "/" + name, hidden_in(aside, worker)});
  if (!moved) return Fault{Fault::Of::Rest, moved.error()};
  return done;
}
