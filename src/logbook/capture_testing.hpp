// What the tests of captured logs share: a pipe, a log directory, everything that is in the segments.
#pragma once

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "logbook/log_directory.hpp"
#include "logbook/logbook_testing.hpp"
#include "logbook/segment_files.hpp"
#include "logbook/segment_index.hpp"
#include "logbook/unit_log.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook::testing {

struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  /// Requires: there is room.
  void write(std::string_view text) const {
    EXPECT_EQ(::write(in.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  UniqueFd out;
  UniqueFd in;
};

/// 2025-11-21 04:40:10 UTC and `seconds`.
inline LogTime at(int seconds) {
  constexpr std::int64_t begin = 1'763'700'010;
  return {.monotonic = base::Instant{std::chrono::seconds{1000 + seconds}},
          .wall = os::WallTime{std::chrono::seconds{begin + seconds}}};
}

inline InvocationId invocation(std::uint8_t byte) {
  InvocationId id;
  id.fill(byte);
  return id;
}

/// Local time is UTC for its lifetime.
class Utc {
 public:
  Utc() { ::tzset(); }
  ~Utc() {
    variable_.reset();
    ::tzset();
  }
  Utc(const Utc&) = delete;
  Utc& operator=(const Utc&) = delete;

 private:
  std::optional<Variable> variable_{std::in_place, "TZ", "UTC"};
};

/// A directory of logs and one unit's in it.
struct Logs {
  explicit Logs(CaptureLimits limits = {}) : limits_(limits) { open(); }
  /// As a new manager does.
  void open() {
    log.reset();
    directory = *LogDirectory::open(scratch / "logs", limits_);
    log = std::make_unique<UnitLog>(*directory, "web.service");
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return scratch / "logs/web.service/" + name; }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{scratch / "logs/web.service"})
      found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  /// The bytes of all segments, in order.
  [[nodiscard]] std::string bytes() const {
    std::string all;
    for (const std::string& name : names()) {
      if (name.ends_with(data_suffix)) all += read_whole(*this / name);
    }
    return all;
  }
  /// Writes into the pipe and takes it.
  Taken put(std::string_view text, const LogTime& now = at(0)) {
    pipe.write(text);
    return log->take(pipe.out.get(), now);
  }

  TempDirectory scratch;
  CaptureLimits limits_;
  std::unique_ptr<LogDirectory> directory;
  std::unique_ptr<UnitLog> log;
  Pipe pipe;
};

inline std::vector<Record> records_of(const std::string& path) {
  const std::string bytes = read_whole(path);
  std::vector<Record> records;
  for (std::size_t i = 0; i + record_bytes <= bytes.size(); i += record_bytes) {
    const auto record = decode(std::as_bytes(std::span{bytes}).subspan(i).first<record_bytes>());
    EXPECT_TRUE(record.has_value()) << "record at byte " << i;
    if (record) records.push_back(*record);
  }
  return records;
}

}  // namespace perdure::logbook::testing
