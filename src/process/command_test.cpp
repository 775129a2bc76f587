#include "perdure/command.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <csignal>

#include "os/fault_plan.hpp"
#include "process/test_program.hpp"

namespace perdure {
namespace {

using namespace process::test;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Command shell(const std::string& script) { return Command{"/bin/sh"}.arg("-c").arg(script); }

std::string out_of(const Command& command) {
  const auto output = command.output();
  return output ? output->out : output.error().message();
}

TEST(Command, CollectsOutputAndExitCode) {
  const auto output = shell("echo out; echo err >&2; exit 3").output();
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->err, "err\n");
  EXPECT_EQ(output->status.text(), "exited with 3");
  EXPECT_FALSE(output->timed_out || output->stopped || output->truncated);
}

TEST(Command, TellsTheSignalThatKilledTheChild) {
  EXPECT_EQ(shell("kill -SEGV $$").output()->status.value(), SIGSEGV);
  EXPECT_EQ(shell("kill -KILL $$").output()->status.text(), "was killed by SIGKILL");
}

TEST(Command, FindsProgramsInPathAndPassesArgumentsUntouched) {
  EXPECT_EQ(out_of(Command{"printf"}.arg("%s|").arg("a b").arg("$HOME").arg("")), "a b|$HOME||");
  const TempDir dir;
  std::filesystem::create_symlink("/bin/echo", dir / "my-echo");
  EXPECT_EQ(out_of(Command{"my-echo"}.arg("hi").env("PATH", "/nonexistent::.:" + dir.path())), "hi\n");
}

TEST(Command, SaysWhyAProgramCannotBeStarted) {
  const TempDir dir;
  write_file(dir / "plain", "text");
  write_file(dir / "noexec", "text");
  std::filesystem::permissions(dir / "plain", std::filesystem::perms::owner_all);
  const auto message = [](const Command& command) { return command.spawn().error().message(); };
  EXPECT_EQ(message(Command{"no-such-program"}),
            "cannot start no-such-program: executing it failed: No such file or directory (ENOENT)");
  EXPECT_EQ(message(Command{dir / "noexec"}),
            "cannot start " + dir / "noexec" + ": executing it failed: Permission denied (EACCES)");
  EXPECT_EQ(message(Command{dir / "plain"}),
            "cannot start " + dir / "plain" + ": executing it failed: Exec format error (ENOEXEC)");
  EXPECT_EQ(message(Command{dir.path()}),
            "cannot start " + dir.path() + ": executing it failed: Permission denied (EACCES)");
  EXPECT_EQ(
      message(Command{"true"}.working_directory(dir / "none")),
      "cannot start true: entering its working directory failed (" + dir / "none" + "): No such file or directory (ENOENT)");
  EXPECT_THAT(message(Command{"true"}.pass_fd(987, 5)),
              HasSubstr("handing over its descriptors failed: Bad file descriptor"));
  EXPECT_THAT(message(Command{"true"}.pass_fd(0, 1)), HasSubstr("cannot be passed as 1"));
  EXPECT_THAT(message(Command{"true"}.arg(std::string{"a\0b", 3})), HasSubstr("contains a NUL"));
  EXPECT_THAT(message(Command{"true"}.env("A=B", "x")), HasSubstr("\"A=B\" is no environment variable"));
  EXPECT_EQ(message(Command{""}), "cannot start a program without a name");
  EXPECT_TRUE(has_no_children());
}

TEST(Command, TheChildStartsWithACleanState) {
  std::signal(SIGPIPE, SIG_IGN);     // tidy: allow signal — the test process's own
  std::signal(SIGUSR1, [](int) {});  // tidy: allow signal — the test process's own
  sigset_t blocked, before;
  sigfillset(&blocked);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  const std::string status = out_of(Command{"cat"}.arg("/proc/self/status"));
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  std::signal(SIGPIPE, SIG_DFL);  // tidy: allow signal — the test process's own
  std::signal(SIGUSR1, SIG_DFL);  // tidy: allow signal — the test process's own
  EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000000\n"));
  EXPECT_EQ(out_of(shell("test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ && echo own group")), "own group\n");
}

int list_fds(const Arguments&) {
  for (int fd = 0; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) std::printf("%d ", fd);
  }
  return 0;
}
const RoleEntry list_role{"list-fds", &list_fds};

