#include "perdure/supervise.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {
namespace {

using namespace std::chrono_literals;
using os::Call;
using os::testing::FaultPlan;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = WorkerEvent::Kind;
using Body = std::function<int(const WorkerStart&)>;

/// supervise() in this process. What stdio holds back is written first: a worker's exit() would write it once more.
Supervised supervised(const SuperviseOptions& options, const Body& body) {
  std::fflush(nullptr);
  auto result = supervise(options, body);
  if (!result) throw std::runtime_error(result.error().message());
  return *result;
}

/// A pipe between the test, a supervising parent and its workers.
struct Line {
  Line() {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    from = UniqueFd{ends[0]};
    to = UniqueFd{ends[1]};
  }
  void say(char letter) const { EXPECT_EQ(::write(to.get(), &letter, 1), 1); }
  /// The next letter; 0 when all who could say something are gone.
  [[nodiscard]] char hear() const {
    char letter = 0;
    return ::read(from.get(), &letter, 1) == 1 ? letter : '\0';
  }
  UniqueFd from, to;
};

/// A supervising parent of its own, which a test can signal.
class Parent {
 public:
  Parent(const SuperviseOptions& options, const Body& body) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      const auto result = supervise(options, body);
      ::_exit(result ? result->exit_code() : 99);
    }
    pidfd_ = UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))};  // not through the seam: see FaultPlan
  }
  ~Parent() {
    if (pid_ > 0) {
      signal(SIGKILL);
      wait();
    }
  }
  Parent(const Parent&) = delete;
  Parent& operator=(const Parent&) = delete;

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

[[noreturn]] void sleep_for_ever() {
  for (;;) ::pause();
}

TEST(Supervise, AWorkerThatEndsWithZeroIsNotStartedAgain) {
  const Supervised result = supervised({}, [](const WorkerStart&) { return 0; });
  EXPECT_EQ(result.status, ExitStatus::exited(0));
  EXPECT_EQ(result.restarts, 0U);
  EXPECT_EQ(result.exit_code(), 0);
  EXPECT_FALSE(result.stop_requested);
}

TEST(Supervise, AFailedWorkerIsStartedAgainUntilItSucceeds) {
  std::vector<Kind> events;
  const Supervised result = supervised({.on_event = [&](const WorkerEvent& event) { events.push_back(event.kind); }},
                                       [](const WorkerStart& start) { return start.restarts < 2 ? 3 : 0; });
  EXPECT_EQ(result.restarts, 2U);
  EXPECT_EQ(result.exit_code(), 0);
  EXPECT_THAT(events, ElementsAre(Kind::Started, Kind::Exited, Kind::Restarting, Kind::Started, Kind::Exited,
                                  Kind::Restarting, Kind::Started, Kind::Exited));
}

TEST(Supervise, ACrashedWorkerIsStartedAgain) {
  for (const int signal : {SIGKILL, SIGSEGV, SIGABRT}) {
    const Supervised result = supervised({}, [=](const WorkerStart& start) {
      struct sigaction by_default {};
      if (start.restarts == 0 && (::sigaction(signal, &by_default, nullptr), ::raise(signal)) == 0) sleep_for_ever();
      return 0;
    });
    EXPECT_EQ(result.restarts, 1U) << signal;
    EXPECT_EQ(result.exit_code(), 0) << signal;
  }
}

TEST(Supervise, TheRestartPolicyIsObeyed) {
  EXPECT_EQ(supervised({.restart = {.when = Restart::Never}}, [](const WorkerStart&) { return 4; }).exit_code(), 4);
  const Supervised always =
      supervised({.restart = {.when = Restart::Always, .give_up_after = 3}}, [](const WorkerStart&) { return 0; });
  EXPECT_EQ(always.restarts, 2U);
  EXPECT_TRUE(always.gave_up);
}

TEST(Supervise, ASpentBudgetEndsItWithTheWorkersCode) {
  unsigned starts = 0;
  const Supervised result =
      supervised({.restart = {.give_up_after = 5},
                  .on_event = [&](const WorkerEvent& event) { starts += event.kind == Kind::Started; }},
                 [](const WorkerStart&) { return 1; });
  EXPECT_EQ(starts, 5U);
  EXPECT_TRUE(result.gave_up);
  EXPECT_EQ(result.exit_code(), 1);
}

