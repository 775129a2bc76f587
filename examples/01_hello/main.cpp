#include <perdure/perdure.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  return perdure::run(argc, argv, {.name = "hello", .version = "1.0.0"}, [](perdure::Context& ctx) {
    while (ctx.wait(1s)) ctx.log().info("still here");  // false once stopping
  });
}
