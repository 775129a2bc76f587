// run(): a function becomes a daemon that keeps its promises.
//
// run() reads the command line and the settings, refuses to run twice, detaches where asked, tells whoever started it why a
// start failed, logs where the environment expects it, answers `NAME status|reload|stop`, reports readiness and progress to the
// init, reloads as a transaction, and stops within a budget. The body is your program: it runs on the main thread.
// Threads: run() must be entered while the process has one thread (more: refused, naming them). It then has the body's thread,
// a control thread that runs no code of yours, and, from the first need on, a callback thread for your hooks and commands,
// which run there one at a time. One run() per process.
// Signals: TERM, INT, HUP, USR1, USR2 have one async-signal-safe handler from run()'s first line on; PIPE is ignored; nothing is
// blocked. A program that replaces one of these handlers owns that signal.
// Left out: several workers (app.hpp).
//
//     int main(int argc, char** argv) {
//       return perdure::run(argc, argv, {.name = "thermod", .version = "1.2.0"}, [](perdure::Context& ctx) {
//         Sensor sensor{"/dev/ttyS0"};
//         while (ctx.wait(1s)) publish(sensor.read());      // false once stopping; also the heartbeat
//       });
//     }
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "perdure/callback.hpp"
#include "perdure/config_ref.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/export.hpp"
#include "perdure/listen_fds.hpp"
#include "perdure/log.hpp"
#include "perdure/request.hpp"
#include "perdure/resources.hpp"
#include "perdure/rights_options.hpp"

namespace perdure {

class Component;

/// Where the process runs when neither --foreground nor --daemon says so.
enum class Mode : std::uint8_t {
  Foreground,
  Detached,  ///< detaches, unless an init runs us: then in the foreground
};

/// Whether the first word of the command line may be a client verb (start, stop, status, …).
enum class Verbs : std::uint8_t { On, Off };

/// A verb of your own, for the control socket and as a client verb on the command line.
struct ControlCommand {
  std::string name{};  ///< [a-z][a-z0-9-]*
  std::string help{};
  /// Runs on the callback thread; one at a time with hooks. Exceptions become an error reply.
  Callback<Reply(const Request&)> answer{};
  /// The requester is told "timed out" when the answer takes longer.
  std::chrono::milliseconds within{5000};
};

struct ResourceWatchOptions {
  ResourceLimits limits{};
  /// How often to look; the first time at start. 0: no watch.
  std::chrono::milliseconds every{0};
  /// The name before the warnings' text and their level are fixed; these lines at Debug tell the figures at each look.
  bool report_use = false;
};

/// A number of your own that the daemon tells with its own metrics, whenever it is asked for them.
struct Metric {
  enum class Kind : std::uint8_t {
    Counter,  ///< only grows; its name ends with _total by convention
    Gauge,
  };
  /// [a-zA-Z_][a-zA-Z0-9_]*; names that begin with perdure_ or process_ are ours.
  std::string name{};
  std::string help{};
  /// Outlives run().
  const std::atomic<std::int64_t>* value = nullptr;
  Kind kind = Kind::Counter;
};

struct HealthFileOptions {
  std::string path{};
  /// Written at start and then this often while the body makes progress.
  std::chrono::milliseconds every{1000};
};

/// A socket that the daemon listens on before its body begins, and hands over to its successor in an upgrade.
struct ListenerOptions {
  /// What Context::listener() finds it by, and FileDescriptorName= of an init's socket unit. 1 to 255 printable bytes, no ':'.
  std::string name{};
  /// "127.0.0.1:8080", "[::1]:8080", "8080" (every address), "/run/x.sock" or "unix:/run/x.sock", "@abstract". Port 0: any.
  /// Used where neither a predecessor nor an init has passed a socket of that name.
  std::string address{};
  /// Connections that wait for accept(2); the kernel takes net.core.somaxconn at most.
  int backlog = 4096;
  /// Of a Unix socket's file, whatever the umask. Who may write to it may connect.
  mode_t mode = 0660;
  /// SO_REUSEADDR, so that connections of a former process do not hinder a start. Not for Unix sockets.
  bool reuse_address = true;
};

/// How a reload ended.
struct Reloaded {
  std::string refused{};   ///< why; "": it was committed
  bool by_signal = false;  ///< SIGHUP was among what asked for it; else only the control socket or the file watch
};

/// Exit codes of the process, for programs that must keep the numbers of an older one. See exit_code.hpp.
struct ExitCodes {
  int failed = exit_failed;
  int already_running = exit_already_running;
  int configuration = exit_configuration;
  int cannot_create = exit_cannot_create;
};

struct Options {
  /// Required: [a-z][a-z0-9_-]*. Names files, log lines and messages.
  std::string name{};
  std::string version{};
  /// One line for --help.
  std::string description{};
  /// How arguments of your own look, for --help: "[FILE…]". Without it, words that are no option are refused.
  std::string arguments{};
  Mode mode = Mode::Foreground;
  Verbs verbs = Verbs::On;

