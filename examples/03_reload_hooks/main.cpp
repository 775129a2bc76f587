// Reload is a transaction: every hook may refuse; only when all accept does anything change.
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>

#include <atomic>
#include <memory>

struct Settings {
  int workers = 2;
  int queue = 10;
};

void describe(perdure::Fields& f, Settings& s) {
  f("workers", s.workers).range(1, 64);
  f("queue", s.queue).range(1, 10'000);
}

int main(int argc, char** argv) {
  std::atomic<int> capacity{20};

  perdure::Config<Settings> config;
  config.validate([](const Settings& s) -> perdure::Result<void> {
    if (s.queue < s.workers) return perdure::Error{"queue must be at least as large as workers"};
    return {};
  });
  config.on_reload([&](const Settings& was, const Settings& now) -> perdure::Commit {
    if (now.workers < was.workers) throw perdure::Rejected{"workers cannot be taken away while they run"};
    // Nothing has changed yet. What is returned runs once everybody has accepted, and cannot fail.
    return [&capacity, total = now.workers * now.queue]() noexcept { capacity = total; };
  });

  return perdure::run(argc, argv, {.name = "reload_hooks", .config = config}, [&](perdure::Context& ctx) {
    int last = 0;
    while (ctx.wait(std::chrono::milliseconds{20})) {
      if (capacity == last) continue;
      last = capacity;
      ctx.log().info("capacity {}", last);
    }
  });
}
