#include "truth.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <new>
#include <system_error>
#include <utility>

namespace supervisor_test {
namespace {

constexpr int cld_exited = 1, cld_killed = 2;

int code_of(EndKind end) { return end == EndKind::Exited ? cld_exited : end == EndKind::Killed ? cld_killed : 0; }

std::string text_of(int code, int status) {
  if (code == 0) return "no end";
  return (code == cld_exited ? "exited with " : "killed by ") + std::to_string(status);
}

}  // namespace

TruthFile::TruthFile(const std::string& path, int flags) : file_(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, 0666)) {
  void* const address = file_ < 0 || (flags != 0 && (::fchmod(file_, 0666) != 0 || ::ftruncate(file_, sizeof(Truth)) != 0))
                            ? MAP_FAILED
                            : ::mmap(nullptr, sizeof(Truth), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (address == MAP_FAILED) throw std::system_error{errno, std::generic_category(), path};
  truth_ = static_cast<Truth*>(address);  // zeros are a Truth at its beginning
}
TruthFile TruthFile::create(const std::string& path) { return TruthFile{path, O_CREAT | O_EXCL}; }
TruthFile TruthFile::open(const std::string& path) { return TruthFile{path, 0}; }
TruthFile::TruthFile(TruthFile&& other) noexcept
    : file_(std::exchange(other.file_, -1)), truth_(std::exchange(other.truth_, nullptr)) {}
TruthFile::~TruthFile() {
  if (truth_ != nullptr) ::munmap(truth_, sizeof(Truth));
  if (file_ >= 0) ::close(file_);
}
bool TruthFile::lock() const { return ::flock(file_, LOCK_EX | LOCK_NB) == 0; }

std::uint64_t scramble(std::uint64_t value) {  // splitmix64
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

std::string stream_line(std::uint32_t seed, std::uint64_t number) {
  const std::uint64_t random = scramble(std::uint64_t{seed} << 40 ^ number);
  std::string line = std::to_string(number) + ' ';
  line.append(6 + random % 140, static_cast<char>('a' + random / 256 % 26));
  line += '\n';
  return line;
}

std::string unbroken_stream(std::uint32_t seed, std::size_t bytes) {
  std::string stream;
  stream.reserve(bytes + 200);
  for (std::uint64_t number = 0; stream.size() < bytes; ++number) {
    stream += stream_line(seed, number);
    stream.back() = ' ';
  }
  stream.resize(bytes);
  return stream;
}

std::string LogVerdict::text() const {
  return std::to_string(lines) + " lines intact, " + std::to_string(lost) + " lost, " + std::to_string(repeated) +
         " repeated or out of order, " + std::to_string(torn) + " torn";
}

LogVerdict check_log(std::string_view log, std::uint32_t seed, std::uint64_t bytes_written) {
  LogVerdict verdict;
  std::uint64_t expected = 0;
  std::uint64_t expected_bytes = 0;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, std::min(log.find('\n'), log.size() - 1) + 1);
    log.remove_prefix(line.size());
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
    if (parsed.ec != std::errc{} || line != stream_line(seed, number)) {
      ++verdict.torn;
      continue;
    }
    if (number < expected) {
      ++verdict.repeated;
      continue;
    }
    constexpr std::uint64_t search_max = 1'000'000;  // a number beyond reason is counted, not searched for
    verdict.lost += number - expected;
    for (; expected < number && number - expected < search_max; ++expected)
      expected_bytes += stream_line(seed, expected).size();
    expected = number + 1;
    expected_bytes += line.size();
    ++verdict.lines;
  }
  for (; expected_bytes < bytes_written; ++expected) {
    expected_bytes += stream_line(seed, expected).size();
    ++verdict.lost;
  }
  if (expected_bytes > bytes_written) ++verdict.torn;  // a line that nobody says to have written
  return verdict;
}

std::string check_end(const Truth& truth, std::uint64_t number, const Shown& shown, UnknownEnds unknown) {
  const std::string life = "life " + std::to_string(number);
  const std::uint32_t lives = truth.lives.load();
  if (number >= lives) return life + " is shown, " + std::to_string(lives) + " were lived";
  const Life& lived = truth.life[number];
  if (shown.main_pid != 0) return life + " is shown as running";
  if (!shown.is_known) return unknown == UnknownEnds::Allowed ? "" : "nobody saw how " + life + " ended";
  if (shown.code == code_of(lived.end) && shown.status == lived.status) return {};
  return life + " is shown as " + text_of(shown.code, shown.status) + ", was " + text_of(code_of(lived.end), lived.status);
}

std::string check_lives(const Truth& truth, const Shown& shown) {
  const std::uint32_t lives = truth.lives.load();
  if (const auto duplicates = truth.duplicates.load(); duplicates != 0) return std::to_string(duplicates) + " duplicates";
  if (lives != shown.restarts + 1)
    return std::to_string(shown.restarts) + " restarts shown, " + std::to_string(lives) + " lives lived";
  for (std::uint32_t i = 0; i + 1 < lives; ++i) {
    if (truth.life[i].end == EndKind::None) return "life " + std::to_string(i) + " did not end by itself";
  }
  if (shown.main_pid != 0 && shown.main_pid != truth.life[lives - 1].pid)
    return "another process is shown than the one that lives";
  return {};
}

}  // namespace supervisor_test