TEST(Supervise, ASpentBudgetOfCrashesEndsItWith70) {
  const Supervised result =
      supervised({.restart = {.give_up_after = 2}}, [](const WorkerStart&) { return ::raise(SIGKILL); });
  EXPECT_TRUE(result.gave_up);
  EXPECT_EQ(result.exit_code(), 70);
}

TEST(Supervise, KillsNeedNotCount) {
  const Supervised result = supervised({.restart = {.give_up_after = 2}, .count_kills = false},
                                       [](const WorkerStart& start) { return start.restarts < 10 ? ::raise(SIGKILL) : 0; });
  EXPECT_FALSE(result.gave_up);
  EXPECT_EQ(result.restarts, 10U);
}

TEST(Supervise, AWorkerThatEndsByTermOrIntWasAskedToStop) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const Supervised result = supervised({}, [=](const WorkerStart&) { return ::raise(signal); });
    EXPECT_TRUE(result.stop_requested);
    EXPECT_EQ(result.restarts, 0U);
    EXPECT_EQ(result.exit_code(), 0);
  }
}

TEST(Supervise, AStopReachesTheWorker) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const Line line;
    Parent parent{{}, [&](const WorkerStart&) -> int {
                    line.say('r');
                    sleep_for_ever();
                  }};
    ASSERT_EQ(line.hear(), 'r');
    parent.signal(signal);
    EXPECT_EQ(parent.wait(), 0);
  }
}

TEST(Supervise, TheCodeOfAWorkerThatAnsweredTheStopIsKept) {
  const Line line;
  Parent parent{{}, [&](const WorkerStart&) -> int {
                  struct sigaction leave {};
                  leave.sa_handler = [](int) { ::_exit(6); };
                  ::sigaction(SIGTERM, &leave, nullptr);
                  line.say('r');
                  sleep_for_ever();
                }};
  ASSERT_EQ(line.hear(), 'r');
  parent.signal(SIGTERM);
  EXPECT_EQ(parent.wait(), 6);
}

TEST(Supervise, AWorkerThatIgnoresTheStopIsKilled) {
  const Line line;
  Parent parent{{.stop_within = 50ms,
                 .on_event =
                     [&](const WorkerEvent& event) {
                       if (event.kind == Kind::KilledAtStop) line.say('k');
                     }},
                [&](const WorkerStart&) -> int {
                  struct sigaction ignore {};
                  ignore.sa_handler = SIG_IGN;
                  ::sigaction(SIGTERM, &ignore, nullptr);
                  line.say('r');
                  sleep_for_ever();
                }};
  ASSERT_EQ(line.hear(), 'r');
  parent.signal(SIGTERM);
  EXPECT_EQ(line.hear(), 'k');
  EXPECT_EQ(parent.wait(), 128 + SIGKILL);
}

TEST(Supervise, OtherSignalsReachTheWorkerAndEndNothing) {
  static const Line line;
  Parent parent{{}, [](const WorkerStart&) -> int {
                  struct sigaction note {};
                  note.sa_handler = [](int signal) {
                    const char letter = signal == SIGHUP ? 'h' : signal == SIGUSR1 ? '1' : '2';
                    (void)!::write(line.to.get(), &letter, 1);
                  };
                  for (const int signal : {SIGHUP, SIGUSR1, SIGUSR2}) ::sigaction(signal, &note, nullptr);
                  line.say('r');
                  sleep_for_ever();
                }};
  ASSERT_EQ(line.hear(), 'r');
  parent.signal(SIGHUP);
  EXPECT_EQ(line.hear(), 'h');
  parent.signal(SIGUSR1);
  EXPECT_EQ(line.hear(), '1');
  parent.signal(SIGUSR2);
  EXPECT_EQ(line.hear(), '2');
  parent.signal(SIGTERM);
  EXPECT_EQ(parent.wait(), 0);
}

TEST(Supervise, AStopInThePauseBetweenTwoWorkersEndsItAtOnce) {
  const Line line;
  Parent parent{{.restart = {.delay = 1h},
                 .on_event =
                     [&](const WorkerEvent& event) {
                       if (event.kind == Kind::Restarting) line.say('p');
                     }},
                [](const WorkerStart&) { return 1; }};
  ASSERT_EQ(line.hear(), 'p');
  parent.signal(SIGTERM);
  EXPECT_EQ(parent.wait(), 0);
}

