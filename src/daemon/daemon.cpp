#include "daemon/daemon.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "daemon/own_directories.hpp"
#include "daemon/report.hpp"
#include "logbook/target.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "os/threads.hpp"

namespace perdure::detail {

using daemon::Action;
using daemon::Event;
using daemon::State;

namespace {

constexpr std::chrono::milliseconds watchdog_interval_min{1};
constexpr std::chrono::milliseconds announcement_interval{20};
constexpr std::size_t unannounced_max = 8;
/// Tells requests of ask() from those of the control socket, which are counted from 1.
constexpr std::uint64_t asked_by_us = std::uint64_t{1} << 63;

/// Calls a step of the program's own: what it throws is an error like any other.
template <class Step>
Result<void> without_throwing(std::string_view what, const Step& step) {
  try {
    return step();
  } catch (const std::exception& error) {
    return Error{error.what()};
  } catch (...) {
    return Error{fmt::format("{} threw something that is not a std::exception", what)};
  }
}

}  // namespace

Daemon::Daemon(const Options& options, daemon::CommandLine line, daemon::Places places, daemon::Signals signals,
               daemon::Members* members, Surroundings surroundings)
    : surroundings_(std::move(surroundings)),
      options_(options),
      line_(std::move(line)),
      places_(std::move(places)),
      signals_(std::move(signals)),
      log_(places_.instance),
      members_(members) {
  log_.set_level(line_.log_level.value_or(options.log.level));
}

Daemon::~Daemon() {
  if (control_thread_.joinable()) {
    tell([](Mail& mail) { mail.finished = true; });
    control_thread_.join();
  }
  stop_components();
  release_places();
}

// ── The start sequence ────────────────────────────────────────────────────────────────────────────────────────────────────

Result<void> Daemon::open_log() {
  LogOptions options = options_.log;
  options.path = places_.log_file;
  if (!options.path.empty()) options.target = LogTarget::File;
  options.level = log_.level();
  if (surroundings_.is_hosted()) return log_.open(options);  // a host has no file
  struct stat status {};
  log_path_ = !options.path.empty() ? options.path
                                    : logbook::default_log_path(places_.instance, logbook::gather_path_facts()).value_or("");
  made_log_file_ = !log_path_.empty() && os::sys::lstat(log_path_.c_str(), &status) != 0 && errno == ENOENT;
  return log_.open(options);
}

Result<void> Daemon::open_listeners() {
  if (predecessor_) former_listeners_ = predecessor_->listeners();
  PERDURE_CHECK(listeners_.open(options_.listeners, former_listeners_, listen_fds_));
  return keep_sockets_of_init();
}

int Daemon::listener(std::string_view name) {
  const int fd = listeners_.find(name);
  if (fd < 0) {
    log_.critical("a bug of the program: listener({}) was asked for, Options::listeners has: {}", base::quote(name),
                  listeners_.names());
    PERDURE_ASSERT(fd >= 0, "Context::listener: Options::listeners has none of that name; the log says which there are");
  }
  return fd;
}

Result<void> Daemon::open_control() {
  if (auto former = predecessor_ ? predecessor_->control() : std::nullopt) {
    if (former->path != places_.control)
      return Error{fmt::format("the control socket would be {}, and the running daemon's is {}: restart instead",
                               places_.control.empty() ? "none" : places_.control, former->path)};
    PERDURE_TRY(auto adopted, ControlServer::listen({.listener = former->listener.get()}));
    (void)former->listener.release();
    control_file_.emplace(std::move(former->file));
    server_.emplace(std::move(adopted));
    return {};
  }
  if (places_.control.empty()) return {};
  PERDURE_TRY(auto server, ControlServer::listen({.path = places_.control}));
  server_.emplace(std::move(server));
  return {};
}

Result<void> Daemon::connect_init() {
  PERDURE_TRY(notify_, Notify::from_environment());
  return {};
}

Result<void> Daemon::publish_pid() {
  if (!predecessor_) return lock_->write();
  predecessor_->say(process::StartNews::Taken);
  return {};
}

Result<void> Daemon::prepare_stop_event() { return body_.prepare(); }

Result<void> Daemon::open_what_needs_rights(const RightsDrop& rights) {
  for (const auto& hook : options_.before_drop) PERDURE_CHECK(without_throwing("a before_drop hook", hook));
  if (!rights.new_user()) return {};
  // Not the PID file: who may write it could make scripts signal anybody. To remove it, its directory decides.
  struct stat status {};
  if (made_log_file_ && os::sys::lstat(log_path_.c_str(), &status) == 0) PERDURE_CHECK(rights.give(log_path_));
  if (!places_.control.empty()) PERDURE_CHECK(rights.give(places_.control));
  for (const auto& listener : listeners_.all())
    if (const std::string& path = listener.socket.file().path; !path.empty()) PERDURE_CHECK(rights.give(path));
  return {};
}

Result<void> Daemon::give_up(const RightsDrop& rights) {
  if (!rights.is_asked_for()) return {};
  if (!options_.rights.chroot.empty()) PERDURE_CHECK(notify_.connect());
  std::vector<std::string> writable = daemon::written_places(places_, log_path_);
  for (const auto& listener : listeners_.all())
    if (const std::string& path = listener.socket.file().path; !path.empty()) writable.push_back(os::directory_of(path));
  PERDURE_TRY(rights_, rights.carry_out(writable));
  log_.info("rights: {}", rights_.summary);
  for (const std::string& reduction : rights_.reductions) log_.warning("rights are reduced: {}", reduction);
  return {};
}

Result<void> Daemon::prepare_components() {
  for (Component* component : options_.components) {
    PERDURE_CHECK(without_throwing("a component's prepare()", [&] { return component->prepare(); }));
    ++prepared_;
  }
  return {};
}

Result<void> Daemon::start_components() {
  for (Component* component : options_.components)
    PERDURE_CHECK(without_throwing("a component's start()", [&] { return component->start(view_); }));
  return {};
}

void Daemon::stop_components() noexcept {
  for (std::size_t left = prepared_.exchange(0); left > 0; --left) options_.components[left - 1]->stop();
}

Result<void> Daemon::start(bool ready_at_entry) {
  started_at_ = std::chrono::system_clock::now();
  started_ = clock_.now();

  std::chrono::nanoseconds beat_within = options_.heartbeat;
  if (beat_within.count() == 0 && notify_.watchdog()) beat_within = *notify_.watchdog();
  if (members_ != nullptr) {
    PERDURE_CHECK(members_->begin(*this, options_, beat_within, started_));
    for (daemon::Watched& watched : members_->watched()) watches_.push_back({std::move(watched)});
  } else if (beat_within.count() > 0 && !ready_at_entry) {
    body_.expect_beats(beat_within, started_);
    watches_.push_back({{"the body", body_.heartbeat(), &body_.thread()}});
  }
  body_.enter();

  if (options_.start_within.count() > 0) arm(Timer::Start, started_ + options_.start_within);
  if (notify_.watchdog()) arm(Timer::Watchdog, started_);
  if (!watches_.empty()) look_at_heartbeats(started_);
  if (!places_.health_file.empty()) {
    health_file_.emplace(places_.health_file);
    if (in_charge_) kick_health_file();  // before anybody hears that we are ready, and looks for it
    arm(Timer::HealthFile, started_ + options_.health_file.every);
  }
  if (options_.watch_config && !places_.config_file.empty()) watch_config();
  if (options_.resources.every.count() > 0) {
    resource_watch_.emplace(options_.resources.limits);
    arm(Timer::Resources, started_);
  }
  PERDURE_CHECK(start_components());
  clock_.work_begins();
  try {
    control_thread_ = std::thread{[this] { control_loop(); }};
  } catch (const std::exception& error) {
    clock_.work_ends();
    return Error{fmt::format("cannot start the control thread: {}", error.what())};
  }
  if (ready_at_entry) body_.ready();
  return {};
}

// ── What the body's thread and the program tell ───────────────────────────────────────────────────────────────────────────

void Daemon::Body::became_ready() {
  daemon_.tell([](Mail& mail) { mail.body_ready = true; });
}

void Daemon::request_stop(StopReason reason) noexcept {
  tell([reason](Mail& mail) {
    if (mail.stop == StopReason::None) mail.stop = reason;
  });
}

void Daemon::tell_body_to_stop() noexcept {
  if (auto token = body_.tell_to_stop()) callbacks_.post([source = *std::move(token)]() mutable { source.request_stop(); });
}

// ── The control thread: wait, collect, step, carry out ────────────────────────────────────────────────────────────────────

void Daemon::control_loop() {
  pthread_setname_np(pthread_self(), "control");
  std::vector<Request> requests;
  while (!finished_ || upgrade_.has_successor()) {
    take_signals(signals_.take());
    Mail mail;
    {
      std::lock_guard lock{mutex_};
      std::swap(mail, mail_);
    }
    take_mail(mail);
    attend_predecessor();
    attend_successor();
    if (serves_control()) {
      requests.clear();
      server_->process(requests);
      take_requests(requests);
    }
    if (config_watch_ && config_watch_->take_change(clock_.now())) {
      log_.info("{} has changed", places_.config_file);
      step(Event::ReloadRequested);
    }
    if (config_watch_) tell_of_watch();
    take_due(clock_.now());
    publish();
    if (!finished_ || upgrade_.has_successor()) wait(next_deadline());
  }
  refuse_what_waits();
  clock_.work_ends();
}

void Daemon::refuse_what_waits() {
  for (const auto& [id, pending] : std::exchange(pending_, {})) reply(id, Reply::error("not carried out: stopping"));
  for (auto* waiters : {&reload_waiters_, &next_reload_waiters_})
    for (const std::uint64_t id : std::exchange(*waiters, {})) reply(id, Reply::error("reload refused: stopping"));
}

void Daemon::wait(std::optional<base::Instant> deadline) {
  std::array<pollfd, 6> fds{pollfd{signals_.fd(), POLLIN, 0},
                            pollfd{serves_control() ? server_->fd() : -1, POLLIN, 0},
                            pollfd{predecessor_ ? predecessor_->line() : -1, POLLIN, 0},
                            pollfd{successor_ ? successor_->line() : -1, POLLIN, 0},
                            pollfd{successor_ && upgrade_.has_successor() ? successor_->pidfd() : -1, POLLIN, 0},
                            pollfd{config_watch_ ? config_watch_->fd() : -1, POLLIN, 0}};
  // EINTR is a wake-up like any other: the handler has noted what arrived.
  (void)clock_.poll(fds, deadline);
}

std::optional<base::Instant> Daemon::next_deadline() const {
  auto next = timers_.next();
  if (serves_control()) {
    if (const auto due = server_->next_deadline(); due && (!next || *due < *next)) next = due;
  }
  if (config_watch_) {
    if (const auto due = config_watch_->next_deadline(); due && (!next || *due < *next)) next = due;
  }
  return next;
}

void Daemon::take_signals(const daemon::Arrived& arrived) {
  if (!arrived.any()) return;
  const unsigned stops = arrived.terms + arrived.ints;
  const bool was_asked = end_signal_ != 0;  // by a signal: a stop by command or by the program itself is no first signal
  if (stops > 0) {
    end_signal_ = arrived.terms > 0 ? SIGTERM : SIGINT;
    if (life_.state() < State::Stopping) {
      stop_reason_.store(arrived.terms > 0 ? StopReason::Term : StopReason::Int, std::memory_order_release);
    }
    step(Event::StopRequested);
    // An init ends the whole group and the predecessor its successor: two signals, and nobody lost patience.
    if ((was_asked || stops > 1) && !predecessor_) step(Event::StopInsisted);
  }
  if (arrived.hup) {
    next_reload_by_signal_ = true;
    step(Event::ReloadRequested);
  }
  if (arrived.usr1) {
    if (auto rotated = log_.rotate(); !rotated) log_.error("{}; logging goes on as before", rotated.error().message());
  }
  if (arrived.usr2 && options_.on_user_signal) post_task(options_.on_user_signal);
}

void Daemon::take_mail(Mail& mail) {
  if (mail.body_ready) step(Event::BodyReady);
  if (mail.stop != StopReason::None) {
    if (life_.state() < State::Stopping) stop_reason_.store(mail.stop, std::memory_order_release);
    step(Event::StopRequested);
  }
  if (mail.reloaded) reloaded(*mail.reloaded);
  for (auto& [id, reply] : mail.replies)
    if (pending_.erase(id) != 0) this->reply(id, reply);
  for (auto& [request, answer] : mail.asked) {
    request.id = asked_by_us | ++asked_;
    askers_.emplace(request.id, std::move(answer));
    this->answer(request);
  }
  if (mail.body_returned) step(Event::BodyReturned);
  if (mail.finished) finished_ = true;
}

void Daemon::take_requests(std::vector<Request>& requests) {
  for (Request& request : requests) answer(request);
}

void Daemon::take_due(base::Instant now) {
  for (const std::uint64_t token : timers_.take_due(now)) {
    if (ended_by_force_) return;
    switch (static_cast<Timer>(token)) {
      case Timer::Start: step(Event::StartDeadlinePassed); break;
      case Timer::Stop: step(Event::StopDeadlinePassed); break;
      case Timer::ExtendStop: extend_stop(now); break;
      case Timer::Upgrade: step_upgrade(daemon::UpgradeEvent::DeadlinePassed); break;
      case Timer::Watchdog:
        if (!speaks_to_init_) break;  // whoever speaks to it pings
        if (unhealthy().empty()) tell_init(notify_.ping_watchdog());
        arm(Timer::Watchdog, now + std::max<std::chrono::nanoseconds>(*notify_.watchdog() / 2, watchdog_interval_min));
        break;
      case Timer::Announce: make_announcements(); break;
      case Timer::Heartbeat: look_at_heartbeats(now); break;
      case Timer::HealthFile:
        if (in_charge_ && unhealthy().empty()) kick_health_file();
        arm(Timer::HealthFile, now + options_.health_file.every);
        break;
      case Timer::Resources:
        look_at_resources();
        arm(Timer::Resources, now + options_.resources.every);
        break;
      case Timer::Commands:
        for (auto it = pending_.begin(); it != pending_.end();) {
          if (it->second.deadline > now) {
            ++it;
            continue;
          }
          reply(it->first, Reply::error(fmt::format("timed out: no answer within {} ms", it->second.within.count())));
          it = pending_.erase(it);
        }
        break;
    }
  }
  // Deadlines of commands share one timer: the earliest one.
  const auto earliest = std::min_element(pending_.begin(), pending_.end(),
                                         [](const auto& a, const auto& b) { return a.second.deadline < b.second.deadline; });
  if (earliest == pending_.end()) {
    disarm(Timer::Commands);
  } else {
    arm(Timer::Commands, earliest->second.deadline);
  }
}

void Daemon::step(Event event) {
  if (ended_by_force_) return;
  cause_ = event;
  std::vector<Action> actions;  // of this step: carrying one out may lead to the next step
  life_.step(event, actions);
  publish();  // whoever hears of it by what follows finds it so
  log_.debug("{} -> {}", daemon::name(event), daemon::name(life_.state()));
  for (const Action action : actions) perform(action);
  if (ended_by_force_) return;
  if (event == Event::ReloadFinished) step_upgrade(daemon::UpgradeEvent::ReloadFinished);
  if (life_.state() >= State::Stopping) step_upgrade(daemon::UpgradeEvent::StopBegan);
}

void Daemon::perform(Action action) {
  switch (action) {
    case Action::DisarmStartDeadline: disarm(Timer::Start); break;
    case Action::AnnounceReady:
      announce([this] { return notify_.send("READY=1\nSTATUS=serving"); });
      report_.ready();
      break;
    case Action::AnnounceStopping:
      announce([this] { return notify_.send("STOPPING=1\nSTATUS=stopping"); });
      extend_stop(clock_.now());
      break;
    case Action::TellBodyToStop: tell_body_to_stop(); break;
    case Action::ArmStopDeadline: arm(Timer::Stop, clock_.now() + options_.stop_within); break;
    case Action::FailStart:
      stop_reason_.store(StopReason::StartFailed, std::memory_order_release);
      start_failure_ = fmt::format("not ready within {} ms: {}", options_.start_within.count(), what_is_missing());
      log_.error("{}; stopping", start_failure_);
      break;
    case Action::AnnounceReloading: announce([this] { return notify_.reloading(); }); break;
    case Action::StartReload: start_reload(); break;
    case Action::AnnounceReloaded: {
      const std::string_view doing = life_.state() >= State::Stopping ? "stopping" : "serving";
      announce([this, lines = last_reload_.refused.empty()
                                  ? fmt::format("READY=1\nSTATUS={}", doing)
                                  : fmt::format("READY=1\nSTATUS=reload refused: {}",
                                                daemon::one_line(last_reload_.refused))] { return notify_.send(lines); });
      break;
    }
    case Action::ForceEnd: force_end();
  }
}

void Daemon::announce(std::function<Result<void>()> send) {
  if (unannounced_.size() == unannounced_max) unannounced_.pop_front();  // the latest states are what counts
  unannounced_.push_back(std::move(send));
  make_announcements();
}

void Daemon::make_announcements() {
  if (!speaks_to_init_) return;
  while (!unannounced_.empty()) {
    const Result<void> sent = unannounced_.front()();
    if (!sent && sent.error().code() == EAGAIN) {
      // Services that start together fill the init's queue, and an init that is replaced does not read for a moment. It would
      // wait for a READY=1 that is lost, and end us.
      if (!std::exchange(init_failed_, true)) log_.warning("{}; trying again", sent.error().message());
      return arm(Timer::Announce, clock_.now() + announcement_interval);
    }
    tell_init(sent);
    unannounced_.pop_front();
  }
  if (upgrade_.state() == daemon::UpgradeState::Superseded && successor_) leave_to_successor();
}

void Daemon::tell_init(const Result<void>& sent) {
  // The init may be gone or slow; the daemon goes on, and says so once.
  if (!sent && !std::exchange(init_failed_, true)) log_.warning("{}; going on without", sent.error().message());
  if (sent) init_failed_ = false;
}

// Whoever still beats is at work, and whoever waits for its end should not lose patience before stop_within does. Without a
// heartbeat nobody knows, and nothing is claimed.
void Daemon::extend_stop(base::Instant now) {
  if (!speaks_to_init_ || !notify_.is_enabled()) return;
  std::optional<std::chrono::nanoseconds> shortest;
  for (const Watch& watch : watches_) {
    if (*watch.watched.thread == 0) continue;
    if (watch.watched.heartbeat->is_late(now)) return;
    const auto deadline = watch.watched.heartbeat->deadline();
    shortest = shortest ? std::min(*shortest, deadline) : deadline;
  }
  if (!shortest) return;
  tell_init(notify_.extend_timeout(std::chrono::ceil<std::chrono::microseconds>(*shortest)));
  arm(Timer::ExtendStop, now + *shortest / 2);
}

void Daemon::post_task(std::function<void()> task) {
  callbacks_.post([this, task = std::move(task)] {
    try {
      task();
    } catch (const std::exception& error) {
      log_.error("a hook threw: {}", error.what());
    } catch (...) {
      log_.error("a hook threw something that is not a std::exception");
    }
  });
}

// ── Reload ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

void Daemon::start_reload() {
  if (upgrade_.has_successor()) reloaded_meanwhile_ = true;
  reload_waiters_ = std::exchange(next_reload_waiters_, {});
  callbacks_.post([this, by_signal = std::exchange(next_reload_by_signal_, false)] {
    daemon::ReloadOutcome outcome;
    if (ConfigBase* config = options_.config.get()) outcome = daemon::reload(*config, places_, line_);
    if (options_.on_reload) {
      try {
        options_.on_reload({.refused = outcome.refused, .by_signal = by_signal});
      } catch (const std::exception& error) {
        log_.error("on_reload threw: {}", error.what());
      } catch (...) {
        log_.error("on_reload threw something that is not a std::exception");
      }
    }
    tell([&](Mail& mail) { mail.reloaded = std::move(outcome); });
  });
}

void Daemon::watch_config() {
  auto watch = loop::FileWatch::open(places_.config_file);
  if (!watch) {
    return log_.warning("{}; a change is not noticed by itself, \"{} reload\" takes it", watch.error().message(),
                        options_.name);
  }
  config_watch_.emplace(*std::move(watch));
}

/// Once for each way in which watching became incomplete.
void Daemon::tell_of_watch() {
  const auto& failure = config_watch_->failure();
  const std::string why = failure ? failure->message() : std::string{};
  if (why != watch_failure_ && !why.empty())
    log_.warning("{}; changes of {} may not be noticed by themselves, \"{} reload\" takes them", why, places_.config_file,
                 options_.name);
  watch_failure_ = why;
}

void Daemon::reloaded(const daemon::ReloadOutcome& outcome) {
  last_reload_ = outcome;
  ++(outcome.refused.empty() ? reloads_ : reloads_refused_);
  if (!outcome.refused.empty()) {
    log_.error("reload refused: {}; the settings stay as they were", outcome.refused);
  } else if (options_.config.get() != nullptr) {
    log_.info("configuration reloaded, {}",
              outcome.changed.empty() ? "nothing changed" : fmt::format("changed: {}", fmt::join(outcome.changed, ", ")));
  }
  for (const std::uint64_t id : std::exchange(reload_waiters_, {})) {
    reply(id, outcome.refused.empty()
                  ? Reply::text("OK")
                  : Reply::error("reload refused: " + outcome.refused + "; the settings stay as they were"));
  }
  step(Event::ReloadFinished);
}

// ── Health ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

std::string Daemon::stuck() const {
  std::string names;
  std::size_t late = 0;
  for (const Watch& watch : watches_) {
    if (!watch.late) continue;
    names += (late++ == 0 ? "" : ", ") + watch.watched.who;
  }
  if (late == 0) return {};
  return fmt::format("stuck: {} {} not made progress in time", names, late == 1 ? "has" : "have");
}

std::string Daemon::unhealthy(std::string stuck) const {
  if (!stuck.empty()) return stuck;
  return members_ != nullptr ? members_->unhealthy() : std::string{};
}

void Daemon::look_at_heartbeats(base::Instant now) {
  auto next = base::Duration::max();
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    auto& [watched, was_late] = watches_[i];
    const Heartbeat& heartbeat = *watched.heartbeat;
    const bool late = heartbeat.is_late(now);
    if (late != std::exchange(was_late, late)) {
      if (late) {
        const pid_t thread = *watched.thread;
        log_.error("{} (thread {}{}) has neither waited nor beaten for {:.1f} s, {:.1f} s are allowed: it counts as stuck",
                   watched.who, thread, daemon::in_system_call(os::current_system_call(thread)),
                   std::chrono::duration<double>(heartbeat.age(now)).count(),
                   std::chrono::duration<double>(heartbeat.deadline()).count());
      } else {
        log_.warning("{} makes progress again", watched.who);
      }
      if (members_ != nullptr) members_->lateness_changed(i, late);
    }
    // While it waits its age is 0 and the next look is a whole deadline away; a beat moves the look by what it gained.
    next = std::min(next, late ? heartbeat.deadline() / 4 : heartbeat.deadline() - heartbeat.age(now));
  }
  arm(Timer::Heartbeat, now + next + std::chrono::milliseconds{1});
}

