// App: several workers, jobs and checks as one daemon.
//
// Everything that run() is, run.hpp says; an App adds: workers on threads of their own, with restart policy, heartbeat, order and
// stop budget; periodic jobs; readiness and liveness checks; one stream of events. A worker that throws is logged and started
// again; one whose budget is spent ends the process with 70 and is named. Ready is: the configuration is in force, every
// worker has been ready, every readiness check has passed. A stop goes in reverse order of `after`.
// A thread that is stuck cannot be restarted in C++: it is named, the watchdog is fed no more, and whoever supervises the
// process restarts it.
// Threads: describe the App on one thread, then run(), which keeps the calling thread. Workers and jobs run on threads of their
// own; hooks, checks, commands and events on the callback thread, one at a time. One App per process.
// Left out: restart of dependents when a worker restarts, dynamic workers.
//
//     perdure::App app{{.name = "thermod", .version = "1.2.0"}};
//     auto settings = app.config<Settings>();
//     auto db = app.worker("db", run_db);
//     app.worker("poll", [=](perdure::Context& ctx) { while (ctx.wait(settings->period)) publish(read_sensor()); }).after(db);
//     app.every(10min, "compact", compact, {.jitter = 0.1});
//     return app.run(argc, argv);
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

#include "perdure/callback.hpp"
#include "perdure/export.hpp"
#include "perdure/request.hpp"
#include "perdure/restart.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"
#include "perdure/settings.hpp"

