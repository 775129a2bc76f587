// Output that is too much, too little or has nowhere to go: no byte is lost, and nobody but its writer waits.
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::proc_status;
using perdure::testing::read_file;
using ::testing::HasSubstr;

std::uint64_t resident_kib(pid_t pid) {
  const std::string text = proc_status(pid, "VmRSS");
  std::uint64_t kib = 0;
  std::from_chars(text.data(), text.data() + text.size(), kib);
  return kib;
}

TEST(LogFaults, FiftyMegabytesWithoutANewlineAreStoredAndNotRemembered) {
  constexpr std::size_t bytes = 50'000'000;
  Instance instance{Owner::Ourselves, Parent::Test};
  instance.add("idle.service", "idle");
  instance.start();
  const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
  const std::uint64_t before = resident_kib(manager);
  ASSERT_GT(before, 0U);

  Service& service = instance.add("loud.service", "bytes", std::to_string(bytes));
  ASSERT_EQ(instance.carry_out("start", {service.name}), "done");
  EXPECT_TRUE(eventually([&] { return service.truth->bytes_written == bytes; })) << service.truth->bytes_written;
  EXPECT_EQ(instance.carry_out("stop", {service.name}), "done");
  EXPECT_EQ(instance.number("ManagerPID"), manager);
  EXPECT_LT(resident_kib(manager), before + 8 * 1024);
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_TRUE(instance.log(service.name) == unbroken_stream(service.seed, bytes));
}

TEST(LogFaults, AServiceThatClosesItsOutputLivesOn) {
  Instance instance{Owner::Ourselves, Parent::Test};
  Service& service = instance.add("mute.service", "mute");
  instance.start();
  ASSERT_TRUE(eventually([&] { return service.truth->rounds == 1; }));
  EXPECT_TRUE(eventually([&] { return instance.log(service.name) == "what it said\n"; })) << instance.log(service.name);
  const ShownUnit shown = instance.show(service.name);
  EXPECT_EQ(shown.sub_state, "running");
  EXPECT_EQ(shown.main_pid, service.truth->life[0].pid);
  EXPECT_TRUE(eventually([&] {
    return instance.remarks(service.name).find("it has closed its standard output and error") != std::string::npos;
  }));
  EXPECT_EQ(instance.carry_out("stop", {service.name}), "done");
  EXPECT_EQ(service.truth->life[0].end, EndKind::Exited);
  EXPECT_EQ(service.truth->lives, 1U);
}

TEST(LogFaults, AnyBytesAreStoredAsTheyAreAndShownHarmless) {
  Instance instance{Owner::Ourselves, Parent::Test};
  instance.add("idle.service", "idle");
  instance.add_unit("noise.service",
                    "[Service]\nType=oneshot\nExecStart=/usr/bin/printf 'a\\\\000b\\\\377\\\\033[2Jc\\\\n'\n");
  instance.start();
  ASSERT_EQ(instance.carry_out("start", {"noise.service"}), "done");
  const std::string bytes{"a\0b\xFF\x1B[2Jc\n", 10};
  EXPECT_TRUE(eventually([&] { return instance.log("noise.service") == bytes; })) << instance.log("noise.service");
  const auto shown = perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + instance.path("run"), "logs",
                                            "--log-dir=" + instance.path("log"), "-u", "noise.service"});
  EXPECT_TRUE(shown.status.success()) << shown.output;
  EXPECT_EQ(shown.output.find('\x1B'), std::string::npos) << shown.output;
  EXPECT_EQ(shown.output.find('\0'), std::string::npos) << shown.output;
  EXPECT_THAT(shown.output, HasSubstr("[2Jc"));
}

TEST(LogFaults, WhoTruncatesItsOutputLosesNothing) {
  Instance instance{Owner::Ourselves, Parent::Test};
  instance.add("idle.service", "idle");
  std::string owner = ::geteuid() == 0 ? "User=64321\n" : "";
  instance.add_unit("cut.service", "[Service]\nType=oneshot\n" + owner +
                                       "ExecStart=/bin/sh -c 'echo before; : > /dev/stdout; echo after > /dev/stderr'\n");
  instance.start();
  EXPECT_EQ(instance.carry_out("start", {"cut.service"}), "done") << instance.log("cut.service");
  EXPECT_TRUE(eventually([&] { return instance.log("cut.service") == "before\nafter\n"; })) << instance.log("cut.service");
}

/// A mount namespace with a disk of its own that somebody else has nearly filled, for the words that follow.
std::vector<std::string> under_a_full_disk(const std::string& place) {
  return {"/usr/bin/unshare",
          "--mount",
          "--propagation=private",
          "/bin/sh",
          "-c",
          "mount -t tmpfs -o size=48m,mode=0750 tmpfs \"$0\" && head -c 48850k /dev/zero > \"$0/filler\" && exec \"$@\"",
          place};
}

std::string numbered(int number) {
  const std::string digits = std::to_string(number);
  return std::string(8 - digits.size(), '0') + digits + ".log";
}

TEST(LogFaults, AFullDiskBlocksOnlyWhoWritesAndLosesNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a disk";
  constexpr std::size_t bytes = 2'000'000;  // more than the rest of the disk and the pipe hold, less than its log may
  perdure::testing::TempDir disk;
  if (!perdure::testing::run([&] {
         auto words = under_a_full_disk(disk.path());
         words.emplace_back("/bin/true");
         return words;
       }())
           .status.success())
    GTEST_SKIP() << "no disk can be mounted here, in a namespace of its own";

  Instance instance{Owner::Ourselves,
                    Parent::Test,
                    {.run_options = {"--log-dir=" + disk.path()}, .under = under_a_full_disk(disk.path())}};
  Service& writer = instance.add("writer.service", "bytes", std::to_string(bytes));
  Service& idler = instance.add("idler.service", "idle");
  instance.start();
  EXPECT_TRUE(instance.wait_for_output("No space left on device (ENOSPC)")) << instance.output();
  EXPECT_THAT(instance.remarks(writer.name), HasSubstr("No space left on device (ENOSPC)"));
  ASSERT_TRUE(instance.wait_for(idler.name, "running"));
  EXPECT_EQ(instance.carry_out("restart", {idler.name}), "done") << "others are served while one waits";
  EXPECT_EQ(instance.show(idler.name).sub_state, "running");
  EXPECT_EQ(instance.show(writer.name).sub_state, "running");
  EXPECT_LT(writer.truth->bytes_written, bytes);

  const std::string keeper = std::to_string(instance.keeper());
  const auto larger = perdure::testing::run(
      {"/usr/bin/nsenter", "--mount", "--target=" + keeper, "/bin/mount", "-o", "remount,size=64m", disk.path()});
  ASSERT_TRUE(larger.status.success()) << larger.output;
  EXPECT_TRUE(eventually([&] { return writer.truth->bytes_written == bytes; })) << writer.truth->bytes_written;
  const std::string segments = "/proc/" + keeper + "/root" + disk.path() + "/writer.service/";
  const auto stored = [&] {
    std::string text;
    for (int number = 1; number < 100; ++number) text += read_file(segments + numbered(number)).value_or("");
    return text;
  };
  EXPECT_TRUE(eventually([&] { return stored().size() == bytes; })) << stored().size();
  EXPECT_TRUE(stored() == unbroken_stream(writer.seed, bytes));
  EXPECT_TRUE(instance.wait_for_output("nothing was lost")) << instance.output();
  EXPECT_EQ(instance.remarks(writer.name), "");
  EXPECT_EQ(writer.truth->lives, 1U);
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
}

}  // namespace
}  // namespace supervisor_test
