#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>
#include <utility>

#include <climits>
#include <fmt/format.h>

#include "logbook/line_format.hpp"
#include "logbook/out_of_memory.hpp"
#include "logbook/sinks.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

constexpr int reader_wait_ms = 1000;

// stderr is shared with whoever started us: it may block (a pipe that nobody reads, a terminal after Ctrl-S) or not, and what we
// set on it they would have too. So each part is at most what a writable pipe takes whole, and is written only once it is
// writable: a reader that sleeps costs lines, which are counted, and the thread that logs one wait, not one for each line.
Result<void> write_whole(int fd, std::string_view bytes, int wait_ms) {
  while (!bytes.empty()) {
    pollfd before{.fd = fd, .events = POLLOUT, .revents = 0};
    if (os::sys::poll(&before, 1, wait_ms) == 0) return Error::from_errno(EAGAIN, "write to", "standard error");
    const ssize_t written = os::sys::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    const int cause = errno;
    pollfd reader{.fd = fd, .events = POLLOUT, .revents = 0};
    if (cause != EAGAIN || os::sys::poll(&reader, 1, reader_wait_ms) != 1) {
      return Error::from_errno(cause, "write to", "standard error");
    }
  }
  return {};
}

class StreamSink final : public detail::Sink {
 public:
  StreamSink(int fd, StreamStyle style, LogFormat format, std::string name)
      : fd_(fd), style_(style), format_(format), name_(std::move(name)) {}

  Result<void> write(const LogLine& line) noexcept override {
    return without_throwing([&] {
      compose(line);
      auto written = write_whole(fd_, buffer_, is_stalled_ ? 0 : reader_wait_ms);
      is_stalled_ = !written;
      return written;
    });
  }

 private:
  void compose(const LogLine& line) {
    buffer_.clear();
    if (style_ == StreamStyle::Init) {
      fmt::format_to(std::back_inserter(buffer_), "<{}>{}\n", syslog_priority(line.level), line.text);
      return;
    }
    const std::string_view colour = style_ == StreamStyle::Coloured ? colour_of(line.level) : std::string_view{};
    buffer_.append(colour);
    append_line(buffer_, format_, name_, line);
    buffer_.append(colour.empty() ? "\n" : "\x1b[0m\n");
  }

  int fd_;
  bool is_stalled_ = false;  // the last line found no reader
  StreamStyle style_;
  LogFormat format_;
  std::string name_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<detail::Sink> make_stream_sink(int fd, StreamStyle style, LogFormat format, std::string name) {
  return std::make_unique<StreamSink>(fd, style, format, std::move(name));
}

}  // namespace perdure::logbook
