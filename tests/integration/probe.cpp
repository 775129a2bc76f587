// A daemon that can be told to misbehave: --do=WORD chooses how.
#include <fcntl.h>
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

struct Settings {
  int number = 1;
  int listener = 0;
  std::string secret = "nothing";
  std::string act = "serve";
  std::chrono::milliseconds within{5000};
  std::string hook = "accept";
  std::string health_file;
};

void describe(perdure::Fields& f, Settings& s) {
  f("number", s.number).range(0, 1'000'000);
  f("listener", s.listener).restart_only();
  f("secret", s.secret).secret();
  f("do", s.act).flag("--do");
  f("within", s.within).flag("--within");
  f("hook", s.hook);
  f("health_file", s.health_file).flag("--health-file").env("PROBE_HEALTH_FILE").restart_only();
}

[[noreturn]] void hang() {
  for (;;) ::pause();
}

int serve(perdure::Context& ctx, const Settings& settings) {
  const std::string& act = settings.act;
  if (act == "throw") throw std::runtime_error{"the sensor does not answer"};
  if (act == "crash") std::raise(SIGSEGV);
  if (act == "exit3") return 3;
  if (act == "exit-early") std::exit(0);
  if (act == "never-ready") hang();
  if (act == "finish") return 0;
  ctx.log().info("serving, number {}", settings.number);
  ctx.ready();
  if (act == "throw-later") {
    ctx.wait(20ms);
    throw std::runtime_error{"later"};
  }
  if (act == "exit-later") {
    ctx.wait(20ms);
    std::exit(5);
  }
  if (act == "ignore-stop") hang();
  if (act == "busy") {
    while (!ctx.stopping()) std::this_thread::yield();
    return 0;
  }
  if (act == "fork-exit") {
    const pid_t child = ::fork();
    if (child == 0) std::exit(0);  // what a program that is not of ours may do: run its exit handlers in a child
    int status = 0;
    ::waitpid(child, &status, 0);
    ctx.log().info("child ended with {}", status);
  }
  if (act == "run-twice") {
    char name[] = "probe";
    char* words[] = {name, nullptr};
    ctx.log().info("second run gave {}", perdure::run(1, words, {.name = "probe"}, [](perdure::Context&) {}));
  }
  if (act == "flood") {
    while (!ctx.stopping()) ctx.log().info("{}", std::string(1000, 'x'));
    return 0;
  }
  if (act == "allocate") {
    while (!ctx.stopping()) {
      std::vector<std::string> many;
      for (std::size_t i = 0; i < 100; ++i) many.emplace_back(100 * i, 'x');
      ctx.beat();
    }
    return 0;
  }
  if (act == "beat") {
    while (!ctx.stopping()) ctx.beat();
    return 0;
  }
  if (act == "token") {
    std::atomic<bool> told{false};
    const std::stop_callback tell{ctx.stop_token(), [&] { told = true; }};
    while (!told) std::this_thread::sleep_for(1ms);  // not under test: a body of the user's
    return 0;
  }
  if (act == "wait-until") {
    using Clock = std::chrono::steady_clock;
    for (const auto instant : {Clock::time_point::min(), Clock::time_point{}, Clock::now() - 1h, Clock::now() + 1ms})
      if (!ctx.wait_until(instant)) return 9;
    ctx.log().info("back from the past");
    return ctx.wait_until(Clock::time_point::max()) ? 9 : 0;
  }
  if (act == "stop-slowly") {
    while (ctx.wait(1h)) {
    }
    while (::access("finish", F_OK) != 0) ctx.beat();
    return 0;
  }
  if (act == "self-stop") {
    ctx.request_stop();
    while (ctx.wait(10s)) {
    }
    return ctx.stop_reason() == perdure::StopReason::Requested ? 0 : 9;
  }
  if (act == "stdio") {
    // What a careless program does: its output must not land in a file it opened later.
    const int fd = ::open("first.open", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ctx.log().info("first descriptor {}", fd);
    std::printf("to stdout\n");
    std::fflush(stdout);
  }
  if (act == "mask") {
    std::system("grep SigBlk /proc/self/status > child.mask");  // tidy: allow system - what a user's program may call
  }
  if (act == "threads") {
    std::vector<std::jthread> many;
    for (int i = 0; i < 64; ++i)
      many.emplace_back([](const std::stop_token& stop) {
        while (!stop.stop_requested()) std::this_thread::sleep_for(5ms);
      });
    while (ctx.wait(1h)) {
    }
    for (std::jthread& thread : many)
      thread.request_stop();  // all at once: the destructors would wait for one after another
    return 0;
  }
  while (ctx.wait(1h)) {
  }
  ctx.log().info("stopping, reason {}", static_cast<int>(ctx.stop_reason()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::jthread early;
  for (int i = 1; i < argc; ++i)
    if (std::strcmp(argv[i], "--do=early-thread") == 0)
      early = std::jthread{[](const std::stop_token& stop) {
        while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
      }};

  perdure::Config<Settings> config;
  config.on_reload([](const Settings&, const Settings& now) -> perdure::Commit {
    if (now.hook == "refuse") throw perdure::Rejected{"the hook will not have it"};
    if (now.hook == "throw") throw std::runtime_error{"the hook broke"};
    if (now.hook == "slow") std::this_thread::sleep_for(300ms);
    return {};
  });
  perdure::Options options{
      .name = "probe",
      .version = "0.0.1",
      .description = "a daemon that misbehaves on request",
      .config = config,
      .commands = {{.name = "number",
                    .help = "show the number",
                    .answer = [&](const perdure::Request&) { return perdure::Reply::text(std::to_string(config->number)); }},
                   {.name = "generation",
                    .help = "how many configurations were taken",
                    .answer =
                        [&](const perdure::Request&) { return perdure::Reply::text(std::to_string(config.generation())); }},
                   {.name = "boom",
                    .help = "throw",
                    .answer = [](const perdure::Request&) -> perdure::Reply { throw std::runtime_error{"boom"}; }},
                   {.name = "slow",
                    .help = "answer too late",
                    .answer =
                        [](const perdure::Request&) {
                          std::this_thread::sleep_for(400ms);
                          return perdure::Reply::text("late");
                        },
                    .within = 100ms}},
      .configure =
          [&](perdure::Options& o) {
            o.start_within = config->within;
            o.health_file.path = config->health_file;
          },
      .before_start = [&](perdure::Options& o) -> perdure::Result<void> {
        if (const char* beat = std::getenv("PROBE_HEARTBEAT_MS")) o.heartbeat = std::chrono::milliseconds{std::atoi(beat)};
        if (const char* stop = std::getenv("PROBE_STOP_MS")) o.stop_within = std::chrono::milliseconds{std::atoi(stop)};
        return {};
      },
      .on_user_signal = [] { std::ofstream{"user.signal"} << "heard\n"; },
      .on_stop = {[] {
                    std::ofstream{"stop.order", std::ios::app} << "first\n";
                  },
                  [] {
                    std::ofstream{"stop.order", std::ios::app} << "second\n";
                  }},
  };
  if (std::getenv("PROBE_EXIT_IN_HOOK") != nullptr) options.on_stop.emplace_back([] { std::exit(6); });
  if (std::getenv("PROBE_WATCH") != nullptr) options.watch_config = true;
  if (std::getenv("PROBE_DIRECTORY") != nullptr) options.working_directory = std::getenv("PROBE_DIRECTORY");
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) { return serve(ctx, *config.get()); });
}
