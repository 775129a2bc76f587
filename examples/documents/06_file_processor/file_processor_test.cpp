// The program, on real files.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

namespace fs = std::filesystem;
using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::HasSubstr;

struct FileProcessor : testing::Test {
  perdure::testing::TempDir dir;
  const std::string input = dir / "input", output = dir / "output", processed = dir / "processed";
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}}, .working_directory = dir.path()};

  std::vector<std::string> command(std::vector<std::string> more) const {
    more.insert(more.begin(),
                {EXAMPLE_PROGRAM, "--input=input", "--output=output", "--processed=processed", "--every=20ms"});
    return more;
  }
  Process start(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "--foreground");
    Process program{command(more), here};
    if (!program.wait_for_output("File processor daemon started")) throw std::runtime_error{program.output()};
    return program;
  }
  static std::string content(int i) {
    return "file " + std::to_string(i) + "\n" + std::string(static_cast<size_t>(i), 'x') + "\n";
  }
  void drop(int count) const {
    fs::create_directories(input);
    for (int i = 0; i < count; ++i) {
      write_file(input + "/.new", content(i));
      fs::rename(input + "/.new", input + "/" + std::to_string(i) + ".txt");
    }
  }
  static std::size_t files_in(const std::string& directory) {
    std::error_code gone;
    fs::directory_iterator entries{directory, gone};
    return static_cast<std::size_t>(std::distance(fs::begin(entries), fs::end(entries)));
  }
  static std::size_t count(const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  }
  void expect_all_done(int count) const {
    for (int i = 0; i < count; ++i) {
      const std::string name = "/" + std::to_string(i) + ".txt";
      EXPECT_EQ(read_file(output + name), content(i)) << name;
      EXPECT_EQ(read_file(processed + name), content(i)) << name;
    }
    EXPECT_EQ(files_in(output), static_cast<std::size_t>(count));
    EXPECT_EQ(files_in(processed), static_cast<std::size_t>(count));
    EXPECT_TRUE(fs::is_empty(input));
    EXPECT_TRUE(fs::is_empty(input + ".claimed"));
  }
};

TEST_F(FileProcessor, DoesAThousandFilesEachExactlyOnce) {
  Process program = start({"--settle=50ms"});
  drop(1000);
  ASSERT_TRUE(eventually([&] {
    (void)program.output();  // or its log, which nobody reads, would hold it up
    return files_in(processed) == 1000;
  }));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0") << program.output();
  expect_all_done(1000);
  const std::string log = program.output();
  EXPECT_EQ(count(log, "Processing file: "), 1000u);
  EXPECT_EQ(count(log, "Completed processing: "), 1000u);
  EXPECT_THAT(log, HasSubstr("Processing file: " + input + "/0.txt\n"));
}

TEST_F(FileProcessor, TransformsAndAReloadTakesAnotherTransform) {
  write_file(dir / "fp.conf", "transform = upper\nsettle = 20ms\n");
  Process program = start({"--config=fp.conf"});
  write_file(input + "/a", "Hello\nworld");
  ASSERT_TRUE(eventually([&] { return fs::exists(processed + "/a"); }));
  EXPECT_EQ(read_file(output + "/a"), "HELLO\nWORLD\n");
  write_file(dir / "fp.conf", "transform = lower\n");
  program.signal(SIGHUP);
  ASSERT_TRUE(program.wait_for_output("identity or upper is wanted"));
  write_file(dir / "fp.conf", "transform = identity\nsettle = 20ms\n");
  program.signal(SIGHUP);
  ASSERT_TRUE(program.wait_for_output("reloaded")) << program.output();
  write_file(input + "/b", "Hello");
  ASSERT_TRUE(eventually([&] { return fs::exists(processed + "/b"); }));
  EXPECT_EQ(read_file(output + "/b"), "Hello\n");
}

TEST_F(FileProcessor, AFileThatIsStillWrittenIsNotPickedUp) {
  Process program = start({"--settle=200ms"});
  std::ofstream slow{input + "/slow"};
  slow << "half" << std::flush;
  drop(20);
  ASSERT_TRUE(eventually([&] { return files_in(processed) == 20; })) << "the others go on";
  EXPECT_FALSE(fs::exists(output + "/slow"));
  slow << " and half\n";
  slow.close();
  ASSERT_TRUE(eventually([&] { return fs::exists(processed + "/slow"); }));
  EXPECT_EQ(read_file(output + "/slow"), "half and half\n");
}