void Daemon::kick_health_file() {
  auto kicked = health_file_->kick(std::chrono::system_clock::now());
  if (!kicked && !health_file_failed_) log_.warning("{}; it will be tried again", kicked.error().message());
  health_file_failed_ = !kicked;
}

void Daemon::look_at_resources() {
  const ResourceUse use{.rss = rss(), .open_fds = open_fds()};
  for (const std::string& warning : resource_watch_->check(use)) log_.warning("{}", warning);
  if (options_.resources.report_use) {
    if (use.rss) log_.debug("Memory usage: {} KB", *use.rss / 1024);
    if (use.open_fds) log_.debug("Open FDs: {}", *use.open_fds);
  }
}

// ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

void Daemon::ask(Request request, std::function<void(Reply)> answer) {
  tell([&](Mail& mail) { mail.asked.emplace_back(std::move(request), std::move(answer)); });
}

void Daemon::reply(std::uint64_t id, const Reply& reply) {
  if (const auto asker = askers_.find(id); asker != askers_.end()) {
    const auto answer = std::move(asker->second);
    askers_.erase(asker);
    return answer(reply);
  }
  if (server_) server_->reply(id, reply);
}

void Daemon::answer(Request& request) {
  for (const ControlCommand& command : options_.commands)
    if (command.name == request.verb && request.verb != "stop") return answer_by_program(command, request);

  if (request.verb == "status") {
    reply(request.id, daemon::status_reply(condition(told())));
  } else if (request.verb == "stop") {
    if (upgrade_.state() == daemon::UpgradeState::Superseded)
      return reply(request.id, Reply::error("a successor is in charge, and was not stopped; ask again"));
    reply(request.id, {.ok = true, .message = "stopping", .json = fmt::format(R"({{"pid":{}}})", ::getpid())});
    if (life_.state() < State::Stopping) stop_reason_.store(StopReason::Command, std::memory_order_release);
    step(Event::StopRequested);
  } else if (request.verb == "reload") {
    if (life_.state() >= State::Stopping) {
      reply(request.id, Reply::error("reload refused: stopping"));
      return;
    }
    next_reload_waiters_.push_back(request.id);
    step(Event::ReloadRequested);
  } else if (request.verb == "upgrade") {
    answer_upgrade(request);
  } else if (request.verb == "health") {
    reply(request.id, answer_health());
  } else if (request.verb == "log-level") {
    reply(request.id, answer_log_level(request.text));
  } else if (request.verb == "metrics") {
    std::string text = daemon::metrics_text(condition(told()));
    text.pop_back();  // the answer ends with a newline of its own
    reply(request.id, Reply::text(std::move(text)));
  } else {
    reply(request.id, Reply::unknown());
  }
}

