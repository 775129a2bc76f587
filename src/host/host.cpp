#include "perdure/testing/host.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "daemon/hosted.hpp"
#include "host/test_clock.hpp"
#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::testing {
namespace {

/// More than any time limit of a daemon's: what takes longer does not come.
constexpr std::chrono::hours longest_limit{24};

/// What the threads do that neither wait by the clock nor are the caller: `"poll" (thread 123, system call 0)`.
std::string threads_but(const std::vector<pid_t>& waiting) {
  std::string names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/task", ignored}) {
    const auto thread = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (thread == ::gettid() || thread == ::getpid() || std::count(waiting.begin(), waiting.end(), thread) != 0) continue;
    std::string name = read_file(entry.path() / "comm").value_or("");
    if (!name.empty()) name.pop_back();
    const std::string call = read_file(entry.path() / "syscall").value_or("");
    names += (names.empty() ? "" : ", ") + ("\"" + name + "\" (thread " + std::to_string(thread) + ", system call " +
                                            call.substr(0, call.find_first_of(" \n")) + ")");
  }
  return names.empty() ? "none is seen" : names;
}

/// The init's end of the notify socket.
class Init {
 public:
  explicit Init(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error{"the path is too long for a socket: " + path};
    std::memcpy(address.sun_path, path.c_str(), path.size());
    if (!socket_ || ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error{"cannot make the socket " + path + ": " + std::strerror(errno)};
  }
  /// Takes what has come. The queue holds few datagrams (net.unix.max_dgram_qlen), so it is emptied at each step of the clock.
  void read() {
    char datagram[4096];
    for (ssize_t size; (size = ::recv(socket_.get(), datagram, sizeof datagram, 0)) >= 0;)
      heard_.emplace_back(datagram, static_cast<std::size_t>(size));
  }
  [[nodiscard]] const std::vector<std::string>& heard() const noexcept { return heard_; }

 private:
  UniqueFd socket_;
  std::vector<std::string> heard_;
};

}  // namespace

struct Host::State {
  using Start = std::function<Result<std::unique_ptr<perdure::detail::Hosted>>(perdure::detail::HostedSurroundings)>;

  State(HostOptions host_options, const Start& start);
  ~State();
  /// Starts its threads, and settles.
  void begin();

  void settle();
  void release();
  /// One step of the clock, and what follows from it; false: nothing is due until `end`.
  bool step(os::Instant end);
  /// Moves the clock as far as it takes, until `done`.
  template <class Done>
  void until(std::string_view what, Done done);
  [[nodiscard]] std::optional<int> code() const {
    if (const auto forced = daemon->forced_code()) return forced;
    const std::lock_guard lock{mutex};
    return ended_with;
  }
  [[noreturn]] void complain_of_threads() const {
    throw std::runtime_error{"the host did not come to rest within " + std::to_string(options.patience.count()) +
                             " s: a thread is in a real call or runs on; those that do not wait by the host's clock: " +
                             threads_but(clock.waiting())};
  }

  mutable std::mutex mutex;
  std::condition_variable released;
  std::string log;
  std::optional<int> ended_with;
  bool is_released = false;
  int hanging = 0;  ///< threads in hang()

  HostOptions options;
  TempDir directory;
  host::TestClock clock;
  const os::Instant began = clock.now();
  const std::string config = directory / "daemon.conf";
  Init init{directory / "notify"};
  std::unique_ptr<perdure::detail::Hosted> daemon;
  std::thread main;
  bool is_asked_to_stop = false;  ///< a second signal would insist
};

Host::State::State(HostOptions host_options, const Start& start) : options(std::move(host_options)) {
  if (options.config) write_file(config, *options.config);
  const auto keep = [this](const LogLine& line) -> Result<void> {
    const std::lock_guard lock{mutex};
    log.append(level_name(line.level)).append(" ").append(line.text).append("\n");
    return {};
  };
  auto started = start({.clock = clock,
                        .words = options.arguments,
                        .directory = directory.path(),
                        .config = config,
                        .notify = directory / "notify",
                        .watchdog = options.watchdog.count() > 0 ? std::optional{options.watchdog} : std::nullopt,
                        .log = keep});
  if (!started) throw std::runtime_error{started.error().message()};
  daemon = *std::move(started);
}

void Host::State::begin() {
  clock.work_begins();
  main = std::thread{[this] {
    pthread_setname_np(pthread_self(), "host's main");
    // run() ignores it for the whole process, which is not ours; threads that begin in this one inherit the mask.
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    const int code = daemon->run();
    {
      const std::lock_guard lock{mutex};
      ended_with = code;
    }
    clock.work_ends();
  }};
  settle();
}

