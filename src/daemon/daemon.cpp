#include "daemon/daemon.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "daemon/report.hpp"
#include "os/clock.hpp"
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

}  // namespace

Daemon::Daemon(const Options& options, daemon::CommandLine line, daemon::Places places, daemon::Signals signals)
    : options_(options),
      line_(std::move(line)),
      places_(std::move(places)),
      signals_(std::move(signals)),
      log_(places_.instance) {
  log_.set_level(line_.log_level.value_or(options.log.level));
}

Daemon::~Daemon() {
  if (control_thread_.joinable()) {
    tell([](Mail& mail) { mail.finished = true; });
    control_thread_.join();
  }
  release_places();
}

// ── The start sequence ────────────────────────────────────────────────────────────────────────────────────────────────────

Result<void> Daemon::open_log() {
  LogOptions options = options_.log;
  options.path = places_.log_file;
  if (!options.path.empty()) options.target = LogTarget::File;
  options.level = log_.level();
  struct stat status {};
  made_log_file_ = !options.path.empty() && os::sys::lstat(options.path.c_str(), &status) != 0 && errno == ENOENT;
  return log_.open(options);
}

Result<void> Daemon::open_control() {
  if (places_.control.empty()) return {};
  PERDURE_TRY(auto server, ControlServer::listen({.path = places_.control}));
  server_.emplace(std::move(server));
  return {};
}

Result<void> Daemon::connect_init() {
  PERDURE_TRY(notify_, Notify::from_environment());
  return {};
}

Result<void> Daemon::prepare_stop_event() {
  stop_event_.reset(os::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event_) return Error::from_errno(errno, "make the descriptor that tells of a stop");
  return {};
}

Result<void> Daemon::start(bool ready_at_entry) {
  started_at_ = std::chrono::system_clock::now();
  started_ = os::monotonic_now();
  body_.thread = ::gettid();

  std::chrono::nanoseconds beat_within = options_.heartbeat;
  if (beat_within.count() == 0 && notify_.watchdog()) beat_within = *notify_.watchdog();
  if (beat_within.count() > 0 && !ready_at_entry) heartbeat_.emplace(beat_within, started_);

  if (options_.start_within.count() > 0) arm(Timer::Start, started_ + options_.start_within);
  if (notify_.watchdog()) arm(Timer::Watchdog, started_);
  if (heartbeat_) arm(Timer::Heartbeat, started_ + beat_within);
  if (!places_.health_file.empty()) {
    health_file_.emplace(places_.health_file);
    kick_health_file();  // before anybody hears that we are ready, and looks for it
    arm(Timer::HealthFile, started_ + options_.health_file.every);
  }
  if (options_.resources.every.count() > 0) {
    resource_watch_.emplace(options_.resources.limits);
    arm(Timer::Resources, started_);
  }
  try {
    control_thread_ = std::thread{[this] { control_loop(); }};
  } catch (const std::exception& error) {
    return Error{fmt::format("cannot start the control thread: {}", error.what())};
  }
  if (ready_at_entry) body_is_ready();
  return {};
}

// ── What the body's thread and the program tell ───────────────────────────────────────────────────────────────────────────

void Daemon::body_is_ready() {
  if (std::exchange(body_.said_ready, true)) return;
  tell([](Mail& mail) { mail.body_ready = true; });
}

void Daemon::request_stop(StopReason reason) noexcept {
  tell([reason](Mail& mail) {
    if (mail.stop == StopReason::None) mail.stop = reason;
  });
}

std::stop_token Daemon::stop_token() noexcept {
  std::lock_guard lock{token_mutex_};
  if (!stop_source_) {
    stop_source_.emplace();
    if (stopping()) stop_source_->request_stop();
  }
  return stop_source_->get_token();
}

void Daemon::tell_body_to_stop() noexcept {
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  (void)os::sys::write(stop_event_.get(), &one, sizeof one);
  // A stop token runs whatever was registered with it, so it is set on the callback thread; the lock orders this against a
  // token that is made at this moment.
  std::lock_guard lock{token_mutex_};
  if (stop_source_) callbacks_.post([source = *stop_source_]() mutable { source.request_stop(); });
}

// ── The control thread: wait, collect, step, carry out ────────────────────────────────────────────────────────────────────

void Daemon::control_loop() {
  pthread_setname_np(pthread_self(), "control");
  std::vector<Request> requests;
  while (!finished_) {
    take_signals(signals_.take());
    Mail mail;
    {
      std::lock_guard lock{mutex_};
      std::swap(mail, mail_);
    }
    take_mail(mail);
    if (server_) {
      requests.clear();
      server_->process(requests);
      take_requests(requests);
    }
    take_due(os::monotonic_now());
    if (!finished_) wait(next_deadline());
  }
  refuse_what_waits();
}

void Daemon::refuse_what_waits() {
  if (!server_) return;
  for (const auto& [id, pending] : std::exchange(pending_, {}))
    server_->reply(id, Reply::error("not carried out: stopping"));
  for (auto* waiters : {&reload_waiters_, &next_reload_waiters_})
    for (const std::uint64_t id : std::exchange(*waiters, {})) server_->reply(id, Reply::error("reload refused: stopping"));
}