  /// Settings to load from the file, the environment and the command line: a Config<T>, see settings.hpp.
  ConfigRef config{};
  /// Default of --config; "": /etc/NAME.conf if that exists. A file that is named and missing is an error.
  std::string config_file{};
  /// Reloads when the configuration file changes, as if SIGHUP had arrived: 200 ms after it has become quiet, whichever way it was
  /// changed (a rename over it, in place, a link turned as with a ConfigMap). Needs one descriptor; a watch that cannot be had is a
  /// warning in the log. What changes during the start, between reading the file and step 8, is noticed with the next change; from
  /// inside a chroot the file cannot be watched.
  bool watch_config = false;
  /// A file that must be readable before the start, although nothing of ours reads it.
  std::vector<std::string> required_files{};

  /// Default of --pid-file; "": NAME.pid in the runtime directory. The lock is taken in every mode.
  std::string pid_file{};
  /// What the terminal reads when another instance runs. "{pid}" stands for its pid. "": a text of ours.
  std::string already_running_text{};
  /// Default of --control; "": NAME.sock in the runtime directory; "none": no socket.
  std::string control{};
  /// Commands of your own; one named "status" replaces ours.
  std::vector<ControlCommand> commands{};

  /// Sockets to listen on; see Context::listener().
  std::vector<ListenerOptions> listeners{};

  LogOptions log{};
  HealthFileOptions health_file{};
  ResourceWatchOptions resources{};
  /// Told by the verb `metrics`, and at /metrics where there is an HttpEndpoint.
  std::vector<Metric> metrics{};

  /// What is started and stopped beside the body, such as an HttpEndpoint (http.hpp). They outlive run().
  std::vector<Component*> components{};

  /// Sets the options that follow from the settings. Runs once, when these are loaded: before a start, and before a client verb
  /// or --print-unit, which look where the daemon is. So it sets options and does nothing else; what may be wrong with a
  /// setting is for validate(). Not on a reload, and not for what is used before: name, verbs, commands, config, config_file.
  Callback<void(Options&)> configure{};
  /// First process, when it is going to start (not for verbs, --help, …): after configure, before the lock. For what a start
  /// prepares or prints; an Error refuses it with the exit code for the configuration. Paths that it sets are unknown to verbs.
  Callback<Result<void>(Options&)> before_start{};

  /// Who the daemon becomes and what it gives up, after all that needs root is open. --user and --group have the last word on
  /// these two.
  Rights rights{};
  /// While there is one thread and the rights are still there: for opening what needs them. Runs in order, without rights to give
  /// up as well. An Error or exception ends the start: with 77 where it is EACCES or EPERM, else exit_codes.cannot_create. In an
  /// upgrade the successor runs them with the rights that are left: open sockets by `listeners`, which are handed over.
  std::vector<Callback<Result<void>()>> before_drop{};

