#include "keeper/keeper_testing.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include <gtest/gtest.h>

#include "os/system.hpp"

namespace perdure::keeper {
namespace {

using supervisor::KeeperChannel;

constexpr int hang_limit_ms = static_cast<int>(std::chrono::milliseconds{perdure::testing::hang_limit}.count());

using executor::checked;

/// What a manager says of itself, with its end of the channel.
struct Introduction {
  pid_t pid;
  pid_t keeper;
};

struct alignas(cmsghdr) Control {
  char bytes[CMSG_SPACE(256 * sizeof(int))]{};
};

ssize_t send_with(int socket, std::span<const char> bytes, std::span<const int> fds) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  Control control;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.bytes;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const head = CMSG_FIRSTHDR(&header);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL);
}

sockaddr_un address_of(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

}  // namespace

void send_signal(pid_t pid, int number) {
  const UniqueFd pidfd{os::sys::pidfd_open(pid, 0)};
  if (pidfd) os::sys::pidfd_send_signal(pidfd.get(), number);
}

std::vector<pid_t> children_of(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children";
  std::istringstream words{perdure::testing::read_file(path).value_or("")};
  std::vector<pid_t> found;
  for (pid_t child = 0; words >> child;) found.push_back(child);
  return found;
}

std::size_t open_descriptors(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"})
    ++count;
  return count;
}

// ---- Manager

KeeperChannel::Received Manager::ask(const message::Request& request, std::span<const int> fds) {
  auto answer = channel.ask(request, fds);
  if (!answer) throw std::runtime_error(answer.error().message());
  return std::move(answer.value());
}

message::Entry Manager::spawn(const message::Key& key, const Program& program) {
  const std::vector<char> bytes = spec_bytes(program);
  const UniqueFd spec = memory_file(bytes);
  message::Request request{.operation = message::Operation::Spawn, .key = key, .child_fds = 1};
  request.spec_size = static_cast<std::uint32_t>(bytes.size());
  const KeeperChannel::Received answer = ask(request, std::array{spec.get()});
  EXPECT_EQ(answer.message.header.kind, message::Kind::Spawned);
  EXPECT_EQ(answer.message.header.error, 0);
  EXPECT_EQ(answer.message.header.count, 1U);
  return answer.message.entries[0];
}

int Manager::acknowledge(const message::Key& key) {
  return ask(message::Request{.operation = message::Operation::Acknowledge, .key = key}).message.header.error;
}

std::vector<message::Entry> Manager::list(std::vector<UniqueFd>* fds) {
  std::vector<message::Entry> entries;
  message::Request request{.operation = message::Operation::List};
  do {
    KeeperChannel::Received answer = ask(request);
    entries.insert(entries.end(), answer.message.entries, answer.message.entries + answer.message.header.count);
    for (UniqueFd& fd : answer.fds) {
      if (fds != nullptr) fds->push_back(std::move(fd));
    }
    request.from = answer.message.header.next;
  } while (request.from != 0);
  return entries;
}

std::map<std::string, UniqueFd> Manager::list_parked() {
  std::map<std::string, UniqueFd> parked;
  message::Request request{.operation = message::Operation::ListParked};
  do {
    KeeperChannel::Received answer = ask(request);
    EXPECT_EQ(answer.labels().size(), answer.fds.size());
    for (std::size_t i = 0; i < answer.fds.size(); ++i) {
      const char* const label = answer.labels()[i].label;
      parked.emplace(std::string{label, ::strnlen(label, message::label_size)}, std::move(answer.fds[i]));
    }
    request.from = answer.message.header.next;
  } while (request.from != 0);
  return parked;
}

int Manager::park(const std::string& label, int fd) {
  message::Request request{.operation = message::Operation::Put};
  std::copy_n(label.begin(), std::min(label.size(), message::label_size), std::begin(request.label));
  return ask(request, std::array{fd}).message.header.error;
}

KeeperChannel::Received Manager::await(const std::function<bool(const message::Message&)>& is_it) {
  for (;;) {
    const auto known =
        std::find_if(inbox_.begin(), inbox_.end(), [&](const auto& received) { return is_it(received.message); });
    if (known != inbox_.end()) {
      KeeperChannel::Received found = std::move(*known);
      inbox_.erase(known);
      return found;
    }
    if (auto received = channel.receive()) {
      inbox_.push_back(std::move(*received));
      continue;
    }
    pollfd polled{channel.fd(), POLLIN, 0};
    if (channel.is_lost() || ::poll(&polled, 1, hang_limit_ms) <= 0) throw std::runtime_error("the keeper says nothing");
  }
}

message::Entry Manager::await_end(const message::Key& key) {
  return await(
             [&key](const message::Message& m) { return m.header.kind == message::Kind::Exited && m.entries[0].key == key; })
      .message.entries[0];
}

