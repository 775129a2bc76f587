// The sockets in the runtime directory. Their files belong to whoever may write there: one that is removed is bound again, with
// its directory where that is gone too, and one that somebody else has put in its place is left alone.
#include <poll.h>
#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/text.hpp"
#include "control/listening_socket.hpp"
#include "os/runtime_directory.hpp"
#include "os/system.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"
#include "supervisor/message_socket.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr unsigned connections_max = 256;
constexpr unsigned strangers_max = 8;
/// Whoever removes a whole directory is let finish: what is put into it meanwhile would be in his way.
constexpr base::Duration first_pause = std::chrono::milliseconds{100};
/// Somebody who removes it again and again, or a directory that cannot be made: each time twice as long, and no longer than this.
constexpr base::Duration last_pause = std::chrono::seconds{5};
constexpr base::Duration calm = std::chrono::minutes{1};

constexpr std::string_view control_name = "/control.sock";
constexpr std::string_view notify_name = "/notify";

}  // namespace

std::string Manager::control_path() const { return options_.runtime_dir + std::string{control_name}; }
std::string Manager::notify_path() const { return options_.runtime_dir + std::string{notify_name}; }

Result<void> Manager::open_control(UniqueFd parked, UniqueFd file) {
  ControlServerOptions options;
  options.path = control_path();
  options.connections_max = connections_max;
  options.strangers_max = strangers_max;
  if (parked) {
    control_socket_.file = SocketFile{options.path, std::move(file)};
  } else {
    PERDURE_TRY(control::ListeningSocket fresh, control::ListeningSocket::at(options.path));
    parked.reset(fresh.fd());
    fresh.release();
    park(control_label, parked.get());
    control_socket_.file = park_file(control_file_label, options.path);
  }
  options.listener = parked.get();
  Result<ControlServer> server = ControlServer::listen(options);
  if (!server) return std::move(server).error();
  static_cast<void>(parked.release());
  control_.emplace(std::move(*server));
  return poller_.add(control_->fd(), loop::Interest::Read, token_of(TokenKind::Control));
}

/// The socket outlives every manager in the keeper: what is sent while there is none waits in it.
Result<void> Manager::open_notify(UniqueFd parked, UniqueFd file) {
  if (parked) {
    notify_socket_.file = SocketFile{notify_path(), std::move(file)};
  } else {
    PERDURE_TRY(parked, bind_message_socket(notify_path()));
    park(notify_label, parked.get());
    notify_socket_.file = park_file(notify_file_label, notify_path());
  }
  notify_ = std::move(parked);
  return poller_.add(notify_.get(), loop::Interest::Read, token_of(TokenKind::Notify));
}

/// What stands at the path of a socket that was just bound, so that every later manager knows it again, too.
SocketFile Manager::park_file(const char* label, const std::string& path) {
  SocketFile file = SocketFile::at(path);
  if (file.fd() >= 0) park(label, file.fd());
  return file;
}

