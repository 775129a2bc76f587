// Commands of your own: on the control socket, and as verbs of the same binary.
#include <perdure/perdure.hpp>

#include <atomic>

int main(int argc, char** argv) {
  std::atomic<int> level{20};

  const perdure::ControlCommand set{
      .name = "set",
      .help = "set the level: commands set 25",
      .answer = [&](const perdure::Request& request) -> perdure::Reply {
        try {
          level = std::stoi(request.text);
        } catch (const std::exception&) {
          return perdure::Reply::error("set: a number is wanted; the level stays " + std::to_string(level));
        }
        return perdure::Reply::text("level " + std::to_string(level));
      },
  };
  const perdure::ControlCommand get{
      .name = "get",
      .help = "show the level",
      .answer = [&](const perdure::Request&) { return perdure::Reply::text(std::to_string(level)); },
  };

  return perdure::run(argc, argv, {.name = "commands", .commands = {set, get}}, [](perdure::Context& ctx) {
    while (ctx.wait(std::chrono::hours{1})) {
    }
  });
}
