#include "perdure/health_file.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>

#include <gtest/gtest.h>

#include "os/fault_plan.hpp"

namespace perdure {
namespace {

using namespace std::chrono_literals;
using os::testing::FaultPlan;

constexpr std::chrono::system_clock::time_point now{1'763'700'000s + 900ms};

class HealthFileTest : public ::testing::Test {
 protected:
  HealthFileTest() {
    std::string name = (std::filesystem::temp_directory_path() / "perdure_health_XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) directory_ = name;
    path_ = directory_ + "/t.health";
  }
  ~HealthFileTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  void put(const std::string& content) const { std::ofstream{path_, std::ios::binary} << content; }
  std::string content() const {
    std::ifstream in{path_, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  std::string refusal() const {
    const auto age = HealthFile::age(path_, now);
    return age ? "(accepted)" : age.error().message();
  }
  std::string directory_;
  std::string path_;
};

TEST_F(HealthFileTest, HoldsTheSecondsSince1970AndANewline) {
  const mode_t was = ::umask(0077);
  ASSERT_TRUE(HealthFile{path_}.kick(now));
  ::umask(was);
  EXPECT_EQ(content(), "1763700000\n");
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
}

TEST_F(HealthFileTest, TellsItsAgeEvenIfTheClockWasSetBack) {
  ASSERT_TRUE(HealthFile{path_}.kick(now));
  EXPECT_EQ(*HealthFile::age(path_, now), 0s);
  EXPECT_EQ(*HealthFile::age(path_, now + 15s), 15s);
  EXPECT_EQ(*HealthFile::age(path_, now - 1h), -1h);
}

TEST_F(HealthFileTest, AReaderSeesACompleteNumberAtEveryInstant) {
  const HealthFile health{path_};
  ASSERT_TRUE(health.kick(now));
  std::atomic<bool> done{false};
  std::jthread writer{[&] {
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(health.kick(now));
    done = true;
  }};
  while (!done) {
    const auto age = HealthFile::age(path_, now);
    ASSERT_TRUE(age) << age.error().message();
    ASSERT_EQ(*age, 0s);
  }
}

TEST_F(HealthFileTest, IsRemovedAtTheEndAndRemovingTwiceIsFine) {
  const HealthFile health{path_};
  ASSERT_TRUE(health.kick(now));
  EXPECT_TRUE(health.remove());
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(health.remove());
}

TEST_F(HealthFileTest, ALinkInItsPlaceIsReplacedNotFollowed) {
  std::ofstream{directory_ + "/precious"} << "precious";
  ASSERT_EQ(::symlink((directory_ + "/precious").c_str(), path_.c_str()), 0);
  EXPECT_FALSE(HealthFile::age(path_, now));
  ASSERT_TRUE(HealthFile{path_}.kick(now));
  EXPECT_FALSE(std::filesystem::is_symlink(path_));
  EXPECT_EQ(std::filesystem::file_size(directory_ + "/precious"), 8U);
}

TEST_F(HealthFileTest, AKickThatFailsLeavesTheOldTime) {
  const HealthFile health{path_};
  ASSERT_TRUE(health.kick(now));
  bool fired = true;
  for (unsigned nth = 1; fired && nth < 50; ++nth) {
    SCOPED_TRACE(nth);
    Result<void> outcome;
    {
      const FaultPlan plan{{.nth = nth, .error = ENOSPC}};
      outcome = health.kick(now + 60s);
      fired = plan.fired();
    }
    const auto age = HealthFile::age(path_, now);
    ASSERT_TRUE(age) << age.error().message();
    ASSERT_EQ(*age, outcome ? -60s : 0s);
    ASSERT_TRUE(health.kick(now));
  }
  EXPECT_FALSE(fired);
}

TEST_F(HealthFileTest, WhatIsNoTimeIsAnErrorThatSaysWhy) {
  EXPECT_EQ(refusal(), "cannot read " + path_ + ": No such file or directory (ENOENT)");
  const auto not_a_number = [&](const std::string& shown) {
    return "cannot tell a time from " + path_ + ": \"" + shown + "\" is not a number of seconds since 1970";
  };
  put("");
  EXPECT_EQ(refusal(), not_a_number(""));
  put("soon\n");
  EXPECT_EQ(refusal(), not_a_number("soon"));
  put("1763700000\n\n");
  EXPECT_EQ(refusal(), not_a_number("1763700000\\n"));
  put(std::string("17637\0", 6) + "0000\n");
  EXPECT_EQ(refusal(), not_a_number("17637\\x000000"));
  put("-9223372036854775808\n");
  EXPECT_EQ(refusal(), not_a_number("-9223372036854775808"));
  put(std::string(33, '1'));
  EXPECT_EQ(refusal(), "cannot read " + path_ + ": it is larger than the 32 bytes that are accepted (EFBIG)");
}

TEST_F(HealthFileTest, AFifoOrDirectoryInItsPlaceIsRefusedAndNeverWaitedFor) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(HealthFile::age(path_, now));
  EXPECT_FALSE(HealthFile::age(directory_, now));
}

}  // namespace
}  // namespace perdure
