#include "supervisor/journal.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "base/buffer.hpp"
#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr std::uint32_t record_magic = 0x4a445250;  // "PRDJ"
constexpr std::uint32_t record_version = 3;
constexpr std::uint64_t rewrite_slack = 8192;  // records beyond four per unit
constexpr std::size_t buffer_keep = 64 * journal_record_bytes;
constexpr off_t journal_bytes_max = off_t{1} << 30;

/// Puts numbers one after another, little end first, so that a record means the same to every compiler.
class Writer {
 public:
  explicit Writer(unsigned char* at) : at_(at) {}
  template <class T>
  void put(T value) {
    auto bits = static_cast<std::uint64_t>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i, bits >>= 8) *at_++ = static_cast<unsigned char>(bits & 0xff);
  }
  void put(base::Instant value) { put(static_cast<std::int64_t>(value.time_since_epoch().count())); }
  void put(base::Duration value) { put(static_cast<std::int64_t>(value.count())); }

 private:
  unsigned char* at_;
};

class Reader {
 public:
  explicit Reader(const unsigned char* at) : at_(at) {}
  template <class T>
  void get(T& value) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) bits |= static_cast<std::uint64_t>(*at_++) << (8 * i);
    value = static_cast<T>(bits);
  }
  void get(base::Instant& value) {
    std::int64_t count = 0;
    get(count);
    value = base::Instant{base::Duration{count}};
  }
  void get(base::Duration& value) {
    std::int64_t count = 0;
    get(count);
    value = base::Duration{count};
  }

 private:
  const unsigned char* at_;
};

/// Calls `field` with everything a record holds, in the order of the bytes: one list for both directions.
template <class Entry, class Field>
void each_field(Entry& entry, Field field) {
  auto& record = entry.record;
  field(record.unit);
  field(record.state);
  field(record.result);
  field(record.job_type);
  field(record.last_exit.kind);
  field(record.last_exit.status);
  field(record.run);
  field(record.spawn);
  field(record.restarts);
  field(record.job);
  field(record.main_running);
  field(record.main_executed);
  field(record.state_since);
  field(record.deadline);
  field(record.last_start);
  field(record.window_began);
  field(record.starts_in_window);
  field(record.main_ended);
  field(record.retry_spawn);
  field(entry.process.pid);
  for (auto& byte : entry.process.invocation) field(byte);
  field(record.setup_failed);
  field(entry.process.log_pipe);
  field(record.last_spawn);
  field(record.control);
  field(record.phase);
  field(record.command);
  field(record.control_running);
  field(record.watchdog);
  field(record.watchdog_span);
  field(record.short_lives);
  field(record.is_populated);
  field(record.stop_wanted);
  field(record.was_up);
  field(record.is_held_down);
  field(record.is_blocked);
  field(record.former);
}

constexpr std::size_t header_bytes = 12;

std::uint32_t checksum(const unsigned char* bytes, std::size_t size) {
  return static_cast<std::uint32_t>(::crc32(0, bytes, static_cast<uInt>(size)));
}

JournalBytes header_record(const std::string& boot_id) {
  JournalBytes bytes{};
  Writer writer{bytes.data()};
  writer.put(record_magic);
  writer.put(record_version);
  std::memcpy(bytes.data() + header_bytes, boot_id.data(), std::min<std::size_t>(boot_id.size(), 64));
  Writer{bytes.data() + 8}.put(checksum(bytes.data() + header_bytes, bytes.size() - header_bytes));
  return bytes;
}

}  // namespace

JournalBytes encode(const JournalEntry& entry) noexcept {
  JournalBytes bytes{};
  Writer writer{bytes.data() + header_bytes};
  each_field(entry, [&writer](const auto& value) { writer.put(value); });
  Writer head{bytes.data()};
  head.put(record_magic);
  head.put(record_version);
  head.put(checksum(bytes.data() + header_bytes, bytes.size() - header_bytes));
  return bytes;
}

bool decode(std::span<const unsigned char, journal_record_bytes> bytes, JournalEntry& entry) noexcept {
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  std::uint32_t crc = 0;
  Reader head{bytes.data()};
  head.get(magic);
  head.get(version);
  head.get(crc);
  if (magic != record_magic || version != record_version) return false;
  if (crc != checksum(bytes.data() + header_bytes, bytes.size() - header_bytes)) return false;
  Reader reader{bytes.data() + header_bytes};
  each_field(entry, [&reader](auto& value) { reader.get(value); });
  return static_cast<std::size_t>(entry.record.state) < core::state_count &&
         entry.record.result <= core::ServiceResult::OomKill && entry.record.last_exit.kind <= core::ExitKind::Unknown &&
         entry.record.job_type <= core::JobType::TryRestart;
}

