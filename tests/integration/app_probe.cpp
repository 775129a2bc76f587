// An App that can be told to misbehave: --do=WORD chooses how.
#include <netinet/in.h>
#include <perdure/app.hpp>
#include <perdure/service.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using perdure::Context;
using perdure::Health;
using perdure::Restart;

namespace {

constexpr int hooks = 20;

struct Settings {
  int number = 1;
  int refusing_hook = -1;
  bool slow_hook = false;
  int double_of_it = 2;
  std::string act = "serve";
  std::chrono::milliseconds stop_within{5000};
  std::chrono::milliseconds start_within{30'000};
};

void describe(perdure::Fields& f, Settings& s) {
  f("number", s.number).range(0, 1'000'000);
  f("refusing_hook", s.refusing_hook);
  f("slow_hook", s.slow_hook);
  f("double_of_it", s.double_of_it);
  f("do", s.act).flag("--do");
  f("stop_within", s.stop_within).flag("--stop-within");
  f("start_within", s.start_within).flag("--start-within");
}

bool exists(const char* file) { return ::access(file, F_OK) == 0; }

/// Says when it begins and when it ends.
struct Loud {
  std::string name;
  void operator()(Context& ctx) const {
    ctx.log().info("{} up", name);
    while (ctx.wait(1h)) continue;
    ctx.log().info("{} down", name);
  }
};

void busy(Context& ctx) {
  ctx.ready();
  while (!exists("rest") && !ctx.stopping()) std::this_thread::yield();
  while (ctx.wait(1h)) continue;
}

void add_workers(perdure::App& app, const perdure::ConfigHandle<Settings>& settings, const std::string& act,
                 std::atomic<int>& runs) {
  auto fail = [&runs](Context& ctx) {
    const int run = ++runs;
    ctx.ready();
    throw std::runtime_error{"run " + std::to_string(run) + " broke"};
  };
  if (act == "serve" || act == "reload") {
    auto db = app.worker("db", Loud{"db"});
    auto cache = app.worker("cache", Loud{"cache"}).after(db);
    app.worker("poll", Loud{"poll"}).after(cache);
  } else if (act == "listen") {
    app.listen("web", "127.0.0.1:0");
    app.worker("server", [](Context& ctx) {
      sockaddr_in address{};
      socklen_t size = sizeof address;
      if (::getsockname(ctx.listener("web"), reinterpret_cast<sockaddr*>(&address), &size) == 0)
        ctx.log().info("listens on port {}", ntohs(address.sin_port));
      while (ctx.wait(1h)) continue;
    });
  } else if (act == "throw-once") {
    app.worker("sensor", [&runs, fail](Context& ctx) {
      if (runs == 0) fail(ctx);
      ctx.log().info("sensor works");
      while (ctx.wait(1h)) continue;
    });
  } else if (act == "throw-always") {
    app.worker("sensor", fail, {.delay = 5ms, .give_up_after = 3});
    app.worker("db", Loud{"db"});
  } else if (act == "throw-at-start") {
    app.worker("sensor", [](Context&) { throw std::runtime_error{"no such sensor"}; }, {.restart = Restart::Never});
  } else if (act == "throw-slowly") {
    app.worker("sensor", fail, {.delay = 1h, .jitter = 0});
  } else if (act == "return-3") {
    app.worker("sensor", [](Context&) { return 3; }, {.restart = Restart::Never});
  } else if (act == "finish") {
    app.worker("first", [](Context& ctx) { ctx.log().info("first done"); });
    app.worker("second", [](Context& ctx) { ctx.wait(10ms); });
    app.every(1h, "tick", [] {});
  } else if (act == "never-ready") {
    app.worker("slow", [](Context& ctx) {
      ctx.log().info("slow up");
      while (!ctx.stopping()) std::this_thread::yield();
      ctx.log().info("slow down");
    });
    app.worker("next", Loud{"next"});
  } else if (act == "many") {
    for (int i = 0; i < 64; ++i)
      app.worker("w" + std::to_string(i), [](Context& ctx) {
        while (ctx.wait(10ms)) continue;
      });
  } else if (act == "readers") {
    for (int i = 0; i < 64; ++i)
      app.worker("w" + std::to_string(i), [settings](Context& ctx) {
        while (ctx.wait(1ms)) {
          const auto now = settings.get();
          if (now->number != now->double_of_it / 2) throw std::logic_error{"two files at once"};
        }
      });
  } else if (act == "ignore-stop") {
    auto db = app.worker("db", Loud{"db"});
    app.worker("stubborn",
               [](Context& ctx) {
                 ctx.ready();
                 while (!exists("finish")) std::this_thread::sleep_for(1ms);  // not under test: a body that hangs
               },
               {.stop_within = 100ms})
        .after(db);
  } else if (act == "stuck") {
    app.worker("busy", busy, {.heartbeat = 150ms});
    app.worker("fine", Loud{"fine"}, {.heartbeat = 150ms});
  } else if (act == "token") {
    app.worker("token", [](const std::stop_token& stop) {
      while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);  // not under test: a body of the user's
    });
  } else if (act == "job") {
    app.every(10ms, "tick", [&runs] {
      if (++runs % 2 == 0) throw std::runtime_error{"an even run"};
    });
  } else if (act == "circle") {
    auto a = app.worker("a", Loud{"a"});
    auto b = app.worker("b", Loud{"b"}).after(a);
    a.after(b);
  } else if (act == "readiness") {
    app.worker("db", Loud{"db"});
    app.readiness("sensor", [] { return exists("sensor") ? Health::good() : Health::bad("the sensor is cold"); },
                  {.every = 20ms});
  } else if (act == "liveness") {
    app.worker("db", Loud{"db"});
    app.liveness("disk", [] { return exists("full") ? Health::bad("the disk is full") : Health::good(); }, {.every = 20ms});
  } else if (act == "slow-check") {
    app.worker("db", Loud{"db"});
    app.liveness("quick", [] { return Health::good(); }, {.every = 20ms, .within = 10s});
    app.liveness("disk",
                 [] {
                   while (exists("hang")) std::this_thread::sleep_for(1ms);
                   return Health::good();
                 },
                 {.every = 20ms, .within = 50ms});
  }
}

/// With nothing but what it must have.
class Plain : public perdure::Service {
  void run(Context& ctx) override {
    ctx.log().info("plain up");
    while (ctx.wait(1h)) continue;
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::string act = "serve";
  for (int i = 1; i < argc; ++i)
    if (const std::string word{argv[i]}; word.rfind("--do=", 0) == 0) act = word.substr(5);

  if (act == "service") {
    perdure::Config<Settings> config;
    return Plain{}.main(argc, argv, {.name = "app-probe", .config = config});
  }
  std::atomic<int> runs{0}, asked{0}, committed{0};
  perdure::ConfigHandle<Settings>* handle = nullptr;
  perdure::App app{{.name = "app-probe",
                    .configure =
                        [&](perdure::Options& o) {
                          o.stop_within = (*handle)->stop_within;
                          o.start_within = (*handle)->start_within;
                        },
                    .working_directory = std::getenv("PROBE_DIRECTORY")}};
  auto settings = app.config<Settings>();
  handle = &settings;
  for (int hook = 0; hook < hooks; ++hook) {
    app.on_reload<Settings>([&, hook](const Settings&, const Settings& now) -> perdure::Commit {
      ++asked;
      if (now.refusing_hook == hook) throw perdure::Rejected{"hook " + std::to_string(hook) + " will not have it"};
      while (now.slow_hook && hook == 0 && exists("hang")) std::this_thread::sleep_for(1ms);
      return [&committed]() noexcept { ++committed; };
    });
  }
  const auto number = [](int value) { return perdure::Reply::text(std::to_string(value)); };
  app.command("number", "show the number", [&, settings](const perdure::Request&) { return number(settings->number); });
  app.command("generation", "how many configurations were taken",
              [&, settings](const perdure::Request&) { return number(static_cast<int>(settings.generation())); });
  app.command("commits", "how many commits ran", [&](const perdure::Request&) { return number(committed); });
  app.command("runs", "how often it ran", [&](const perdure::Request&) { return number(runs); });
  add_workers(app, settings, act, runs);
  app.on_stop([] { (void)!::write(2, "stop hook\n", 10); });
  app.on_event([](const perdure::AppEvent& event) {
    const std::string line = std::string{"event: "} + perdure::name(event.kind) +
                             (event.name.empty() ? "" : " " + event.name) + (event.why.empty() ? "" : ": " + event.why) +
                             "\n";
    (void)!::write(2, line.data(), line.size());
  });
  return app.run(argc, argv);
}
