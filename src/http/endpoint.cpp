// The shell around answer(): a listener, libmicrohttpd's one thread, and who gives way when too many have come.
//
// libmicrohttpd's time limit counts silence, so a client that sends one byte a second would stay for ever, and enough of them would
// use up its limit of connections and leave the monitor waiting. Hence our own list of connections by age.

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "http/answer.hpp"
#include "perdure/http.hpp"
#include "perdure/log.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {
namespace {

/// Connections that wait for accept(2).
constexpr int backlog = 128;
/// What one connection may keep in memory: its request line and header fields, and the header of the answer. More is refused with
/// 414 or 431.
constexpr std::size_t connection_bytes_max = 8192;
/// Those that were told to give way and are not gone yet.
constexpr unsigned leaving_max = 64;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::string shown(const HttpOptions& options, unsigned port) {
  const bool is_v6 = options.address.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", options.address, is_v6 ? "]" : "", port);
}

Result<Address> parse(const HttpOptions& options) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, options.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(options.port);
    address.length = sizeof *v4;
  } else if (::inet_pton(AF_INET6, options.address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(options.port);
    address.length = sizeof *v6;
  } else {
    return Error{fmt::format("cannot listen on \"{}\" for HTTP: a numeric IPv4 or IPv6 address is wanted, such as 127.0.0.1",
                             options.address),
                 EINVAL};
  }
  return address;
}

}  // namespace

struct HttpEndpoint::State {
  HttpOptions options{};
  std::vector<Callback<std::string()>> more{};
  UniqueFd listener{};
  std::uint16_t port = 0;
  const DaemonView* daemon = nullptr;
  MHD_Daemon* server = nullptr;
  pid_t starter = 0;
  /// Connected sockets, the oldest first. The server's thread's own.
  std::vector<int> guests{};

  void came_or_went(MHD_Connection* connection, MHD_ConnectionNotificationCode what);
  MHD_Result reply(MHD_Connection* connection, const char* url, const char* method) const;
};

void HttpEndpoint::State::came_or_went(MHD_Connection* connection, MHD_ConnectionNotificationCode what) {
  const int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
    std::erase(guests, fd);
    return;
  }
  guests.push_back(fd);
  if (guests.size() <= options.connections_max) return;
  ::shutdown(guests.front(),
             SHUT_RDWR);  // the server reads the end of it and closes; until then the number is not used again
  guests.erase(guests.begin());
}

MHD_Result HttpEndpoint::State::reply(MHD_Connection* connection, const char* url, const char* method) const {
  const http::Answer it = http::answer(method, url, *daemon, more);
  MHD_Response* response =
      MHD_create_response_from_buffer(it.body.size(), const_cast<char*>(it.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, "Content-Type", it.content_type);
  MHD_add_response_header(response, "Cache-Control", "no-store");
  MHD_add_response_header(response, "Connection", "close");
  if (it.status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(response, "Allow", http::methods_allowed);
  const MHD_Result queued = MHD_queue_response(connection, it.status, response);
  MHD_destroy_response(response);
  return queued;
}

HttpEndpoint::HttpEndpoint(HttpOptions options) : state_(std::make_unique<State>()) { state_->options = std::move(options); }

HttpEndpoint::~HttpEndpoint() { stop(); }

HttpOptions& HttpEndpoint::options() noexcept { return state_->options; }

std::uint16_t HttpEndpoint::port() const noexcept { return state_->port; }

void HttpEndpoint::add_metrics(Callback<std::string()> text) { state_->more.push_back(std::move(text)); }

Result<void> HttpEndpoint::prepare() {
  const HttpOptions& options = state_->options;
  PERDURE_TRY(const Address address, parse(options));
  if (options.connections_max == 0 || options.idle_max < std::chrono::seconds{1})
    return Error{"cannot serve HTTP: HttpOptions::connections_max is from 1 on, idle_max from 1 s on", EINVAL};
  const auto cannot = [&] {
    Error error = Error::from_errno(errno, "listen on", shown(options, options.port) + " for HTTP");
    return error.code() == EADDRINUSE ? std::move(error).with_advice("choose another port, or 0 for one that is free")
                                      : error;
  };
  UniqueFd fd{::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd) return cannot();
  const int yes = 1;  // else the connections of the daemon before would hold the port for a minute (TIME_WAIT)
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) return cannot();
  if (::bind(fd.get(), address.get(), address.length) != 0 || ::listen(fd.get(), backlog) != 0) return cannot();
  Address bound;
  bound.length = sizeof bound.storage;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.length) != 0) return cannot();
  state_->port =
      ntohs(bound.storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port
                                               : reinterpret_cast<const sockaddr_in6*>(&bound.storage)->sin6_port);
  state_->listener = std::move(fd);
  return {};
}

Result<void> HttpEndpoint::start(const DaemonView& daemon) {
  const HttpOptions& options = state_->options;
  state_->daemon = &daemon;
  state_->starter = ::getpid();
  const auto respond = [](void* state, MHD_Connection* connection, const char* url, const char* method, const char*,
                          const char*, std::size_t*, void**) -> MHD_Result {
    try {
      return static_cast<const State*>(state)->reply(connection, url, method);
    } catch (...) {
      return MHD_NO;  // no memory for an answer: the connection is closed
    }
  };
  const auto came_or_went = [](void* state, MHD_Connection* connection, void**, MHD_ConnectionNotificationCode what) {
    static_cast<State*>(state)->came_or_went(connection, what);
  };
  state_->guests.reserve(options.connections_max + 1);
  // The server owns the listener from here on; a start that fails ends the process.
  state_->server = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, nullptr, nullptr, static_cast<MHD_AccessHandlerCallback>(respond),
      state_.get(), MHD_OPTION_LISTEN_SOCKET, state_->listener.release(), MHD_OPTION_CONNECTION_LIMIT,
      options.connections_max + leaving_max, MHD_OPTION_CONNECTION_TIMEOUT, static_cast<unsigned>(options.idle_max.count()),
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, connection_bytes_max, MHD_OPTION_STRICT_FOR_CLIENT, 1,
      MHD_OPTION_NOTIFY_CONNECTION, static_cast<MHD_NotifyConnectionCallback>(came_or_went), state_.get(), MHD_OPTION_END);
  if (state_->server == nullptr)
    return Error::from_errno(errno, "start the thread that serves HTTP on", shown(options, port()));
  daemon.log().info("health and metrics: http://{}/healthz, /readyz, /metrics", shown(options, port()));
  return {};
}

void HttpEndpoint::stop() noexcept {
  state_->listener.reset();
  // In a process that the program forked there is no thread to wait for.
  if (MHD_Daemon* server = std::exchange(state_->server, nullptr); server != nullptr && ::getpid() == state_->starter)
    MHD_stop_daemon(server);
}

}  // namespace perdure