bool Journal::has_header() const {
  JournalBytes found{};
  const JournalBytes wanted = header_record(boot_id_);
  return sys::pread(file_.get(), found.data(), found.size(), 0) == static_cast<ssize_t>(found.size()) && found == wanted;
}

Journal Journal::open(const std::string& state_dir, const std::string& boot_id) {
  Journal journal{state_dir, boot_id};
  const std::string path = state_dir + "/journal";
  journal.file_.reset(sys::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!journal.file_ || !journal.has_header()) journal.rewrite({});
  return journal;
}

Journal Journal::adopt(UniqueFd file, const std::string& state_dir, const std::string& boot_id) {
  Journal journal{state_dir, boot_id};
  journal.file_ = std::move(file);
  if (!journal.has_header()) journal.rewrite({});
  return journal;
}

std::vector<JournalEntry> Journal::load() {
  std::map<core::UnitId, JournalEntry> last;
  std::vector<unsigned char> block(journal_record_bytes * 1024);
  records_ = 0;
  torn_ = false;
  for (off_t at = journal_record_bytes; at < journal_bytes_max;) {
    const ssize_t count = sys::pread(file_.get(), block.data(), block.size(), at);
    if (count < static_cast<ssize_t>(journal_record_bytes)) {
      torn_ = count > 0;  // no record; what is appended behind it would not be found
      break;
    }
    const std::size_t whole = static_cast<std::size_t>(count) / journal_record_bytes;
    for (std::size_t i = 0; i < whole; ++i) {
      JournalEntry entry;
      const std::span<const unsigned char, journal_record_bytes> bytes{block.data() + i * journal_record_bytes,
                                                                       journal_record_bytes};
      if (decode(bytes, entry)) {
        last[entry.record.unit] = entry;
      } else {
        ++damaged_;
      }
    }
    records_ += whole;
    torn_ = static_cast<std::size_t>(count) % journal_record_bytes != 0;
    at += static_cast<off_t>(whole * journal_record_bytes);
  }
  std::vector<JournalEntry> entries;
  entries.reserve(last.size());
  for (auto& [unit, entry] : last) entries.push_back(entry);
  return entries;
}

Result<void> Journal::append(std::span<const JournalEntry> entries) {
  buffer_.clear();
  for (const JournalEntry& entry : entries) {
    const JournalBytes bytes = encode(entry);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  const ssize_t written = sys::write(file_.get(), buffer_.data(), buffer_.size());
  const bool is_whole = written == static_cast<ssize_t>(buffer_.size());
  base::clear_burst(buffer_, buffer_keep);
  if (is_whole) {
    records_ += entries.size();
    return {};
  }
  return Error::from_errno(written < 0 ? errno : ENOSPC, "write", state_dir_ + "/journal")
      .with_advice("the state is kept in memory; services go on");
}

bool Journal::wants_rewrite(std::size_t units) const noexcept { return torn_ || records_ > 4 * units + rewrite_slack; }

void Journal::begin_in_memory(const std::string& why) {
  volatile_ = true;
  note_ = why;
  file_.reset(sys::memfd_create("perdure-journal", MFD_CLOEXEC));
}

void Journal::rewrite(std::span<const JournalEntry> entries) {
  const std::string path = state_dir_ + "/journal";
  const std::string fresh = path + ".new";
  const auto fill = [this, entries](int file) {
    const JournalBytes head = header_record(boot_id_);
    buffer_.assign(head.begin(), head.end());
    for (const JournalEntry& entry : entries) {
      const JournalBytes bytes = encode(entry);
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
    const ssize_t written = sys::write(file, buffer_.data(), buffer_.size());
    const bool is_whole = written == static_cast<ssize_t>(buffer_.size());
    if (written >= 0 && !is_whole) errno = ENOSPC;  // a part fitted
    const int error = errno;
    base::clear_burst(buffer_, buffer_keep);
    errno = error;
    return is_whole;
  };
  records_ = entries.size();
  torn_ = false;
  sys::unlink(fresh.c_str());
  UniqueFd file{sys::open(fresh.c_str(), O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (file && fill(file.get()) && sys::rename(fresh.c_str(), path.c_str()) == 0) {
    file_ = std::move(file);
    volatile_ = false;
    note_.clear();
    return;
  }
  const int error = errno;
  if (file) sys::unlink(fresh.c_str());
  begin_in_memory(Error::from_errno(error, "write", path)
                      .with_advice("the state is kept in memory; it survives the manager, not the keeper")
                      .message());
  if (file_) fill(file_.get());
}

}  // namespace perdure::supervisor
