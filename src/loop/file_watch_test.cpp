#include "loop/file_watch.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "os/clock.hpp"
#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"

namespace perdure::loop {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using os::Call;
using os::testing::FaultPlan;
using os::testing::ScratchDirectory;

TEST(Quiet, ABurstEndsWhenItHasBeenQuietForAWhile) {
  const base::Instant start{100s};
  Quiet quiet;
  EXPECT_EQ(quiet.end(), std::nullopt);
  quiet.happened(start);
  quiet.happened(start + 150ms);
  EXPECT_EQ(quiet.end(), start + 350ms);
  EXPECT_FALSE(quiet.take_end(start + 349ms));
  EXPECT_TRUE(quiet.take_end(start + 350ms));
  EXPECT_FALSE(quiet.take_end(start + 500ms));
}

TEST(Quiet, ABurstThatDoesNotEndIsCutOff) {
  const base::Instant start{100s};
  Quiet quiet;
  for (auto at = 0ms; at < 1900ms; at += 100ms) {
    quiet.happened(start + at);
    EXPECT_FALSE(quiet.take_end(start + at));
  }
  quiet.happened(start + 1950ms);
  EXPECT_EQ(quiet.end(), start + Quiet::settle_max);
}

/// A watch of DIR/conf, and how a loop waits for it.
struct Watched {
  explicit Watched(std::string path) : watch(*FileWatch::open(std::move(path))) {}
  bool changes() {
    const auto hang = os::monotonic_now() + 30s;
    for (auto now = os::monotonic_now(); now < hang; now = os::monotonic_now()) {
      if (watch.take_change(now)) return true;
      wait(watch.next_deadline().value_or(hang) - now);
    }
    return false;
  }
  /// Nothing is left to wait for, and nothing of it was a change. What has happened is readable at once (inotify(7)).
  bool stays_the_same() {
    bool changed = watch.take_change(os::monotonic_now());
    while (watch.next_deadline() && !changed) {
      wait(*watch.next_deadline() - os::monotonic_now());
      changed = watch.take_change(os::monotonic_now());
    }
    return !changed;
  }
  void wait(base::Duration time) const {
    pollfd readable{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    ::poll(&readable, 1,
           static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::max(time, base::Duration{0})).count()));
  }
  FileWatch watch;
};

void replace(const ScratchDirectory& dir, const std::string& name, const std::string& content) {
  dir.put(name + ".new", content);
  fs::rename(dir / (name + ".new"), dir / name);
}

TEST(FileWatch, ARenameOverTheFileIsAChange) {
  const ScratchDirectory dir;
  dir.put("conf", "one");
  Watched it{dir / "conf"};
  EXPECT_TRUE(it.stays_the_same());
  for (const char* content : {"two", "three"}) {
    replace(dir, "conf", content);
    EXPECT_TRUE(it.changes()) << content;
  }
  EXPECT_TRUE(it.stays_the_same());
}

TEST(FileWatch, WritingInPlaceIsOneChangeHoweverManyWritesItTakes) {
  const ScratchDirectory dir;
  dir.put("conf", "one");
  Watched it{dir / "conf"};
  std::ofstream out{dir / "conf"};
  for (int i = 0; i < 20; ++i) out << "line\n" << std::flush;
  out.close();
  EXPECT_TRUE(it.changes());
  EXPECT_TRUE(it.stays_the_same());
}

TEST(FileWatch, AMissingFileIsNoChangeItsReturnIs) {
  const ScratchDirectory dir;
  dir.put("conf", "one");
  Watched it{dir / "conf"};
  fs::remove(dir / "conf");
  EXPECT_TRUE(it.stays_the_same());
  dir.put("conf", "two");
  EXPECT_TRUE(it.changes());
  std::ofstream{dir / "conf", std::ios::app} << "more";
  EXPECT_TRUE(it.changes()) << "the new file is watched too";
}