  mode_t umask = 027;
  std::string working_directory = "/";
  /// Descriptors that survive detaching although they were open when the program was started.
  std::vector<int> keep_fds{};
  /// A start that takes longer has failed; says what is missing.
  std::chrono::milliseconds start_within{90'000};
  /// From the request to stop to a forced end (exit code 70).
  std::chrono::milliseconds stop_within{5'000};
  /// The body must wait or beat this often, or it counts as stuck. 0: WatchdogSec= of the init, if any.
  std::chrono::milliseconds heartbeat{0};

  /// Callback thread, after a reload was committed or refused. Also runs without `config`.
  Callback<void(const Reloaded&)> on_reload{};
  /// Callback thread, on SIGUSR2.
  Callback<void()> on_user_signal{};
  /// Main thread, after the body has returned, in reverse order; each once.
  std::vector<Callback<void()>> on_stop{};

  ExitCodes exit_codes{};
};

/// Why a stop was asked for.
enum class StopReason : std::uint8_t {
  None,
  Term,
  Int,
  Command,
  StartFailed,
  Requested,
  Upgraded,  ///< a successor serves: accept nobody any more, finish what has begun
};

namespace detail {
class Running;
}

/// What the body of run(), or a worker of an App, has in its hand. Belongs to the body's thread, but for beat(), stopping(),
/// request_stop() and log().
class PERDURE_EXPORT Context {
 public:
  explicit Context(detail::Running& running) noexcept : running_(running) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// Waits; false as soon as a stop is asked for. The first wait says that the body is ready. Not positive: only looks.
  bool wait(std::chrono::nanoseconds duration);
  /// Waits until the instant of now(); one in the past only looks.
  bool wait_until(std::chrono::steady_clock::time_point instant);
  /// The monotonic clock; in a test's host, the clock that the test moves.
  [[nodiscard]] std::chrono::steady_clock::time_point now() const noexcept;
  /// poll(2) on `fds` and the stop at once. Returns the number of descriptors with events (0 after `duration`), or -1 once
  /// stopping. A negative duration waits without limit.
  int wait_fds(std::span<pollfd> fds, std::chrono::nanoseconds duration);
  /// Readable once stopping; for a poll or epoll of your own. Never read from it.
  [[nodiscard]] int stop_fd() const noexcept;
  [[nodiscard]] bool stopping() const noexcept;
  [[nodiscard]] StopReason stop_reason() const noexcept;
  [[nodiscard]] std::stop_token stop_token() const noexcept;
  /// Asks the daemon to stop, as `NAME stop` does.
  void request_stop() noexcept;
  /// Progress: the heartbeat between two waits. Lock-free.
  void beat() noexcept;
  /// Says that the body is ready before its first wait. Later calls do nothing.
  void ready();
  [[nodiscard]] Log& log() noexcept;
  /// The words of the command line that are not ours, in order.
  [[nodiscard]] const std::vector<std::string>& args() const noexcept;
  /// The listening socket of that name in Options::listeners: non-blocking, close-on-exec, the daemon's to close. Safe from any
  /// thread. A name that is not there is a bug: said in the log and on stderr, and the process aborts.
  [[nodiscard]] int listener(std::string_view name) const;
  /// Sockets that the init opened for us, without those that Options::listeners names.
  [[nodiscard]] ListenFds& listen_fds() noexcept;
  /// The path of the PID file in force.
  [[nodiscard]] const std::string& pid_file() const noexcept;

 private:
  detail::Running& running_;
};

namespace detail {
PERDURE_EXPORT int run_erased(int argc, char** argv, const Options& options, Callback<int(Context&)> body,
                              bool ready_at_entry);
}

/// Runs `body` as a daemon. Returns the exit code for main(); in a detached start only the daemon returns.
///
/// The body takes `Context&` (time inside wait* counts as alive) or `std::stop_token` (no heartbeat; ready at entry), and returns
/// void or int (the exit code). An exception it throws is logged, reported to whoever waits for the start, and ends with 70.
/// A client verb runs everything in main() before run(): open resources in the body.
template <class Body>
int run(int argc, char** argv, const Options& options, Body&& body) {
  constexpr bool with_context = std::is_invocable_v<Body&, Context&>;
  constexpr bool with_token = std::is_invocable_v<Body&, std::stop_token>;
  static_assert(
      with_context || with_token,
      "the body of perdure::run must be callable with perdure::Context& or std::stop_token and return void or int");
  auto call = [&body](Context& context) -> int {
    if constexpr (with_context) {
      using R = std::invoke_result_t<Body&, Context&>;
      static_assert(
          std::is_void_v<R> || std::same_as<R, int>,
          "the body of perdure::run must be callable with perdure::Context& or std::stop_token and return void or int");
      if constexpr (std::is_void_v<R>) return body(context), 0;
      else return body(context);
    } else if constexpr (with_token) {
      using R = std::invoke_result_t<Body&, std::stop_token>;
      static_assert(
          std::is_void_v<R> || std::same_as<R, int>,
          "the body of perdure::run must be callable with perdure::Context& or std::stop_token and return void or int");
      if constexpr (std::is_void_v<R>) return body(context.stop_token()), 0;
      else return body(context.stop_token());
    } else {
      return 0;
    }
  };
  return detail::run_erased(argc, argv, options, call, !with_context);
}

}  // namespace perdure