Host::State::~State() {
  if (!main.joinable()) return;
  release();
  if (!is_asked_to_stop) daemon->arrive(SIGTERM);
  const auto has_ended = [this] {
    const std::lock_guard lock{mutex};
    return ended_with.has_value();
  };
  try {
    for (bool is_quiet = clock.settle(options.patience); !has_ended(); is_quiet = clock.settle(options.patience))
      if (init.read(); !is_quiet || !clock.step(clock.now() + longest_limit)) complain_of_threads();
  } catch (const std::exception& error) {  // its thread uses what goes away with us
    std::fprintf(stderr, "perdure::testing: a host cannot be ended: %s\n", error.what());
    std::abort();
  }
  main.join();
}

void Host::State::release() {
  const std::lock_guard lock{mutex};
  is_released = true;
  for (; hanging > 0; --hanging) clock.work_begins();  // before they run: it is not quiet from here on
  released.notify_all();
}

void Host::State::settle() {
  if (!clock.settle(options.patience)) complain_of_threads();
  init.read();
}

bool Host::State::step(os::Instant end) {
  if (!clock.step(end)) return false;
  settle();
  return true;
}

template <class Done>
void Host::State::until(std::string_view what, Done done) {
  settle();
  const os::Instant end = clock.now() + longest_limit;
  while (!done())
    if (!step(end)) throw std::runtime_error{std::string{what} + " does not come within a day of the host's time"};
}

Host::Host(App& app, HostOptions options)
    : state_(std::make_unique<State>(std::move(options), [&](perdure::detail::HostedSurroundings surroundings) {
        return perdure::detail::host(app, std::move(surroundings));
      })) {
  state_->begin();
}

Host::Host(const Options& options, Callback<int(Context&)> body, HostOptions host_options)
    : state_(std::make_unique<State>(std::move(host_options), [&](perdure::detail::HostedSurroundings surroundings) {
        return perdure::detail::Hosted::make(options, std::move(body), nullptr, std::move(surroundings));
      })) {
  state_->begin();
}

Host::~Host() = default;

void Host::advance(std::chrono::nanoseconds time) {
  const os::Instant end = state_->clock.now() + time;
  state_->settle();
  while (state_->step(end)) continue;
  state_->clock.jump(end);
}

void Host::settle() { state_->settle(); }

std::chrono::nanoseconds Host::elapsed() const { return state_->clock.now() - state_->began; }

bool Host::is_ready() const { return why_not_ready().empty(); }
std::string Host::why_not_ready() const { return state_->code() ? "ended" : state_->daemon->why_not_ready(); }
std::vector<std::string> Host::notified() const { return state_->init.heard(); }
std::string Host::log() const {
  const std::lock_guard lock{state_->mutex};
  return state_->log;
}
std::vector<std::string> Host::left_out() const { return state_->daemon->left_out(); }
int Host::listener(std::string_view name) const { return state_->daemon->listener(name); }
const std::string& Host::directory() const noexcept { return state_->directory.path(); }

Reply Host::ask(std::string verb, std::string text) {
  if (state_->code()) return Reply::error("the daemon has ended");
  const auto answer = std::make_shared<std::promise<Reply>>();
  auto reply = answer->get_future();
  state_->daemon->ask(std::move(verb), std::move(text), [answer](Reply given) { answer->set_value(std::move(given)); });
  const auto is_there = [&] { return reply.wait_for(std::chrono::seconds{0}) == std::future_status::ready; };
  state_->until("the answer", [&] { return is_there() || state_->code(); });
  return is_there() ? reply.get() : Reply::error("the daemon has ended");
}

Reply Host::reload(std::string_view config) {
  write_file(state_->config, config);
  return reload();
}

void Host::signal(int number) {
  if (number == SIGTERM || number == SIGINT) state_->is_asked_to_stop = true;
  state_->daemon->arrive(number);
  state_->settle();
}

int Host::stop() {
  if (!state_->code()) {
    if (!std::exchange(state_->is_asked_to_stop, true)) state_->daemon->arrive(SIGTERM);
    state_->until("the end", [this] { return state_->code().has_value(); });
  }
  return *state_->code();
}

std::optional<int> Host::exit_code() const { return state_->code(); }

void Host::hang() {
  State& state = *state_;
  std::unique_lock lock{state.mutex};
  if (state.is_released) return;
  ++state.hanging;
  state.clock.work_ends();
  state.released.wait(lock, [&] { return state.is_released; });
}

void Host::release() {
  state_->release();
  state_->settle();
}

}  // namespace perdure::testing
