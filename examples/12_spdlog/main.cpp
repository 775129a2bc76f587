// A program whose parts log with spdlog, inside a daemon.
#include <perdure/perdure.hpp>
#include <perdure/spdlog.hpp>
#include <spdlog/sinks/basic_file_sink.h>

int main(int argc, char** argv) {
  return perdure::run(argc, argv, {.name = "spdlog", .arguments = "[FILE]"}, [](perdure::Context& ctx) {
    // [theirs]
    // What this logger says goes where the daemon's log goes.
    spdlog::logger db{"db", perdure::spdlog_sink(ctx.log())};
    db.warn("{} rows are locked", 3);
    // [/theirs]
    if (ctx.args().empty()) return;
    // [ours]
    // And what the daemon says goes to a logger as well.
    perdure::send_to_spdlog(ctx.log(), spdlog::basic_logger_mt("all", ctx.args().front()));
    ctx.log().error("the disk is {} % full", 97);
    // [/ours]
  });
}
