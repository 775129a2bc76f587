#include "daemon/successor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <climits>
#include <fmt/format.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "net/fd_message.hpp"
#include "os/system.hpp"
#include "process/at_load.hpp"
#include "process/spawn.hpp"

namespace perdure::daemon {
namespace sys = os::sys;
using process::StartMessage;
using process::StartNews;

namespace {

/// Where the successor finds its end of the line: the first descriptor behind the standard ones.
constexpr int successor_fd = 3;
/// How much of its words is told.
constexpr std::size_t told_max = 1024;

std::string current_directory() {
  std::array<char, PATH_MAX> path{};
  const ssize_t size = sys::readlink("/proc/self/cwd", path.data(), path.size());
  return size > 0 ? std::string{path.data(), static_cast<std::size_t>(size)} : std::string{"/"};
}

bool is_same_file(const char* a, const char* b) noexcept {
  struct stat first {
  }, second{};
  return sys::stat(a, &first) == 0 && sys::stat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

/// The path given to execve(2), where it still leads to what runs: /proc/self/exe has every symbolic link resolved already, and
/// installations that switch a link from one version to the next would never arrive at the next one.
std::string program_path(const std::string& directory) {
  const auto* given = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (given != nullptr && *given != '\0' && std::strncmp(given, "/dev/", 5) != 0 && std::strncmp(given, "/proc/", 6) != 0 &&
      is_same_file(given, "/proc/self/exe"))
    return *given == '/' ? std::string{given}
                         : fmt::format("{}/{}", directory, std::strncmp(given, "./", 2) == 0 ? given + 2 : given);
  return process::own_program();
}

bool is_meant_for_one_process(std::string_view variable) noexcept {
  return variable.starts_with("LISTEN_") || variable.starts_with("WATCHDOG_") || variable.starts_with("PERDURE_SUCCESSOR=");
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// A file that takes so much and not a byte more, and never makes its writer wait.
Result<UniqueFd> bounded_memory(std::size_t size) {
  UniqueFd file{sys::memfd_create("successor-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!file || sys::ftruncate(file.get(), static_cast<off_t>(size)) != 0 ||
      sys::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    return Error::from_errno(errno, "make a place for what the new process says");
  return file;
}

}  // namespace

Invocation Invocation::of_this_process(int argc, char** argv) {
  Invocation invocation;
  invocation.directory = current_directory();
  invocation.program = program_path(invocation.directory);
  invocation.arguments.assign(argv, argv + argc);
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
    if (!is_meant_for_one_process(*variable)) invocation.environment.emplace_back(*variable);
  return invocation;
}

Result<Successor> Successor::start(const Invocation& invocation, const wire::HandOver& offer, std::span<const int> fds,
                                   const Circumstances& circumstances) {
  if (fds.size() > wire::hand_over_items_max)
    return Error{
        fmt::format("{} descriptors are more than one message carries ({})", fds.size(), wire::hand_over_items_max)};
  const std::string bytes = wire::compose_hand_over(offer);
  if (bytes.size() > wire::hand_over_bytes_max)
    return Error{fmt::format("the hand-over has {} bytes, {} are the most", bytes.size(), wire::hand_over_bytes_max)};
  int ends[2] = {-1, -1};
  if (sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return Error::from_errno(errno, "make the line to the new process");
  Successor successor;
  successor.line_.reset(ends[0]);
  const UniqueFd theirs{ends[1]};
  PERDURE_TRY(successor.said_, bounded_memory(said_max));
  if (auto sent = net::send_message(successor.line_.get(), bytes, fds); !sent)
    return std::move(sent).error().in("the descriptors");

  std::vector<std::string> environment{invocation.environment}, arguments{invocation.arguments};
  environment.insert(environment.end(), circumstances.variables.begin(), circumstances.variables.end());
  environment.push_back(fmt::format("{}={}", successor_variable, successor_fd));
  const std::vector<char*> argument_pointers = pointers_to(arguments), variable_pointers = pointers_to(environment);
  const char* program = invocation.program.c_str();
  // Relative paths of the command line mean the directory of then. One that may not be entered any more, after rights were
  // dropped, is no reason to refuse: what would go wrong without it, goes wrong before the successor takes anything.
  const bool may_enter = sys::access(invocation.directory.c_str(), X_OK) == 0;
  process::Spawned spawned = process::spawn({.candidates = {&program, 1},
                                             .arguments = argument_pointers.data(),
                                             .environment = variable_pointers.data(),
                                             .working_directory = may_enter ? invocation.directory.c_str() : nullptr,
                                             .fds = {{successor.said_.get(), STDERR_FILENO}, {theirs.get(), successor_fd}},
                                             .as_sibling = circumstances.is_for_init});
  if (spawned.failure) {
    const int code = spawned.failure->error;
    return Error{fmt::format("cannot start {}: {}: {} ({})", base::escape(invocation.program),
                             process::words_of(spawned.failure->step), base::errno_words(code), base::errno_name(code)),
                 code};
  }
  successor.pid_ = spawned.pid;
  successor.process_ = std::move(spawned.pidfd);
  return successor;
}

std::optional<Successor::News> Successor::hear() {
  if (!line_) return std::nullopt;
  auto message = net::receive_message(line_.get(), sizeof(StartMessage) + process::start_text_max);
  if (!message && message.error().code() == EAGAIN) return std::nullopt;
  if (!message || message->bytes.size() < sizeof(StartMessage)) {  // it has closed its end, or speaks another language
    line_.reset();
    return std::nullopt;
  }
  StartMessage head;
  std::memcpy(&head, message->bytes.data(), sizeof head);
  return News{head.news, message->bytes.substr(sizeof head)};
}

Result<void> Successor::put_in_charge(int lock, bool shall_reload) {
  if (!line_) return Error{"it has closed its end of the line"};
  const StartMessage word{StartNews::InCharge, shall_reload ? 1 : 0};
  return net::send_message(line_.get(), {reinterpret_cast<const char*>(&word), sizeof word}, {&lock, 1});
}

void Successor::hang_up() noexcept {
  // A child that the program forked may hold a copy of our end.
  sys::shutdown(line_.get(), SHUT_RDWR);
  line_.reset();
}

void Successor::signal(int number) noexcept {
  if (process_) sys::pidfd_send_signal(process_.get(), number);
}

std::optional<ExitStatus> Successor::ended() {
  pollfd process{process_.get(), POLLIN, 0};
  if (sys::poll(&process, 1, 0) != 1) return std::nullopt;
  siginfo_t end{};
  if (sys::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &end, WEXITED | WNOHANG) != 0)
    return ExitStatus{};  // the init's to know, or the program has reaped it: it ignores SIGCHLD
  if (end.si_pid == 0) return std::nullopt;
  return end.si_code == CLD_EXITED ? ExitStatus::exited(end.si_status)
                                   : ExitStatus::killed(end.si_status, end.si_code == CLD_DUMPED);
}

std::string Successor::said() const {
  std::string text(said_max, '\0');
  const ssize_t size = sys::pread(said_.get(), text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  text.resize(std::min(text.find('\0'), text.size()));
  const std::string_view end = base::trim_end(text);
  std::string line{end.size() > told_max ? end.substr(end.size() - told_max) : end};
  std::replace(line.begin(), line.end(), '\n', ' ');
  return base::escape(line);
}

}  // namespace perdure::daemon
