#include "daemon/notify_relay.hpp"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"
#include "perdure/supervise.hpp"

namespace perdure {
namespace {

using namespace std::chrono_literals;
using daemon::relayed;
using daemon::WatchdogDuty;
using os::Call;
using os::testing::FaultPlan;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

using Body = std::function<int(const WorkerStart&)>;

// ---- what goes on, as values -------------------------------------------------------------------------------------------------

TEST(RelayedNotify, WhatTheInitMayHearOfAWorker) {
  EXPECT_EQ(relayed("READY=1\nSTATUS=serving", false).lines, "READY=1\nSTATUS=serving");
  EXPECT_EQ(relayed("RELOADING=1\nMONOTONIC_USEC=812", false).lines, "RELOADING=1\nMONOTONIC_USEC=812");
  EXPECT_EQ(relayed("EXTEND_TIMEOUT_USEC=5000000", false).lines, "EXTEND_TIMEOUT_USEC=5000000");
  EXPECT_EQ(relayed("WATCHDOG=1", false).lines, "WATCHDOG=1");
}

TEST(RelayedNotify, WhatIsNotAWorkersToSay) {
  for (const char* line : {"MAINPID=1", "FDSTORE=1\nFDNAME=x", "FDSTOREREMOVE=1", "BARRIER=1", "WATCHDOG_USEC=1",
                           "WATCHDOG=trigger", "NOTIFYACCESS=all", "ERRNO=2", "READY=0", "READY", "X_OWN=1", ""})
    EXPECT_EQ(relayed(line, true).lines, "") << line;
  EXPECT_EQ(relayed("MAINPID=1\nREADY=1\nFDSTORE=1", false).lines, "READY=1");
}

TEST(RelayedNotify, StoppingIsOnlyTrueOfAWorkerWhileTheParentStopsToo) {
  EXPECT_EQ(relayed("STOPPING=1\nSTATUS=bye", false).lines, "STATUS=bye");
  EXPECT_EQ(relayed("STOPPING=1\nSTATUS=bye", true).lines, "STOPPING=1\nSTATUS=bye");
}

TEST(RelayedNotify, ReadyAndWatchdogAreAWorkersOwnVoice) {
  EXPECT_TRUE(relayed("READY=1", false).speaks_for_itself);
  EXPECT_TRUE(relayed("WATCHDOG=1", false).speaks_for_itself);
  EXPECT_FALSE(relayed("STATUS=starting", false).speaks_for_itself);
}

TEST(WatchdogDuty, TheParentPingsUntilTheWorkerSpeaksAndWhileThereIsNone) {
  const base::Instant start{100s};
  WatchdogDuty duty{10s, 60s};
  EXPECT_EQ(duty.next_ping(), std::nullopt) << "nothing runs yet";
  duty.worker_started(start);
  EXPECT_TRUE(duty.take_ping(start));
  EXPECT_FALSE(duty.take_ping(start + 4s));
  EXPECT_EQ(duty.next_ping(), start + 5s);
  EXPECT_TRUE(duty.take_ping(start + 5s));
  duty.worker_spoke();
  EXPECT_EQ(duty.next_ping(), std::nullopt);
  EXPECT_FALSE(duty.take_ping(start + 50s)) << "from here on only the worker's own pings count";
  duty.worker_ended(start + 60s);
  EXPECT_TRUE(duty.take_ping(start + 60s));
  EXPECT_TRUE(duty.take_ping(start + 65s));
}

TEST(WatchdogDuty, AWorkerThatNeverSpeaksIsCoveredForItsStartOnly) {
  const base::Instant start{100s};
  WatchdogDuty duty{10s, 12s};
  duty.worker_started(start);
  for (const auto at : {0s, 5s, 10s}) EXPECT_TRUE(duty.take_ping(start + at)) << at.count();
  EXPECT_EQ(duty.next_ping(), std::nullopt);
}

// ---- with processes ----------------------------------------------------------------------------------------------------------

/// An init's notify socket, and a variable that names it.
class FakeInit {
 public:
  FakeInit() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = directory_ / "notify";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const int on = 1;
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    const timeval hang{.tv_sec = 30, .tv_usec = 0};
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof hang), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~FakeInit() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
  FakeInit(const FakeInit&) = delete;
  FakeInit& operator=(const FakeInit&) = delete;

  /// The next message; sets `sender`.
  std::string hear() {
    std::array<char, 8192> bytes;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + 256> control;
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    if (size < 0) return "(nothing)";
    descriptors = 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      ucred credentials{};
      if (header->cmsg_type == SCM_CREDENTIALS) std::memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
      if (header->cmsg_type == SCM_CREDENTIALS) sender = credentials.pid;
      descriptors += header->cmsg_type == SCM_RIGHTS ? 1 : 0;
    }
    return {bytes.data(), static_cast<std::size_t>(size)};
  }
  std::string hear_beyond(const std::string& expected) {
    std::string heard = hear();
    while (heard == expected) heard = hear();
    return heard;
  }
  /// Whether anything comes within the time; for what must not come, so that a slow machine cannot fail the test.
  [[nodiscard]] bool hears_within(std::chrono::milliseconds time) const {
    pollfd readable{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&readable, 1, static_cast<int>(time.count())) > 0;
  }
  pid_t sender = 0;
  int descriptors = 0;

