// A host: the daemon is the one that ships, and time goes as the test wants.
#include "perdure/testing/host.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/settings.hpp"
#include "perdure/testing/process.hpp"

namespace perdure::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct Settings {
  std::chrono::milliseconds period{60'000};
};
void describe(Fields& f, Settings& s) { f("period", s.period).flag("--period").range(1ms, 24h); }

void rest(Context& ctx) { ctx.wait_fds({}, -1ns); }

long count_of(const std::vector<std::string>& all, const std::string& what) {
  return std::count(all.begin(), all.end(), what);
}

TEST(Host, AnHourOfAWorkersWaitsIsSixtyRounds) {
  App app{{.name = "probe"}};
  std::atomic<int> rounds{0};
  app.worker("poll", [&](Context& ctx) {
    while (ctx.wait(1min)) ++rounds;
  });
  Host host{app};
  EXPECT_TRUE(host.is_ready()) << host.why_not_ready();
  EXPECT_EQ(rounds, 0);
  host.advance(59s);
  EXPECT_EQ(rounds, 0);
  host.advance(1s);
  EXPECT_EQ(rounds, 1);
  host.advance(59min);
  EXPECT_EQ(rounds, 60);
  EXPECT_EQ(host.elapsed(), 1h);
  EXPECT_EQ(host.stop(), 0);
  EXPECT_EQ(host.stop(), 0) << "and again";
  EXPECT_THAT(host.notified(), ElementsAre("READY=1\nSTATUS=serving", "STOPPING=1\nSTATUS=stopping"));
}

TEST(Host, AYearOfJobs) {
  App app{{.name = "probe"}};
  std::atomic<int> daily{0};
  app.worker("rest", rest);
  app.every(24h, "daily", [&] { ++daily; });
  Host host{app};
  host.advance(365 * 24h);
  EXPECT_EQ(daily, 365);
}

TEST(Host, AWorkerThatFailsIsRestartedAfterItsPausesAndGivenUp) {
  App app{{.name = "probe"}};
  std::atomic<int> starts{0};
  app.worker("fails",
             [&](Context& ctx) {
               ++starts;
               ctx.ready();
               throw std::runtime_error{"the bus is gone"};
             },
             {.delay = 1s, .delay_max = 1min, .jitter = 0, .give_up_after = 4, .within = 1h});
  Host host{app};
  EXPECT_EQ(starts, 1);
  host.advance(999ms);
  EXPECT_EQ(starts, 1);
  host.advance(1ms);
  EXPECT_EQ(starts, 2);
  host.advance(2s);
  EXPECT_EQ(starts, 3);
  EXPECT_EQ(host.exit_code(), std::nullopt);
  host.advance(4s);
  EXPECT_EQ(starts, 4);
  EXPECT_EQ(host.exit_code(), 70) << host.log();
  EXPECT_THAT(host.log(),
              HasSubstr("CRITICAL worker \"fails\" was started 4 times within 3600000 ms and is given up: the bus "
                        "is gone; the process stops"));
  EXPECT_EQ(host.ask("status").message, "the daemon has ended");
}

TEST(Host, AReloadIsATransaction) {
  App app{{.name = "probe"}};
  const auto settings = app.config<Settings>();
  std::atomic<int> rounds{0};
  app.worker("poll", [&](Context& ctx) {
    while (ctx.wait(settings->period)) ++rounds;
  });
  Host host{app, {.config = "period = 10s\n"}};
  host.advance(1min);
  EXPECT_EQ(rounds, 6);
  const Reply refused = host.reload("period = soon\n");
  EXPECT_FALSE(refused.ok);
  EXPECT_THAT(refused.message, HasSubstr("period"));
  EXPECT_EQ(settings->period, 10s);
  EXPECT_EQ(host.reload("period = 1s\n").message, "OK");
  EXPECT_EQ(settings->period, 1s);
  host.advance(10s);  // the wait that has begun lasts as long as it was to last
  EXPECT_EQ(rounds, 7);
  host.advance(5s);
  EXPECT_EQ(rounds, 12);
}

TEST(Host, TheCommandLineAndABadFileAreTakenAsEver) {
  App app{{.name = "probe"}};
  const auto settings = app.config<Settings>();
  app.worker("rest", rest);
  Host host{app, {.arguments = {"--period", "5s"}, .config = "period = 10s\n"}};
  EXPECT_EQ(settings->period, 5s);

  App other{{.name = "probe"}};
  (void)other.config<Settings>();
  other.worker("rest", rest);
  try {
    Host refused{other, {.config = "priod = 10s\n"}};
    FAIL() << "it was not refused";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("priod"));
    EXPECT_THAT(error.what(), HasSubstr("nothing was started"));
  }
}