TEST_F(FileProcessor, ABadFileIsKeptAsideAndOthersGoOn) {
  Process program = start({"--settle=20ms"});
  write_file(input + "/bad", std::string(2 << 20, 'x'));
  write_file(input + "/unreadable", "x");
  ASSERT_EQ(chmod((input + "/unreadable").c_str(), 0), 0);
  fs::create_directory(input + "/directory.txt");
  drop(5);
  const bool root = geteuid() == 0;  // who can read everything
  ASSERT_TRUE(eventually([&] { return files_in(processed) == (root ? 6u : 5u); }));
  ASSERT_TRUE(program.wait_for_output("Error processing " + input + "/bad: a line of "));
  ASSERT_TRUE(eventually([&] { return fs::exists(input + ".failed/bad"); }));
  EXPECT_EQ(fs::exists(input + ".failed/unreadable"), !root);
  EXPECT_FALSE(fs::exists(output + "/bad"));
  EXPECT_TRUE(fs::exists(input + "/directory.txt")) << "left alone";
}

TEST_F(FileProcessor, DirectoriesThatVanishAreMadeAgain) {
  Process program = start({"--settle=20ms"});
  fs::remove_all(input);
  ASSERT_TRUE(eventually([&] { return fs::exists(input); }));
  fs::remove_all(output);
  drop(3);
  EXPECT_TRUE(eventually([&] { return files_in(processed) == 3; })) << program.output();
  EXPECT_EQ(files_in(output), 3u);
}

TEST_F(FileProcessor, ADirectoryThatCannotBeMadeIsWarnedOfOnceAndAwaited) {
  write_file(input, "a file in its place");
  Process program = start({"--settle=20ms"});
  ASSERT_TRUE(program.wait_for_output("cannot make directory " + input)) << program.output();
  fs::remove(input);
  drop(3);
  EXPECT_TRUE(eventually([&] { return files_in(processed) == 3; }));
  EXPECT_EQ(count(program.output(), "cannot make directory"), 1u);
}

TEST_F(FileProcessor, AStopDrainsTheQueue) {
  Process program = start({"--settle=50ms", "--workers=1"});
  drop(300);
  ASSERT_TRUE(eventually([&] { return fs::is_empty(input); })) << "all are claimed";
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
  expect_all_done(300);
}

TEST_F(FileProcessor, WhatAStopHasNoTimeForIsDoneByTheNextStart) {
  drop(300);
  {
    Process program = start({"--settle=0ms", "--workers=1", "--drain=0ms"});
    ASSERT_TRUE(program.wait_for_output("Completed processing: "));
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait().text(), "exited with 0");
  }
  Process next = start({"--settle=0ms"});
  ASSERT_TRUE(eventually([&] { return files_in(processed) == 300; }));
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait().text(), "exited with 0");
  expect_all_done(300);
}

TEST_F(FileProcessor, KilledInTheMiddleItLosesAndTearsNothing) {
  drop(500);
  for (const std::size_t done : {50u, 200u}) {
    Process victim = start({"--settle=0ms"});
    ASSERT_TRUE(eventually([&] { return files_in(processed) >= done; }));
    victim.signal(SIGKILL);
    victim.wait();
    for (const auto& entry : fs::directory_iterator{output}) {
      const std::string name = entry.path().filename();
      if (name.starts_with('.')) continue;
      ASSERT_EQ(read_file(entry.path()), content(std::stoi(name))) << name << " is torn";
    }
  }
  Process next = start({"--settle=0ms"});
  ASSERT_TRUE(eventually([&] { return files_in(processed) == 500; })) << next.output();
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait().text(), "exited with 0");
  expect_all_done(500);
}

TEST_F(FileProcessor, RunsInTheBackground) {
  const auto started = perdure::testing::run(command({"--daemon", "--settle=20ms", "--log-file=log"}), here);
  ASSERT_TRUE(started.status.success()) << started.output;
  drop(5);
  EXPECT_TRUE(eventually([&] { return files_in(processed) == 5; }));
  EXPECT_TRUE(perdure::testing::run({EXAMPLE_PROGRAM, "stop"}, here).status.success());
  expect_all_done(5);
  EXPECT_THAT(*read_file(dir / "log"), HasSubstr("Shutdown requested"));
}

}  // namespace
