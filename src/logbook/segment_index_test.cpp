#include "logbook/segment_index.hpp"

#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"

namespace perdure::logbook {
namespace {

const Record samples[] = {
    TimeRecord{.offset = 812, .realtime_ns = 1'763'700'010'500'000'000, .monotonic_ns = 11'500'000'000},
    RunRecord{.offset = ~0ULL, .run = 1ULL << 40, .main_pid = 4'194'303},
    InvocationRecord{.offset = 0, .id = testing::invocation(0xAB)},
};

TEST(SegmentIndex, EveryKindOfRecordComesBackAsItWas) {
  for (const Record& record : samples) EXPECT_EQ(decode(encode(record)), record);
}

// The format is a promise: this is a record byte by byte, its CRC computed by zlib.
TEST(SegmentIndex, ARecordLooksAsTheReferenceSays) {
  const RecordBytes bytes = encode(RunRecord{.offset = 0x0102, .run = 7, .main_pid = 0x0A0B});
  EXPECT_EQ(bytes[4], std::byte{2});
  EXPECT_EQ(bytes[5], std::byte{1});
  EXPECT_EQ(bytes[8], std::byte{0x02});
  EXPECT_EQ(bytes[9], std::byte{0x01});
  EXPECT_EQ(bytes[16], std::byte{7});
  EXPECT_EQ(bytes[24], std::byte{0x0B});
  EXPECT_EQ(bytes[25], std::byte{0x0A});
  EXPECT_EQ(bytes[0], std::byte{0x24});
  EXPECT_EQ(bytes[1], std::byte{0x0B});
  EXPECT_EQ(bytes[2], std::byte{0x3C});
  EXPECT_EQ(bytes[3], std::byte{0xAB});
}

TEST(SegmentIndex, OneWrongBitAnywhereMakesItNoRecord) {
  for (const Record& record : samples) {
    for (std::size_t bit = 0; bit < record_bytes * 8; ++bit) {
      RecordBytes bytes = encode(record);
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_FALSE(decode(bytes)) << "bit " << bit;
    }
  }
}

TEST(SegmentIndex, ZerosAreNoRecord) { EXPECT_FALSE(decode(RecordBytes{})); }

}  // namespace
}  // namespace perdure::logbook