void Daemon::answer_by_program(const ControlCommand& command, Request& request) {
  const std::uint64_t id = request.id;
  const base::Instant deadline = clock_.now() + command.within;
  pending_[id] = {command.within, deadline};
  callbacks_.post([this, &command, id, deadline, request = std::move(request)] {
    if (clock_.now() >= deadline) return;  // its requester has been told that it timed out
    Reply reply;
    try {
      reply = command.answer(request);
    } catch (const std::exception& error) {
      reply = Reply::error(error.what());
    } catch (...) {
      reply = Reply::error("the command threw something that is not a std::exception");
    }
    tell([&](Mail& mail) { mail.replies.emplace_back(id, std::move(reply)); });
  });
}

Daemon::Told Daemon::told() const {
  return {.state = life_.state(),
          .stuck = stuck(),
          .reloads = reloads_,
          .reloads_refused = reloads_refused_,
          .last_refusal = last_reload_.refused};
}

void Daemon::publish() {
  if (options_.components.empty() && !surroundings_.is_hosted()) return;
  Told now = told();
  std::lock_guard lock{published_mutex_};
  published_ = std::move(now);
}

Daemon::Told Daemon::published() const {
  Told told;
  {
    std::lock_guard lock{published_mutex_};
    told = published_;
  }
  // The body may have seen the signal before the control thread has.
  if (told.state < State::Stopping && stop_reason() != StopReason::None) told.state = State::Stopping;
  return told;
}

