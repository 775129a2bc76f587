// A service with all phases: what each process of it does, and writes down in TRUTH.ledger (ledger.hpp).
//
//   step TRUTH PHASE               any command beside the main process: works for a few milliseconds
//   main TRUTH SEED MS             the main process; dies within MS milliseconds once start-post has run, unless there is calm
//   notify TRUTH SEED MS           the same, and says READY=1 and WATCHDOG=1
//   handover TRUTH SEED MS         the same, and then another process goes on in its place, as MAINPID= says
//   fork TRUTH SEED MS PIDFILE     leaves a main process of which the file tells
// MS is 0: it never dies by itself.
#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "ledger.hpp"
#include "life.hpp"

namespace supervisor_test {
namespace {

/// Blocks while the queue is full, as sd_notify(3) does; `barrier` goes along.
void notify(const std::string& text, int barrier = -1) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) ::_exit(93);
  std::copy_n(path, std::strlen(path), address.sun_path);
  const perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  std::string bytes = text;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  if (barrier >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &barrier, sizeof barrier);
  }
  while (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) ::_exit(92);
  }
}

/// Returns when the supervisor has taken everything that was sent, as sd_notify_barrier(3) does.
void notify_and_wait(const std::string& text) {
  notify(text);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) ::_exit(91);
  notify("BARRIER=1", pipe[1]);
  ::close(pipe[1]);
  pollfd end{pipe[0], POLLHUP, 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
  ::close(pipe[0]);
}

/// How systemd.exec(5) tells of it in $EXIT_CODE, $EXIT_STATUS and $SERVICE_RESULT, for a service that was up.
std::string told_as(Death death) {
  if (death.end == EndKind::Exited)
    return "exited " + std::to_string(death.status) + (death.status == 0 ? " success" : " exit-code");
  constexpr std::array clean{SIGHUP, SIGINT, SIGTERM, SIGPIPE};
  const bool is_clean = std::find(clean.begin(), clean.end(), death.status) != clean.end();
  return std::string{"killed "} + ::sigabbrev_np(death.status) + (is_clean ? " success" : " signal");
}

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// start-post of this run has come to its end.
void set_up(const std::string& ledger) {
  const perdure::UniqueFd file{::open((ledger + ".up").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
  const std::string run = variable("INVOCATION_ID");
  if (::write(file.get(), run.data(), run.size()) < 0) ::_exit(89);
}
bool is_up(const std::string& ledger) {
  const perdure::UniqueFd file{::open((ledger + ".up").c_str(), O_RDONLY | O_CLOEXEC)};
  char run[64]{};
  const ssize_t size = file ? ::read(file.get(), run, sizeof run) : -1;
  return size > 0 && variable("INVOCATION_ID") == std::string_view{run, static_cast<std::size_t>(size)};
}

class Main {
 public:
  Main(TruthFile& truth, std::string ledger, std::uint32_t seed, int life_max_ms)
      : truth_(truth), ledger_(std::move(ledger)), life_(begin_life(truth)) {
    write_down(ledger_, "main", std::to_string(::getpid()));
    random_ = scramble(seed * 1000003ULL + truth->lives.load());
    life_ms_ = life_max_ms > 0 ? static_cast<int>(random_ % static_cast<unsigned>(life_max_ms)) : -1;
  }
  void be_ready() {
    write_down(ledger_, "ready");
    notify("READY=1\nSTATUS=it works");
    says_alive_ = true;
  }
  /// Another process goes on with this life.
  void hand_over() {
    wait_for_start_post();
    const pid_t before = ::getpid();
    const pid_t child = ::fork();
    if (child > 0) {
      notify_and_wait("MAINPID=" + std::to_string(child));
      ::_exit(0);
    }
    while (::getppid() == before) ::poll(nullptr, 0, 1);
    life_.pid = ::getpid();
    write_down(ledger_, "handover", std::to_string(::getpid()));
  }
  [[noreturn]] void live() {
    wait_for_start_post();
    while (is_stopping == 0 && (life_ms_ != 0 || truth_->is_calm.load() != 0)) {
      const int pause = life_ms_ > 0 ? std::min(life_ms_, 5) : 5;
      work_for(pause);
      if (life_ms_ > 0) life_ms_ -= pause;
      if (says_alive_) notify("WATCHDOG=1");
    }
    if (is_stopping != 0) {
      write_down(ledger_, "asked");
      end({EndKind::Exited, 0});
    }
    end(death_of(scramble(random_)));
  }

 private:
  /// What ends before is not up, and tells of itself in other words.
  void wait_for_start_post() {
    while (is_stopping == 0 && !is_up(ledger_)) work_for(1);
  }
  [[noreturn]] void end(Death death) {
    sigset_t late;  // a SIGTERM that comes now changes nothing any more
    ::sigemptyset(&late);
    ::sigaddset(&late, SIGTERM);
    if (death.status != SIGTERM) ::sigprocmask(SIG_BLOCK, &late, nullptr);
    write_down(ledger_, "end", told_as(death));
    die(life_, death);
  }

  TruthFile& truth_;
  std::string ledger_;
  Life& life_;
  std::uint64_t random_ = 0;
  int life_ms_ = 0;
  bool says_alive_ = false;
};

int step(TruthFile& truth, const std::string& ledger, const std::string& phase) {
  const bool is_alone = phase != "start" && phase != "start-post" && phase != "reload" && phase != "stop";
  std::string words;
  if (is_alone && !truth.lock()) {
    ++truth->duplicates;
    words = "beside another one";
  } else if (phase == "stop-post" && !variable("EXIT_CODE").empty()) {
    words = variable("EXIT_CODE") + ' ' + variable("EXIT_STATUS") + ' ' + variable("SERVICE_RESULT");
  }
  write_down(ledger, phase, words);
  ::poll(nullptr, 0, static_cast<int>(scramble(static_cast<std::uint64_t>(::getpid())) % 4));
  if (phase == "start-post") set_up(ledger);
  return 0;
}

/// Returns in the process that is to be the main one; the other ends when the file tells of it.
void fork_with_file(const char* path) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) ::_exit(91);
  if (::fork() > 0) {
    ::close(pipe[1]);
    char byte = 0;
    while (::read(pipe[0], &byte, 1) < 0 && errno == EINTR) {
    }
    ::_exit(0);
  }
  const perdure::UniqueFd file{::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  const std::string pid = std::to_string(::getpid()) + '\n';
  if (::write(file.get(), pid.data(), pid.size()) < 0) ::_exit(90);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

int run(int count, char** words) {
  if (count < 4) return 64;
  const std::string mode = words[1];
  TruthFile truth = TruthFile::open(words[2]);
  const std::string ledger = std::string{words[2]} + ".ledger";
  if (mode == "step") return step(truth, ledger, words[3]);
  if (count < 5) return 64;
  if (mode == "fork") {
    write_down(ledger, "start");
    fork_with_file(words[5]);
  }
  Main main{truth, ledger, static_cast<std::uint32_t>(std::atoi(words[3])), std::atoi(words[4])};
  if (mode == "notify" || mode == "handover") main.be_ready();
  if (mode == "handover") main.hand_over();
  main.live();
}

}  // namespace
}  // namespace supervisor_test

int main(int count, char** words) { return supervisor_test::run(count, words); }
