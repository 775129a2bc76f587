// The two ways jobs come in: a file that anybody may append lines to, and a short list in memory.
//
// QueueFile: a line is a job once its newline is there. The file is taken by rename(2) to a private name beside it
// (PATH.taken.N), so that nothing appended meanwhile is lost with it; a job that was done is blanked out there, so that
// after a crash at most the one that was being done is repeated. A private file is removed once nobody has it open for
// writing; a last line without newline goes back to PATH, where its writer can complete it.
// Left out: order between two writers; jobs longer than job_bytes_max, which are reported and skipped.
// Thread safety: QueueFile none, one owner (and one process: hold a lock); MemoryQueue all calls.
//
//     QueueFile queue{"/tmp/zig_service_queue.txt"};
//     auto round = queue.drain([&](const std::string& job) { work(job); return !stopping; });
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

inline constexpr std::size_t job_bytes_max = 64 * 1024;

class QueueFile {
 public:
  /// Private files at once: one, and one more for each writer that keeps the file open after it was taken.
  static constexpr unsigned slots_max = 4;
  /// Does one job; false: do no further ones in this round.
  using Work = std::function<bool(const std::string& job)>;
  struct Round {
    std::size_t jobs = 0;
    /// What could not be done, one line; empty: all is well. Nothing is lost by it; the next round tries again.
    std::string problem{};
  };

  explicit QueueFile(std::string path) : path_(std::move(path)) {}

  /// Does what a crash or a slow writer left over, then what the file holds now.
  Round drain(const Work& work);

  [[nodiscard]] std::string slot_path(unsigned slot) const { return path_ + ".taken." + std::to_string(slot); }

 private:
  struct Slot {
    off_t done = 0;   ///< all lines before it are done
    off_t seen = -1;  ///< size at the last look, where writers cannot be asked for
  };
  enum class Outcome { Finished, LookAgain, Pending, Stopped };

  bool take(unsigned slot, Round& round);
  Outcome work_off(unsigned slot, const Work& work, Round& round);
  Outcome do_lines(unsigned slot, const Work& work, Round& round);
  Outcome give_up(unsigned slot, off_t reached, bool incomplete_line, Round& round);
  Outcome put_back(unsigned slot, Round& round);

  std::string path_;
  std::array<Slot, slots_max> slots_{};
  ino_t kept_inode_ = 0;  ///< the incomplete line that was put back, and how long the file was
  off_t kept_size_ = 0;
};

class MemoryQueue {
 public:
  static constexpr std::size_t jobs_max = 32;
  /// The number of jobs that wait now, or 0 where the job was not taken: no room, or closed.
  std::size_t add(std::string job);
  std::vector<std::string> take_all();
  /// Takes nothing any more; gives back what still waits.
  std::vector<std::string> close();

 private:
  std::mutex mutex_;
  std::vector<std::string> jobs_;
  bool closed_ = false;
};
