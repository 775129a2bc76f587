// Child processes: started without disturbing the threads, bounded in time and output, gone when we stop.
#include <perdure/command.hpp>
#include <perdure/perdure.hpp>

#include <cstdio>
#include <cstring>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  // This binary in another role; see Command::self below.
  if (argc > 1 && std::strcmp(argv[1], "--role=reporter") == 0) return std::puts("report from the other role"), 0;

  return perdure::run(argc, argv, {.name = "children", .arguments = "COMMAND [WORD…]"}, [](perdure::Context& ctx) {
    auto report = perdure::Command::self({"--role=reporter"}).output({.within = 5s});
    ctx.log().info("{}", report ? report->out : report.error().message());

    if (ctx.args().empty()) return;
    perdure::Command command{ctx.args().front()};
    command.args({ctx.args().begin() + 1, ctx.args().end()});
    ctx.ready();
    auto output = command.output({.within = 10s, .max_bytes = 4096, .stop_fd = ctx.stop_fd()});
    if (!output) {
      ctx.log().error("{}", output.error().message());
      return;
    }
    ctx.log().info("{} {}{}{}", ctx.args().front(), output->status.text(), output->timed_out ? ", too slow" : "",
                   output->stopped ? ", stopped with us" : "");
    ctx.log().info("it said: {}", output->out);
  });
}
