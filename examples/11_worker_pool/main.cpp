// Work for several threads, bounded: the loop brings it, the pool does it, a stop drains it.
#include <perdure/perdure.hpp>
#include <perdure/worker_pool.hpp>

#include <stdexcept>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  return perdure::run(argc, argv, {.name = "worker_pool"}, [](perdure::Context& ctx) {
    // Here and not in main(): threads do not survive a fork, and detaching forks.
    auto pool = perdure::WorkerPool::start(
        {.name = "square", .threads = 2, .queue_max = 8, .on_failure = [&](std::string_view what) {
           ctx.log().error("a task failed: {}", what);
         }});
    if (!pool) throw std::runtime_error{pool.error().message()};

    for (int n = 1; ctx.wait(5ms); ++n) {
      const auto submitted = pool->try_submit([&log = ctx.log(), n] {
        if (n % 13 == 0) throw std::runtime_error{"13 brings bad luck"};
        log.info("{} squared is {}", n, n * n);
      });
      if (submitted == perdure::Submitted::Full) ctx.log().warning("{} is left out: all threads are busy", n);
    }
    const auto dropped = pool->stop_within(2s);
    ctx.log().info("{} done, {} dropped", pool->use().done, dropped);
  });
}
