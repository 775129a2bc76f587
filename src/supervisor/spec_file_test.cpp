#include "supervisor/spec_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "os/fault_plan.hpp"

namespace perdure::supervisor {
namespace {

TEST(SpecFile, SpecsStandOneBehindTheOther) {
  SpecFile file = SpecFile::open().value();
  const std::vector<char> first(100, 'a');
  const std::vector<char> second(7, 'b');
  const auto text_at = [&file](off_t offset) {
    char text[8]{};
    return ::pread(file.fd(), text, sizeof text - 1, offset) < 0 ? "?" : std::string{text};
  };
  EXPECT_EQ(file.add(first)->offset, 0U);
  const SpecPlace place = file.add(second).value();
  EXPECT_EQ(place.offset, 100U);
  EXPECT_EQ(place.size, 7U);
  EXPECT_EQ(text_at(100), "") << "written together, and not yet";
  EXPECT_TRUE(file.flush());
  EXPECT_EQ(text_at(100), "bbbbbbb");
  EXPECT_EQ(file.add(first)->offset, 107U);
  EXPECT_TRUE(file.flush());
  EXPECT_EQ(text_at(107), "aaaaaaa");
  EXPECT_TRUE(file.flush()) << "nothing to do";
}

TEST(SpecFile, SpecsThatCannotBeWrittenAreWrittenTheNextTime) {
  SpecFile file = SpecFile::open().value();
  ASSERT_TRUE(file.add(std::vector<char>(10, 'a')));
  {
    const os::testing::FaultPlan plan{{.call = os::Call::pwrite, .error = ENOMEM}};
    EXPECT_EQ(file.flush().error().message(),
              "cannot write the memory file of spawn specs: Cannot allocate memory (ENOMEM)");
  }
  EXPECT_EQ(file.add(std::vector<char>(5, 'b'))->offset, 10U);
  EXPECT_TRUE(file.flush());
  char text[16]{};
  EXPECT_EQ(::pread(file.fd(), text, sizeof text, 0), 15);
  EXPECT_STREQ(text, "aaaaaaaaaabbbbb");
}

TEST(SpecFile, WhatIsCompiledAgainTakesThePlaceOfTheOneBefore) {
  SpecFile file = SpecFile::open().value();
  const auto text_at = [&file](std::uint64_t offset, std::size_t size) {
    std::string text(size, '?');
    return ::pread(file.fd(), text.data(), size, static_cast<off_t>(offset)) < 0 ? "" : text;
  };
  SpecPlace place = file.add(std::vector<char>(100, 'a')).value();
  ASSERT_TRUE(file.put(place, std::vector<char>(60, 'b'))) << "before it was written";
  EXPECT_EQ(place.size, 60U);
  ASSERT_TRUE(file.flush());
  EXPECT_EQ(text_at(place.offset, 62), std::string(60, 'b') + "aa");
  ASSERT_TRUE(file.put(place, std::vector<char>(100, 'c'))) << "after it was written";
  EXPECT_EQ(place.offset, 0U);
  EXPECT_EQ(text_at(0, 100), std::string(100, 'c'));

  ASSERT_TRUE(file.put(place, std::vector<char>(101, 'd'))) << "it does not fit";
  EXPECT_EQ(place.offset, 100U);
  EXPECT_GE(place.capacity, 512U);
  ASSERT_TRUE(file.flush());
  EXPECT_EQ(text_at(100, 101), std::string(101, 'd'));
  const std::uint64_t offset = place.offset;
  ASSERT_TRUE(file.put(place, std::vector<char>(500, 'e')));
  EXPECT_EQ(place.offset, offset) << "there was room";
}

TEST(SpecFile, APlaceThatDoesNotExistYetIsMade) {
  SpecFile file = SpecFile::open().value();
  SpecPlace place;
  ASSERT_TRUE(file.put(place, std::vector<char>(10, 'a')));
  EXPECT_EQ(place.size, 10U);
  for (std::uint32_t size = 1000; size < 100'000; size += 1000) ASSERT_TRUE(file.put(place, std::vector<char>(size, 'b')));
  EXPECT_LT(place.offset, 2U * 100'000) << "what is left behind is bounded";
}

TEST(SpecFile, APlaceThatCannotBeWrittenIsAnError) {
  SpecFile file = SpecFile::open().value();
  SpecPlace place = file.add(std::vector<char>(10, 'a')).value();
  ASSERT_TRUE(file.flush());
  const os::testing::FaultPlan plan{{.call = os::Call::pwrite, .error = ENOMEM}};
  EXPECT_FALSE(file.put(place, std::vector<char>(5, 'b')));
  EXPECT_EQ(place.size, 10U);
}

}  // namespace
}  // namespace perdure::supervisor
