#include "logbook/segment_index.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace perdure::logbook {
namespace {

enum Kind : std::uint8_t { time_kind = 1, run_kind = 2, invocation_kind = 3 };
constexpr std::uint8_t version = 1;

constexpr std::size_t kind_at = 4, version_at = 5, offset_at = 8, first_at = 16, second_at = 24;

constexpr auto crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) != 0 ? 0xEDB88320U : 0U);
    table[i] = value;
  }
  return table;
}();

std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  std::uint32_t value = ~0U;
  for (const std::byte b : bytes) value = (value >> 8) ^ crc_table[(value ^ std::to_integer<std::uint32_t>(b)) & 0xFFU];
  return ~value;
}

template <class T>
void put(RecordBytes& bytes, std::size_t at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof value; ++i) bytes[at + i] = static_cast<std::byte>(value >> (8 * i));
}

template <class T>
T get(std::span<const std::byte, record_bytes> bytes, std::size_t at) noexcept {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value |= static_cast<T>(std::to_integer<T>(bytes[at + i]) << (8 * i));
  return value;
}

std::uint32_t crc_of(std::span<const std::byte, record_bytes> bytes) noexcept { return crc32(bytes.subspan<kind_at>()); }

void fill(RecordBytes& bytes, const TimeRecord& record) noexcept {
  bytes[kind_at] = std::byte{time_kind};
  put(bytes, first_at, static_cast<std::uint64_t>(record.realtime_ns));
  put(bytes, second_at, static_cast<std::uint64_t>(record.monotonic_ns));
}
void fill(RecordBytes& bytes, const RunRecord& record) noexcept {
  bytes[kind_at] = std::byte{run_kind};
  put(bytes, first_at, record.run);
  put(bytes, second_at, record.main_pid);
}
void fill(RecordBytes& bytes, const InvocationRecord& record) noexcept {
  bytes[kind_at] = std::byte{invocation_kind};
  std::memcpy(bytes.data() + first_at, record.id.data(), record.id.size());
}

}  // namespace

std::uint64_t offset_of(const Record& record) noexcept {
  return std::visit([](const auto& kind) { return kind.offset; }, record);
}

RecordBytes encode(const Record& record) noexcept {
  RecordBytes bytes{};
  bytes[version_at] = std::byte{version};
  put(bytes, offset_at, offset_of(record));
  std::visit([&bytes](const auto& kind) { fill(bytes, kind); }, record);
  put(bytes, 0, crc_of(bytes));
  return bytes;
}

std::optional<Record> decode(std::span<const std::byte, record_bytes> bytes) noexcept {
  if (get<std::uint32_t>(bytes, 0) != crc_of(bytes) || bytes[version_at] != std::byte{version}) return std::nullopt;
  const auto offset = get<std::uint64_t>(bytes, offset_at);
  switch (std::to_integer<std::uint8_t>(bytes[kind_at])) {
    case time_kind:
      return TimeRecord{.offset = offset,
                        .realtime_ns = static_cast<std::int64_t>(get<std::uint64_t>(bytes, first_at)),
                        .monotonic_ns = static_cast<std::int64_t>(get<std::uint64_t>(bytes, second_at))};
    case run_kind:
      return RunRecord{
          .offset = offset, .run = get<std::uint64_t>(bytes, first_at), .main_pid = get<std::uint32_t>(bytes, second_at)};
    case invocation_kind: {
      InvocationRecord record{.offset = offset};
      std::memcpy(record.id.data(), bytes.data() + first_at, record.id.size());
      return record;
    }
    default: return std::nullopt;
  }
}

}  // namespace perdure::logbook
