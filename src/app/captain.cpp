#include "app/captain.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "daemon/daemon.hpp"
#include "os/threads.hpp"

namespace perdure::app {
namespace {

constexpr std::size_t thread_name_max = 15;  // pthread_setname_np(3)

std::chrono::milliseconds in_ms(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

std::string with_thread(const std::string& who, pid_t thread) {
  return fmt::format("{} (thread {}{})", who, thread, daemon::in_system_call(os::current_system_call(thread)));
}

}  // namespace

/// One worker or job: what its Context stands on, and the thread of its present run.
class Captain::Hand final : public detail::RunningThread {
 public:
  Hand(Captain& captain, WorkerId id) : RunningThread(captain.clock()), captain_(captain), id_(id) {}
  ~Hand() override { join(); }

  [[nodiscard]] std::string who() const {
    return fmt::format("{} \"{}\"", member().every ? "job" : "worker", member().name);
  }
  /// On failure: no thread is to be had (EAGAIN); nothing runs.
  Result<void> start(RunId run) {
    join();  // the last run is over: it has said so at its end
    run_ = run;
    captain_.clock().work_begins();
    try {
      thread_of_run_ = std::thread{[this] { work(); }};
    } catch (const std::system_error& error) {
      captain_.clock().work_ends();
      return Error{fmt::format("no thread for it: {}", error.what()), error.code().value()};
    }
    return {};
  }
  void join() noexcept {
    if (thread_of_run_.joinable()) thread_of_run_.join();
  }

  [[nodiscard]] StopReason stop_reason() const noexcept override { return outer().stop_reason(); }
  void request_stop() noexcept override { outer().request_stop(); }
  Log& log() noexcept override { return outer().log(); }
  [[nodiscard]] const std::vector<std::string>& args() const noexcept override { return outer().args(); }
  [[nodiscard]] int listener(std::string_view name) override { return outer().listener(name); }
  ListenFds& listen_fds() noexcept override { return outer().listen_fds(); }
  [[nodiscard]] const std::string& pid_file() const noexcept override { return outer().pid_file(); }

 private:
  [[nodiscard]] const Member& member() const { return captain_.plan_.members[id_]; }
  [[nodiscard]] detail::Running& outer() const noexcept { return captain_.daemon_->body(); }
  void became_ready() override { captain_.tell(SaidReady{id_, run_}); }

  void work() noexcept {
    pthread_setname_np(pthread_self(), member().name.substr(0, thread_name_max).c_str());
    const detail::WorkerBody& body = captain_.plan_.bodies[id_].body;
    std::string failure;
    enter();
    if (!body.takes_context) ready();
    try {
      Context context{*this};
      if (const int code = body.call(context); code != 0) failure = fmt::format("returned {}", code);
    } catch (const std::exception& error) {
      failure = *error.what() != '\0' ? error.what() : "an exception without a text";
    } catch (...) {
      failure = "something that is not a std::exception";
    }
    leave();
    captain_.tell(WorkerEnded{id_, run_, std::move(failure)});
    captain_.clock().work_ends();
  }