void Daemon::wait(std::optional<base::Instant> deadline) {
  std::array<pollfd, 2> fds{pollfd{signals_.fd(), POLLIN, 0}, pollfd{server_ ? server_->fd() : -1, POLLIN, 0}};
  timespec limit{};
  if (deadline) {
    const auto left = std::max(*deadline - os::monotonic_now(), std::chrono::nanoseconds{0});
    limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    limit.tv_nsec = (left % std::chrono::seconds{1}).count();
  }
  // EINTR is a wake-up like any other: the handler has noted what arrived.
  (void)os::sys::ppoll(fds.data(), fds.size(), deadline ? &limit : nullptr, nullptr);
}

std::optional<base::Instant> Daemon::next_deadline() const {
  auto next = timers_.next();
  if (server_) {
    if (const auto due = server_->next_deadline(); due && (!next || *due < *next)) next = due;
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
    if (was_asked || stops > 1) step(Event::StopInsisted);
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
    if (server_ && pending_.erase(id) != 0) server_->reply(id, reply);
  if (mail.body_returned) step(Event::BodyReturned);
  if (mail.finished) finished_ = true;
}

void Daemon::take_requests(std::vector<Request>& requests) {
  for (Request& request : requests) answer(request);
}

void Daemon::take_due(base::Instant now) {
  for (const std::uint64_t token : timers_.take_due(now)) {
    switch (static_cast<Timer>(token)) {
      case Timer::Start: step(Event::StartDeadlinePassed); break;
      case Timer::Stop: step(Event::StopDeadlinePassed); break;
      case Timer::ExtendStop: extend_stop(now); break;
      case Timer::Watchdog:
        if (!stuck_ || !heartbeat_) tell_init(notify_.ping_watchdog());
        arm(Timer::Watchdog, now + std::max<std::chrono::nanoseconds>(*notify_.watchdog() / 2, watchdog_interval_min));
        break;
      case Timer::Announce: make_announcements(); break;
      case Timer::Heartbeat: look_at_heartbeat(now); break;
      case Timer::HealthFile:
        if (!stuck_) kick_health_file();
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
          server_->reply(it->first,
                         Reply::error(fmt::format("timed out: no answer within {} ms", it->second.within.count())));
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
  cause_ = event;
  actions_.clear();
  life_.step(event, actions_);
  log_.debug("{} -> {}", daemon::name(event), daemon::name(life_.state()));
  for (const Action action : actions_) perform(action);
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
      extend_stop(os::monotonic_now());
      break;
    case Action::TellBodyToStop: tell_body_to_stop(); break;
    case Action::ArmStopDeadline: arm(Timer::Stop, os::monotonic_now() + options_.stop_within); break;
    case Action::FailStart:
      stop_reason_.store(StopReason::StartFailed, std::memory_order_release);
      start_failure_ = fmt::format("not ready within {} ms: the body has neither waited nor said that it is ready",
                                   options_.start_within.count());
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
  while (!unannounced_.empty()) {
    const Result<void> sent = unannounced_.front()();
    if (!sent && sent.error().code() == EAGAIN) {
      // Services that start together fill the init's queue, and an init that is replaced does not read for a moment. It would
      // wait for a READY=1 that is lost, and end us.
      if (!std::exchange(init_failed_, true)) log_.warning("{}; trying again", sent.error().message());
      return arm(Timer::Announce, os::monotonic_now() + announcement_interval);
    }
    tell_init(sent);
    unannounced_.pop_front();
  }
}

void Daemon::tell_init(const Result<void>& sent) {
  // The init may be gone or slow; the daemon goes on, and says so once.
  if (!sent && !std::exchange(init_failed_, true)) log_.warning("{}; going on without", sent.error().message());
  if (sent) init_failed_ = false;
}

// A body that still beats is at work, and whoever waits for its end should not lose patience before stop_within does. Without a
// heartbeat nobody knows, and nothing is claimed.
void Daemon::extend_stop(base::Instant now) {
  if (!notify_.is_enabled() || !heartbeat_ || heartbeat_->is_late(now)) return;
  tell_init(notify_.extend_timeout(std::chrono::ceil<std::chrono::microseconds>(heartbeat_->deadline())));
  arm(Timer::ExtendStop, now + heartbeat_->deadline() / 2);
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
    if (!server_) break;
    server_->reply(id, outcome.refused.empty()
                           ? Reply::text("OK")
                           : Reply::error("reload refused: " + outcome.refused + "; the settings stay as they were"));
  }
  step(Event::ReloadFinished);
}

// ── Health ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

void Daemon::look_at_heartbeat(base::Instant now) {
  const bool late = heartbeat_->is_late(now);
  if (late && !stuck_) {
    log_.error("the body (thread {}{}) has neither waited nor beaten for {:.1f} s, {:.1f} s are allowed: it counts as stuck",
               body_.thread, daemon::in_system_call(os::current_system_call(body_.thread)),
               std::chrono::duration<double>(heartbeat_->age(now)).count(),
               std::chrono::duration<double>(heartbeat_->deadline()).count());
  } else if (!late && stuck_) {
    log_.warning("the body makes progress again");
  }
  stuck_ = late;
  // While it waits its age is 0 and the next look is a whole deadline away; a beat moves the look by what it gained.
  const auto left = heartbeat_->deadline() - heartbeat_->age(now);
  arm(Timer::Heartbeat, now + (late ? heartbeat_->deadline() / 4 : left) + std::chrono::milliseconds{1});
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

void Daemon::answer(Request& request) {
  for (const ControlCommand& command : options_.commands)
    if (command.name == request.verb && request.verb != "stop") return answer_by_program(command, request);

  if (request.verb == "status") {
    server_->reply(request.id, daemon::status_reply(condition()));
  } else if (request.verb == "stop") {
    server_->reply(request.id, Reply::text("stopping"));
    if (life_.state() < State::Stopping) stop_reason_.store(StopReason::Command, std::memory_order_release);
    step(Event::StopRequested);
  } else if (request.verb == "reload") {
    if (life_.state() >= State::Stopping) {
      server_->reply(request.id, Reply::error("reload refused: stopping"));
      return;
    }
    next_reload_waiters_.push_back(request.id);
    step(Event::ReloadRequested);
  } else if (request.verb == "health") {
    server_->reply(request.id, answer_health());
  } else if (request.verb == "log-level") {
    server_->reply(request.id, answer_log_level(request.text));
  } else if (request.verb == "metrics") {
    server_->reply(request.id, daemon::metrics_reply(condition()));
  } else {
    server_->reply(request.id, Reply::unknown());
  }
}

void Daemon::answer_by_program(const ControlCommand& command, Request& request) {
  const std::uint64_t id = request.id;
  const base::Instant deadline = os::monotonic_now() + command.within;
  pending_[id] = {command.within, deadline};
  callbacks_.post([this, &command, id, deadline, request = std::move(request)] {
    if (os::monotonic_now() >= deadline) return;  // its requester has been told that it timed out
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

daemon::Condition Daemon::condition() const {
  return {.name = places_.instance,
          .version = options_.version,
          .state = life_.state(),
          .stuck = stuck_,
          .pid = ::getpid(),
          .started_at = started_at_,
          .uptime = os::monotonic_now() - started_,
          .reloads = reloads_,
          .reloads_refused = reloads_refused_,
          .last_refusal = last_reload_.refused,
          .rss = rss(),
          .open_fds = open_fds(),
          .log_level = log_.level(),
          .lost_log_lines = log_.lost()};
}

Reply Daemon::answer_health() const {
  if (stuck_) return Reply::error("stuck: the body has not made progress in time");
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

int Daemon::finish(int body_code, const std::string& exception) {
  int code = body_code;
  if (!exception.empty()) {
    log_.critical("the body threw: {}", exception);
    code = options_.exit_codes.failed;
  }
  tell([](Mail& mail) { mail.body_returned = true; });
  for (auto hook = options_.on_stop.rbegin(); hook != options_.on_stop.rend(); ++hook) {
    try {
      (*hook)();
    } catch (const std::exception& error) {
      log_.error("a stop hook threw: {}", error.what());
    } catch (...) {
      log_.error("a stop hook threw something that is not a std::exception");
    }
  }
  callbacks_.finish();
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
      report_.failed(code, fmt::format("ended with code {} before it was ready", code));
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
  release_places();
}

void Daemon::force_end() {
  const std::string late = life_.state() == State::Ending && callbacks_.is_busy()
                               ? fmt::format("a hook or command (thread {}{})", callbacks_.id(),
                                             daemon::in_system_call(os::current_system_call(callbacks_.id())))
                               : fmt::format("the body (thread {}{})", body_.thread,
                                             daemon::in_system_call(os::current_system_call(body_.thread)));
  int code = options_.exit_codes.failed;
  if (cause_ == Event::StopInsisted) {
    code = 128 + end_signal_;
    log_.error("asked to stop a second time: ended while {} was still running", late);
  } else {
    log_.error("{} did not end within {} ms: ended by force", late, options_.stop_within.count());
  }
  release_places();
  report_.failed(
      code, start_failure_.empty() ? late + " did not end in time" : start_failure_ + "; " + late + " was ended by force");
  ::_exit(code);
}

void Daemon::withdraw() noexcept {
  struct stat status {};
  const char* log_file = places_.log_file.c_str();
  if (made_log_file_ && os::sys::lstat(log_file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0)
    os::sys::unlink(log_file);
  release_places();
}

void Daemon::release_places() noexcept {
  if (released_.exchange(true)) return;
  server_.reset();
  if (health_file_) (void)health_file_->remove();
  if (lock_) lock_->remove();
}

}  // namespace perdure::detail
