// Is a connection ever refused, reset or left without its answer while a daemon is replaced again and again under load? And how
// long does a client wait at most?
//
// Four clients connect, ask and hang up without a pause, two by TCP and two by a Unix socket, through many upgrades of one
// daemon (bench/upgrade_daemon.cpp). The verdict is about the count of failures, which must be 0; times are for people.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <thread>
#include <vector>

#include "measure.hpp"
#include "perdure/control.hpp"
#include "processes.hpp"

namespace {

struct Tally {
  std::atomic<std::uint64_t> asked{0}, refused{0}, cut{0};
};

perdure::UniqueFd connected(const sockaddr* address, socklen_t size) {
  perdure::UniqueFd fd{::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const timeval limit{.tv_sec = bench::hang_limit_ms / 1000, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (::connect(fd.get(), address, size) != 0) fd.reset();
  return fd;
}

/// One request over one connection.
void ask(const sockaddr* address, socklen_t size, Tally& tally) {
  ++tally.asked;
  const perdure::UniqueFd fd = connected(address, size);
  if (!fd) {
    ++tally.refused;
    return;
  }
  char answer[8] = {};
  if (::send(fd.get(), "ask", 3, MSG_NOSIGNAL) != 3 || ::recv(fd.get(), answer, 3, MSG_WAITALL) != 3) ++tally.cut;
}

int free_port() {
  const perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    bench::fail("find a free port");
  return ntohs(address.sin_port);
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  const std::string local = directory.path() + "/local.sock", control = directory.path() + "/control.sock";
  sockaddr_in tcp{};
  tcp.sin_family = AF_INET;
  tcp.sin_port = htons(static_cast<std::uint16_t>(free_port()));
  tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_un file{};
  file.sun_family = AF_UNIX;
  local.copy(file.sun_path, sizeof file.sun_path - 1);

  bench::spawn(
      {.command = {bench::sibling("upgrade_daemon"), "--foreground", "--pid-file", directory.path() + "/pid", "--control",
                   control, "--log-file", directory.path() + "/log", "--", std::to_string(ntohs(tcp.sin_port)), local},
       .errors = directory.path() + "/errors"});
  const auto client = [&] {
    for (;;) {
      auto connection = perdure::ControlClient::connect(control, std::chrono::seconds{30});
      if (connection) return *std::move(connection);
      bench::pause_ms(5);
    }
  };
  while (!client().request("health", "", std::chrono::seconds{30}).value().ok) bench::pause_ms(5);

  Tally by_tcp, by_file;
  bench::Samples took;
  const int upgrades = arguments.rounds_or(arguments.long_run ? 1'000 : 100);
  {
    std::vector<std::jthread> load;
    for (int i = 0; i < 2; ++i) {
      load.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) ask(reinterpret_cast<const sockaddr*>(&tcp), sizeof tcp, by_tcp);
      });
      load.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) ask(reinterpret_cast<const sockaddr*>(&file), sizeof file, by_file);
      });
    }
    for (int i = 0; i < upgrades; ++i) {
      const std::int64_t begun = bench::now_ns();
      const auto reply = client().request("upgrade", "", std::chrono::minutes{2});
      if (!reply || !reply->ok) throw std::runtime_error(reply ? reply->message : reply.error().message());
      took.add(bench::now_ns() - begun);
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {  // those that were replaced
      }
    }
  }
  (void)client().request("stop", "", std::chrono::seconds{30});

  for (const auto* one : {&by_tcp, &by_file}) {
    const auto failures = one->refused + one->cut;
    report.row({.what = fmt::format("{} upgrades under load, {}", upgrades, one == &by_tcp ? "TCP" : "Unix socket"),
                .must_reach = "0 failures",
                .measured = fmt::format("{} refused, {} cut of {}", one->refused.load(), one->cut.load(), one->asked.load()),
                .verdict = bench::verdict(failures == 0)});
  }
  report.note(fmt::format("an upgrade, from the request to the answer: {}", bench::all_of(took)));
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