daemon::Condition Daemon::condition(const Told& told) const {
  daemon::Condition condition{.name = places_.instance,
                              .version = options_.version,
                              .state = told.state,
                              .unhealthy = unhealthy(told.stuck),
                              .pid = ::getpid(),
                              .started_at = started_at_,
                              .uptime = clock_.now() - started_,
                              .reloads = told.reloads,
                              .reloads_refused = told.reloads_refused,
                              .last_refusal = told.last_refusal,
                              .rss = rss(),
                              .open_fds = open_fds(),
                              .log_level = log_.level(),
                              .lost_log_lines = log_.lost(),
                              .rights = rights_.summary,
                              .reductions = rights_.reductions};
  if (members_ != nullptr) members_->describe(condition);
  for (const Metric& metric : options_.metrics)
    condition.metrics.push_back({.name = metric.name,
                                 .help = metric.help,
                                 .type = metric.kind == Metric::Kind::Counter ? "counter" : "gauge",
                                 .value = metric.value->load(std::memory_order_relaxed)});
  return condition;
}

std::string Daemon::what_is_missing() const {
  return members_ != nullptr ? members_->missing() : "the body has neither waited nor said that it is ready";
}

std::string Daemon::View::why_not_alive() const { return daemon::one_line(daemon_.unhealthy(daemon_.published().stuck)); }