 private:
  os::testing::ScratchDirectory directory_;
  UniqueFd fd_;
};

/// A supervising parent of its own. `ready` tells it to go on.
class Parent {
 public:
  Parent(const SuperviseOptions& options, const Body& body,
         std::optional<std::chrono::microseconds> watchdog = std::nullopt) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      if (watchdog) {
        ::setenv("WATCHDOG_USEC", std::to_string(watchdog->count()).c_str(), 1);
        ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
      }
      const auto result = supervise(options, body);
      if (!result) std::fprintf(stderr, "%s\n", result.error().message().c_str());
      ::_exit(result ? result->exit_code() : 99);
    }
    pidfd_ = UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))};
  }
  ~Parent() {
    if (pid_ > 0) {
      signal(SIGTERM);
      wait();
    }
  }
  Parent(const Parent&) = delete;
  Parent& operator=(const Parent&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { EXPECT_EQ(::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0), 0); }
  int wait() {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
  UniqueFd pidfd_;
};

/// A pipe on which a test lets a worker go on.
struct Gate {
  Gate() { EXPECT_EQ(::pipe(ends), 0); }
  ~Gate() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void open() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
  void pass() const {
    char byte = 0;
    if (::read(ends[0], &byte, 1) != 1) ::_exit(98);
  }
  int ends[2] = {-1, -1};
};

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

TEST(SuperviseNotify, AWorkersMessagesReachTheInitAsTheParentsAndNoOthersDo) {
  FakeInit init;
  Parent parent{{}, [](const WorkerStart&) -> int {
                  const auto notify = Notify::from_environment();
                  (void)notify->send("MAINPID=1");
                  (void)notify->send("FDSTORE=1\nFDNAME=x");
                  (void)notify->send("READY=1\nMAINPID=1\nSTATUS=serving");
                  wait_for_ever();
                }};
  EXPECT_EQ(init.hear(), "READY=1\nSTATUS=serving");
  EXPECT_EQ(init.sender, parent.pid());
}

TEST(SuperviseNotify, ABarrierIsAnsweredAndItsDescriptorGoesNoFurther) {
  FakeInit init;
  Parent parent{{.restart = {.when = Restart::Never}}, [](const WorkerStart&) -> int {
                  const auto notify = Notify::from_environment();
                  const bool ok = notify->status("before") && notify->barrier(30s);
                  (void)notify->status(ok ? "answered" : "not answered");
                  return 0;
                }};
  EXPECT_EQ(init.hear(), "STATUS=before");
  EXPECT_EQ(init.hear(), "STATUS=answered");
  EXPECT_EQ(init.descriptors, 0);
  EXPECT_EQ(parent.wait(), 0);
}

TEST(SuperviseNotify, BetweenTwoWorkersTheStatusSaysSo) {
  FakeInit init;
  Parent parent{{.restart = {.delay = 1ms, .delay_max = 1ms, .give_up_after = 2, .within = 60s}},
                [](const WorkerStart&) { return 3; }};
  EXPECT_THAT(init.hear(),
              MatchesRegex("STATUS=worker [0-9]+ exited with 3; starting it again in [0-9]+ ms \\(restart 1\\)"));
  EXPECT_THAT(init.hear(), MatchesRegex("STATUS=worker [0-9]+ runs \\(restart 1\\)"));
  EXPECT_THAT(init.hear(), MatchesRegex("STATUS=worker [0-9]+ exited with 3; given up after 1 restarts"));
  EXPECT_EQ(parent.wait(), 3);
}

TEST(SuperviseNotify, TheWatchdogHearsTheWorkerOnceThatSpeaks) {
  FakeInit init;
  Gate gate;
  Parent parent{{},
                [&](const WorkerStart&) -> int {
                  const auto notify = Notify::from_environment();
                  gate.pass();
                  (void)notify->send(notify->watchdog() == 10ms ? "READY=1" : "STATUS=no watchdog");
                  gate.pass();
                  (void)notify->ping_watchdog();
                  (void)notify->status("pinged");
                  wait_for_ever();
                },
                10ms};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(init.hear(), "WATCHDOG=1") << "the parent answers for a worker that starts";
  gate.open();
  EXPECT_EQ(init.hear_beyond("WATCHDOG=1"), "READY=1");
  EXPECT_FALSE(init.hears_within(100ms)) << "a worker that does not ping is not answered for";
  gate.open();
  EXPECT_EQ(init.hear(), "WATCHDOG=1");
  EXPECT_EQ(init.hear(), "STATUS=pinged");
}

