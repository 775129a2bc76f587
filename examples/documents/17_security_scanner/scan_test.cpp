// The scan, below a directory in which something was planted.
#include "scan.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::write_file;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr const char* tcp_table =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
    "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n"
    "   2: 0100007F:0016 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";

struct ScanTest : testing::Test {
  perdure::testing::TempDir dir;
  ScanConfig config;
  ScanTest() { config.root = dir.path(); }

  std::string plant(const std::string& name, mode_t mode) const {
    write_file(dir / name, "x");
    EXPECT_EQ(chmod((dir / name).c_str(), mode), 0);
    return dir / name;
  }
  Scan look() const {
    return look_below(config, [] { return true; });
  }
};

TEST_F(ScanTest, FindsWhatOthersMayWriteTo) {
  plant("fine", 0644);
  const std::string open = plant("open", 0666);
  std::filesystem::create_directories(dir / "a/b/c");
  const std::string deep = plant("a/b/c/deep", 0602);
  ASSERT_EQ(mkdir((dir / "everybodys").c_str(), 0700), 0);
  ASSERT_EQ(chmod((dir / "everybodys").c_str(), 0777), 0);
  ASSERT_EQ(mkdir((dir / "tmp").c_str(), 0700), 0);
  ASSERT_EQ(chmod((dir / "tmp").c_str(), 01777), 0);  // nobody can take another's files away
  std::filesystem::create_symlink(open, dir / "link");
  EXPECT_THAT(look().findings, UnorderedElementsAre("world-writable file: " + open, "world-writable file: " + deep,
                                                    "world-writable directory without sticky bit: " + (dir / "everybodys")));
}

TEST_F(ScanTest, FindsWhatRunsWithSomebodyElsesRights) {
  const std::string setuid = plant("setuid", 04755), setgid = plant("setgid", 02755);
  plant("lock", 02644);  // not executable by the group: mandatory locking, once
  EXPECT_THAT(look().findings,
              UnorderedElementsAre("setuid file: " + setuid + " (runs as user " + std::to_string(geteuid()) + ")",
                                   "setgid file: " + setgid + " (runs as group " + std::to_string(getegid()) + ")"));
}

TEST_F(ScanTest, FindsPortsOnWhichSomebodyListens) {
  std::filesystem::create_directories(dir / "proc/net");
  write_file(dir / "proc/net/tcp", tcp_table);
  write_file(dir / "proc/net/tcp6",
             "   0: 00000000000000000000000001000000:0050 0:0 0A\n   1: nonsense\n   2: 00:1 0:0 0A\n");
  EXPECT_THAT(look().findings, UnorderedElementsAre("listening port: 127.0.0.1:22", "listening port: 0.0.0.0:8080",
                                                    "listening port: [::1]:80"));
}

TEST_F(ScanTest, LooksOnlyForWhatItIsToldTo) {
  const std::string both = plant("both", 04757);
  config.world_writable = false;
  config.listening = false;
  EXPECT_EQ(look().findings.size(), 1u);
  config.setuid = false;
  EXPECT_THAT(look().findings, IsEmpty());
  config.world_writable = true;
  EXPECT_THAT(look().findings, ElementsAre("world-writable file: " + both));
}

TEST_F(ScanTest, LeavesOutWhatIsIgnoredWithAllBelowIt) {
  std::filesystem::create_directories(dir / "ignored/below");
  plant("ignored/below/file", 0666);
  plant("single", 0666);
  plant("single-not", 0666);
  config.ignore = {dir / "ignored", dir / "single"};
  EXPECT_THAT(look().findings, ElementsAre("world-writable file: " + (dir / "single-not")));
}

TEST_F(ScanTest, ADirectoryThatIsNotThereThrows) {
  config.root = dir / "missing";
  EXPECT_THROW(look(), std::runtime_error);
}

TEST_F(ScanTest, CanBeInterrupted) {
  for (int i = 0; i < 600; ++i) write_file(dir / std::to_string(i), "");
  int questions = 0;
  EXPECT_FALSE(look_below(config, [&] { return ++questions < 2; }).is_whole);
  EXPECT_EQ(questions, 2);
}

}  // namespace