namespace perdure {

class App;

/// How a worker is run. Durations must not be negative.
struct WorkerOptions {
  /// Never and OnFailure: a worker that returns is done. A failure that is not restarted ends the process with 70.
  Restart restart = Restart::OnFailure;
  /// From being told to stop until it is named as late, and those it comes after are told all the same. 0: half of
  /// Options::stop_within, which bounds the whole stop.
  std::chrono::milliseconds stop_within{0};
  /// It must wait or beat this often. 0: Options::heartbeat, or WatchdogSec= of the init. A body that takes a stop_token has none.
  std::chrono::milliseconds heartbeat{0};
  /// As in RestartPolicy: the pause before the first restart; it doubles up to delay_max, and is varied by jitter.
  std::chrono::milliseconds delay{100};
  std::chrono::milliseconds delay_max{10'000};
  double jitter = 0.1;
  /// After this many starts within `within`, the first one included, the process ends with 70. 0: never.
  unsigned give_up_after = 5;
  std::chrono::milliseconds within{60'000};
  /// Running this long makes it healthy again: the pause starts over at `delay`.
  std::chrono::milliseconds healthy_after{10'000};
};

/// How a job is run.
struct JobOptions {
  /// Each run is moved by up to this fraction of the period, either way; the next one is not moved by it. Range: 0 to 1.
  double jitter = 0.0;
  /// The first run comes at once, not a period later.
  bool run_now = false;
  /// As WorkerOptions::stop_within.
  std::chrono::milliseconds stop_within{0};
  /// A run must wait or beat this often. 0: a run may take as long as it takes.
  std::chrono::milliseconds heartbeat{0};
};

/// What a check finds.
struct Health {
  bool is_good = true;
  std::string why{};  ///< what is wrong
  static Health good() { return {}; }
  static Health bad(std::string why) { return {false, std::move(why)}; }
};

struct CheckOptions {
  /// How often it is asked; until the App is ready, at least every 200 ms.
  std::chrono::milliseconds every{10'000};
  /// A check that takes longer has failed, until it answers.
  std::chrono::milliseconds within{1'000};
};

/// One thing that happened, for App::on_event.
struct AppEvent {
  enum class Kind : std::uint8_t {
    WorkerStarted,
    WorkerReady,
    WorkerEnded,       ///< `why`: how it failed; "" where it returned
    WorkerRestarting,  ///< in `delay`
    WorkerGaveUp,      ///< failed for good; the process stops, and ends with 70
    WorkerStuck,       ///< neither waited nor beat within its heartbeat
    WorkerBeatsAgain,
    WorkerLateToStop,  ///< runs although its stop budget is over
    CheckFailed,       ///< did not fail before; `why`
    CheckPassed,       ///< did not pass before
    Ready,             ///< all of it, once
    ReloadCommitted,
    ReloadRefused,  ///< `why`
    StopBegun,
  };
  Kind kind;
  std::string name{};  ///< of the worker, job or check; "" for what is about the App
  std::string why{};
  std::uint64_t restarts = 0;  ///< of the worker, so far
  std::chrono::milliseconds delay{0};
  std::chrono::system_clock::time_point at{};
};

/// "worker started", "reload refused", …
PERDURE_EXPORT const char* name(AppEvent::Kind kind) noexcept;

/// The settings of an App, as its workers hold them: a copy of it is another handle of the same.
template <class T>
class ConfigHandle {
 public:
  explicit ConfigHandle(std::shared_ptr<const Config<T>> config) noexcept : config_(std::move(config)) {}
  /// The snapshot in force, kept alive as long as the pointer. Defaults until run() has loaded it.
  [[nodiscard]] std::shared_ptr<const T> get() const { return config_->get(); }
  /// One member access on one snapshot.
  [[nodiscard]] std::shared_ptr<const T> operator->() const { return get(); }
  /// How many times settings were put in force.
  [[nodiscard]] std::uint64_t generation() const noexcept { return config_->generation(); }

 private:
  std::shared_ptr<const Config<T>> config_;
};

namespace detail {

struct AppParts;
class Hosted;
struct HostedSurroundings;

/// A worker's body, whatever it takes and returns.
struct WorkerBody {
  Callback<int(Context&)> call{};
  bool takes_context = true;
};

template <class R, class Call>
int code_of(Call call) {
  if constexpr (std::is_void_v<R>) return call(), 0;
  else return call();
}

template <class Body>
WorkerBody worker_body(Body body) {
  if constexpr (std::is_invocable_v<Body&, Context&>) {
    using R = std::invoke_result_t<Body&, Context&>;
    static_assert(std::is_void_v<R> || std::same_as<R, int>, "a worker returns void or int");
    return {[body = std::move(body)](Context& ctx) mutable { return code_of<R>([&] { return body(ctx); }); }};
  } else {
    static_assert(std::is_invocable_v<Body&, std::stop_token>,
                  "a worker must be callable with perdure::Context& or std::stop_token and return void or int");
    using R = std::invoke_result_t<Body&, std::stop_token>;
    static_assert(std::is_void_v<R> || std::same_as<R, int>, "a worker returns void or int");
    return {[body = std::move(body)](Context& ctx) mutable { return code_of<R>([&] { return body(ctx.stop_token()); }); },
            false};
  }
}

template <class Body>
WorkerBody job_body(Body body) {
  if constexpr (std::is_invocable_v<Body&>) {
    using R = std::invoke_result_t<Body&>;
    static_assert(std::is_void_v<R> || std::same_as<R, int>, "a job returns void or int");
    return {[body = std::move(body)](Context&) mutable { return code_of<R>([&] { return body(); }); }, false};
  } else {
    static_assert(std::is_invocable_v<Body&, Context&>,
                  "a job must be callable with nothing or with perdure::Context& and return void or int");
    return worker_body(std::move(body));
  }
}

PERDURE_EXPORT Result<std::unique_ptr<Hosted>> host(App& app, HostedSurroundings surroundings);

/// Its address tells one type from another.
template <class T>
inline constexpr char type_tag = 0;

}  // namespace detail

/// A worker or job that an App knows. A copy means the same one; it must not outlive the App.
class PERDURE_EXPORT Worker {
 public:
  /// It is started once `others` are ready or done, and told to stop before they are. A circle is refused by App::run().
  template <class... Others>
  requires(std::same_as<Others, Worker>&&...) Worker& after(const Others&... others) {
    (comes_after(others), ...);
    return *this;
  }

 private:
  friend class App;
  Worker(detail::AppParts& parts, std::size_t place) noexcept : parts_(&parts), place_(place) {}
  void comes_after(const Worker& other);
  detail::AppParts* parts_;
  std::size_t place_;
};

class PERDURE_EXPORT App {
 public:
  explicit App(Options options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  /// The settings, described by describe(Fields&, T&); the defaults until run() has loaded them. One type per App.
  template <class T>
  ConfigHandle<T> config() {
    return ConfigHandle<T>{held_config<T>()};
  }
  /// As Config::validate.
  template <class T>
  App& validate(Callback<Result<void>(const T&)> check) {
    held_config<T>()->validate(std::move(check));
    return *this;
  }
  /// As Config::on_reload: refuses with `throw Rejected{why}`, or returns what is to be done once everybody has accepted.
  template <class T>
  App& on_reload(Callback<Commit(const T& was, const T& now)> hook) {
    held_config<T>()->on_reload(std::move(hook));
    return *this;
  }

  /// `body` takes Context& (ready at its first wait or ready()) or std::stop_token (ready at entry), and returns void or int. It
  /// fails with an exception or a code other than 0. When all workers are done, the App ends with 0; jobs end with them.
  template <class Body>
  Worker worker(std::string name, Body body, WorkerOptions options = {}) {
    return add_worker(std::move(name), detail::worker_body(std::move(body)), options);
  }
  /// `job` takes nothing or Context&. It runs each `period`, on a thread of its own; a run that fails is logged, and the next one
  /// comes when it would have come. What it misses because it still runs is left out. Readiness does not wait for it.
  template <class Job>
  Worker every(std::chrono::nanoseconds period, std::string name, Job job, JobOptions options = {}) {
    return add_job(period, std::move(name), detail::job_body(std::move(job)), options);
  }

  /// Ready only once it has passed; after that it is shown by `status` and metrics. An exception fails it.
  App& readiness(std::string name, Callback<Health()> check, CheckOptions options = {});
  /// While it fails, `health` says so and the watchdog is fed no more: for our own progress, never for somebody else's.
  App& liveness(std::string name, Callback<Health()> check, CheckOptions options = {});
  /// A verb of the control socket and the command line. An exception becomes an error reply.
  App& command(std::string name, std::string help, Callback<Reply(const Request&)> answer,
               std::chrono::milliseconds within = std::chrono::milliseconds{5000});
  /// A socket to listen on, as Options::listeners has them: its workers find it with Context::listener(name).
  App& listen(std::string name, std::string address);
  /// Main thread, after all workers have ended, in reverse order; each once.
  App& on_stop(Callback<void()> hook);
  /// Starts and stops with the App, such as an HttpEndpoint (http.hpp); it must outlive run(). As Options::components.
  App& use(Component& component);
  /// Callback thread, in the order in which things happened. What happens when the process is ended by force may be missing.
  App& on_event(Callback<void(const AppEvent&)> listener);

  /// Runs it as run() does. Returns the exit code for main(). Once.
  int run(int argc, char** argv);

 private:
  // For testing::Host.
  friend PERDURE_EXPORT Result<std::unique_ptr<detail::Hosted>> detail::host(App& app,
                                                                             detail::HostedSurroundings surroundings);
  template <class T>
  std::shared_ptr<Config<T>> held_config() {
    if (std::shared_ptr<void> held = find_config(&detail::type_tag<T>)) return std::static_pointer_cast<Config<T>>(held);
    auto made = std::make_shared<Config<T>>();
    hold_config(&detail::type_tag<T>, made, *made);
    return made;
  }
  [[nodiscard]] std::shared_ptr<void> find_config(const void* type) const;
  void hold_config(const void* type, std::shared_ptr<void> config, ConfigRef reference);
  Worker add_worker(std::string name, detail::WorkerBody body, const WorkerOptions& options);
  Worker add_job(std::chrono::nanoseconds period, std::string name, detail::WorkerBody body, const JobOptions& options);

  std::unique_ptr<detail::AppParts> parts_;
};

}  // namespace perdure