TEST(Supervise, TheWorkerStartsWithDefaultDispositionsAndAnEmptyMask) {
  struct sigaction handler {
  }, ignore{}, previous_term{}, previous_child{};
  handler.sa_handler = [](int) {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGTERM, &handler, &previous_term);
  ::sigaction(SIGCHLD, &ignore, &previous_child);
  sigset_t blocked, before, after;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);

  const Supervised result = supervised({.restart = {.when = Restart::Never}}, [](const WorkerStart&) {
    const auto disposition = [](int signal) {
      struct sigaction present {};
      ::sigaction(signal, nullptr, &present);
      return present.sa_handler;
    };
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    if (sigisemptyset(&mask) != 1) return 1;
    if (disposition(SIGTERM) != SIG_DFL || disposition(SIGCHLD) != SIG_DFL) return 2;
    return disposition(SIGHUP) == SIG_IGN && disposition(SIGPIPE) == SIG_IGN ? 0 : 3;
  });
  EXPECT_EQ(result.status, ExitStatus::exited(0));

  struct sigaction term {
  }, child{};
  ::sigaction(SIGTERM, &previous_term, &term);
  ::sigaction(SIGCHLD, &previous_child, &child);
  ::pthread_sigmask(SIG_SETMASK, &before, &after);
  EXPECT_EQ(term.sa_handler, handler.sa_handler);
  EXPECT_EQ(child.sa_handler, SIG_IGN);
  EXPECT_EQ(sigismember(&after, SIGUSR1), 1);
  EXPECT_EQ(sigismember(&after, SIGTERM), 0);
}

TEST(Supervise, TheWorkerIsToldAboutItself) {
  const pid_t here = ::getpid();
  const Supervised result = supervised({}, [=](const WorkerStart& start) {
    return start.parent == here && start.parent == ::getppid() && start.parent_start <= start.worker_start ? 0 : 1;
  });
  EXPECT_EQ(result.exit_code(), 0);
}

TEST(Supervise, AnExceptionInTheWorkerIsPrintedAndGives70) {
  testing::internal::CaptureStderr();
  const Supervised result = supervised({.restart = {.when = Restart::Never}},
                                       [](const WorkerStart&) -> int { throw std::runtime_error("no sensor"); });
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("the worker failed: no sensor"));
  EXPECT_EQ(result.exit_code(), 70);
}

TEST(Supervise, WithoutAFirstWorkerThereIsAnError) {
  const FaultPlan plan{{.call = Call::fork, .error = EAGAIN}};
  const auto result = supervise({}, [](const WorkerStart&) { return 0; });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), EAGAIN);
  EXPECT_THAT(result.error().message(), HasSubstr("cannot fork the worker: Resource temporarily unavailable (EAGAIN)"));

  EXPECT_FALSE(supervise({}, {}).has_value());
}

TEST(Supervise, ARestartThatCannotForkIsTriedAgain) {
  const FaultPlan plan{{.call = Call::fork, .nth = 2, .error = EAGAIN, .times = 2}};
  const Supervised result = supervised({}, [](const WorkerStart& start) { return start.restarts == 0 ? 1 : 0; });
  EXPECT_TRUE(plan.fired());
  EXPECT_EQ(result.restarts, 1U);
  EXPECT_EQ(result.exit_code(), 0);
}

TEST(Supervise, AFailingCallDelaysTheStopAndLosesNothing) {
  for (const Call call : {Call::pidfd_open, Call::pidfd_send_signal, Call::waitid, Call::sigtimedwait}) {
    SCOPED_TRACE(os::call_name(call));
    const Line line;
    const FaultPlan plan{{.call = call, .error = EMFILE, .times = 2}};
    Parent parent{{}, [&](const WorkerStart&) -> int {
                    line.say('r');
                    sleep_for_ever();
                  }};
    ASSERT_EQ(line.hear(), 'r');
    parent.signal(SIGTERM);
    EXPECT_EQ(parent.wait(), 0);
  }
}

}  // namespace
}  // namespace perdure
