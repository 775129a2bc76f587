// What is in hand at a crash is suspected, and quarantined when that happens too often; and the same through the file.
#include "supervisor/crash_record.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "supervisor/crash_file.hpp"

namespace perdure::supervisor {
namespace {

using namespace std::chrono_literals;

constexpr base::Instant start{1000s};
constexpr std::uint64_t texts = 17;
constexpr std::uint64_t other_texts = 18;

/// A manager takes the unit in hand as the real one does, and crashes.
const Suspect* crash_with_unit(CrashRecord& record, std::string_view name, std::uint64_t hash, base::Instant now) {
  const bool is_suspected = suspect_of(record, Input::Unit, name, 0) != nullptr;
  take_in_hand(record, Input::Unit, name, is_suspected ? hash : 0);
  return count_crash(record, now);
}
bool is_unit_quarantined(const CrashRecord& record, std::string_view name, std::uint64_t hash) {
  return is_quarantined(record, Input::Unit, name, hash);
}

TEST(CrashRecord, ACrashWithNothingInHandBlamesNobody) {
  CrashRecord record;
  EXPECT_EQ(count_crash(record, start), nullptr);
  take_in_hand(record, Input::Unit, "web.service", texts);
  let_go(record, Input::Unit);
  EXPECT_EQ(count_crash(record, start), nullptr);
  take_in_hand(record, Input::Unit, "web.service", texts);
  forget_in_hand(record);
  EXPECT_EQ(count_crash(record, start), nullptr) << "it was killed, and did not crash";
  EXPECT_EQ(suspect_of(record, Input::Unit, "web.service", 0), nullptr);
}

TEST(CrashRecord, AtTheThirdCrashWithinTenSecondsTheTextsAreQuarantined) {
  CrashRecord record;
  EXPECT_EQ(crash_with_unit(record, "web.service", texts, start)->crashes, 1U);
  EXPECT_EQ(crash_with_unit(record, "web.service", texts, start + 5s)->crashes, 2U);
  EXPECT_FALSE(is_unit_quarantined(record, "web.service", texts));
  const Suspect* const third = crash_with_unit(record, "web.service", texts, start + 10s);
  EXPECT_EQ(third->is_quarantined, 1U);
  EXPECT_EQ(third->name.view(), "web.service");
  EXPECT_TRUE(is_unit_quarantined(record, "web.service", texts));
  EXPECT_FALSE(is_unit_quarantined(record, "db.service", texts));
  EXPECT_EQ(count_crash(record, start + 10s), nullptr) << "each is counted once";
}

TEST(CrashRecord, ThreeCrashesInMoreThanTenSecondsAreNotEnoughAndAFourthSoonAfterIs) {
  CrashRecord record;
  crash_with_unit(record, "web.service", texts, start);
  crash_with_unit(record, "web.service", texts, start + 9s);
  crash_with_unit(record, "web.service", texts, start + 10s + 1ns);
  EXPECT_FALSE(is_unit_quarantined(record, "web.service", texts));
  crash_with_unit(record, "web.service", texts, start + 19s);
  EXPECT_TRUE(is_unit_quarantined(record, "web.service", texts));
}

TEST(CrashRecord, WhatIsForgottenIsLoadedAgain) {
  CrashRecord record;
  for (int i = 0; i < 3; ++i) crash_with_unit(record, "web.service", texts, start);
  forget_suspects(record);
  EXPECT_FALSE(is_unit_quarantined(record, "web.service", texts));
  EXPECT_EQ(crash_with_unit(record, "web.service", texts, start)->crashes, 1U);
}

TEST(CrashRecord, OtherTextsOfTheUnitAreLoadedAndCountFromTheBeginning) {
  CrashRecord record;
  for (int i = 0; i < 3; ++i) crash_with_unit(record, "web.service", texts, start);
  ASSERT_TRUE(is_unit_quarantined(record, "web.service", texts));
  EXPECT_FALSE(is_unit_quarantined(record, "web.service", other_texts)) << "mended";
  EXPECT_EQ(crash_with_unit(record, "web.service", other_texts, start)->crashes, 1U);
  crash_with_unit(record, "web.service", other_texts, start);
  EXPECT_FALSE(is_unit_quarantined(record, "web.service", other_texts));
  crash_with_unit(record, "web.service", other_texts, start);
  EXPECT_TRUE(is_unit_quarantined(record, "web.service", other_texts));
}

TEST(CrashRecord, TheUnitThatARequestLoadsIsToBlameAndNotTheRequest) {
  CrashRecord record;
  take_in_hand(record, Input::Request, "start web.service", 5);
  take_in_hand(record, Input::Unit, "web.service", 0);
  EXPECT_EQ(count_crash(record, start)->input, Input::Unit);
  take_in_hand(record, Input::Request, "start web.service", 5);
  EXPECT_EQ(count_crash(record, start)->input, Input::Request);
}

TEST(CrashRecord, ARequestIsKnownByItsHash) {
  CrashRecord record;
  for (int i = 0; i < 3; ++i) {
    take_in_hand(record, Input::Request, "show", 5);
    count_crash(record, start);
  }
  EXPECT_TRUE(is_quarantined(record, Input::Request, "show", 5));
  EXPECT_FALSE(is_quarantined(record, Input::Request, "show", 6));
  EXPECT_FALSE(is_quarantined(record, Input::Unit, "show", 5));
}

TEST(CrashRecord, ItForgetsTheOldestAndWhatIsQuarantinedLast) {
  CrashRecord record;
  for (int i = 0; i < 3; ++i) crash_with_unit(record, "bad.service", texts, start);
  for (std::size_t i = 1; i < suspects_max; ++i)
    crash_with_unit(record, std::to_string(i) + ".service", texts, start + std::chrono::seconds{i});
  ASSERT_NE(suspect_of(record, Input::Unit, "1.service", 0), nullptr);
  crash_with_unit(record, "more.service", texts, start + 100s);
  EXPECT_EQ(suspect_of(record, Input::Unit, "1.service", 0), nullptr);
  EXPECT_NE(suspect_of(record, Input::Unit, "2.service", 0), nullptr);
  EXPECT_TRUE(is_unit_quarantined(record, "bad.service", texts));
}

TEST(CrashRecord, ANameThatIsTooLongIsCutAndStillKnown) {
  CrashRecord record;
  const std::string name(1000, 'n');
  for (int i = 0; i < 3; ++i) crash_with_unit(record, name, texts, start);
  EXPECT_TRUE(is_unit_quarantined(record, name, texts));
  EXPECT_TRUE(is_sound(record));
}

TEST(CrashRecord, WhatACrashHasOverwrittenIsNotSound) {
  const CrashRecord fresh;
  CrashRecord record;
  EXPECT_TRUE(is_sound(record));
  record.suspects[3].name.size = 253;
  EXPECT_FALSE(is_sound(record));
  record = fresh;
  record.in_hand[1].name.size = ~0U;
  EXPECT_FALSE(is_sound(record));
  record = fresh;
  record.magic ^= 1;
  EXPECT_FALSE(is_sound(record));
  record = fresh;
  record.suspects[0].input = static_cast<Input>(3);
  EXPECT_FALSE(is_sound(record));
}

UniqueFd copy_of(const CrashFile& file) { return UniqueFd{::fcntl(file.fd(), F_DUPFD_CLOEXEC, 0)}; }

TEST(CrashFile, WhatOneManagerHasInHandTheNextOneSees) {
  CrashFile first = CrashFile::create();
  ASSERT_GE(first.fd(), 0);
  const UniqueFd parked = copy_of(first);
  {
    const CrashFile::Held held{first, Input::Unit, "web.service", 0};
    CrashFile next = CrashFile::adopt(copy_of(first));
    const Suspect* const suspect = count_crash(next.record(), start);
    ASSERT_NE(suspect, nullptr);
    EXPECT_EQ(suspect->name.view(), "web.service");
  }
  EXPECT_EQ(count_crash(first.record(), start), nullptr) << "let go";
}

TEST(CrashFile, WhatCannotBeReadIsBegunAnew) {
  CrashFile first = CrashFile::create();
  take_in_hand(first.record(), Input::Unit, "web.service", 0);
  first.record().magic = 0;
  CrashFile next = CrashFile::adopt(copy_of(first));
  EXPECT_TRUE(is_sound(next.record()));
  EXPECT_EQ(count_crash(next.record(), start), nullptr);
  const UniqueFd parked = copy_of(first);
  ASSERT_EQ(::ftruncate(parked.get(), 10), 0);
  CrashFile anew = CrashFile::adopt(copy_of(first));
  EXPECT_TRUE(is_sound(anew.record())) << "too short a file is not looked into";
  EXPECT_TRUE(is_sound(CrashFile::adopt(UniqueFd{}).record()));
}

}  // namespace
}  // namespace perdure::supervisor