TEST(FileWatch, AnotherFileInTheSameDirectoryIsNoChange) {
  const ScratchDirectory dir;
  dir.put("conf", "one");
  Watched it{dir / "conf"};
  dir.put("other", "x");
  fs::remove(dir / "other");
  EXPECT_TRUE(it.stays_the_same());
}

TEST(FileWatch, ALinkThatIsTurnedIsAChange) {
  const ScratchDirectory dir;
  dir.put("a", "one");
  dir.put("b", "two");
  fs::create_symlink("a", dir / "conf");
  Watched it{dir / "conf"};
  fs::create_symlink(dir / "b", dir / "conf.new");
  fs::rename(dir / "conf.new", dir / "conf");
  EXPECT_TRUE(it.changes());
  std::ofstream{dir / "b", std::ios::app} << "more";
  EXPECT_TRUE(it.changes()) << "the link's new target is watched";
}

// What the kubelet makes of a ConfigMap: conf -> ..data/conf, ..data -> ..VERSION.
TEST(FileWatch, AConfigMapThatIsReplacedIsAChange) {
  const ScratchDirectory dir;
  for (const char* version : {"..1", "..2", "..3"}) {
    fs::create_directory(dir / version);
    dir.put(std::string{version} + "/conf", version);
  }
  fs::create_directory_symlink("..1", dir / "..data");
  fs::create_symlink("..data/conf", dir / "conf");
  Watched it{dir / "conf"};
  for (const char* version : {"..2", "..3"}) {
    fs::create_directory_symlink(version, dir / "..data_tmp");
    fs::rename(dir / "..data_tmp", dir / "..data");
    EXPECT_TRUE(it.changes()) << version;
  }
}

TEST(FileWatch, ADirectoryThatIsRemovedAndMadeAgainIsWatchedAgain) {
  const ScratchDirectory dir;
  fs::create_directories(dir / "etc/app");
  dir.put("etc/app/conf", "one");
  Watched it{dir / "etc/app/conf"};
  for (const char* gone : {"etc/app", "etc"}) {
    fs::remove_all(dir / gone);
    EXPECT_TRUE(it.stays_the_same());
    fs::create_directories(dir / "etc/app");
    dir.put("etc/app/conf", gone);
    EXPECT_TRUE(it.changes()) << gone;
  }
}

TEST(FileWatch, ADirectoryThatIsRenamedAwayAndReplacedIsWatchedAgain) {
  const ScratchDirectory dir;
  fs::create_directories(dir / "app");
  dir.put("app/conf", "one");
  Watched it{dir / "app/conf"};
  fs::rename(dir / "app", dir / "app.old");
  EXPECT_TRUE(it.stays_the_same());
  fs::create_directories(dir / "app");
  dir.put("app/conf", "two");
  EXPECT_TRUE(it.changes());
}

TEST(FileWatch, AFileThatWasNeverThereMayCome) {
  const ScratchDirectory dir;
  Watched it{dir / "not/yet/conf"};
  fs::create_directories(dir / "not/yet");
  dir.put("not/yet/conf", "one");
  EXPECT_TRUE(it.changes());
}

TEST(FileWatch, LinksInACircleHarmNobody) {
  const ScratchDirectory dir;
  fs::create_symlink("b", dir / "a");
  fs::create_symlink("a", dir / "b");
  Watched it{dir / "a"};
  fs::remove(dir / "b");
  dir.put("b", "real");
  EXPECT_TRUE(it.changes());
}

TEST(FileWatch, WithoutInotifyItSaysWhy) {
  const ScratchDirectory dir;
  dir.put("conf", "one");
  {
    const FaultPlan plan{{.call = Call::inotify_init1, .error = EMFILE}};
    EXPECT_EQ(FileWatch::open(dir / "conf").error().message(),
              "cannot watch " + dir / "conf" + ": Too many open files (EMFILE)");
  }
  const FaultPlan plan{{.call = Call::inotify_add_watch, .error = ENOSPC}};
  EXPECT_EQ(FileWatch::open(dir / "conf").error().message(),
            "cannot watch " + dir.path() + ": No space left on device (ENOSPC)");
}

}  // namespace
}  // namespace perdure::loop