std::string Daemon::View::why_not_ready() const {
  const Told told = daemon_.published();
  std::string what;
  if (told.state == State::Starting) what = daemon_.what_is_missing();
  if (told.state == State::Ready) what = daemon::failed_readiness(daemon_.condition(told));
  if (told.state == State::Ready && what.empty()) return {};
  return daemon::one_line(fmt::format("{}{}{}", told.state == State::Ready ? "not ready" : daemon::name(told.state),
                                      what.empty() ? "" : ": ", what));
}

std::string Daemon::View::metrics() const { return daemon::metrics_text(daemon_.condition(daemon_.published())); }

Reply Daemon::answer_health() const {
  if (std::string why = unhealthy(); !why.empty()) return Reply::error(std::move(why));
  if (life_.state() != State::Ready) return Reply::error(fmt::format("not ready: {}", daemon::name(life_.state())));
  return Reply::text("healthy");
}

Reply Daemon::answer_log_level(const std::string& text) {
  if (text.empty()) return Reply::text(std::string{level_name(log_.level())});
  const auto level = parse_level(text);
  if (!level) return Reply::error("log-level: debug, info, warning, error or critical is wanted; it stays as it was");
  log_.set_level(*level);
  return Reply::text(std::string{level_name(*level)});
}

// ── The end ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

