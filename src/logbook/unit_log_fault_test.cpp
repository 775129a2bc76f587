// Every call that capturing makes fails once, with one errno of each kind that is told apart; and a disk that is really full.
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"
#include "logbook/unit_log.hpp"
#include "os/fault_plan.hpp"

namespace perdure::logbook {
namespace {

using os::testing::FaultPlan;
using testing::at;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Logs;

/// Opening, two runs, a rotation with a line cut in two, removal of old segments, a segment taken away, a new manager, the end.
/// Whatever fails is tried again, as the manager does. Returns what was written.
std::string a_life(Logs& logs) {
  std::string written;
  int seconds = 0;
  const auto put = [&](const std::string& text) {
    written += text;
    logs.pipe.write(text);
    for (int tries = 0; tries < 3; ++tries) (void)logs.log->drain(logs.pipe.out.get(), at(++seconds));
  };
  logs.log->begin_run({.run = 1, .main_pid = 10});
  put("first\n" + std::string(60, 'x'));
  put("end of a line\nand the next\n");
  logs.log->begin_run({.run = 2, .main_pid = 11});
  put(std::string(120, 'y') + "\n");
  put("after the rotation\n");
  auto again = LogDirectory::open(logs.scratch / "logs", logs.limits_);
  if (!again) again = LogDirectory::open(logs.scratch / "logs", logs.limits_);
  logs.log.reset();
  logs.directory = *std::move(again);
  logs.log = std::make_unique<UnitLog>(*logs.directory, "web.service");
  put("new manager\n");
  EXPECT_EQ(logs.bytes(), written);
  std::filesystem::resize_file(logs / logs.names().back(), 0);
  written = logs.bytes();  // what somebody else has cut off is not our loss
  put("after the cut\n");
  logs.pipe.in.reset();
  bool end = false;
  for (int tries = 0; tries < 3 && !end; ++tries) end = logs.log->drain(logs.pipe.out.get(), at(++seconds)).end;
  EXPECT_TRUE(end);
  return written;
}

TEST(UnitLogFaults, NoByteIsLostOrDoubledWhicheverCallFailsOnce) {
  const std::size_t descriptors = testing::open_descriptors();
  for (const int error : {EIO, ENOSPC, EMFILE, ENOENT, EFBIG, EAGAIN}) {
    unsigned n = 1;
    for (bool fired = true; fired; ++n) {
      SCOPED_TRACE(::testing::Message() << "call " << n << " fails with errno " << error);
      Logs logs{{.segment_bytes_max = 100}};
      std::string written;
      std::string failed;
      {
        FaultPlan plan{{.nth = n, .error = error}};
        written = a_life(logs);
        fired = plan.fired();
        failed = plan.failed_call();
      }
      EXPECT_EQ(logs.bytes(), written) << failed;
      if (HasFailure()) return;
    }
    EXPECT_GT(n, 50U);
  }
  EXPECT_EQ(testing::open_descriptors(), descriptors);
}

TEST(UnitLogFaults, ADiskThatStaysFullIsSaidOnceAndLosesNothing) {
  Logs logs;
  logs.put("before\n");
  Taken taken;
  {
    FaultPlan plan{{.call = os::Call::splice, .error = ENOSPC, .times = 1000}};
    taken = logs.put("waits\n");
    EXPECT_EQ(taken.blocked, ENOSPC);
    EXPECT_THAT(taken.note, HasSubstr("No space left on device (ENOSPC); what web.service writes waits in its pipe"));
    EXPECT_THAT(logs.log->take(logs.pipe.out.get(), at(1)).note, IsEmpty());
  }
  taken = logs.log->take(logs.pipe.out.get(), at(2));
  EXPECT_EQ(taken.bytes, 6U);
  EXPECT_THAT(taken.note, HasSubstr("the log of web.service is written again, nothing was lost"));
  EXPECT_EQ(logs.bytes(), "before\nwaits\n");
}

TEST(UnitLogFaults, ABadSectorLeadsToAFreshSegmentOnce) {
  Logs logs;
  logs.put("before\n");
  FaultPlan plan{{.call = os::Call::splice, .error = EIO}};
  const Taken taken = logs.put("after\n");
  EXPECT_EQ(taken.blocked, 0);
  EXPECT_THAT(taken.note, HasSubstr("goes on in"));
  EXPECT_EQ(testing::read_whole(logs / "00000002.log"), "after\n");
}

TEST(UnitLogFaults, WithoutAFreshSegmentTheFullOneGrows) {
  Logs logs{{.segment_bytes_max = 10}};
  logs.put("0123456789\n");
  FaultPlan plan{{.call = os::Call::openat, .nth = 3, .error = ENOSPC, .times = 1000}};
  const Taken taken = logs.put("next\n");
  EXPECT_EQ(taken.blocked, 0);
  EXPECT_THAT(taken.note, HasSubstr("the log goes on in the full file, which grows"));
  EXPECT_THAT(logs.put("and next\n").note, IsEmpty());
  EXPECT_EQ(testing::read_whole(logs / "00000001.log"), "0123456789\nnext\nand next\n");
}

// ---- a real full disk --------------------------------------------------------------------------------------------------------

/// Runs in a mount namespace of its own. Returns what is wrong; empty when nothing is.
std::string fill_a_disk(const std::string& place, const char* limits) {
  if (::mount("tmpfs", place.c_str(), "tmpfs", 0, limits) != 0) return "skip: cannot mount a tmpfs";
  const auto directory = LogDirectory::open(place + "/logs", CaptureLimits{});
  if (!directory) return directory.error().message();
  UnitLog log{**directory, "web.service"};
  testing::Pipe pipe;
  std::string written;
  const auto everything = [&] { return testing::read_whole(place + "/logs/web.service/00000001.log"); };
  Taken taken;
  for (int i = 0; i < 200 && taken.blocked == 0; ++i) {
    const std::string line = std::to_string(i) + std::string(9'000, '.') + "\n";
    pipe.write(line);
    written += line;
    taken = log.take(pipe.out.get(), at(i));
  }
  if (taken.blocked != ENOSPC) return "a full disk does not block with ENOSPC but " + std::to_string(taken.blocked);
  if (resize_pipe(pipe.out.get(), 1U << 20) != 1U << 20) return "the pipe does not grow";
  const std::string more(500'000, 'm');  // the service goes on; its words wait
  pipe.write(more);
  written += more;
  if (written.find(everything()) != 0) return "what is on the full disk is not the beginning of what was written";
  taken = log.drain(pipe.out.get(), at(300));
  if (taken.blocked != ENOSPC) return "the full disk takes something";
  if (::mount("tmpfs", place.c_str(), "tmpfs", MS_REMOUNT, "size=16m") != 0) return "cannot make the disk larger";
  taken = log.drain(pipe.out.get(), at(400));
  if (taken.blocked != 0) return "a disk with room blocks";
  return everything() == written ? "" : "bytes were lost or doubled";
}

TEST(UnitLogFaults, ARealFullDiskKeepsTheBytesInThePipeAndGoesOnByItself) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a small disk";
  const testing::TempDirectory scratch;
  const testing::Pipe answer;
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    std::string wrong = "skip: cannot make a mount namespace";
    if (::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0)
      wrong = fill_a_disk(scratch.path(), "size=1m");
    answer.write(wrong);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0);
  char text[1000];
  const ssize_t size = (::fcntl(answer.out.get(), F_SETFL, O_NONBLOCK), ::read(answer.out.get(), text, sizeof text));
  const std::string wrong(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong.substr(6);
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace perdure::logbook
