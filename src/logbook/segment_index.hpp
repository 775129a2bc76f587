// The index beside a segment: records of 32 bytes that say when bytes came and which run wrote them.
//
//     0  u32  CRC-32 (zlib's) of the 28 bytes that follow
//     4  u8   kind: 1 time, 2 run, 3 invocation
//     5  u8   version: 1
//     6  u16  0
//     8  u64  offset in the segment: the record holds from this byte on, until a later one of its kind
//    16       time: u64 realtime, u64 monotonic, both in ns; run: u64 number, u32 main pid, u32 0; invocation: 16 bytes
// Integers are little-endian. Offsets never fall within one index, except after a cut that no fresh segment could follow. A record
// whose CRC is wrong is skipped, a torn one at the end ignored and overwritten. Several records of one moment are one write.
// Thread, fork and signal safety: values.
//
//     std::array<std::byte, record_bytes> bytes = encode(TimeRecord{.offset = 812, .realtime_ns = …, .monotonic_ns = …});
//     if (std::optional<Record> record = decode(bytes)) …
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "logbook/unit_log.hpp"

namespace perdure::logbook {

inline constexpr std::size_t record_bytes = 32;
/// Who knows where a record stands finds the run that is true there within so many bytes before it.
inline constexpr std::uint64_t run_repeated_bytes = 128U << 10;
using RecordBytes = std::array<std::byte, record_bytes>;

struct TimeRecord {
  std::uint64_t offset = 0;
  std::int64_t realtime_ns = 0;   ///< since 1970
  std::int64_t monotonic_ns = 0;  ///< since boot
  friend bool operator==(const TimeRecord&, const TimeRecord&) = default;
};
struct RunRecord {
  std::uint64_t offset = 0;
  std::uint64_t run = 0;
  std::uint32_t main_pid = 0;
  friend bool operator==(const RunRecord&, const RunRecord&) = default;
};
struct InvocationRecord {
  std::uint64_t offset = 0;
  InvocationId id{};
  friend bool operator==(const InvocationRecord&, const InvocationRecord&) = default;
};
using Record = std::variant<TimeRecord, RunRecord, InvocationRecord>;

RecordBytes encode(const Record& record) noexcept;
/// Nothing for bytes that are no record of this version.
std::optional<Record> decode(std::span<const std::byte, record_bytes> bytes) noexcept;
std::uint64_t offset_of(const Record& record) noexcept;

}  // namespace perdure::logbook
