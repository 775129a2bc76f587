// The smallest daemon somebody else's project would write: it starts, says so, and stops by itself.
#include <perdure/perdure.hpp>

int main(int argc, char** argv) {
  return perdure::run(argc, argv, {.name = "consumer", .version = "1.0.0"}, [](perdure::Context& context) {
    context.log().info("consumer runs on perdure {}", perdure::version());
    context.request_stop();
  });
}