TEST(SuperviseNotify, BetweenTwoWorkersTheParentAnswersTheWatchdog) {
  FakeInit init;
  Parent parent{{.restart = {.delay = 1h, .delay_max = 1h}},
                [](const WorkerStart&) {
                  (void)Notify::from_environment()->ready();
                  return 1;
                },
                10ms};
  EXPECT_EQ(init.hear_beyond("WATCHDOG=1"), "READY=1");
  EXPECT_THAT(init.hear_beyond("WATCHDOG=1"), HasSubstr("starting it again"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(init.hear(), "WATCHDOG=1");
  parent.signal(SIGTERM);
  EXPECT_EQ(init.hear_beyond("WATCHDOG=1"), "STOPPING=1");
  EXPECT_EQ(parent.wait(), 0);
}

TEST(SuperviseNotify, TheParentSaysThatItStopsAndHearsTheWorkersLastWords) {
  FakeInit init;
  Parent parent{{}, [](const WorkerStart&) -> int {
                  const auto notify = Notify::from_environment();
                  sigset_t term;
                  sigemptyset(&term);
                  sigaddset(&term, SIGTERM);
                  ::sigprocmask(SIG_BLOCK, &term, nullptr);
                  (void)notify->send("READY=1\nSTOPPING=1");
                  int signal = 0;
                  ::sigwait(&term, &signal);
                  (void)notify->send("STOPPING=1\nSTATUS=flushing");
                  (void)notify->status("bye");
                  return 0;
                }};
  EXPECT_EQ(init.hear(), "READY=1") << "a worker alone does not stop the service";
  parent.signal(SIGTERM);
  EXPECT_EQ(init.hear(), "STOPPING=1");
  EXPECT_EQ(init.hear(), "STOPPING=1\nSTATUS=flushing");
  EXPECT_EQ(init.hear(), "STATUS=bye");
  EXPECT_EQ(parent.wait(), 0);
}

TEST(SuperviseNotify, WhoIsNotTheWorkerIsNotHeard) {
  FakeInit init;
  Gate gate;
  Parent parent{{}, [&](const WorkerStart&) -> int {
                  const std::string address = ::getenv("NOTIFY_SOCKET");
                  const auto notify = Notify::from_environment();
                  (void)notify->status(address);
                  gate.pass();
                  (void)notify->status("myself");
                  wait_for_ever();
                }};
  std::string address = init.hear();
  ASSERT_THAT(address, StartsWith("STATUS=@perdure/worker/"));
  address = address.substr(sizeof "STATUS=@" - 1);
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  address.copy(to.sun_path + 1, sizeof to.sun_path - 1);
  const UniqueFd stranger{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + address.size());
  ASSERT_EQ(::sendto(stranger.get(), "READY=1", 7, 0, reinterpret_cast<const sockaddr*>(&to), size), 7);
  gate.open();
  EXPECT_EQ(init.hear(), "STATUS=myself");
}

TEST(SuperviseNotify, AWorkerHoldsNoDescriptorOfTheParents) {
  FakeInit init;
  Parent parent{{}, [&](const WorkerStart&) -> int {
                  const auto notify = Notify::from_environment();
                  int found = 0;
                  for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
                    std::error_code gone;
                    const std::string target = std::filesystem::read_symlink(entry, gone).string();
                    found += target.starts_with("socket:") || target == "anon_inode:[signalfd]" ? 1 : 0;
                  }
                  (void)notify->status(std::to_string(found));
                  wait_for_ever();
                }};
  EXPECT_EQ(init.hear(), "STATUS=2") << "the test's own socket, and the one that Notify has made";
}

TEST(SuperviseNotify, AReadyThatFindsTheInitsQueueFullIsSentLater) {
  FakeInit init;
  const FaultPlan plan{{.call = Call::sendmsg, .error = EAGAIN, .times = 3}};
  Parent parent{{}, [](const WorkerStart&) -> int {
                  const auto notify = Notify::from_environment();
                  while (!notify->ready()) {
                  }
                  wait_for_ever();
                }};
  EXPECT_EQ(init.hear(), "READY=1");
}

TEST(SuperviseNotify, TheEnvironmentIsPutBack) {
  FakeInit init;
  const std::string before = ::getenv("NOTIFY_SOCKET");
  std::fflush(nullptr);
  ASSERT_TRUE(supervise({}, [](const WorkerStart&) { return 0; }));
  EXPECT_STREQ(::getenv("NOTIFY_SOCKET"), before.c_str());
}

TEST(SuperviseNotify, AnAddressThatCannotBeUsedStartsNothing) {
  FakeInit init;
  ::setenv("NOTIFY_SOCKET", "relative/path", 1);
  const auto refused = supervise({}, [](const WorkerStart&) { return 0; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(
      refused.error().message(),
      "cannot use NOTIFY_SOCKET=relative/path: neither an absolute path nor an abstract name (@NAME); nothing was started");
  EXPECT_STREQ(::getenv("NOTIFY_SOCKET"), "relative/path");
}

}  // namespace
}  // namespace perdure