TEST(Host, TheWatchdogIsFedAsLongAsEverybodyMakesProgress) {
  App app{{.name = "probe"}};
  Host* hosted = nullptr;
  std::atomic<bool> is_stuck{false};
  app.worker("poll", [&](Context& ctx) {
    while (ctx.wait(1s))
      if (is_stuck.exchange(false)) hosted->hang();
  });
  Host host{app, {.watchdog = 10s}};
  hosted = &host;
  host.advance(1min);
  const long pings = count_of(host.notified(), "WATCHDOG=1");
  EXPECT_GE(pings, 12);
  EXPECT_EQ(host.ask("health").message, "healthy");

  is_stuck = true;
  host.advance(30s);
  const long pings_then = count_of(host.notified(), "WATCHDOG=1");
  EXPECT_THAT(host.log(), HasSubstr("worker \"poll\" (thread "));
  EXPECT_THAT(host.log(), HasSubstr("it counts as stuck"));
  EXPECT_THAT(host.ask("health").message, HasSubstr("stuck: worker \"poll\" has not made progress in time"));
  host.advance(1h);
  EXPECT_EQ(count_of(host.notified(), "WATCHDOG=1"), pings_then);

  host.release();
  host.advance(1min);
  EXPECT_GT(count_of(host.notified(), "WATCHDOG=1"), pings_then);
  EXPECT_EQ(host.stop(), 0);
}

TEST(Host, ABodyThatDoesNotStopIsEndedByForceAndNamed) {
  App app{{.name = "probe", .stop_within = 20s}};
  Host* hosted = nullptr;
  app.worker("sluggish", [&](Context& ctx) {
    rest(ctx);
    hosted->hang();
  });
  Host host{app};
  hosted = &host;
  host.signal(SIGTERM);
  EXPECT_EQ(host.exit_code(), std::nullopt);
  host.advance(10s);
  EXPECT_THAT(host.log(), HasSubstr("has not stopped within 10000 ms"));
  EXPECT_EQ(host.exit_code(), std::nullopt);
  host.advance(10s);
  EXPECT_EQ(host.exit_code(), 70);
  EXPECT_THAT(host.log(), HasSubstr("did not end within 20000 ms: ended by force"));
  EXPECT_EQ(host.stop(), 70);
}

TEST(Host, AThreadInARealCallIsNamed) {
  App app{{.name = "probe"}};
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  app.worker("reads", [&](Context& ctx) {
    ctx.wait(1s);
    char byte;
    (void)!::read(ends[0], &byte, 1);
    rest(ctx);
  });
  Host host{app, {.patience = 1s}};
  try {
    host.advance(1s);
    ADD_FAILURE() << "it came to rest";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did not come to rest within 1 s"));
    EXPECT_THAT(error.what(), HasSubstr("\"reads\" (thread "));
  }
  ::close(ends[1]);
  host.settle();
  EXPECT_EQ(host.stop(), 0);
  ::close(ends[0]);
}

TEST(Host, AThreadThatBlocksFromTheStartIsNamedToo) {
  App app{{.name = "probe"}};
  app.worker("blocks", [](const std::stop_token& stop) {  // a wait that the host's clock knows nothing of
    std::mutex mutex;
    std::unique_lock lock{mutex};
    std::condition_variable_any{}.wait(lock, stop, [] { return false; });
  });
  try {
    Host host{app, {.patience = 1s}};
    ADD_FAILURE() << "it came to rest";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"blocks\" (thread "));
  }
}

TEST(Host, WhatIsQueuedBehindWhoHangsDoesNotHoldUpTime) {
  App app{{.name = "probe"}};
  Host* hosted = nullptr;
  std::atomic<bool> hangs{false};
  std::atomic<int> asked{0};
  app.worker("rest", rest);
  app.readiness("first",
                [&] {
                  if (hangs.exchange(false)) hosted->hang();
                  return Health::good();
                },
                {.every = 10s});
  app.readiness("second", [&] { return ++asked, Health::good(); }, {.every = 10s});
  Host host{app};
  hosted = &host;
  hangs = true;
  host.advance(1min);
  EXPECT_FALSE(host.is_ready()) << "the check that hangs has failed";
  const int before = asked;
  host.release();
  host.advance(1min);
  EXPECT_GT(asked, before);
  EXPECT_TRUE(host.is_ready()) << host.why_not_ready();
}

