#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "os/system.hpp"
#include "perdure/command.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds stop_grace{2000};
constexpr std::chrono::milliseconds within_max = std::chrono::hours{24 * 366};
constexpr std::size_t chunk_size = 64 * 1024;
/// Read at most so often in a row from one pipe, so that a child that never stops writing cannot keep us from looking at the
/// clock.
constexpr int chunks_in_a_row = 32;

/// One stream of the child, collected up to a limit.
class Collector {
 public:
  Collector(UniqueFd pipe, std::string& text, std::size_t max_bytes)
      : pipe_(std::move(pipe)), text_(text), max_bytes_(max_bytes) {}

  Result<void> make_nonblocking() {
    if (sys::fcntl(pipe_.get(), F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
      return Error::from_errno(errno, "prepare the child's output");
    return {};
  }
  [[nodiscard]] int fd() const noexcept { return pipe_.get(); }
  [[nodiscard]] bool truncated() const noexcept { return truncated_; }

  Result<void> read_what_is_there() {
    for (int chunk = 0; pipe_ && chunk < chunks_in_a_row; ++chunk) {
      std::array<char, chunk_size> buffer;
      const ssize_t got = sys::read(pipe_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EAGAIN) return {};
      if (got < 0) return Error::from_errno(errno, "read the child's output");
      if (got == 0) pipe_.reset();
      const auto size = static_cast<std::size_t>(got);
      const std::size_t taken = std::min(size, max_bytes_ - text_.size());
      text_.append(buffer.data(), taken);
      truncated_ |= taken < size;
    }
    return {};
  }

 private:
  UniqueFd pipe_;
  std::string& text_;
  std::size_t max_bytes_;
  bool truncated_ = false;
};

}  // namespace

Result<Output> Command::output(const OutputOptions& options) const {
  Command quiet = *this;
  quiet.stdio(in_ == Stdio::Pipe ? Stdio::Null : in_, Stdio::Pipe, Stdio::Pipe);
  PERDURE_TRY(Child child, quiet.spawn());

  Output result;
  Collector out{std::move(child.stdout_pipe()), result.out, options.max_bytes};
  Collector err{std::move(child.stderr_pipe()), result.err, options.max_bytes};
  PERDURE_CHECK(out.make_nonblocking());
  PERDURE_CHECK(err.make_nonblocking());

  int stop_fd = options.stop_fd;
  auto kill_at = Clock::time_point::max();
  if (options.within.count() > 0) kill_at = Clock::now() + std::min(options.within, within_max);
  for (bool ended = false; !ended;) {
    pollfd sources[4] = {
        {out.fd(), POLLIN, 0}, {err.fd(), POLLIN, 0}, {child.pidfd(), POLLIN, 0}, {stop_fd, POLLIN, 0}};  // poll(2) skips -1
    int timeout = -1;
    if (kill_at != Clock::time_point::max()) {
      constexpr std::int64_t longest_poll = 3'600'000;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(kill_at - Clock::now()).count();
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, longest_poll));
    }
    if (sys::poll(sources, 4, timeout) < 0 && errno != EINTR) return Error::from_errno(errno, "wait for the child's output");
    ended = sources[2].revents != 0;
    // In this order: what it wrote before it ended is in the pipes by now. What others that it left behind may still write
    // is not waited for.
    PERDURE_CHECK(out.read_what_is_there());
    PERDURE_CHECK(err.read_what_is_there());
    if (ended) break;
    if (sources[3].revents != 0) {
      result.stopped = true;
      stop_fd = -1;
      PERDURE_CHECK(child.send_signal_to_group(SIGTERM));
      kill_at = std::min(kill_at, Clock::now() + stop_grace);
    }
    if (Clock::now() >= kill_at) {
      result.timed_out = !result.stopped;
      kill_at = Clock::time_point::max();
      PERDURE_CHECK(child.send_signal_to_group(SIGKILL));
    }
  }
  PERDURE_CHECK(child.send_signal_to_group(SIGKILL));  // those it left behind, while its number is still its own
  PERDURE_TRY(result.status, child.wait());
  result.truncated = out.truncated() || err.truncated();
  return result;
}

}  // namespace perdure