  Captain& captain_;
  const WorkerId id_;
  RunId run_ = 0;
  std::thread thread_of_run_;
};

Captain::Captain(Plan plan)
    : plan_(std::move(plan)),
      crew_(plan_.members),
      checks_(plan_.checks, base::Instant{}),
      last_failures_(plan_.members.size()) {}

Captain::~Captain() = default;

// ── What the daemon asks ──────────────────────────────────────────────────────────────────────────────────────────────────

Result<void> Captain::begin(detail::Daemon& daemon, const Options& options, std::chrono::nanoseconds beat_within,
                            base::Instant now) {
  daemon_ = &daemon;
  failed_code_ = options.exit_codes.failed;
  for (Member& member : plan_.members)
    if (member.stop_within == Duration{0}) member.stop_within = Duration{options.stop_within} / 2;
  crew_ = Crew{plan_.members};
  PERDURE_TRY(auto wake_up, loop::WakeUp::open());
  wake_up_ = std::make_unique<loop::WakeUp>(std::move(wake_up));
  for (WorkerId id = 0; id < plan_.members.size(); ++id) {
    Hand& hand = *hands_.emplace_back(std::make_unique<Hand>(*this, id));
    PERDURE_CHECK(hand.prepare());
    const Body& body = plan_.bodies[id];
    // A run of a job takes as long as it takes, and one that knows nothing of us cannot beat.
    const bool beats_by_default = body.body.takes_context && !plan_.members[id].every;
    const auto within = body.heartbeat.count() > 0 ? body.heartbeat
                        : beats_by_default         ? beat_within
                                                   : std::chrono::nanoseconds{0};
    if (within.count() <= 0) continue;
    hand.expect_beats(within, now);
    watched_.push_back(id);
  }
  return {};
}

std::vector<daemon::Watched> Captain::watched() {
  std::vector<daemon::Watched> all;
  for (const WorkerId id : watched_) all.push_back({hands_[id]->who(), hands_[id]->heartbeat(), &hands_[id]->thread()});
  return all;
}

void Captain::lateness_changed(std::size_t watched, bool is_late) {
  emit(is_late ? AppEvent::Kind::WorkerStuck : AppEvent::Kind::WorkerBeatsAgain, watched_.at(watched));
}

void Captain::describe(daemon::Condition& condition) const {
  std::lock_guard lock{mutex_};
  for (WorkerId id = 0; id < crew_.size(); ++id)
    condition.workers.push_back({.name = crew_.member(id).name,
                                 .state = name(crew_.state(id)),
                                 .restarts = crew_.restarts(id),
                                 .last_failure = last_failures_[id]});
  for (std::size_t i = 0; i < checks_.size(); ++i)
    condition.checks.push_back({.name = checks_.check(i).name,
                                .is_liveness = checks_.check(i).is_liveness,
                                .passed = checks_.passes(i),
                                .why = checks_.why(i)});
}

std::string Captain::unhealthy() const {
  std::lock_guard lock{mutex_};
  std::string text;
  for (std::size_t i = 0; i < checks_.size(); ++i) {
    if (!checks_.check(i).is_liveness || checks_.passes(i)) continue;
    text += fmt::format("{}check \"{}\" fails: {}", text.empty() ? "" : ", ", checks_.check(i).name, checks_.why(i));
  }
  return text;
}

std::string Captain::missing() const {
  std::lock_guard lock{mutex_};
  std::string text;
  const auto add = [&text](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  for (WorkerId id = 0; id < crew_.size(); ++id) {
    if (crew_.was_ready(id)) continue;
    std::string what = fmt::format("{} is {}", hands_[id]->who(), name(crew_.state(id)));
    if (!last_failures_[id].empty()) what += fmt::format(" (it failed: {})", last_failures_[id]);
    add(what);
  }
  for (std::size_t i = 0; i < checks_.size(); ++i)
    if (checks_.is_missing(i)) add(fmt::format("check \"{}\" has not passed: {}", checks_.check(i).name, checks_.why(i)));
  return text;
}

std::string Captain::unfinished() const {
  std::string text;
  for (const auto& hand : hands_)
    if (const pid_t thread = hand->thread(); thread != 0)
      text += (text.empty() ? "" : ", ") + with_thread(hand->who(), thread);
  return text;
}

std::string Captain::failure() const {
  std::lock_guard lock{mutex_};
  return failure_;
}

// ── The main thread: wait, collect, step, carry out ───────────────────────────────────────────────────────────────────────

int Captain::run(Context& context) noexcept {
  context_ = &context;
  log_ = &context.log();
  step(Begun{});
  while (!over_) {
    const base::Instant now = clock().now();
    look_at_checks(now);
    say_ready_if_so(context);
    if (wait(context) && !std::exchange(stop_seen_, true)) {
      emit({.kind = AppEvent::Kind::StopBegun});
      step(StopRequested{});
    }
    std::vector<Letter> mail;
    {
      std::lock_guard lock{mail_mutex_};
      std::swap(mail, mail_);
    }
    for (const Letter& letter : mail) read(letter);
    step(DeadlinePassed{});
  }
  for (const auto& hand : hands_) hand->join();
  deliver_events(context);
  return crew_.has_failed() ? failed_code_ : 0;
}

/// Until something happened or is due. True: the daemon has begun to stop.
bool Captain::wait(Context& context) {
  auto deadline = crew_.next_deadline();
  if (const auto due = checks_.next_deadline(); due && !stop_seen_ && (!deadline || *due < *deadline)) deadline = due;
  // The stop event is what counts, not Context::stopping(): when it is readable the init has been told.
  std::array<pollfd, 2> fds{pollfd{wake_up_->fd(), POLLIN, 0}, pollfd{stop_seen_ ? -1 : context.stop_fd(), POLLIN, 0}};
  (void)clock().poll(fds, deadline);  // EINTR: the control thread's business
  wake_up_->drain();
  return fds[1].revents != 0;
}

void Captain::tell(Letter letter) {
  {
    std::lock_guard lock{mail_mutex_};
    mail_.push_back(std::move(letter));
  }
  wake_up_->wake();
}

void Captain::read(const Letter& letter) {
  if (const auto* ready = std::get_if<SaidReady>(&letter)) {
    // A worker says it before it ends, and is started again after that: this is about the present run.
    if (crew_.state(ready->worker) == WorkerState::Starting) emit(AppEvent::Kind::WorkerReady, ready->worker);
    step(*ready);
  } else if (const auto* ended = std::get_if<WorkerEnded>(&letter)) {
    if (!ended->failure.empty()) {
      log_->error("{} failed: {}", hands_[ended->worker]->who(), ended->failure);
      std::lock_guard lock{mutex_};
      last_failures_[ended->worker] = ended->failure;
    }
    emit(AppEvent::Kind::WorkerEnded, ended->worker, ended->failure);
    step(Ended{ended->worker, ended->run, ended->failure.empty() ? policy::Ending::Clean : policy::Ending::Failed});
  } else if (const auto* begun = std::get_if<CheckBegun>(&letter)) {
    std::lock_guard lock{mutex_};
    checks_.begun(begun->check, clock().now());
  } else if (const auto* answered = std::get_if<CheckAnswered>(&letter)) {
    std::optional<Checks::Change> change;
    {
      std::lock_guard lock{mutex_};
      change = checks_.answered(answered->check, clock().now(), answered->health);
    }
    if (change) note(*change);
  } else {
    events_delivered_ = true;
  }
}

void Captain::step(const Fact& fact) {
  std::vector<Order> orders;
  {
    std::lock_guard lock{mutex_};
    crew_.step(clock().now(), fact, fraction(), orders);
  }
  for (const Order& order : orders) carry_out(order);
}

void Captain::carry_out(const Order& order) {
  if (const auto* starts = std::get_if<StartWorker>(&order)) {
    start(*starts);
  } else if (const auto* stop = std::get_if<TellToStop>(&order)) {
    if (auto token = hands_[stop->worker]->tell_to_stop())
      daemon_->post_task([source = *std::move(token)]() mutable { source.request_stop(); });
  } else if (const auto* restart = std::get_if<TellOfRestart>(&order)) {
    log_->warning("{} is started again in {} ms", hands_[restart->worker]->who(), in_ms(restart->pause).count());
    emit(AppEvent::Kind::WorkerRestarting, restart->worker, {}, restart->pause);
  } else if (const auto* given_up = std::get_if<TellOfGivingUp>(&order)) {
    const WorkerId id = given_up->worker;
    const RestartPolicy& policy = plan_.members[id].restart;
    std::string text;
    {
      std::lock_guard lock{mutex_};
      const std::string why = last_failures_[id].empty() ? "" : ": " + last_failures_[id];
      if (given_up->budget_spent) {
        const std::string within = policy.within.count() > 0 ? fmt::format(" within {} ms", policy.within.count()) : "";
        text =
            fmt::format("{} was started {} times{} and is given up{}", hands_[id]->who(), policy.give_up_after, within, why);
      } else {
        text = fmt::format("{} failed for good{}", hands_[id]->who(), why);
      }
      if (failure_.empty()) failure_ = text;
    }
    log_->critical("{}; the process stops", text);
    emit(AppEvent::Kind::WorkerGaveUp, id, text);
  } else if (const auto* late = std::get_if<NameLate>(&order)) {
    const Hand& hand = *hands_[late->worker];
    log_->error("{} has not stopped within {} ms; the next ones are told to stop all the same",
                with_thread(hand.who(), hand.thread()), in_ms(plan_.members[late->worker].stop_within).count());
    emit(AppEvent::Kind::WorkerLateToStop, late->worker);
  } else if (std::holds_alternative<CrewIsReady>(order)) {
    crew_ready_ = true;
    say_ready_if_so(*context_);  // before a stop that follows at once: it has been ready then
  } else if (std::holds_alternative<RequestStop>(order)) {
    context_->request_stop();
  } else {
    over_ = true;
  }
}

void Captain::start(const StartWorker& order) {
  Hand& hand = *hands_[order.worker];
  if (auto started = hand.start(order.run); !started) {
    tell(WorkerEnded{order.worker, order.run, started.error().message()});
    return;
  }
  emit(AppEvent::Kind::WorkerStarted, order.worker);
}

void Captain::say_ready_if_so(Context& context) {
  if (!crew_ready_ || stop_seen_ || !checks_.are_ready() || std::exchange(said_ready_, true)) return;
  context.ready();
  emit({.kind = AppEvent::Kind::Ready});
}

os::Clock& Captain::clock() const noexcept { return daemon_->clock(); }

double Captain::fraction() { return std::uniform_real_distribution<double>{0.0, 1.0}(chance_); }

// ── Checks: asked on the callback thread ──────────────────────────────────────────────────────────────────────────────────

void Captain::look_at_checks(base::Instant now) {
  if (stop_seen_) return;  // whoever stops is not ready, whatever a check says
  std::vector<std::size_t> due;
  std::vector<Checks::Change> overdue;
  {
    std::lock_guard lock{mutex_};
    overdue = checks_.take_overdue(now);
    due = checks_.take_due(now);
  }
  for (const Checks::Change& change : overdue) note(change);
  for (const std::size_t check : due) ask(check);
}

void Captain::ask(std::size_t check) {
  daemon_->post_task([this, check] {
    tell(CheckBegun{check});
    Health health;
    try {
      health = plan_.questions[check]();
    } catch (const std::exception& error) {
      health = Health::bad(error.what());
    } catch (...) {
      health = Health::bad("it threw something that is not a std::exception");
    }
    tell(CheckAnswered{check, std::move(health)});
  });
}

void Captain::note(const Checks::Change& change) {
  const std::string& name = plan_.checks[change.check].name;
  if (change.passed) {
    log_->info("check \"{}\" passes", name);
  } else {
    log_->warning("check \"{}\" fails: {}", name, change.why);
  }
  emit({.kind = change.passed ? AppEvent::Kind::CheckPassed : AppEvent::Kind::CheckFailed, .name = name, .why = change.why});
}

// ── Events: told on the callback thread ───────────────────────────────────────────────────────────────────────────────────

void Captain::reloaded(const Reloaded& how) {
  emit({.kind = how.refused.empty() ? AppEvent::Kind::ReloadCommitted : AppEvent::Kind::ReloadRefused, .why = how.refused});
}

void Captain::emit(AppEvent::Kind kind, WorkerId worker, std::string why, Duration delay) {
  AppEvent event{.kind = kind, .name = plan_.members[worker].name, .why = std::move(why), .delay = in_ms(delay)};
  {
    std::lock_guard lock{mutex_};
    event.restarts = crew_.restarts(worker);
  }
  emit(std::move(event));
}

void Captain::emit(AppEvent event) {
  if (!plan_.listener) return;
  event.at = std::chrono::system_clock::now();
  daemon_->post_task([this, event = std::move(event)] { plan_.listener(event); });
}

/// What happened last is told as well: the callback thread drops what is queued when the daemon ends.
void Captain::deliver_events(Context& context) {
  if (!plan_.listener) return;
  daemon_->post_task([this] { tell(EventsDelivered{}); });
  while (!events_delivered_) {
    (void)wait(context);
    std::vector<Letter> mail;
    {
      std::lock_guard lock{mail_mutex_};
      std::swap(mail, mail_);
    }
    for (const Letter& letter : mail)
      if (std::holds_alternative<EventsDelivered>(letter)) events_delivered_ = true;
  }
}

}  // namespace perdure::app
