// Served and RawClient: a control server and its clients in one thread, for this module's tests.
//
// Whatever waits for a client's bytes lets the server work meanwhile, so a test has no thread and no timing of its own; a server
// that never answers is found by hang_limit. Left out: ControlClient, which blocks (control_client_test.cpp uses a thread).
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "perdure/control.hpp"

namespace perdure::control {

inline constexpr std::chrono::seconds hang_limit{20};

/// A directory that goes with its contents.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "perdure-control-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(std::string_view name) const { return path_ + '/' + std::string{name}; }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::string path_;
};

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator fds{"/proc/self/fd"};
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds))) - 1;  // the directory's own
}

/// A server that knows: status, echo TEXT, fail TEXT, bulk NUMBER (that many bytes), and hold (answered by release()).
class Served {
 public:
  explicit Served(ControlServerOptions options) : server_(ControlServer::listen(options)) {}

  [[nodiscard]] bool is_up() const { return server_.has_value(); }
  [[nodiscard]] std::string error() const { return server_ ? "" : server_.error().message(); }
  ControlServer& operator*() { return *server_; }
  ControlServer* operator->() { return &*server_; }
  [[nodiscard]] const std::vector<Request>& held() const { return held_; }
  [[nodiscard]] std::size_t served() const { return served_; }
  [[nodiscard]] const Request& last() const { return last_; }

  /// Lets the server do what there is to do, waiting for that at most `most`.
  void work(std::chrono::milliseconds most = std::chrono::milliseconds{10}) {
    auto wait = most;
    if (const auto deadline = server_->next_deadline()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
      wait = std::clamp(left, std::chrono::milliseconds{0}, most);
    }
    pollfd one{server_->fd(), POLLIN, 0};
    ::poll(&one, 1, static_cast<int>(wait.count()));
    std::vector<Request> requests;
    server_->process(requests);
    for (auto& request : requests) {
      ++served_;
      last_ = request;
      answer(request);
    }
  }
  /// False: it did not come true within hang_limit.
  template <class Condition>
  bool work_until(Condition is_true) {
    const auto end = std::chrono::steady_clock::now() + hang_limit;
    while (!is_true()) {
      if (std::chrono::steady_clock::now() > end) return false;
      work();
    }
    return true;
  }
  /// Whether the server says that there is nothing to do.
  bool is_quiet() {
    pollfd one{server_->fd(), POLLIN, 0};
    return ::poll(&one, 1, 0) == 0;
  }
  void release(std::size_t index = 0) {
    const Request request = held_.at(index);
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
    server_->reply(request.id, Reply::text("released " + request.text));
  }

 private:
  void answer(const Request& request) {
    if (request.verb == "hold") held_.push_back(request);
    else if (request.verb == "status") server_->reply(request.id, Reply::text("running"));
    else if (request.verb == "echo") server_->reply(request.id, Reply::text(request.text));
    else if (request.verb == "fail") server_->reply(request.id, Reply::error(request.text));
    else if (request.verb == "bulk") server_->reply(request.id, Reply::text(std::string(std::stoul(request.text), 'b')));
    else server_->reply(request.id, Reply::unknown());
  }

  Result<ControlServer> server_;
  std::vector<Request> held_{};
  std::size_t served_ = 0;
  Request last_{};
};

/// A client that does exactly what it is told, good or bad.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  [[nodiscard]] bool is_connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Number of bytes that the socket took without waiting, or -1.
  ssize_t send_some(std::string_view bytes) {
    return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  /// Sends everything, letting the server work where the socket is full. False: the server has closed.
  bool send(Served& served, std::string_view bytes) {
    return served.work_until([&] {
      const ssize_t count = send_some(bytes);
      if (count > 0) bytes.remove_prefix(static_cast<std::size_t>(count));
      else if (count < 0 && errno != EAGAIN) is_reset_ = true;
      return bytes.empty() || is_reset_;
    }) && !is_reset_;
  }
  void half_close() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }

  /// All there is until the server closes; "TIMEOUT" where it does not.
  std::string read_to_end(Served& served) {
    return served.work_until([&] { return take() == End::Yes; }) ? std::exchange(received_, {}) : "TIMEOUT";
  }
  /// The next `count` lines.
  std::string read_lines(Served& served, std::ptrdiff_t count = 1) {
    const bool arrived = served.work_until(
        [&] { return std::count(received_.begin(), received_.end(), '\n') >= count || take() == End::Yes; });
    return arrived ? std::exchange(received_, {}) : "TIMEOUT";
  }
  /// One request the way socat sends it: the line, then the end.
  std::string ask(Served& served, std::string_view line) {
    if (!send(served, line)) return "RESET";
    half_close();
    return read_to_end(served);
  }

 private:
  enum class End : bool { No, Yes };
  End take() {
    char bytes[64 * 1024];
    for (;;) {
      const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (count <= 0) return count < 0 && errno == EAGAIN ? End::No : End::Yes;
      received_.append(bytes, static_cast<std::size_t>(count));
    }
  }

  UniqueFd fd_;
  bool connected_ = false;
  bool is_reset_ = false;
  std::string received_{};
};

/// What a client sees that asks once and half-closes.
inline std::string ask(Served& served, const std::string& path, std::string_view line) {
  RawClient client{path};
  return client.is_connected() ? client.ask(served, line) : "NOT CONNECTED";
}

}  // namespace perdure::control
