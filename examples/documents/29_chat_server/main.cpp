// chat_server: what one client of a Unix socket says, all the others hear, with the sender's pid in front.
//
// The server is the body of perdure::run(): ctx.wait_fds() polls its descriptors and the stop at once, so SIGTERM, `chat_server
// stop` and Ctrl-C end it between two messages, whoever is connected. Who is connected, and what waits for whom: chat_room.hpp.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <fmt/core.h>

#include "../support/unix_listener.hpp"
#include "chat_room.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

namespace {

struct Settings {
  std::string socket = "/tmp/zig_chat.sock";
  bool open_to_all = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("socket", s.socket).help("where clients connect").flag("--socket").restart_only();
  f("open_to_all", s.open_to_all).help("let other users in; else only our own").flag("--open-to-all").restart_only();
}

void chat(perdure::Context& ctx, const std::string& path, mode_t mode, const ChatRoom::Say& say) {
  auto listener = UnixListener::at(path, {.backlog = 5, .mode = mode});
  if (!listener) throw std::runtime_error{listener.error().message()};
  ChatRoom room{listener->fd(), say};
  say(fmt::format("Chat server on {}. Max {} clients.", path, ChatRoom::clients_max));
  for (auto set = room.poll_set(); ctx.wait_fds(set, room.patience()) >= 0; set = room.poll_set()) room.process(set);
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  std::string path;
  const perdure::Options options{
      .name = "chat_server",
      .version = "1.0.0",
      .description = "lets the clients of a Unix socket talk to each other",
      .config = config,
      .before_start = [&](perdure::Options&) -> perdure::Result<void> {
        path = std::filesystem::absolute(config->socket);  // here a relative path still means what it meant to the user
        return {};
      },
  };
  const pid_t first_process = getpid();
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    const bool on_terminal = getpid() == first_process;  // detached, standard output is gone: the log has it
    chat(ctx, path, config->open_to_all ? 0666 : 0600, [&](const std::string& line) {
      if (!on_terminal) return ctx.log().info("{}", line);
      fmt::print("{}\n", line);
      std::fflush(stdout);
    });
  });
}