TEST(Command, TheChildHasNoDescriptorsButThoseItWasGiven) {
  const int leaky = ::open("/dev/null", O_RDONLY);  // NOLINT: deliberately inheritable
  const int high = ::fcntl(leaky, F_DUPFD, 200);
  EXPECT_EQ(out_of(Command::self({"--role", "list-fds"})), "0 1 2 ");
  EXPECT_EQ(out_of(Command::self({"--role", "list-fds"}).pass_fd(leaky, 9)), "0 1 2 9 ");
  ::close(leaky);
  ::close(high);
}

TEST(Command, DescriptorsMayChangePlaces) {
  const TempDir dir;
  write_file(dir / "a", "A");
  write_file(dir / "b", "B");
  const int a = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC), b = ::open((dir / "b").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(std::min(a, b), 3);
  const std::string fd_a = std::to_string(a), fd_b = std::to_string(b);
  EXPECT_EQ(out_of(shell("cat <&" + fd_a + "; cat <&" + fd_b).pass_fd(a, b).pass_fd(b, a)), "BA");
  EXPECT_EQ(out_of(shell("readlink /proc/$$/fd/" + fd_a + " /proc/$$/fd/" + fd_b).pass_fd(a, b).pass_fd(b, a)),
            std::filesystem::canonical(dir / "b").string() + "\n" + std::filesystem::canonical(dir / "a").string() + "\n");
  EXPECT_EQ(out_of(shell("readlink /proc/$$/fd/" + fd_a).pass_fd(a, a)),
            std::filesystem::canonical(dir / "a").string() + "\n");
  ::close(a);
  ::close(b);
}

TEST(Command, TheEnvironmentIsOursWithoutWhatTheInitSaidToUs) {
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "KEPT", "DROPPED"})
    ::setenv(name, "x", 1);
  const std::string text = out_of(Command{"env"}.env("ADDED", "1").env("ADDED", "2").env("DROPPED", std::nullopt));
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "KEPT", "DROPPED"})
    ::unsetenv(name);
  EXPECT_THAT(text, HasSubstr("KEPT=x\n"));
  EXPECT_THAT(text, HasSubstr("ADDED=2\n"));
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG", "LISTEN_FDS", "DROPPED", "ADDED=1"})
    EXPECT_THAT(text, ::testing::Not(HasSubstr(name)));
}

TEST(Command, StandardDescriptorsThatAreClosedHereAreNullThere) {
  EXPECT_EQ(wait_for(in_child([] {
              for (const int fd : {0, 1, 2}) ::close(fd);
              auto child = shell("test \"$(readlink /proc/$$/fd/1)\" = /dev/null")
                               .stdio(Stdio::Inherit, Stdio::Inherit, Stdio::Inherit)
                               .spawn();
              return child ? child->wait()->value() : 99;
            })).text(),
            "exited with 0");
}

TEST(Command, TalksThroughPipes) {
  auto child = Command{"cat"}.stdio(Stdio::Pipe, Stdio::Pipe, Stdio::Null).spawn();
  ASSERT_TRUE(child);
  EXPECT_FALSE(child->stderr_pipe());
  ASSERT_EQ(::write(child->stdin_pipe().get(), "hello", 5), 5);
  child->stdin_pipe().reset();
  char text[16];
  EXPECT_EQ(::read(child->stdout_pipe().get(), text, sizeof text), 5);
  EXPECT_EQ(child->wait()->text(), "exited with 0");
  EXPECT_EQ(child->wait()->text(), "exited with 0");
}

TEST(Command, WaitForOnlyLooks) {
  auto child = Command{"cat"}.stdio(Stdio::Pipe, Stdio::Null, Stdio::Null).spawn();
  ASSERT_TRUE(child);
  EXPECT_EQ(*child->wait_for(0ms), std::nullopt);
  EXPECT_EQ(*child->wait_for(1ms), std::nullopt);
  ASSERT_TRUE(child->send_signal(SIGTERM));
  EXPECT_EQ(child->wait()->text(), "was killed by SIGTERM");
  EXPECT_TRUE(child->send_signal(SIGTERM)) << "nothing happens to one that has ended";
  EXPECT_TRUE(child->send_signal_to_group(SIGTERM));
}

