#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "logbook/line_format.hpp"
#include "logbook/out_of_memory.hpp"
#include "logbook/sinks.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {
namespace {

constexpr int facility_daemon = 3 << 3;  // LOG_DAEMON; <syslog.h> would define LOG_INFO and the like as macros

// The peer has gone, and perhaps another one listens at the same path by now.
bool is_lost_peer(int code) noexcept {
  return code == ECONNREFUSED || code == ENOTCONN || code == ECONNRESET || code == EDESTADDRREQ || code == EPIPE;
}

class SyslogSink final : public detail::Sink {
 public:
  SyslogSink(std::string path, std::string name) : path_(std::move(path)), name_(std::move(name)) {}

  Result<void> connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return Error::from_errno(ENAMETOOLONG, "connect to", path_);
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    UniqueFd socket{os::sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return Error::from_errno(errno, "make a socket for", path_);
    if (os::sys::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return Error::from_errno(errno, "connect to", path_);
    }
    socket_ = std::move(socket);
    return {};
  }

  Result<void> write(const LogLine& line) noexcept override {
    return without_throwing([&]() -> Result<void> {
      compose(line);
      if (socket_ && send()) return {};
      if (socket_ && !is_lost_peer(errno)) return Error::from_errno(errno, "send to", path_);
      socket_.reset();
      PERDURE_CHECK(connect());
      if (!send()) return Error::from_errno(errno, "send to", path_);
      return {};
    });
  }

  Result<void> rotate() noexcept override {
    return without_throwing([&] { return connect(); });
  }

 private:
  // The pid is asked for each time: a forked worker logs as itself.
  void compose(const LogLine& line) {
    buffer_.clear();
    fmt::format_to(std::back_inserter(buffer_), "<{}>{}[{}]: {}", facility_daemon | syslog_priority(line.level), name_,
                   ::getpid(), line.text);
  }

  bool send() noexcept {
    return os::sys::sendto(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0) >= 0;
  }

  std::string path_;
  std::string name_;
  UniqueFd socket_;
  std::string buffer_;
};

}  // namespace

Result<std::unique_ptr<detail::Sink>> make_syslog_sink(std::string path, std::string name, SyslogAbsence absence) {
  auto sink = std::make_unique<SyslogSink>(std::move(path), std::move(name));
  auto connected = sink->connect();
  if (!connected && absence == SyslogAbsence::IsAnError) {
    return std::move(connected).error().with_advice("is a syslog daemon running?");
  }
  return std::unique_ptr<detail::Sink>{std::move(sink)};
}

}  // namespace perdure::logbook
