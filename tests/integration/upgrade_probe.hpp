// The upgrade's probe in a directory of its own, and clients that ask it without end and count what went wrong.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/pid_file.hpp>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upgrade_probe {

using perdure::UniqueFd;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

inline UniqueFd connect_to(const sockaddr* address, socklen_t size) {
  UniqueFd fd{::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const timeval limit{.tv_sec = 30, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (::connect(fd.get(), address, size) != 0) fd.reset();
  return fd;
}
inline UniqueFd connect_to_port(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}
inline UniqueFd connect_to_path(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

/// The answer's line, or what went wrong.
inline std::string ask(const UniqueFd& fd, std::string_view question = "ask\n") {
  if (!fd) return std::string{"no connection: "} + std::strerror(errno);
  if (::send(fd.get(), question.data(), question.size(), MSG_NOSIGNAL) < 0)
    return std::string{"send: "} + std::strerror(errno);
  std::string line;
  char c = 0;
  for (;;) {
    const ssize_t size = ::recv(fd.get(), &c, 1, 0);
    if (size < 0 && errno == EINTR) continue;  // with a time limit, also without a handler: signal(7)
    if (size == 0) return "closed without an answer";
    if (size < 0) return std::string{"recv: "} + std::strerror(errno);
    if (c == '\n') return line;
    line += c;
  }
}
inline bool is_answer(const std::string& text) { return !text.empty() && text.front() >= '0' && text.front() <= '9'; }

struct Upgradable : ::testing::Test {
  perdure::testing::TempDir dir;
  std::string program = dir / "served";
  std::string config = dir / "probe.conf";
  std::string pid_file = dir / "probe.pid";
  std::string local = dir / "local.sock";
  std::string log = dir / "probe.log";
  int port = 0;
  perdure::testing::ProcessOptions options{
      .env = {{"RUNTIME_DIRECTORY", dir.path()}, {"PROBE_DIRECTORY", dir.path()}, {"NO_COLOR", "1"}},
      .unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"},
      .working_directory = dir.path()};

  void SetUp() override {
    perdure::testing::adopt_orphans();
    write_file(config, "generation = 1\n");
    std::filesystem::copy_file(UPGRADE_PROBE, program);
    // A port of our own: bound once, so that it is known, and free again.
    UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
  }

  /// Verbs are asked by another copy of the program, for the daemon's own file may be anything.
  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const {
    const bool is_start = words.front().starts_with("--") || words.front() == "restart";
    words.insert(words.begin(), is_start ? program : UPGRADE_PROBE);
    words.insert(words.end(), {"--config", config, "--log-file", log, "--log-level", "debug"});
    return words;
  }
  [[nodiscard]] std::vector<std::string> start_words(std::string mode, std::vector<std::string> words = {}) const {
    words.insert(words.begin(), {std::move(mode), "--tcp", "127.0.0.1:" + std::to_string(port), "--local", local});
    return words;
  }
  Finished run(std::vector<std::string> words) { return perdure::testing::run(command(std::move(words)), options); }
  pid_t start(std::vector<std::string> words = {}) {
    const Finished started = run(start_words("--daemon", std::move(words)));
    EXPECT_TRUE(started.status.success()) << started.output;
    return running();
  }
  [[nodiscard]] pid_t running() const { return perdure::PidFile::holder(pid_file).value_or(0); }
  Finished upgrade() { return run({"upgrade"}); }
  std::string log_text() { return read_file(log).value_or(""); }
  /// How the next process is to behave.
  void next_is(const std::string& how) { write_file(dir / "how", how); }
  /// Puts another file at the program's path, as an installation does it: a running program cannot be written to (ETXTBSY).
  void install(const std::string& content, mode_t mode = 0755) {
    write_file(dir / "new", content);
    ::chmod((dir / "new").c_str(), mode);
    std::filesystem::rename(dir / "new", program);
  }
  void install_again() {
    std::filesystem::copy_file(UPGRADE_PROBE, dir / "new");
    std::filesystem::rename(dir / "new", program);
  }
  void expect_served_by(pid_t pid) {
    // Whoever connects right after an upgrade may still be taken by the former one.
    std::string answer;
    const auto is_its = [&] { return answer.starts_with(std::to_string(pid) + " "); };
    EXPECT_TRUE(eventually([&] { return answer = ask(connect_to_port(port)), is_its(); })) << pid << ": " << answer;
    EXPECT_TRUE(eventually([&] { return answer = ask(connect_to_path(local)), is_its(); })) << pid << ": " << answer;
    EXPECT_THAT(run({"status"}).output, HasSubstr("pid " + std::to_string(pid)));
    EXPECT_EQ(read_file(pid_file), std::to_string(pid) + "\n");
  }
  void stop() {
    const Finished stopped = run({"stop"});
    EXPECT_TRUE(stopped.status.success()) << stopped.output << log_text();
    for (const char* name : {"probe.pid", "probe.sock", "local.sock"})
      EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(dir / name))) << name << " is left";
  }
};

/// Asks without end, each time over a new connection, and keeps what went wrong.
class Load {
 public:
  template <class Connect>
  explicit Load(Connect connect)
      : thread_([this, connect](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            const std::string answer = ask(connect());
            ++asked_;
            if (!is_answer(answer)) faults_.push_back(answer);
          }
        }) {}
  /// What went wrong, once it has stopped.
  std::vector<std::string> end() {
    thread_.request_stop();
    thread_.join();
    return faults_;
  }
  [[nodiscard]] unsigned asked() const noexcept { return asked_; }

 private:
  std::atomic<unsigned> asked_{0};
  std::vector<std::string> faults_;
  std::jthread thread_;
};

inline std::size_t open_fds_of(pid_t pid) {
  const std::filesystem::directory_iterator fds{"/proc/" + std::to_string(pid) + "/fd"};
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

}  // namespace upgrade_probe
