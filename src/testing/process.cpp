#include "perdure/testing/process.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>

#include "testing/descendants.hpp"
#include "testing/launch.hpp"

namespace perdure::testing {
namespace {

using detail::Clock;

constexpr std::size_t output_max = std::size_t{16} << 20;

/// While it lives, writing to a pipe without a reader fails with EPIPE instead of ending the test.
class NoBrokenPipeSignal {
 public:
  NoBrokenPipeSignal() {
    ::sigemptyset(&broken_pipe_);
    ::sigaddset(&broken_pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe_, &before_);
  }
  ~NoBrokenPipeSignal() {
    // What our own write raised is taken off the queue; what was there before is not ours.
    const timespec at_once{};
    if (!was_pending_) ::sigtimedwait(&broken_pipe_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoBrokenPipeSignal(const NoBrokenPipeSignal&) = delete;
  NoBrokenPipeSignal& operator=(const NoBrokenPipeSignal&) = delete;

 private:
  sigset_t broken_pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

std::string next_mark() {
  static unsigned long count = 0;
  return detail::own_mark() + "/" + std::to_string(++count);
}

}  // namespace

struct Process::State {
  State(const std::vector<std::string>& command, const ProcessOptions& options)
      : owner(::getpid()), mark(next_mark()), child(detail::launch(command, options, mark)) {
    if (!child.failure.empty()) output = child.failure + "\n";
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (::getpid() != owner) return;
    if (leaves_daemons && ended) return;
    const pid_t root = ended ? 0 : child.pid;
    detail::end_all(mark, root, ended ? UniqueFd{} : std::move(child.pidfd));
  }

  /// Takes what is in the pipe, `most` bytes at most.
  void take_output(std::size_t most) {
    char block[16384];
    while (child.output && most > 0) {
      const ssize_t count = ::read(child.output.get(), block, std::min(most, sizeof block));
      if (count > 0) {
        const auto size = static_cast<std::size_t>(count);
        most -= size;
        output.append(block, std::min(size, output_max - std::min(output_max, output.size())));
      } else if (count == 0) {
        child.output.reset();
      } else if (errno != EINTR) {
        return;
      }
    }
  }
  /// Takes what is in the pipe now: a program that writes without end cannot keep us here.
  void take_present_output() {
    int present = 0;
    if (!child.output || ::ioctl(child.output.get(), FIONREAD, &present) != 0) return;
    take_output(static_cast<std::size_t>(present) + 1);  // the one more finds the end of file
  }

  /// Takes output until the process ends (then reaps it) or `deadline` passes or, where asked for, its input can be written.
  /// True when there is news of any of the three kinds.
  bool wait_for_news(Clock::time_point deadline, bool input_too = false) {
    pollfd watched[] = {{ended ? -1 : child.pidfd.get(), POLLIN, 0},
                        {child.output.get(), POLLIN, 0},
                        {input_too ? child.input.get() : -1, POLLOUT, 0}};
    const int ready = ::poll(watched, std::size(watched), detail::milliseconds_until(deadline));
    if (ready == 0) return false;
    if (ready < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "cannot poll a process");
    take_present_output();
    // Asked before the output was taken, so what it wrote in its life is complete.
    if (watched[0].revents != 0 && ready > 0) ended = detail::reap(child.pidfd);
    return true;
  }

  pid_t owner;
  std::string mark;
  detail::Launched child;
  std::string output;
  std::optional<ExitStatus> ended;
  bool leaves_daemons = false;
};

Process::Process(std::vector<std::string> command, ProcessOptions options) {
  if (command.empty()) throw std::invalid_argument("testing::Process: the command is empty");
  adopt_orphans();
  state_ = std::make_unique<State>(command, options);
}

Process::~Process() = default;
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;

pid_t Process::pid() const noexcept { return state_->child.pid; }

void Process::signal(int number) {
  if (state_->ended) throw std::logic_error("testing::Process: a signal for a process that has been reaped");
  if (!detail::send_signal(state_->child.pidfd, number)) {
    throw std::system_error(errno, std::generic_category(), "cannot send signal " + std::to_string(number));
  }
}

ExitStatus Process::wait(std::chrono::milliseconds within) {
  const auto deadline = Clock::now() + within;
  while (!state_->ended && Clock::now() < deadline) state_->wait_for_news(deadline);
  if (!poll()) {
    detail::send_signal(state_->child.pidfd, SIGKILL);
    detail::wait_for_end(state_->child.pidfd, Clock::now() + hang_limit);
    static_cast<void>(poll());
    state_->ended = ExitStatus{};
    state_->output += "\n[perdure::testing: killed, because it still ran after " + std::to_string(within.count()) + " ms]\n";
  }
  return *state_->ended;
}

std::optional<ExitStatus> Process::poll() {
  if (!state_->ended) state_->wait_for_news(Clock::now());
  return state_->ended;
}

std::string Process::output() {
  state_->take_present_output();
  return state_->output;
}

bool Process::wait_for_output(std::string_view text, std::chrono::milliseconds within) {
  const auto deadline = Clock::now() + within;
  std::size_t searched = 0;
  for (;;) {
    const bool last_look = state_->ended.has_value();
    state_->take_present_output();
    if (state_->output.find(text, searched) != std::string::npos) return true;
    searched = state_->output.size() - std::min(state_->output.size(), text.size());
    if (last_look || Clock::now() >= deadline) return false;
    state_->wait_for_news(deadline);
  }
}

void Process::write(std::string_view text) {
  const NoBrokenPipeSignal guard;
  const auto deadline = Clock::now() + hang_limit;
  while (!text.empty() && state_->child.input) {
    const ssize_t count = ::write(state_->child.input.get(), text.data(), text.size());
    if (count > 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (count < 0 && errno == EAGAIN) {
      // Its output is taken meanwhile: it may be stuck on that, and would never read.
      if (Clock::now() >= deadline) throw std::runtime_error("testing::Process: it does not read its standard input");
      state_->wait_for_news(deadline, true);
    } else if (errno != EINTR) {
      close_input();
    }
  }
}

void Process::close_input() { state_->child.input.reset(); }

Finished run(std::vector<std::string> command, ProcessOptions options) {
  Process process{std::move(command), std::move(options)};
  process.close_input();
  const ExitStatus status = process.wait();
  process.state_->leaves_daemons = true;
  return {status, process.output()};
}

}  // namespace perdure::testing