TEST(Command, StopAsksFirstAndThenKills) {
  auto polite = shell("trap 'exit 7' TERM; echo; while :; do :; done").stdio(Stdio::Null, Stdio::Pipe, Stdio::Null).spawn();
  auto deaf = shell("trap '' TERM; echo; while :; do :; done").stdio(Stdio::Null, Stdio::Pipe, Stdio::Null).spawn();
  ASSERT_TRUE(polite && deaf);
  char byte;
  for (auto* child : {&polite, &deaf}) ASSERT_EQ(::read((*child)->stdout_pipe().get(), &byte, 1), 1);
  EXPECT_EQ(polite->stop(30s)->text(), "exited with 7");
  EXPECT_EQ(deaf->stop(20ms)->text(), "was killed by SIGKILL");
}

/// A shell that leaves a grandchild which ignores SIGTERM, and prints its pid.
constexpr const char* with_grandchild = "(trap '' TERM; exec cat /dev/zero >/dev/null) & echo $!; wait";

bool is_gone(const std::string& pid_text) {
  const pid_t pid = std::stoi(pid_text);
  return eventually([pid] {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }  // adopted by this process
    return status_of(pid, "State").empty();
  });
}

TEST(Command, ATimeoutKillsTheWholeGroup) {
  const auto output = shell(with_grandchild).output({.within = 200ms});
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_TRUE(output->timed_out);
  EXPECT_EQ(output->status.text(), "was killed by SIGKILL");
  EXPECT_TRUE(is_gone(output->out));
}

TEST(Command, TheGroupIsFoundWithoutHelpOfTheKernelToo) {
  auto child = shell(with_grandchild).stdio(Stdio::Null, Stdio::Pipe, Stdio::Null).spawn();
  ASSERT_TRUE(child);
  char text[16] = {};
  ASSERT_GT(::read(child->stdout_pipe().get(), text, sizeof text - 1), 0);
  {
    os::testing::FaultPlan before_6_9{{.call = os::Call::pidfd_send_signal, .nth = 1, .error = EINVAL}};
    EXPECT_TRUE(child->send_signal_to_group(SIGKILL));
    EXPECT_TRUE(before_6_9.fired());
    EXPECT_GE(before_6_9.calls(), 3U) << "the shell and the grandchild";
  }
  EXPECT_EQ(child->wait()->text(), "was killed by SIGKILL");
  EXPECT_TRUE(is_gone(text));
}

TEST(Command, AStopDescriptorEndsItEarly) {
  int stop[2];
  ASSERT_EQ(::pipe2(stop, O_CLOEXEC), 0);
  ::close(stop[1]);  // readable from now on
  const auto output = shell("trap 'echo bye; exit 5' TERM; while :; do :; done").output({.stop_fd = stop[0]});
  ::close(stop[0]);
  ASSERT_TRUE(output);
  EXPECT_TRUE(output->stopped);
  EXPECT_FALSE(output->timed_out);
}

TEST(Command, OutputDoesNotWaitForWhatTheChildLeftBehind) {
  const auto output = shell("cat /dev/zero > /dev/null & echo $!").output();
  ASSERT_TRUE(output);
  EXPECT_EQ(output->status.text(), "exited with 0");
  EXPECT_TRUE(is_gone(output->out));
}

TEST(Command, OutputIsBounded) {
  const auto output = shell("head -c 5000000 /dev/zero; head -c 10 /dev/zero >&2").output({.max_bytes = 1000});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out.size(), 1000U);
  EXPECT_EQ(output->err.size(), 10U);
  EXPECT_TRUE(output->truncated);
  EXPECT_EQ(output->status.text(), "exited with 0");
}

