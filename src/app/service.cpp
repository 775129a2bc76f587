#include "perdure/service.hpp"

#include <mutex>
#include <utility>

namespace perdure {

Service::~Service() = default;

void Service::reload() { log().info("nothing to reload"); }

int Service::main(int argc, char** argv, Options options) {
  // A stop comes on another thread than reload() and health(), and must not close what they are using.
  std::mutex one_at_a_time;
  const auto if_started = [&](auto call) {
    const std::lock_guard lock{one_at_a_time};
    if (is_started_) call();
  };
  options.on_reload = [&, then = std::move(options.on_reload)](const Reloaded& how) {
    if (how.refused.empty()) if_started([&] { reload(); });
    if (then) then(how);
  };
  App app{std::move(options)};
  app.worker("run",
             [this](Context& context) {
               log_ = &context.log();
               start();
               is_started_ = true;
               run(context);
             },
             {.restart = Restart::Never});
  app.liveness("health", [&] {
    Health found = Health::good();
    if_started([&] { found = health(); });
    return found;
  });
  app.on_stop([&] {
    if_started([&] {
      is_started_ = false;
      stop();
    });
  });
  return app.run(argc, argv);
}

}  // namespace perdure
