#include "watering.hpp"

#include <exception>
#include <utility>

using namespace std::chrono_literals;

namespace watering {
namespace {

/// Open as long as it lives. A valve that cannot be opened is an exception.
class OpenValve {
 public:
  OpenValve(const Garden& garden, perdure::Log& log) : garden_(garden), log_(log) { garden_.valve(true); }
  ~OpenValve() {
    try {
      garden_.valve(false);
    } catch (const std::exception& error) {
      log_.critical("the valve does not close: {}", error.what());
    }
  }
  OpenValve(const OpenValve&) = delete;
  OpenValve& operator=(const OpenValve&) = delete;

 private:
  const Garden& garden_;
  perdure::Log& log_;
};

}  // namespace

void describe(perdure::Fields& f, Settings& s) {
  f("every", s.every).range(1ms, 24h).flag("--every");
  f("open", s.open).range(1ms, 1h).flag("--open");
  f("dry", s.dry).range(0, 100);
  f("moisture", s.moisture).flag("--moisture").restart_only();
  f("valve", s.valve).flag("--valve").restart_only();
}

// [app]
void put_together(perdure::App& app, Garden garden) {
  const auto settings = app.config<Settings>();
  app.worker("water",
             [=, garden = std::move(garden)](perdure::Context& ctx) {
               do {
                 const double moisture = garden.moisture();
                 if (moisture >= settings->dry) continue;
                 ctx.log().info("{} %: watering", moisture);
                 const OpenValve valve{garden, ctx.log()};
                 ctx.wait(settings->open);
               } while (ctx.wait(settings->every));
             },
             {.delay = 1s, .delay_max = 10min, .give_up_after = 0});  // the sensor may be gone for a night
}
// [/app]

}  // namespace watering
