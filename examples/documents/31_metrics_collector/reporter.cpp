#include "reporter.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>

#include <fmt/core.h>

#include "abstract_socket.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto before_the_first = 200ms;
constexpr auto between_two = 50ms;
constexpr std::array<std::string_view, 5> requests = {
    R"({"name":"cpu","value":42.5})", R"({"name":"cpu","value":55.0})", R"({"name":"mem","value":71.2})",
    R"({"name":"mem","value":68.8})", R"({"name":"dump","value":0})",
};

perdure::Result<std::string> ask(const std::string& socket_name, std::string_view request) {
  PERDURE_TRY(const perdure::UniqueFd socket, connect_abstract(socket_name));
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0)
    return perdure::Error::from_errno(errno, "send a metric to", socket_name);
  std::array<char, 128> reply;
  const ssize_t count = recv(socket.get(), reply.data(), reply.size(), 0);
  if (count < 0) return perdure::Error::from_errno(errno, "receive the collector's reply on", socket_name);
  return std::string(reply.data(), static_cast<std::size_t>(count));
}

}  // namespace

int report(const std::string& socket_name) {
  std::this_thread::sleep_for(before_the_first);
  for (const std::string_view request : requests) {
    std::this_thread::sleep_for(between_two);
    auto reply = ask(socket_name, request);
    if (!reply) {
      fmt::print(stderr, "[reporter] {}\n", reply.error().message());
      return 1;
    }
    if (!reply->empty() && reply->back() == '\n') reply->pop_back();
    fmt::print("[reporter] {}\n", *reply);
    std::fflush(stdout);
  }
  return 0;
}
