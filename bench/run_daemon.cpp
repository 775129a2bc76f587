// The least daemon with perdure::run, for start_bench and idle_bench.
#include <perdure/perdure.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  return perdure::run(argc, argv, {.name = "bench-run", .version = "1"}, [](perdure::Context& ctx) {
    while (ctx.wait(24h)) continue;
  });
}
