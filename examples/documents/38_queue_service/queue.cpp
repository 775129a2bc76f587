#include "queue.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <utility>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace {

using perdure::UniqueFd;

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view blanks = " \r\t";
  const auto first = line.find_first_not_of(blanks);
  return first == line.npos ? "" : line.substr(first, line.find_last_not_of(blanks) + 1 - first);
}

/// Whether somebody has the file open for writing. A read lease is granted only where nobody has (fcntl(2)).
enum class Writers { None, Some, Unknown };
Writers writers_of(int read_only_fd) {
  // Should somebody open it while the lease is held, we hear of it by this signal, whose default is to be ignored.
  if (fcntl(read_only_fd, F_SETSIG, SIGURG) != 0) return Writers::Unknown;
  if (fcntl(read_only_fd, F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN ? Writers::Some : Writers::Unknown;
  fcntl(read_only_fd, F_SETLEASE, F_UNLCK);
  return Writers::None;
}

void report(QueueFile::Round& round, const char* attempt, const std::string& path, const char* advice) {
  round.problem = perdure::Error::from_errno(errno, attempt, path).with_advice(advice).message();
}

}  // namespace

QueueFile::Round QueueFile::drain(const Work& work) {
  Round round;
  for (unsigned slot = 0; slot < slots_max; ++slot)
    if (work_off(slot, work, round) == Outcome::Stopped) return round;
  for (unsigned slot = 0; slot < slots_max; ++slot) {
    if (access(slot_path(slot).c_str(), F_OK) == 0) continue;
    if (take(slot, round)) work_off(slot, work, round);
    return round;
  }
  if (access(path_.c_str(), F_OK) == 0)
    round.problem = "cannot take " + path_ + ": programs keep those taken before open for writing; it waits";
  return round;
}

bool QueueFile::take(unsigned slot, Round& round) {
  // Opened first: what we may not read, write or should not touch stays where it is.
  const UniqueFd file{open(path_.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0) {
    if (errno != ENOENT) report(round, "open queue file", path_, "it stays as it is");
    return false;
  }
  if (!S_ISREG(status.st_mode)) {
    round.problem = "cannot take " + path_ + ": it is not a regular file; it stays as it is";
    return false;
  }
  const bool nothing_new = status.st_ino == kept_inode_ && status.st_size == kept_size_;
  if (status.st_size == 0 || nothing_new) return false;
  if (rename(path_.c_str(), slot_path(slot).c_str()) != 0) {
    if (errno != ENOENT) report(round, "take queue file", path_, "it stays as it is");
    return false;
  }
  slots_[slot] = {};
  return true;
}

QueueFile::Outcome QueueFile::work_off(unsigned slot, const Work& work, Round& round) {
  Outcome outcome = Outcome::LookAgain;
  for (int look = 0; look < 4 && outcome == Outcome::LookAgain; ++look) outcome = do_lines(slot, work, round);
  return outcome;
}

/// Does the complete lines of a private file, then gives the file up if that is all.
QueueFile::Outcome QueueFile::do_lines(unsigned slot, const Work& work, Round& round) {
  const std::string path = slot_path(slot);
  off_t& done = slots_[slot].done;
  UniqueFd file{open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  if (!file) {
    if (errno == ENOENT) return Outcome::Finished;
    report(round, "open taken queue file", path, "its jobs wait");
    return Outcome::Pending;
  }
  std::string buffer(job_bytes_max, '\0');
  std::string line;
  bool too_long = false;
  const auto extend = [&](std::string_view bytes) {
    too_long = too_long || line.size() + bytes.size() > job_bytes_max;
    if (!too_long) line += bytes;
  };
  off_t at = done;
  ssize_t count = 0;
  for (; (count = pread(file.get(), buffer.data(), buffer.size(), at)) > 0; at += count) {
    std::string_view rest{buffer.data(), static_cast<std::size_t>(count)};
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      extend(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      const off_t from = std::exchange(done, at + count - static_cast<off_t>(rest.size()));
      const std::string job{trimmed(std::exchange(line, {}))};
      if (std::exchange(too_long, false)) {
        round.problem = "a job in " + path_ + " is longer than " + std::to_string(job_bytes_max) + " bytes; it was skipped";
      } else if (!job.empty()) {
        const bool go_on = work(job);
        ++round.jobs;
        const std::string blank(static_cast<std::size_t>(done - from), '\n');
        if (pwrite(file.get(), blank.data(), blank.size(), from) < 0)
          report(round, "mark jobs as done in", path, "a crash before it is removed would repeat them");
        if (!go_on) return Outcome::Stopped;
      }
    }
    extend(rest);
  }
  if (count < 0) {
    report(round, "read taken queue file", path, "its jobs wait");
    return Outcome::Pending;
  }
  file.reset();  // or we would count as a writer ourselves
  return give_up(slot, at, too_long || !trimmed(line).empty(), round);
}

/// What happens to a private file whose complete lines up to `reached` are done.
QueueFile::Outcome QueueFile::give_up(unsigned slot, off_t reached, bool incomplete_line, Round& round) {
  const std::string path = slot_path(slot);
  const UniqueFd file{open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  struct stat status {};
  if (!file) return Outcome::Pending;
  const Writers writers = writers_of(file.get());
  if (writers == Writers::Some || fstat(file.get(), &status) != 0) return Outcome::Pending;
  // From here on nobody can add anything: the writers are gone and the name is ours.
  const off_t seen = std::exchange(slots_[slot].seen, status.st_size);
  if (writers == Writers::Unknown && seen != status.st_size) return Outcome::Pending;  // quiet for a whole round, then
  if (status.st_size > reached) return Outcome::LookAgain;
  if (incomplete_line) {
    kept_inode_ = status.st_ino;
    kept_size_ = status.st_size;
    return put_back(slot, round);
  }
  if (unlink(path.c_str()) != 0) {
    report(round, "remove", path, "its jobs are done");
    return Outcome::Pending;
  }
  slots_[slot] = {};
  return Outcome::Finished;
}

/// An incomplete line goes back to where its writer looks for it.
QueueFile::Outcome QueueFile::put_back(unsigned slot, Round& round) {
  const std::string path = slot_path(slot);
  slots_[slot] = {};
  if (renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) return Outcome::Finished;
  // A new file has come meanwhile: it is taken in exchange.
  if (errno == EEXIST && renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0)
    return Outcome::LookAgain;
  report(round, "put an incomplete line back to", path_, "it waits for its end");
  return Outcome::Pending;
}

std::size_t MemoryQueue::add(std::string job) {
  const std::lock_guard lock{mutex_};
  if (closed_ || jobs_.size() >= jobs_max) return 0;
  jobs_.push_back(std::move(job));
  return jobs_.size();
}

std::vector<std::string> MemoryQueue::take_all() {
  const std::lock_guard lock{mutex_};
  return std::exchange(jobs_, {});
}

std::vector<std::string> MemoryQueue::close() {
  const std::lock_guard lock{mutex_};
  closed_ = true;
  return std::exchange(jobs_, {});
}
