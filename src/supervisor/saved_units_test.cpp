#include "supervisor/saved_units.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const SavedUnit web{.id = 1,
                    .name = "web.service",
                    .fragment_path = "/etc/web.service",
                    .load_state = 2,
                    .load_error = "",
                    .sources = {{"/etc/web.service", "[Service]\nExecStart=/bin/x\n"}, {"/etc/web.service.d/a.conf", ""}}};
const SavedUnit odd{
    .id = 2, .name = "odd.service", .load_error = "is not \"good\"\n", .sources = {{"p", std::string("\0PRDU\xff", 6)}}};

bool same(const SavedUnit& a, const SavedUnit& b) {
  if (a.id != b.id || a.name != b.name || a.fragment_path != b.fragment_path || a.load_state != b.load_state ||
      a.load_error != b.load_error || a.sources.size() != b.sources.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.sources.size(); ++i) {
    if (a.sources[i].path != b.sources[i].path || a.sources[i].text != b.sources[i].text) return false;
  }
  return true;
}

class SavedUnitsTest : public ::testing::Test {
 protected:
  std::string written() const {
    SavedUnits units = SavedUnits::create(directory.path());
    EXPECT_TRUE(units.add(web));
    EXPECT_TRUE(units.add(odd));
    return directory.get("units");
  }
  [[nodiscard]] std::vector<SavedUnit> load() const { return SavedUnits::open(directory.path()).value().load(); }
  os::testing::ScratchDirectory directory;
};

TEST_F(SavedUnitsTest, TheyComeBackAsTheyWereWhateverTheirTexts) {
  written();
  const std::vector<SavedUnit> found = load();
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_TRUE(same(found[0], web));
  EXPECT_TRUE(same(found[1], odd));
}

TEST_F(SavedUnitsTest, TheyAreForTheirOwnerOnly) {
  written();
  struct stat status {};
  ASSERT_EQ(::stat((directory / "units").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U) << "units may hold secrets";
}

TEST_F(SavedUnitsTest, ATornEndCostsTheLastOne) {
  const std::string whole = written();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    directory.put("units", whole.substr(0, size));
    const std::vector<SavedUnit> found = load();
    ASSERT_LE(found.size(), 1U) << size;
    if (!found.empty()) {
      ASSERT_TRUE(same(found[0], web)) << size;
    }
  }
}

TEST_F(SavedUnitsTest, AFlippedBitEndsTheListAndInventsNothing) {
  const std::string whole = written();
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    UniqueFd file{::memfd_create("units", MFD_CLOEXEC)};
    ASSERT_EQ(::write(file.get(), flipped.data(), flipped.size()), static_cast<ssize_t>(flipped.size()));
    const std::vector<SavedUnit> found = SavedUnits::adopt(std::move(file)).load();
    ASSERT_LE(found.size(), 1U) << bit;
    if (!found.empty()) {
      ASSERT_TRUE(same(found[0], web)) << bit;
    }
  }
}

TEST_F(SavedUnitsTest, WhatDidNotFitWholeIsTakenBackSoThatTheNextIsFound) {
  SavedUnits units = SavedUnits::create(directory.path());
  ASSERT_TRUE(units.add(web));
  const std::string before = directory.get("units");
  directory.put("units", before + "PRDU\x40");  // as a write leaves it that a full disk cut short
  SavedUnits again = SavedUnits::open(directory.path()).value();
  EXPECT_THAT(again.load(), SizeIs(1));
  ASSERT_TRUE(again.add(odd));
  EXPECT_THAT(load(), SizeIs(2));
}

TEST_F(SavedUnitsTest, AFullDiskIsSaidWithWhatFollows) {
  SavedUnits units = SavedUnits::create(directory.path());
  const os::testing::FaultPlan plan{{.call = os::Call::write, .error = ENOSPC}};
  EXPECT_EQ(units.add(web).error().message(),
            "cannot save web.service: No space left on device (ENOSPC); a new manager would not know it");
}

TEST_F(SavedUnitsTest, WithoutAStateDirectoryTheyLiveInMemory) {
  SavedUnits units = SavedUnits::create(directory / "missing");
  ASSERT_TRUE(units.add(web));
  SavedUnits next = SavedUnits::adopt(UniqueFd{::fcntl(units.fd(), F_DUPFD_CLOEXEC, 0)});
  EXPECT_THAT(next.load(), SizeIs(1));
}

TEST_F(SavedUnitsTest, AFreshSetForgetsTheOldOneAndFollowsNoLink) {
  written();
  SavedUnits::create(directory.path());
  EXPECT_THAT(load(), IsEmpty());
  directory.put("precious", "precious");
  ASSERT_EQ(::unlink((directory / "units").c_str()), 0);
  ASSERT_EQ(::symlink((directory / "precious").c_str(), (directory / "units").c_str()), 0);
  EXPECT_FALSE(SavedUnits::open(directory.path()));
  EXPECT_TRUE(SavedUnits::create(directory.path()).add(web));
  EXPECT_EQ(directory.get("precious"), "precious");
}

TEST_F(SavedUnitsTest, NothingSavedIsAnErrorWithItsPath) {
  EXPECT_THAT(SavedUnits::open(directory.path()).error().message(), HasSubstr("/units: No such file or directory (ENOENT)"));
}

}  // namespace
}  // namespace perdure::supervisor