TEST(Command, AChildWithoutAnOwnerIsKilledUnlessItWasGivenAway) {
  pid_t killed = 0, kept = 0;
  UniqueFd pidfd;
  {
    auto a = Command{"cat"}.arg("/dev/zero").stdio(Stdio::Null, Stdio::Null, Stdio::Null).spawn();
    auto b = Command{"cat"}.arg("/dev/zero").stdio(Stdio::Null, Stdio::Null, Stdio::Null).spawn();
    ASSERT_TRUE(a && b);
    killed = a->pid();
    kept = b->pid();
    pidfd = b->detach_from_owner();
    EXPECT_FALSE(b->wait());
    EXPECT_FALSE(b->send_signal(SIGTERM));
  }
  EXPECT_EQ(status_of(killed, "State"), "");
  EXPECT_NE(status_of(kept, "State"), "");
  os::sys::pidfd_send_signal(pidfd.get(), SIGKILL);
  EXPECT_EQ(wait_for(kept).text(), "was killed by SIGKILL");
}

TEST(Command, AssigningAChildEndsTheOldOne) {
  auto a = Command{"cat"}.arg("/dev/zero").stdio(Stdio::Null, Stdio::Null, Stdio::Null).spawn();
  auto b = Command{"true"}.spawn();
  ASSERT_TRUE(a && b);
  const pid_t old = a->pid();
  *a = std::move(*b);
  EXPECT_EQ(status_of(old, "State"), "");
  EXPECT_EQ(a->wait()->text(), "exited with 0");
}

TEST(Command, ChildrenOfTheProgramItselfAreNotTouched) {
  const pid_t own = in_child([] { return 7; });
  EXPECT_EQ(out_of(Command{"echo"}.arg("x")), "x\n");
  EXPECT_EQ(wait_for(own).text(), "exited with 7");
  EXPECT_TRUE(has_no_children());
}

std::atomic<int> child_signals{0};

TEST(Command, AFailedStartRaisesNoSignal) {
  std::signal(SIGCHLD, [](int) { ++child_signals; });  // tidy: allow signal — the test process's own
  EXPECT_FALSE(Command{"no-such-program"}.spawn());
  std::signal(SIGCHLD, SIG_DFL);  // tidy: allow signal — the test process's own
  EXPECT_EQ(child_signals, 0);
  EXPECT_TRUE(has_no_children());
}

TEST(Command, AStatusThatTheProgramTookIsUnknown) {
  auto child = Command{"true"}.spawn();
  ASSERT_TRUE(child);
  ASSERT_EQ(::waitpid(child->pid(), nullptr, 0), child->pid());
  EXPECT_EQ(child->wait()->kind(), ExitStatus::Kind::Unknown);
}

TEST(Command, SelfIsThisProgramWhereverWeAre) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path("/");
  EXPECT_EQ(Command::self({"--role", "no-such-role"}).output()->status.text(), "exited with 64");
  std::filesystem::current_path(before);
}

TEST(Command, ManyThreadsMayStartChildrenAtOnce) {
  constexpr int thread_count = 64, rounds = 4;
  const auto fds = open_fds();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < rounds; ++round) {
        const auto output = Command{"printf"}.arg("%s").arg(std::to_string(i)).output();
        if (output && output->out == std::to_string(i) && output->status.success()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, thread_count * rounds);
  EXPECT_EQ(open_fds(), fds);
  EXPECT_TRUE(has_no_children());
}

TEST(Command, EveryCallThatFailsIsToldAndLeavesNothingBehind) {
  sigset_t mask;
  ::sigprocmask(SIG_SETMASK, nullptr, &mask);
  const auto fds = open_fds();
  for (unsigned n = 1; n < 1000; ++n) {
    bool fired = false;
    std::string failed;
    {
      os::testing::FaultPlan plan{{.nth = n, .error = EIO}};
      const auto output = Command{"true"}.pass_fd(0, 7).working_directory("/").output();
      fired = plan.fired();
      failed = plan.failed_call();
      if (!output) {
        EXPECT_THAT(output.error().message(), StartsWith("cannot ")) << n << failed;
      }
    }
    SCOPED_TRACE(std::to_string(n) + " " + failed);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    EXPECT_EQ(open_fds(), fds);
    while (failed == "waitid" && ::waitpid(-1, nullptr, __WALL) > 0) {
    }  // it cannot fail but in a test
    EXPECT_TRUE(has_no_children());
    if (!fired) return;
  }
  FAIL() << "the plan never ended";
}

}  // namespace
}  // namespace perdure