TEST(Host, AReloadThatHangsDoesNotComeAndIsSaidSo) {
  App app{{.name = "probe"}};
  Host* hosted = nullptr;
  (void)app.config<Settings>();
  app.on_reload<Settings>([&](const Settings&, const Settings&) -> Commit {
    hosted->hang();
    return {};
  });
  app.worker("ticks", [](Context& ctx) {
    while (ctx.wait(1h)) continue;
  });
  Host host{app};
  hosted = &host;
  EXPECT_THROW(host.reload("period = 1s\n"), std::runtime_error);
  host.release();
  EXPECT_EQ(host.stop(), 0);
}

TEST(Host, InstantsAreThoseOfItsClock) {
  App app{{.name = "probe"}};
  std::atomic<int> rounds{0};
  app.worker("poll", [&](Context& ctx) {
    for (auto next = ctx.now() + 1h; ctx.wait_until(next); next += 1h) ++rounds;
  });
  Host host{app};
  EXPECT_EQ(rounds, 0);
  host.advance(5h);
  EXPECT_EQ(rounds, 5);
}

TEST(Host, ASignalAndThenStopAreOneRequest) {
  App app{{.name = "probe", .stop_within = 20s}};
  Host* hosted = nullptr;
  app.worker("slow", [&](Context& ctx) {
    rest(ctx);
    hosted->hang();
  });
  Host host{app};
  hosted = &host;
  host.signal(SIGTERM);
  host.release();
  EXPECT_EQ(host.stop(), 0) << host.log();
}

TEST(Host, WhoWritesToAClosedClientHearsOfItAndTheTestGoesOn) {
  App app{{.name = "probe"}};
  std::atomic<int> error{0};
  app.worker("writes", [&](Context& ctx) {
    int ends[2];
    if (::pipe(ends) != 0) return;
    ::close(ends[0]);
    if (::write(ends[1], "x", 1) < 0) error = errno;
    ::close(ends[1]);
    rest(ctx);
  });
  Host host{app};
  EXPECT_EQ(error, EPIPE);
}

/// Of two that wait for one connection only one gets it, and the other goes on waiting.
TEST(Host, TimeStandsStillUntilBothWhoWaitedForOneConnectionWaitAgain) {
  App app{{.name = "probe"}};
  app.listen("tcp", "127.0.0.1:0");
  std::atomic<int> accepted{0}, ticks{0};
  const auto serve = [&](Context& ctx) {
    pollfd set{ctx.listener("tcp"), POLLIN, 0};
    for (int count = 0; (count = ctx.wait_fds({&set, 1}, 1h)) >= 0;) {
      if (count == 0) ++ticks;
      const UniqueFd client{count > 0 ? ::accept4(set.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1};
      if (client) ++accepted;
    }
  };
  app.worker("one", serve);
  app.worker("two", serve);
  Host host{app};
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(host.listener("tcp"), reinterpret_cast<sockaddr*>(&address), &size), 0);
  for (int round = 1; round <= 50; ++round) {
    const UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    host.advance(1min);
    EXPECT_EQ(accepted, round);
  }
  EXPECT_EQ(ticks, 0) << "an hour without a connection has not passed for anybody";
}

TEST(Host, ChecksAreAskedByItsClock) {
  App app{{.name = "probe"}};
  std::atomic<bool> is_connected{false};
  app.worker("rest", rest);
  app.readiness("database", [&] { return is_connected ? Health::good() : Health::bad("no connection"); }, {.every = 10s});
  Host host{app};
  EXPECT_THAT(host.why_not_ready(), HasSubstr("check \"database\" has not passed: no connection"));
  EXPECT_THAT(host.notified(), IsEmpty());
  is_connected = true;
  host.advance(200ms);
  EXPECT_TRUE(host.is_ready());
  EXPECT_THAT(host.notified(), ElementsAre(StartsWith("READY=1")));
  is_connected = false;
  host.advance(10s);
  EXPECT_FALSE(host.is_ready());
}

