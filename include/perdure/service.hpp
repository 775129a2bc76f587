// Service: a daemon as a class that one derives from. A thin layer over App.
//
// run() is the work, on a thread of its own; everything else may be left as it is. main() takes the place of App::run().
// start() and run() are on the worker's thread, reload() and health() on the callback thread, stop() on the main thread after
// run() has returned; health() and reload() are called only between the end of start() and the stop. An exception in start() or
// run() ends the process with 70.
// Left out: several workers, restarts, settings of your own type (App has them; Options::config works here as well).
//
//     class Thermod : public perdure::Service {
//       void run(perdure::Context& ctx) override { while (ctx.wait(1s)) publish(sensor_.read()); }
//     };
//     int main(int argc, char** argv) { return Thermod{}.main(argc, argv, {.name = "thermod"}); }
#pragma once

#include <atomic>

#include "perdure/app.hpp"
#include "perdure/export.hpp"
#include "perdure/log.hpp"
#include "perdure/run.hpp"

namespace perdure {

class PERDURE_EXPORT Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service();

  /// Runs it as run() does. Returns the exit code for main(). Once.
  int main(int argc, char** argv, Options options);

 protected:
  /// Ready at its first wait or ready(). When it returns the process ends with 0.
  virtual void run(Context& context) = 0;
  /// Opens what run() needs. What it throws reaches whoever waits for the start.
  virtual void start() {}
  /// After a reload was committed; logs that there is nothing to do.
  virtual void reload();
  /// Our own progress: while it is bad, `health` says so and the watchdog is fed no more.
  virtual Health health() { return Health::good(); }
  virtual void stop() {}

  /// Requires: start() has been called.
  [[nodiscard]] Log& log() const noexcept { return *log_; }

 private:
  Log* log_ = nullptr;
  std::atomic<bool> is_started_{false};
};

}  // namespace perdure
