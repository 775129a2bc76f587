// A daemon of several parts: a store, a poller that comes after it, a job, a check, settings and a command.
#include <perdure/app.hpp>

#include <fstream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

// [settings]
struct Settings {
  std::string device = "/dev/ttyS0";
  std::chrono::milliseconds period{1000};
  std::string token;
};

void describe(perdure::Fields& f, Settings& s) {
  f("device", s.device).flag("--device").help("where readings come from");
  f("period", s.period).range(10ms, 1h).env("THERMOD_PERIOD").flag("--period");
  f("token", s.token).secret();
}
// [/settings]

std::optional<double> read_sensor(const std::string& device) {
  double degrees = 0;
  return std::ifstream{device} >> degrees ? std::optional{degrees} : std::nullopt;
}

/// What the poller leaves and the store takes.
class Readings {
 public:
  void add(double degrees) {
    std::lock_guard lock{mutex_};
    waiting_.push_back(degrees);
  }
  std::vector<double> take() {
    std::lock_guard lock{mutex_};
    return std::exchange(waiting_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<double> waiting_;
};

int main(int argc, char** argv) {
  Readings readings;

  // [app]
  perdure::App app{{.name = "thermod", .version = "1.2.0", .description = "keeps an eye on the temperature"}};
  auto settings = app.config<Settings>();

  auto store = app.worker("store", [&](perdure::Context& ctx) {
    std::size_t count = 0;
    do count += readings.take().size();
    while (ctx.wait(20ms));
    ctx.log().info("store closed after {} readings", count + readings.take().size());
  });

  app.worker("poll",
             [&, settings](perdure::Context& ctx) {
               do {
                 const auto degrees = read_sensor(settings->device);
                 if (!degrees) throw std::runtime_error{"no reading from " + settings->device};
                 readings.add(*degrees);
               } while (ctx.wait(settings->period));
             },
             {.restart = perdure::Restart::Always, .stop_within = 2s, .heartbeat = 10s, .give_up_after = 100})
      .after(store);

  app.every(10min, "compact", [] { /* what is to be done now and then */ }, {.jitter = 0.1, .run_now = true});

  app.readiness("sensor", [settings] {
    return read_sensor(settings->device) ? perdure::Health::good() : perdure::Health::bad("it says nothing");
  });

  app.on_reload<Settings>([](const Settings& was, const Settings& now) -> perdure::Commit {
    if (now.device != was.device && !read_sensor(now.device)) throw perdure::Rejected{now.device + " says nothing"};
    return {};
  });

  app.command("sample", "take one reading", [settings](const perdure::Request&) {
    const auto degrees = read_sensor(settings->device);
    return degrees ? perdure::Reply::text(std::to_string(*degrees)) : perdure::Reply::error("the sensor says nothing");
  });

  return app.run(argc, argv);
  // [/app]
}