int Daemon::run(const Callback<int(Context&)>& body) {
  int code = 0;
  std::string exception;
  try {
    Context context{body_};
    code = body(context);
  } catch (const std::exception& error) {
    exception = *error.what() != '\0' ? error.what() : "an exception without a text";
  } catch (...) {
    exception = "something that is not a std::exception";
  }
  return finish(code, exception);
}

int Daemon::finish(int body_code, const std::string& exception) {
  int code = body_code;
  if (!exception.empty()) {
    log_.critical("the body threw: {}", exception);
    code = options_.exit_codes.failed;
  }
  tell([](Mail& mail) { mail.body_returned = true; });
  if (ended_by_force_) return code;
  for (auto hook = options_.on_stop.rbegin(); hook != options_.on_stop.rend(); ++hook) {
    try {
      (*hook)();
    } catch (const std::exception& error) {
      log_.error("a stop hook threw: {}", error.what());
    } catch (...) {
      log_.error("a stop hook threw something that is not a std::exception");
    }
  }
  // The last word of one that failed: whoever reads the log sees that nothing runs any more, and as what it ended.
  if (!exception.empty()) log_.error("stopped after the exception, with exit code {}", code);
  callbacks_.finish();
  stop_components();  // not before: they tell of a stop that takes its time
  tell([](Mail& mail) { mail.finished = true; });
  control_thread_.join();

  if (!start_failure_.empty()) code = options_.exit_codes.failed;
  release_places();  // before anybody hears of the end, and starts the next
  if (report_.is_pending()) {
    if (!start_failure_.empty()) {
      report_.failed(code, start_failure_);
    } else if (!exception.empty()) {
      report_.failed(code, exception);
    } else if (code != 0) {
      const std::string why = members_ != nullptr ? members_->failure() : std::string{};
      report_.failed(code, !why.empty() ? why : fmt::format("ended with code {} before it was ready", code));
    } else if (life_.was_ready() || stop_reason() == StopReason::None) {
      report_.ready();  // it has done what it is for
    } else {
      report_.failed(options_.exit_codes.failed, "was asked to stop before it was ready");
    }
  }
  return code;
}

