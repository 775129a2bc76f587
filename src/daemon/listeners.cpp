#include "daemon/listeners.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "net/address.hpp"
#include "net/listen.hpp"
#include "os/system.hpp"

namespace perdure::daemon {
namespace {

/// FDNAME_MAX of systemd (sd_listen_fds(3)).
constexpr std::size_t name_max = 255;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= name_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~' && c != ':'; });
}

/// What to do about it, where the cause alone does not say.
std::string advice(int code, const net::Address& address, const ListenFds& from_init) {
  switch (code) {
    case EADDRINUSE: {
      // The most likely cause under an init: its socket unit listens there, under another name.
      const auto passed = from_init.names();
      if (!passed.empty())
        return fmt::format("; the init passed sockets named {}: set FileDescriptorName= to the listener's",
                           fmt::join(passed, ", "));
      return address.family() == AF_UNIX ? "; another program listens there (ss -xlp names it)"
                                         : "; another program listens there (ss -ltnp names it)";
    }
    case EACCES: return address.family() == AF_UNIX ? "" : "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL: return "; no interface of this machine has that address (ip address)";
    default: return "";
  }
}

Error cannot_listen(const ListenerOptions& options, int code, const net::Address& address, const ListenFds& from_init) {
  return Error{fmt::format("cannot listen on {} (listener {}): {} ({}){}", base::escape(options.address), options.name,
                           base::errno_words(code), base::errno_name(code), advice(code, address, from_init)),
               code};
}

/// The rights that the options ask for are the file's. Requires: one thread, for the umask is the process's.
Result<control::ListeningSocket> make_file(const ListenerOptions& options, const net::Address& address) {
  const mode_t umask = os::sys::umask(0);
  auto socket = control::ListeningSocket::at(address.path, {.permissions = options.mode, .backlog = options.backlog});
  os::sys::umask(umask);
  return socket;
}

Result<control::ListeningSocket> bind(const ListenerOptions& options, const ListenFds& from_init) {
  PERDURE_TRY(const net::Address address, net::parse_address(options.address));
  if (!address.path.empty()) {
    // The lock keeps another instance of ours away, not another program with the same idea.
    if (net::somebody_listens(address)) return cannot_listen(options, EADDRINUSE, address, from_init);
    auto socket = make_file(options, address);
    if (!socket) return std::move(socket).error().in("listener " + options.name);
    return socket;
  }
  auto fd = net::listen_at(address, {.backlog = options.backlog, .reuse_address = options.reuse_address});
  if (!fd) return cannot_listen(options, fd.error().code(), address, from_init);
  return control::ListeningSocket{*std::move(fd)};
}

Result<void> check_passed(const ListenerOptions& options, int fd, std::string_view by_whom) {
  auto taken = net::accept_passed_listener(fd);
  if (taken) return {};
  return Error{
      fmt::format("cannot use the socket {} that the {} passed: {}", options.name, by_whom, taken.error().message()),
      taken.error().code()};
}

}  // namespace

Result<void> check_listeners(const std::vector<ListenerOptions>& options) {
  for (auto one = options.begin(); one != options.end(); ++one) {
    if (!is_name(one->name))
      return Error{fmt::format("listener {}: a name of 1 to {} printable characters without ':' is wanted",
                               base::quote(one->name), name_max)};
    if (std::any_of(options.begin(), one, [&](const auto& other) { return other.name == one->name; }))
      return Error{fmt::format("listener {} is there twice", one->name)};
    if (auto address = net::parse_address(one->address); !address)
      return std::move(address).error().in("listener " + one->name);
  }
  return {};
}

Result<void> Listeners::open(const std::vector<ListenerOptions>& options, std::vector<InheritedListener>& inherited,
                             ListenFds& from_init) {
  for (const ListenerOptions& one : options) {
    const auto found = std::find_if(inherited.begin(), inherited.end(), [&](const InheritedListener& listener) {
      return listener.name == one.name && listener.address == one.address;
    });
    if (found != inherited.end()) {
      PERDURE_CHECK(check_passed(one, found->socket.get(), "predecessor"));
      listeners_.push_back({one.name, one.address, control::ListeningSocket{std::move(found->socket)}, found->file});
      inherited.erase(found);
    } else if (UniqueFd passed = from_init.take(one.name)) {
      PERDURE_CHECK(check_passed(one, passed.get(), "init"));
      if (UniqueFd{from_init.take(one.name)})  // nobody would accept its clients
        return Error{
            fmt::format("cannot use the sockets {} that the init passed: there are several of that name; give each a "
                        "FileDescriptorName= of its own",
                        one.name)};
      listeners_.push_back({one.name, one.address, control::ListeningSocket{std::move(passed)}, {}});
    } else {
      PERDURE_TRY(control::ListeningSocket bound, bind(one, from_init));
      listeners_.push_back({one.name, one.address, std::move(bound), {}});
    }
  }
  return {};
}

int Listeners::find(std::string_view name) const noexcept {
  for (const Listener& listener : listeners_)
    if (listener.name == name) return listener.socket.fd();
  return -1;
}

std::string Listeners::names() const {
  std::string text;
  for (const Listener& listener : listeners_) text += (text.empty() ? "" : ", ") + listener.name;
  return text.empty() ? "none" : text;
}

void Listeners::own_files() noexcept {
  for (Listener& listener : listeners_)
    if (!listener.promised.path.empty()) listener.socket.own(std::exchange(listener.promised, {}));
}

void Listeners::remove_files() noexcept {
  for (Listener& listener : listeners_) listener.socket.remove_file();
}

void Listeners::disown_files() noexcept {
  for (Listener& listener : listeners_) listener.socket.disown();
}

}  // namespace perdure::daemon