TEST(Host, AStartThatTakesTooLongHasFailed) {
  App app{{.name = "probe", .start_within = 30s}};
  app.worker("rest", rest);
  app.readiness("never", [] { return Health::bad("not today"); });
  Host host{app};
  host.advance(30s);
  EXPECT_EQ(host.exit_code(), 70);
  EXPECT_THAT(host.log(), HasSubstr("not ready within 30000 ms: check \"never\" has not passed: not today"));
}

TEST(Host, CommandsAreAnsweredAndTimeOutByItsClock) {
  App app{{.name = "probe"}};
  Host* hosted = nullptr;
  app.worker("rest", rest);
  app.command("echo", "says it again", [](const Request& request) { return Reply::text(request.text); });
  app.command("hang", "never", [&](const Request&) {
    hosted->hang();
    return Reply::text("");
  });
  Host host{app};
  hosted = &host;
  EXPECT_EQ(host.ask("echo", "hello").message, "hello");
  EXPECT_EQ(host.ask("echoes").message, Reply::unknown().message);
  EXPECT_THAT(host.ask("status").message, HasSubstr("probe"));
  EXPECT_EQ(host.ask("upgrade").message, "upgrade refused: a host has no process to replace");
  EXPECT_EQ(host.elapsed(), 0s);
  EXPECT_EQ(host.ask("hang").message, "timed out: no answer within 5000 ms");
  EXPECT_EQ(host.elapsed(), 5s);
}

TEST(Host, SocketsAreReal) {
  App app{{.name = "probe"}};
  app.listen("tcp", "127.0.0.1:0");
  std::atomic<int> accepted{0};
  app.worker("serve", [&](Context& ctx) {
    pollfd set{ctx.listener("tcp"), POLLIN, 0};
    while (ctx.wait_fds({&set, 1}, 1h) >= 0) {
      if (set.revents == 0) continue;
      const UniqueFd client{::accept4(set.fd, nullptr, nullptr, SOCK_CLOEXEC)};
      if (client) ++accepted;
    }
  });
  Host host{app};
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(host.listener("tcp"), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(host.listener("udp"), -1);
  const UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  host.settle();
  EXPECT_EQ(accepted, 1);
}

TEST(Host, WhatIsNotDoneIsSaidAndNothingOfTheMachineIsTouched) {
  App app{
      {.name = "probe", .mode = Mode::Detached, .health_file = {.path = "/run/probe.health"}, .rights = {.user = "nobody"}}};
  app.worker("rest", rest);
  std::string directory;
  {
    Host host{app};
    directory = host.directory();
    EXPECT_THAT(host.left_out(), ElementsAre("detaching", HasSubstr("nobody")));
    EXPECT_TRUE(read_file(directory + "/probe.health"));
    EXPECT_FALSE(read_file("/run/probe.health"));
  }
  EXPECT_NE(::access(directory.c_str(), F_OK), 0);
}

TEST(Host, SeveralAreThereAtOnceEachWithItsOwnTime) {
  App a{{.name = "a"}}, b{{.name = "b"}};
  std::atomic<int> rounds_a{0}, rounds_b{0};
  a.worker("poll", [&](Context& ctx) {
    while (ctx.wait(1s)) ++rounds_a;
  });
  b.worker("poll", [&](Context& ctx) {
    while (ctx.wait(1s)) ++rounds_b;
  });
  Host first{a}, second{b};
  first.advance(5s);
  second.advance(3s);
  EXPECT_EQ(rounds_a, 5);
  EXPECT_EQ(rounds_b, 3);
}

TEST(Host, ABodyOfRunIsHostedToo) {
  std::atomic<int> rounds{0}, hups{0};
  Options options{.name = "probe", .on_reload = [&](const Reloaded& how) { hups += how.by_signal ? 1 : 0; }};
  Host host{options, [&](Context& ctx) {
              while (ctx.wait(1s)) ++rounds;
              return ctx.stop_reason() == StopReason::Term ? 3 : 4;
            }};
  host.advance(3s);
  EXPECT_EQ(rounds, 3);
  host.signal(SIGHUP);
  EXPECT_EQ(hups, 1);
  EXPECT_EQ(host.stop(), 3);
}

TEST(Host, AnAppIsHostedOnce) {
  App app{{.name = "probe"}};
  app.worker("rest", rest);
  Host host{app};
  EXPECT_THROW(Host{app}, std::runtime_error);
}

}  // namespace
}  // namespace perdure::testing