void Daemon::leave_by_exit() noexcept {
  if (control_thread_.joinable() && std::this_thread::get_id() != control_thread_.get_id()) {
    try {
      tell([](Mail& mail) {
        mail.body_returned = true;
        mail.finished = true;
      });
      control_thread_.join();
    } catch (...) {  // a mutex that cannot be locked: the files are given up all the same
    }
  }
  stop_components();
  release_places(Others::MayRun);
}

void Daemon::force_end() {
  const auto by_name = [](std::string_view who, pid_t thread) {
    return fmt::format("{} (thread {}{})", who, thread, daemon::in_system_call(os::current_system_call(thread)));
  };
  std::string late = members_ != nullptr ? members_->unfinished() : std::string{};
  if (late.empty() && callbacks_.is_busy() && (members_ != nullptr || life_.state() == State::Ending))
    late = by_name("a hook, check or command", callbacks_.id());
  if (late.empty()) late = by_name("the body", body_.thread());
  int code = options_.exit_codes.failed;
  if (cause_ == Event::StopInsisted) {
    code = 128 + end_signal_;
    log_.error("asked to stop a second time: ended while {} was still running", late);
  } else {
    log_.error("{} did not end within {} ms: ended by force", late, options_.stop_within.count());
  }
  if (upgrade_.has_successor() && successor_) successor_->signal(SIGKILL);  // or it would think that we left it the service
  release_places(Others::MayRun);
  report_.failed(
      code, start_failure_.empty() ? late + " did not end in time" : start_failure_ + "; " + late + " was ended by force");
  if (!surroundings_.is_hosted()) ::_exit(code);
  ended_by_force_ = finished_ = true;
  surroundings_.ended_by_force(code);
}

void Daemon::withdraw() noexcept {
  stop_components();
  struct stat status {};
  const char* log_file = log_path_.c_str();
  if (made_log_file_ && os::sys::lstat(log_file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0)
    os::sys::unlink(log_file);
  release_places();
}

void Daemon::release_places(Others others) noexcept {
  if (released_.exchange(true)) return;
  server_.reset();
  if (others == Others::MayRun) listeners_.remove_files();
  else listeners_.close();
  if (health_file_ && in_charge_) (void)health_file_->remove();
  if (lock_) lock_->remove();
}

}  // namespace perdure::detail