void Manager::watch_sockets() {
  removals_.reset(sys::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const bool is_watched =
      removals_ && poller_.add(removals_.get(), loop::Interest::Read, token_of(TokenKind::Sockets)).has_value();
  if (!is_watched) note_unwatched();
  look_at_sockets();
}

/// Makes it where it is gone; where another one stands in its place, that one is watched from now on.
Result<void> Manager::watch_runtime_directory() {
  constexpr std::uint32_t mask =
      IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW;
  PERDURE_CHECK(os::make_own_directory(options_.runtime_dir, os::instance_runtime_mode));
  if (!removals_) return {};
  const int number = sys::inotify_add_watch(removals_.get(), options_.runtime_dir.c_str(), mask);
  if (number < 0) {
    note_unwatched();
    removals_.reset();  // there are no watches left for us (ENOSPC): what is wrong is said once
    return {};
  }
  if (runtime_watch_ >= 0 && runtime_watch_ != number) sys::inotify_rm_watch(removals_.get(), runtime_watch_);
  runtime_watch_ = number;
  return {};
}

void Manager::note_unwatched() {
  notes_.push_back(Error::from_errno(errno, "watch", options_.runtime_dir).message() +
                   "; a socket that is removed there is bound again by the next manager only");
}

void Manager::take_removals() {
  alignas(inotify_event) char block[4096];
  bool is_ours = false;
  for (ssize_t count = 0; (count = sys::read(removals_.get(), block, sizeof block)) > 0;) {
    for (ssize_t at = 0; at < count;) {
      inotify_event event{};
      std::memcpy(&event, block + at, sizeof event);
      const std::string_view name = event.len == 0 ? std::string_view{} : std::string_view{block + at + sizeof event};
      is_ours = is_ours || name.empty() || name == control_name.substr(1) || name == notify_name.substr(1);
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  if (!is_ours || timers_.is_armed(token_of(TokenKind::Sockets))) return;
  if (now_ - sockets_bound_ > calm) sockets_pause_ = first_pause;
  timers_.arm(token_of(TokenKind::Sockets), now_ + sockets_pause_);
}

void Manager::look_at_sockets() {
  const Result<void> watched = watch_runtime_directory();
  if (!watched && !std::exchange(control_socket_.told, true))
    say(watched.error().message() + "; nobody can reach this instance until that is mended; it is tried again");
  bool is_done = watched.has_value();
  if (watched) {
    is_done = keep_bound(control_socket_, &Manager::bind_control_again, "nobody can ask this instance");
    is_done = keep_bound(notify_socket_, &Manager::bind_notify_again, "no service can say that it is ready") && is_done;
  }
  if (is_done) return;
  timers_.arm(token_of(TokenKind::Sockets), now_ + sockets_pause_);
  sockets_pause_ = std::clamp(sockets_pause_ * 2, first_pause, last_pause);
}

/// False: it has to be tried again.
bool Manager::keep_bound(OurSocket& socket, Result<bool> (Manager::*bind_again)(), std::string_view loss) {
  const std::string path = base::escape(socket.file.path());
  switch (socket.file.look()) {
    case Standing::Ours: socket.told = false; return true;
    case Standing::Anothers:  // we are told when it goes
      if (!std::exchange(socket.told, true))
        say(path + " is not ours any more; it was left alone, and " + std::string{loss} + " until it is removed");
      return true;
    case Standing::Free: break;
  }
  const Result<bool> bound = (this->*bind_again)();
  if (!bound && !std::exchange(socket.told, true))
    say(bound.error().message() + "; " + std::string{loss} + " until that is mended; it is tried again");
  if (!bound || !*bound) return false;
  say(path + " was removed, and is bound again; nothing else has changed");
  socket.told = false;
  sockets_bound_ = now_;
  sockets_pause_ = std::clamp(sockets_pause_ * 2, first_pause, last_pause);
  return true;
}

Result<bool> Manager::bind_control_again() {
  PERDURE_TRY(control::ListeningSocket fresh, control::ListeningSocket::at(control_path()));
  requests_.clear();
  PERDURE_CHECK(control_->listen_at(fresh.fd(), requests_));
  fresh.release();
  park(control_label, control_->listener());
  control_socket_.file = park_file(control_file_label, control_path());
  handle_requests();
  return true;
}

/// Not before all is read that was said to the former one, unless somebody talks without end there.
Result<bool> Manager::bind_notify_again() {
  take_notifications();
  pollfd former{notify_.get(), POLLIN, 0};
  if (sys::poll(&former, 1, 0) != 0 && sockets_pause_ < last_pause) return false;
  PERDURE_TRY(UniqueFd fresh, bind_message_socket(notify_path()));
  PERDURE_CHECK(poller_.add(fresh.get(), loop::Interest::Read, token_of(TokenKind::Notify)));
  static_cast<void>(poller_.remove(notify_.get()));
  notify_ = std::move(fresh);
  park(notify_label, notify_.get());
  notify_socket_.file = park_file(notify_file_label, notify_path());
  return true;
}

}  // namespace perdure::supervisor