int Manager::send_raw(std::span<const char> bytes, std::span<const int> fds) {
  if (send_with(channel.fd(), bytes, fds) < 0) checked(-1, "send to the keeper");
  return await([](const message::Message& m) {
           return m.header.kind != message::Kind::Exited && m.header.kind != message::Kind::Signalled;
         })
      .message.header.error;
}

void Manager::die() {
  send_signal(pid_, SIGKILL);
  channel = KeeperChannel{UniqueFd{}};
  line_.reset();
}

// ---- RunningKeeper

RunningKeeper::RunningKeeper(KeeperOptions options) {
  perdure::testing::adopt_orphans();
  const std::string path = directory_ / "m";
  listener_.reset(checked(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "make a socket"));
  const sockaddr_un address = address_of(path.c_str());
  checked(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind a socket");
  checked(::listen(listener_.get(), 16), "listen");

  const std::string manager = options.manager_program.empty() ? "/proc/self/exe" : options.manager_program;
  const std::string lock = directory_ / "lock";
  constexpr int above = 100;  // the numbers that the descriptors are copied to are free in the child
  const auto open = [](const std::string& file, int flags) {
    const UniqueFd fd{checked(::open(file.c_str(), flags | O_CLOEXEC, 0600), file.c_str())};
    return UniqueFd{checked(::fcntl(fd.get(), F_DUPFD_CLOEXEC, above), "copy a descriptor")};
  };
  const UniqueFd null = open("/dev/null", O_RDWR);
  const UniqueFd programs[] = {open(PERDURE_KEEPER, O_RDONLY), open(PERDURE_EXECUTOR, O_RDONLY), open(manager, O_RDONLY),
                               open(lock, O_RDWR | O_CREAT)};
  std::vector<UniqueFd> locks;
  for (const int fd : options.locks) locks.emplace_back(checked(::fcntl(fd, F_DUPFD_CLOEXEC, above), "copy a descriptor"));
  std::vector<std::string> words = options.under;
  words.insert(words.end(), {PERDURE_KEEPER, path});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  pid_ = checked(::fork(), "fork");
  if (pid_ == 0) {
    const rlimit limit{options.nofile, options.nofile};
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // should the test crash
    bool is_ready = ::dup2(null.get(), 0) == 0;
    for (int i = 0; i < 4; ++i) is_ready = is_ready && ::dup2(programs[i].get(), message::keeper_program_fd + i) >= 0;
    ::close_range(message::state_lock_fd, ~0U, CLOSE_RANGE_CLOEXEC);  // what the test itself was started with
    int number = message::state_lock_fd;
    for (const UniqueFd& lock_file : locks) is_ready = is_ready && ::dup2(lock_file.get(), number++) >= 0;
    if (!options.oom_score_adj.empty()) perdure::testing::write_file("/proc/self/oom_score_adj", options.oom_score_adj);
    if (options.nofile != 0) is_ready = is_ready && ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
    if (is_ready) ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
}

RunningKeeper::~RunningKeeper() { end_descendants(); }

bool RunningKeeper::has_next_manager(int within_ms) {
  pollfd polled{listener_.get(), POLLIN, 0};
  return ::poll(&polled, 1, within_ms) > 0;
}

Manager RunningKeeper::next_manager() {
  if (!has_next_manager(hang_limit_ms)) throw std::runtime_error("no manager was started");
  UniqueFd line{checked(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept")};
  Introduction who{};
  iovec part{&who, sizeof who};
  Control control;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  if (::recvmsg(line.get(), &header, MSG_CMSG_CLOEXEC) != sizeof who || CMSG_FIRSTHDR(&header) == nullptr) {
    throw std::runtime_error("a manager did not introduce itself");
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
  return Manager{std::move(line), who.pid, who.keeper, UniqueFd{fd}};
}

int RunningKeeper::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) != pid_) {
    if (errno != EINTR) checked(-1, "wait for the keeper");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void play_manager(const char* socket_path) {
  const int line = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  const sockaddr_un address = address_of(socket_path);
  if (line < 0 || ::connect(line, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ::_exit(1);
  const Introduction who{::getpid(), ::getppid()};
  send_with(line, {reinterpret_cast<const char*>(&who), sizeof who}, std::array{message::channel_fd});
  char byte = 0;
  while (::read(line, &byte, 1) < 0 && errno == EINTR) {
  }
  ::_exit(0);
}

void end_descendants() {
  for (;;) {
    for (const pid_t child : children_of(::getpid())) send_signal(child, SIGKILL);
    if (::waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

}  // namespace perdure::keeper

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view{argv[0]} == "perdure-manager") perdure::keeper::play_manager(argv[1]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
