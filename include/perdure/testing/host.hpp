// testing::Host: a daemon inside the test's own process, on a clock that the test moves. A week passes in a millisecond.
//
// The App (or the body of run()) is the one that ships, and so is the code around it: configuration, hooks, readiness, reload,
// restarts and backoff, jobs, checks, heartbeats, watchdog, listeners, the stop and its budget. Not done, and told by
// left_out(): detaching and rights. There is no PID file, no control socket (ask() stands for it), no handler of a signal
// (signal() stands for it) and no upgrade; every file of its own is in a temporary directory. testing::Process is for all that.
//
// Time: Context's waits, jobs, pauses, budgets, heartbeats and the watchdog go by the host's clock; it stands still until
// advance(). Real: std::chrono's clocks, sleeps, sockets, files, other processes, and threads that the program starts by
// itself, of which the host knows nothing: after such, wait with eventually() or call settle().
// A call that cannot go on throws std::runtime_error with the reason, so that the test fails. Several Hosts may be there at once.
// Thread safety: one thread, but hang(). Part of the component perdure::testing; not linked by daemons.
//
//     perdure::App app{{.name = "thermod"}};
//     app.worker("poll", [&](perdure::Context& ctx) { while (ctx.wait(1min)) ++polled; });
//     perdure::testing::Host host{app};
//     host.advance(1h);
//     EXPECT_EQ(polled, 60);
//     EXPECT_EQ(host.stop(), 0);
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/app.hpp"
#include "perdure/callback.hpp"
#include "perdure/export.hpp"
#include "perdure/request.hpp"
#include "perdure/run.hpp"

namespace perdure::testing {

struct HostOptions {
  /// The command line, without the program's name: flags of settings, arguments. No verb.
  std::vector<std::string> arguments{};
  /// What stands in the configuration file at the start. None: there is no file.
  std::optional<std::string> config{};
  /// As WATCHDOG_USEC of an init; 0: it wants no pings.
  std::chrono::microseconds watchdog{0};
  /// Real time after which a thread that neither waits nor ends is named, and the call throws.
  std::chrono::seconds patience{5};
};

class PERDURE_EXPORT Host {
 public:
  /// Starts it, and returns when everything in it waits. Throws what the terminal would read when the start is refused. `app` must
  /// outlive the host and be run nowhere else.
  explicit Host(App& app, HostOptions options = {});
  /// The body of run(); it must take Context&.
  Host(const Options& options, Callback<int(Context&)> body, HostOptions host_options = {});
  /// Releases who hangs and stops it. A thread that does not end within the patience ends the test program, by name.
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// Moves the clock by `time`, from one moment at which something is due to the next, and returns when everything waits
  /// again. Range: >= 0.
  void advance(std::chrono::nanoseconds time);
  /// Returns when every thread of the daemon waits or has ended, and nothing that it waits for is there. The clock stands still.
  void settle();
  /// How far the clock has been moved.
  [[nodiscard]] std::chrono::nanoseconds elapsed() const;

  /// It has said READY=1, and nothing fails that its readiness depends on.
  [[nodiscard]] bool is_ready() const;
  /// What is missing, in one line; "": it is ready.
  [[nodiscard]] std::string why_not_ready() const;
  /// What the init was told so far, a datagram each: "READY=1\nSTATUS=serving", "WATCHDOG=1", …
  [[nodiscard]] std::vector<std::string> notified() const;
  /// The log so far, debug lines included where the level lets them through: "WARN message\n" each.
  [[nodiscard]] std::string log() const;
  /// What run() would have done, and was not done: "detaching", "rights: user=nobody".
  [[nodiscard]] std::vector<std::string> left_out() const;
  /// The descriptor that Context::listener(name) gives, for getsockname(2). -1: the options name none so.
  [[nodiscard]] int listener(std::string_view name) const;
  /// Where its files are: the health file, what it is told to write. Exists as long as the host.
  [[nodiscard]] const std::string& directory() const noexcept;

  /// As `NAME VERB text`: status, health, metrics, log-level, a command of the program's. One that needs time is answered by
  /// its deadline at the latest; the clock moves as far as that takes.
  Reply ask(std::string verb, std::string text = {});
  /// Replaces the configuration file, then reloads: "OK", or why it was refused.
  Reply reload(std::string_view config);
  Reply reload() { return ask("reload"); }
  /// As if SIGHUP, SIGUSR1, SIGUSR2, SIGTERM or SIGINT had arrived.
  void signal(int number);
  /// SIGTERM, and the time that the stop needs. Returns the exit code, 70 for one that was ended by force. Once ended: the code.
  int stop();
  /// The code of one that has ended.
  [[nodiscard]] std::optional<int> exit_code() const;

  /// For a worker, job or check under test: hangs, as code does that waits for something that never comes. It counts neither as
  /// waiting nor as beating, and time can move meanwhile. Returns once release() was called. Requires: the constructor has
  /// returned.
  void hang();
  void release();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perdure::testing
