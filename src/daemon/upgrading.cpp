// What the control thread does for an upgrade, on both sides. The predecessor's side is decided by Upgrade (upgrade.hpp); the
// successor's is an order and no choice: taken, ready, in charge, and heard by the init once the predecessor has hung up.
//
//     predecessor                                     successor
//       descriptors ────────────────────────────────▶   takes them, all or none
//            ◀──────────────────────────────── Taken    steps 1 to 9 as ever, without detaching
//            ◀──────────────────────────────── Ready    its body is ready: it serves on the same listeners
//       PID file names the successor
//       InCharge, lock ─────────────────────────────▶   owns files, answers the control socket
//            ◀───────────────────────────── TookOver
//       MAINPID=, barrier
//       hangs up ───────────────────────────────────▶   speaks to the init: READY=1, WATCHDOG=1
//       finishes what has begun, ends
#include <sys/stat.h>

#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "daemon/daemon.hpp"
#include "daemon/report.hpp"
#include "daemon/supervised.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "perdure/detach.hpp"
#include "perdure/exit_code.hpp"
#include "rights/rights_text.hpp"

namespace perdure::detail {

using daemon::Event;
using daemon::Reloading;
using daemon::State;
using daemon::UpgradeAction;
using daemon::UpgradeEvent;
using daemon::UpgradeState;
using process::StartNews;
using Kind = wire::HandOver::Kind;

namespace {

/// The successor gives up by itself after start_within and stop_within, and says why; we only wait a little longer.
constexpr std::chrono::seconds successor_margin{2};
/// From the word that it is in charge to its answer: a few system calls.
constexpr std::chrono::seconds hand_over_within{10};
/// How long the init may take to learn who the main process is. Its datagrams are read in order and before it looks after ended
/// children, so one that is slower than this has learnt it all the same.
constexpr std::chrono::seconds barrier_within{2};

}  // namespace

// ── The predecessor ───────────────────────────────────────────────────────────────────────────────────────────────────────

void Daemon::remember(daemon::Invocation invocation, bool is_detached) {
  invocation_ = std::move(invocation);
  is_detached_ = is_detached;
  is_under_init_ = ::perdure::is_under_init();
}

/// Those of the init that no listener took: the body may take them, so an upgrade needs copies. It costs nobody a thing that a
/// socket lives on which the init holds as well.
Result<void> Daemon::keep_sockets_of_init() {
  const auto names = listen_fds_.names();
  const auto fds = listen_fds_.fds();
  for (std::size_t i = 0; i < fds.size(); ++i) {
    UniqueFd copy{os::sys::fcntl(fds[i], F_DUPFD_CLOEXEC, 3)};
    if (!copy) return Error::from_errno(errno, "keep the init's socket", names[i]);
    sockets_of_init_.emplace_back(names[i], std::move(copy));
  }
  return {};
}

void Daemon::answer_upgrade(const Request& request) {
  if (surroundings_.is_hosted()) return reply(request.id, Reply::error("upgrade refused: a host has no process to replace"));
  const std::string refusal =
      daemon::upgrade_refusal({.state = life_.state(),
                               .upgrade = upgrade_.state(),
                               .is_process_1 = ::getpid() == 1,
                               .is_under_init = is_under_init_ && !is_detached_,
                               .init_listens = notify_.is_enabled(),
                               .has_new_root = !options_.rights.chroot.empty(),
                               .keeps_capabilities = rights::loses_capabilities_at_exec(options_.rights),
                               .is_supervised = daemon::is_supervised_worker(),
                               .keeps_descriptors = !options_.keep_fds.empty()});
  if (!refusal.empty()) return reply(request.id, Reply::error("upgrade refused: " + refusal));
  upgrade_waiter_ = request.id;
  upgrade_fault_.clear();
  reloaded_meanwhile_ = false;
  step_upgrade(UpgradeEvent::Requested);
}

void Daemon::step_upgrade(UpgradeEvent event) {
  std::vector<UpgradeAction> actions;
  upgrade_.step(event, life_.is_reloading() ? Reloading::Yes : Reloading::No, actions);
  if (event != UpgradeEvent::StopBegan && event != UpgradeEvent::ReloadFinished)
    log_.debug("upgrade: {} -> {}", daemon::name(event), daemon::name(upgrade_.state()));
  for (const UpgradeAction action : actions) perform(action);
}

void Daemon::perform(UpgradeAction action) {
  const auto blame = [this](std::string why) {
    if (upgrade_fault_.empty()) upgrade_fault_ = std::move(why);
  };
  switch (action) {
    case UpgradeAction::ArmStartDeadline:
      if (options_.start_within.count() > 0)
        arm(Timer::Upgrade, clock_.now() + options_.start_within + options_.stop_within + successor_margin);
      break;
    case UpgradeAction::ArmHandOverDeadline: arm(Timer::Upgrade, clock_.now() + hand_over_within); break;
    case UpgradeAction::ArmEndDeadline:
      // In a stop of ours it has to be gone before our own budget is.
      arm(Timer::Upgrade, clock_.now() + options_.stop_within / (life_.state() >= State::Stopping ? 2 : 1));
      break;
    case UpgradeAction::DisarmDeadline: disarm(Timer::Upgrade); break;
    case UpgradeAction::StartSuccessor: start_successor(); break;
    case UpgradeAction::HandOver: hand_over(); break;
    case UpgradeAction::TakeBack:
      if (PidFile::holder(lock_->path()) == ::getpid()) break;  // naming the other one is what failed
      if (auto written = lock_->write(); !written)
        log_.critical("{}; this process (pid {}) serves on, and the PID file may name another one, or is as it was",
                      written.error().message(), ::getpid());
      break;
    case UpgradeAction::TellToEnd:
      blame(life_.state() >= State::Stopping
                ? "this process was asked to stop meanwhile"
                : fmt::format("the new process (pid {}) was not in charge in time", successor_->pid()));
      successor_->signal(SIGTERM);
      break;
    case UpgradeAction::Kill:
      blame(fmt::format("the new process (pid {}) did not answer in time and was killed", successor_->pid()));
      successor_->signal(SIGKILL);
      break;
    case UpgradeAction::ReportFailure: report_failed_upgrade(); break;
    case UpgradeAction::Supersede: supersede(); break;
  }
}

void Daemon::start_successor() {
  wire::HandOver offer{.pid = ::getpid(),
                       .program = invocation_.program,
                       .is_detached = is_detached_,
                       .rights = rights::text_of(options_.rights),
                       .items = {}};
  std::vector<int> fds;
  const auto add = [&](wire::HandOver::Item item, int fd) {
    offer.items.push_back(std::move(item));
    fds.push_back(fd);
  };
  add({Kind::Lock, "", lock_->path(), 0, 0}, lock_->fd());
  add({Kind::ErrorOutput, "", "", 0, 0}, STDERR_FILENO);
  if (server_) {
    const auto file = server_->file();
    add({Kind::Control, "", places_.control, file.device, file.inode}, server_->listener());
  }
  for (const auto& listener : listeners_.all()) {
    const auto& file = listener.socket.file();
    add({Kind::Listener, listener.name, listener.address, file.device, file.inode}, listener.socket.fd());
  }
  for (const auto& [socket_name, fd] : sockets_of_init_) add({Kind::Socket, socket_name, "", 0, 0}, fd.get());

  daemon::Successor::Circumstances circumstances{.variables = {}, .is_for_init = notify_.is_enabled()};
  if (const auto watchdog = notify_.watchdog())
    circumstances.variables.push_back(fmt::format("WATCHDOG_USEC={}", watchdog->count()));
  auto started = daemon::Successor::start(invocation_, offer, fds, circumstances);
  if (!started) {
    upgrade_fault_ = started.error().message();
    return step_upgrade(UpgradeEvent::StartFailed);
  }
  successor_.emplace(*std::move(started));
  log_.info("upgrade: {} runs as pid {}", invocation_.program, successor_->pid());
}

void Daemon::attend_successor() {
  if (!successor_) return;
  while (auto news = successor_->hear()) {
    switch (news->what) {
      case StartNews::Taken: step_upgrade(UpgradeEvent::Taken); break;
      case StartNews::Ready: step_upgrade(UpgradeEvent::BecameReady); break;
      case StartNews::TookOver: step_upgrade(UpgradeEvent::TookOver); break;
      case StartNews::Failed:
        if (upgrade_fault_.empty()) upgrade_fault_ = daemon::one_line(news->text);
        step_upgrade(UpgradeEvent::Failed);
        break;
      default: break;
    }
    if (!successor_) return;
  }
  if (!upgrade_.has_successor()) return;
  if (const auto end = successor_->ended()) {
    if (upgrade_fault_.empty()) {
      const std::string said = successor_->said();
      upgrade_fault_ = fmt::format("the new process (pid {}) {} before it was in charge{}{}", successor_->pid(), end->text(),
                                   said.empty() ? "" : ": ", said);
      if (upgrade_.state() == UpgradeState::Offering)
        upgrade_fault_ += fmt::format("; {} did not take the descriptors", invocation_.program);
    }
    step_upgrade(UpgradeEvent::Ended);
  }
}

/// The file first: whoever is in charge is named by it.
void Daemon::hand_over() {
  auto done = lock_->write_for(successor_->pid());
  if (done) done = successor_->put_in_charge(lock_->fd(), reloaded_meanwhile_);
  if (done) return;
  upgrade_fault_ = done.error().message();
  step_upgrade(UpgradeEvent::HandOverFailed);
}

void Daemon::report_failed_upgrade() {
  successor_.reset();
  log_.error("upgrade refused: {}; pid {} serves on", upgrade_fault_, ::getpid());
  if (server_ && upgrade_waiter_) {
    server_->reply(*upgrade_waiter_,
                   Reply::error(fmt::format("upgrade refused: {}; pid {} {}", upgrade_fault_, ::getpid(),
                                            life_.state() >= State::Stopping ? "is stopping" : "serves on")));
  }
  upgrade_waiter_.reset();
}

void Daemon::supersede() {
  const pid_t pid = successor_->pid();
  log_.info("upgrade: pid {} is in charge; finishing", pid);
  in_charge_ = false;  // of files; the init hears of it below
  lock_->abandon();
  listeners_.disown_files();
  if (server_) {
    server_->leave_to_successor();
    if (upgrade_waiter_)
      server_->reply(*upgrade_waiter_, {.ok = true,
                                        .message = fmt::format("upgraded: pid {} took over from pid {}", pid, ::getpid()),
                                        .json = fmt::format(R"({{"pid":{},"former_pid":{}}})", pid, ::getpid())});
  }
  upgrade_waiter_.reset();
  announce([this, pid]() -> Result<void> {
    PERDURE_CHECK(notify_.send(fmt::format("MAINPID={}", pid)));
    if (auto heard = notify_.barrier(barrier_within); !heard) log_.warning("{}; going on", heard.error().message());
    return {};
  });
}

/// Once the init knows, or cannot be told: the rest is an ordinary stop that nobody outside hears of.
void Daemon::leave_to_successor() {
  speaks_to_init_ = false;
  successor_->hang_up();
  successor_.reset();
  stop_reason_.store(StopReason::Upgraded, std::memory_order_release);
  step(Event::StopRequested);
}

// ── The successor ─────────────────────────────────────────────────────────────────────────────────────────────────────────

void Daemon::succeed(daemon::Predecessor predecessor) {
  predecessor_.emplace(std::move(predecessor));
  in_charge_ = speaks_to_init_ = false;
}

void Daemon::attend_predecessor() {
  if (!predecessor_) return;
  while (auto word = predecessor_->hear()) {
    if (!word->is_gone) {
      lock_.emplace(PidFile::handed_over(places_.pid_file, std::move(word->lock)));
      lock_->adopt();
      take_charge();
      predecessor_->say(StartNews::TookOver);
      if (word->shall_reload) step(Event::ReloadRequested);
      continue;
    }
    const pid_t former = static_cast<pid_t>(predecessor_->offer().pid);
    predecessor_.reset();
    if (life_.state() >= State::Stopping && !in_charge_) return;  // it told us to end, and has ended itself
    if (!in_charge_) {
      log_.warning("pid {} ended before it handed over; this process carries on", former);
      if (!name_ourselves()) return;
      take_charge();
    }
    log_.info("took over from pid {}", former);
    speaks_to_init_ = true;
    make_announcements();
    if (notify_.watchdog()) arm(Timer::Watchdog, clock_.now());
    return;
  }
}

/// The predecessor has gone without a word. Its lock is ours as well, unless it had just published one that it did not live to
/// give to us.
bool Daemon::name_ourselves() {
  auto written = lock_->write();
  if (!written && written.error().code() == ESTALE) {
    auto acquired = PidFile::acquire(places_.pid_file);
    if (acquired) {
      lock_.emplace(*std::move(acquired));
      written = lock_->write();
    } else {
      written = acquired.error();
    }
  }
  if (written) return true;
  log_.critical("{}; stopping, so that no two instances run", written.error().message());
  stop_reason_.store(StopReason::Requested, std::memory_order_release);
  step(Event::StopRequested);
  return false;
}

void Daemon::take_charge() {
  in_charge_ = true;
  listeners_.own_files();
  if (server_ && control_file_) server_->take_over({control_file_->path, control_file_->device, control_file_->inode});
  // Of those that the options name no more nobody listens from here on; their files go with them.
  for (daemon::InheritedListener& former : former_listeners_) {
    control::ListeningSocket socket{std::move(former.socket)};
    if (!former.file.path.empty()) socket.own(std::move(former.file));
  }
  former_listeners_.clear();
  if (health_file_ && unhealthy().empty()) kick_health_file();
}

}  // namespace perdure::detail
