// fd_proxy: two processes instead of one. The opener may open files, and handles nothing that is in them; the worker handles what is
// in them, and may open none. Between them goes a descriptor over a Unix socket (SCM_RIGHTS).
//
//     fd_proxy                        one request, by a worker of its own; --request PATH: for another file
//     fd_proxy --serve                whatever requests come, until it is stopped
//     fd_proxy --worker SOCKET PATH   the other role
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "../support/unix_listener.hpp"
#include "opener.hpp"
#include "perdure/command.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "worker.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::string socket = "/tmp/zig_fdproxy.sock";
  std::string test_file = "/tmp/zig_fdproxy_test.txt";
  std::string request;
  bool serve = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("socket", s.socket).help("where requests come").flag("--socket").restart_only();
  f("test_file", s.test_file).help("a file that is made, and may be asked for").flag("--test-file").restart_only();
  f("request", s.request).help("what the worker asks for; else the test file").flag("--request").restart_only();
  f("serve", s.serve).help("no worker of its own; go on until stopped").flag("--serve").restart_only();
}

constexpr auto request_within = 2s;

/// Answers one client; false once stopping.
bool serve_one(perdure::Context& ctx, const UnixListener& listener, const Opener& opener, int worker) {
  while (true) {
    std::array<pollfd, 2> set{{{listener.fd(), POLLIN, 0}, {worker, POLLIN, 0}}};
    if (ctx.wait_fds(set, -1ns) < 0) return false;
    const perdure::UniqueFd client{accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!client && set[1].revents == 0) continue;
    if (!client) return true;  // the worker has ended without a request
    pollfd request{client.get(), POLLIN, 0};
    const int ready = ctx.wait_fds({&request, 1}, request_within);
    if (ready > 0) opener.serve(client.get());
    return ready >= 0;
  }
}

int open_for_others(perdure::Context& ctx, const Settings& settings, const Opener::Say& say) {
  if (auto written = write_test_file(settings.test_file, "Proxy-served secret content!\n"); !written)
    throw std::runtime_error{written.error().message()};
  auto listener = UnixListener::at(settings.socket, {.backlog = 16});
  if (!listener) throw std::runtime_error{listener.error().message()};
  const Opener opener{Whitelist{{"/etc/hostname", "/etc/os-release", "/proc/version", settings.test_file}}, say};
  if (settings.serve) {
    while (serve_one(ctx, *listener, opener, -1)) {
    }
    return 0;
  }
  const std::string& request = settings.request.empty() ? settings.test_file : settings.request;
  auto worker = perdure::Command::self({"--worker", settings.socket, request}).spawn();
  if (!worker) throw std::runtime_error{worker.error().message()};
  if (!serve_one(ctx, *listener, opener, worker->pidfd())) return 0;
  const auto ended = worker->wait();
  return ended && ended->success() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view{argv[1]} == "--worker") return work(argv[2], argv[3]);
  perdure::Config<Settings> config;
  Settings settings;
  const perdure::Options options{
      .name = "fd_proxy",
      .version = "1.0.0",
      .description = "opens files for a process that may open none",
      .config = config,
      .before_start = [&](perdure::Options&) -> perdure::Result<void> {
        settings = *config.get();
        for (std::string* path : {&settings.socket, &settings.test_file})
          *path = std::filesystem::absolute(*path);  // here a relative path still means what it meant to the user
        return {};
      },
  };
  const pid_t first_process = getpid();
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    const bool on_terminal = getpid() == first_process;  // detached, standard output is gone: the log has it
    return open_for_others(ctx, settings, [&](const std::string& line) {
      if (!on_terminal) return ctx.log().info("{}", line);
      fmt::print("{}\n", line);
      std::fflush(stdout);
    });
  });
}
