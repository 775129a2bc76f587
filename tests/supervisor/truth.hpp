// What a service knows of itself, in a file that it shares with the test: the other side of every comparison with what the
// supervisor says. It outlives the service, the supervisor and their deaths, because the page cache does.
//
// A service takes the file's lock for its life, so a second process of the same unit gives itself away. What it writes to its
// standard output is a stream that follows from a seed: line n is the same whoever computes it, so a log is right when it is the
// beginning of the stream, byte for byte, as long as the service says it has written.
// Left out: the service (service_probe.cpp), the supervisor's answers (instance.hpp).
// Thread and fork safety: the counters are atomic and one process writes them. Signal safety: the counters.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace supervisor_test {

enum class EndKind : std::int32_t { None = 0, Exited = 1, Killed = 2 };

/// One process of the unit. The end is written before it happens; None: it has not come, or somebody else caused it.
struct Life {
  std::int32_t pid;
  EndKind end;
  std::int32_t status;
};

inline constexpr std::uint32_t lives_max = 8192;

struct Truth {
  std::atomic<std::uint32_t> lives;       ///< processes of the unit so far
  std::atomic<std::uint32_t> duplicates;  ///< of them, those that found another one alive
  std::atomic<std::uint32_t> is_calm;     ///< set by the test: nobody dies any more
  std::atomic<std::uint32_t> rounds;      ///< what else a mode counts
  std::atomic<std::uint64_t> next_line;
  std::atomic<std::uint64_t> bytes_written;  ///< counted after each write(2)
  Life life[lives_max];
};

/// A Truth in a file, mapped. Throws where that fails: no test can go on without it.
class TruthFile {
 public:
  /// Makes the file; any user may write it.
  static TruthFile create(const std::string& path);
  static TruthFile open(const std::string& path);
  TruthFile(TruthFile&& other) noexcept;
  TruthFile& operator=(TruthFile&&) = delete;
  ~TruthFile();
  /// For the rest of this process's life; false: somebody else has it.
  [[nodiscard]] bool lock() const;
  Truth* operator->() const { return truth_; }
  Truth& operator*() const { return *truth_; }

 private:
  TruthFile(const std::string& path, int flags);
  int file_;
  Truth* truth_;
};

/// Line `number` of a stream, with its newline: 10 to 170 bytes.
std::string stream_line(std::uint32_t seed, std::uint64_t number);
/// The beginning of a stream in which a blank stands for each newline.
std::string unbroken_stream(std::uint32_t seed, std::size_t bytes);
/// An even distribution that is the same everywhere.
std::uint64_t scramble(std::uint64_t value);

struct LogVerdict {
  std::uint64_t lines = 0;  ///< intact, in their place
  std::uint64_t lost = 0;
  std::uint64_t repeated = 0;  ///< a second time, or after a later one
  std::uint64_t torn = 0;
  [[nodiscard]] bool is_right() const { return lost == 0 && repeated == 0 && torn == 0; }
  [[nodiscard]] std::string text() const;
};
/// Compares a log with the first `bytes_written` bytes of the stream.
LogVerdict check_log(std::string_view log, std::uint32_t seed, std::uint64_t bytes_written);

/// What the supervisor says of a unit's main process.
struct Shown {
  std::int64_t main_pid = 0;  ///< 0: none runs
  std::uint64_t restarts = 0;
  int code = 0;  ///< as in wait(2); 0: it runs, or nobody saw how it ended
  int status = 0;
  bool is_known = true;
};
enum class UnknownEnds { Wrong, Allowed };
/// What is wrong with what is shown of a unit at rest (dead, failed, between two runs) whose last life was `number`; empty: nothing.
std::string check_end(const Truth& truth, std::uint64_t number, const Shown& shown, UnknownEnds unknown);
/// The same for a unit that was started once and is calm: every life but the last has ended by itself, one per restart.
std::string check_lives(const Truth& truth, const Shown& shown);

}  // namespace supervisor_test
