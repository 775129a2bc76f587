// Component: something beside the body that run() starts and stops with the daemon, such as an endpoint for monitors (http.hpp).
//
// A component brings its own libraries, and a daemon that has none links none of them. It sees the daemon through a DaemonView,
// which answers from what is known already: asking never waits for code of the program's, so a component may answer for a daemon
// that hangs. Several may stand side by side; they are prepared and started in order and stopped in reverse order.
// Left out: changing anything about the daemon.
// Thread safety: prepare() and start() come while the process has one thread, the latter but for other components' threads;
// stop() from any. A DaemonView: all calls, from any thread. Fork: start threads in start(), never before. Signal safety: none.
//
//     class Beacon final : public perdure::Component { … };
//     Beacon beacon;
//     return perdure::run(argc, argv, {.name = "thermod", .components = {&beacon}}, body);
#pragma once

#include <string>

#include "perdure/export.hpp"
#include "perdure/result.hpp"

namespace perdure {

class Log;

/// A daemon as its components see it. Valid from start() until stop() returns.
class PERDURE_EXPORT DaemonView {
 public:
  /// Why it makes no progress, in one line; "": it does, be it ready or not.
  [[nodiscard]] virtual std::string why_not_alive() const = 0;
  /// What is missing, in one line: it is starting or stopping, or a readiness check fails; "": it is ready.
  [[nodiscard]] virtual std::string why_not_ready() const = 0;
  /// What the verb `metrics` answers: Prometheus' text exposition format 0.0.4, whole lines.
  [[nodiscard]] virtual std::string metrics() const = 0;
  [[nodiscard]] virtual Log& log() const noexcept = 0;

 protected:
  ~DaemonView() = default;
};

class PERDURE_EXPORT Component {
 public:
  Component() = default;
  Component(const Component&) = delete;
  Component& operator=(const Component&) = delete;
  virtual ~Component() = default;

  /// Step 6 of the start, with the rights that the process was started with: binds and opens. An Error refuses the start.
  virtual Result<void> prepare() = 0;
  /// Step 8: may start threads. They run no code of the program's. An Error refuses the start.
  virtual Result<void> start(const DaemonView& daemon) = 0;
  /// The body and the stop hooks are through, or the start failed after prepare(), or a thread called exit(3). Ends the threads;
  /// called again, does nothing.
  /// A process that is ended by force does without.
  virtual void stop() noexcept = 0;
};

}  // namespace perdure
