// Are the times kept that the documents name: how long a stop takes, how soon a hang is noticed, a job picked up?
//
// No test asserts a short time (machines are shared), so these are here. Where the documents' own program is a program of ours
// (examples/documents), it is the one that is measured; the rest is in the documents' words.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <random>
#include <string>
#include <thread>

#include "measure.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/perdure.hpp"
#include "processes.hpp"

using namespace std::chrono_literals;

namespace {

constexpr double ms = 1e6, s = 1e9;
constexpr std::int64_t hang_limit_ns = std::int64_t{bench::hang_limit_ms} * 1'000'000;
enum class Said : char { Ready, Hangs, Noticed };

/// The one process that a start left to us, beside those that were ours before.
pid_t adopted(const std::vector<pid_t>& before) {
  std::vector<pid_t> now = bench::children_of(::getpid());
  std::erase_if(now, [&](pid_t pid) { return std::count(before.begin(), before.end(), pid) != 0; });
  if (now.size() != 1) throw std::runtime_error("the daemon is not one process");
  return now.front();
}

/// A compat daemon whose worker does `work`, from SIGTERM to the end of its parent.
template <class Work>
std::int64_t compat_stop_ns(std::chrono::milliseconds timeout, int wait_ms, const Work& work) {
  const bench::Line line;
  const std::vector<pid_t> before = bench::children_of(::getpid());
  const bench::Target first = bench::fork_running([&] {
    std::string name = "deadlines-bench";
    std::array<char*, 2> argv{name.data(), nullptr};
    atom::async::setStopTimeout(timeout);
    atom::async::DaemonGuard daemon;
    return daemon.startDaemon(
        1, argv.data(),
        [&](int, char**) {
          line.send(Said::Ready);
          return work();
        },
        true);
  });
  (void)line.receive<Said>();
  (void)first.wait();
  const bench::Target parent{adopted(before)};
  bench::pause_ms(wait_ms);
  const std::int64_t begin = bench::now_ns();
  parent.stop();
  return bench::now_ns() - begin;
}

/// Deaf to SIGTERM: at the timeout it is killed.
void stop_timeout(int rounds, bench::Report& report) {
  bench::Samples samples;
  for (int round = 0; round < rounds; ++round) {
    samples.add(compat_stop_ns(1s, 0, [] {
      sigset_t term;
      sigemptyset(&term);
      sigaddset(&term, SIGTERM);
      (void)::sigprocmask(SIG_BLOCK, &term, nullptr);
      for (;;) ::pause();
      return 0;
    }));
  }
  report.row({.what = "a compat worker deaf to SIGTERM, stop timeout 1 s: to its end",
              .claimed = "± 0.2 s",
              .must_reach = "0.8 to 1.2 s",
              .measured = fmt::format("{} to {}", bench::duration(samples.min()), bench::duration(samples.max())),
              .verdict = bench::verdict(samples.min() >= 0.8 * s && samples.max() <= 1.2 * s)});
}

/// The documents' loop: look at a flag, sleep a second.
void loop_of_a_second(int rounds, bench::Report& report) {
  std::minstd_rand chance{1};
  bench::Samples samples;
  for (int round = 0; round < rounds; ++round) {
    samples.add(compat_stop_ns(5s, static_cast<int>(chance() % 1000), [] {
      (void)atom::async::registerSignalHandlers();
      while (!atom::async::stopRequested()) std::this_thread::sleep_for(1s);
      return 0;
    }));
  }
  report.row({.what = "SIGTERM to a compat daemon that looks once a second: to its end",
              .claimed = "1.1 s",
              .must_reach = "<= 1.1 s",
              .measured = fmt::format("at most {}", bench::duration(samples.max())),
              .verdict = bench::verdict(samples.max() <= 1.1 * s)});
}

void start_with_descriptors(int rounds, bench::Report& report) {
  rlimit limit{};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit before = limit;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  bench::Samples samples;
  std::size_t leaked = 0;
  {
    std::vector<perdure::UniqueFd> open;
    for (int i = 0; i < 1'000; ++i) {
      open.emplace_back(::open("/dev/null", O_RDONLY));
      if (!open.back()) bench::fail("open 1,000 files");
    }
    const bench::Directory directory{bench::memory_base()};
    for (int round = 0; round < rounds; ++round) {
      const bench::Detached started = bench::start_detached(
          {.command = {bench::sibling("run_daemon"), "--daemon", "--pid-file", directory / "pid", "--control", "none"}});
      samples.add(started.first_process_ns);
      leaked = std::max(leaked, bench::descriptors_of(started.daemon.pid()).size());
      started.daemon.stop();
    }
  }
  (void)::setrlimit(RLIMIT_NOFILE, &before);
  report.row({.what = fmt::format("start with 1,000 inherited descriptors, RLIMIT_NOFILE {}", limit.rlim_max),
              .claimed = "< 50 ms",
              .must_reach = "< 50 ms, none kept",
              .measured = fmt::format("{}, {} descriptors in the daemon", bench::median_and(samples, 95), leaked),
              .verdict = bench::verdict(samples.percentile(95) < 50 * ms && leaked < 20)});
}

void hang_is_noticed(int rounds, bench::Report& report) {
  constexpr auto heartbeat = 500ms;
  bench::Samples samples;
  for (int round = 0; round < rounds; ++round) {
    const bench::Directory directory{bench::memory_base()};
    const bench::Line line;
    const bench::Target daemon = bench::fork_running([&] {
      std::string name = "deadlines-bench";
      char* argv[] = {name.data(), nullptr};
      const perdure::Options options{.name = name,
                                     .verbs = perdure::Verbs::Off,
                                     .pid_file = directory / "pid",
                                     .control = "none",
                                     .log = {.target = perdure::LogTarget::None},
                                     .heartbeat = heartbeat};
      return perdure::run(1, argv, options, [&](perdure::Context& ctx) {
        ctx.log().add_target([&](const perdure::LogLine& said) -> perdure::Result<void> {
          if (said.text.find("counts as stuck") != std::string_view::npos) line.send(Said::Noticed);
          return {};
        });
        (void)ctx.wait(100ms);
        line.send(Said::Hangs);
        for (;;) ::pause();
      });
    });
    (void)line.receive<Said>();
    const std::int64_t begin = bench::now_ns();
    (void)line.receive<Said>();
    samples.add(bench::now_ns() - begin);
    daemon.signal(SIGKILL);
    (void)daemon.wait();
  }
  report.row({.what = "a body that hangs is noticed, heartbeat 0.5 s",
              .claimed = "timeout + 1 s",
              .must_reach = "<= 1.5 s",
              .measured = fmt::format("{} to {}", bench::duration(samples.min()), bench::duration(samples.max())),
              .verdict = bench::verdict(samples.max() <= 1.5 * s)});
}

perdure::UniqueFd connect_to(int port) {
  perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

#ifdef BENCH_WEB_SERVER
/// A request of which half has come when SIGTERM does; the other half comes then.
void request_in_flight(int rounds, bench::Report& report) {
  bench::Samples samples;
  int answered = 0;
  for (int round = 0; round < rounds; ++round) {
    const bench::Directory directory{bench::memory_base()};
    const std::string log = directory / "log";
    const bench::Target server{bench::spawn({.command = {BENCH_WEB_SERVER, "--foreground", "--port=0", "--pid-file",
                                                         directory / "pid", "--control=none", "--log-file", log}})};
    int port = 0;
    for (const std::int64_t end = bench::now_ns() + hang_limit_ns; port == 0; bench::pause_ms(5)) {
      if (bench::now_ns() > end) throw std::runtime_error("the web server does not listen");
      const std::string said = bench::read_all(log);
      const std::string before = "listening on 127.0.0.1:";
      if (const auto at = said.find(before); at != said.npos)
        std::from_chars(said.data() + at + before.size(), said.data() + said.size(), port);
    }
    const perdure::UniqueFd client = connect_to(port);
    (void)!::send(client.get(), "GET /status HTTP/1.1\r\n", 22, MSG_NOSIGNAL);
    bench::pause_ms(50);
    const std::int64_t begin = bench::now_ns();
    server.signal(SIGTERM);
    bench::pause_ms(20);
    (void)!::send(client.get(), "\r\n", 2, MSG_NOSIGNAL);
    std::string answer(1024, '\0');
    const ssize_t size = ::recv(client.get(), answer.data(), answer.size(), 0);
    answered += size > 0 && answer.find("200 OK") != answer.npos ? 1 : 0;
    (void)server.wait();
    samples.add(bench::now_ns() - begin);
  }
  report.row({.what = "SIGTERM to the web server with a request in flight: to its end",
              .claimed = "< 1 s",
              .must_reach = "< 1 s, all answered",
              .measured = fmt::format("{}, {} of {} answered", bench::median_and(samples, 95), answered, rounds),
              .verdict = bench::verdict(samples.max() < 1 * s && answered == rounds)});
}
#endif

#ifdef BENCH_QUEUE_SERVICE
/// With the documents' tick of 3 s.
void queue_service(int rounds, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  const std::string log = directory / "log", queue = directory / "queue", health = directory / "health";
  const bench::Target service{
      bench::spawn({.command = {BENCH_QUEUE_SERVICE, "--foreground", "--pid-file=" + (directory / "pid"),
                                "--control=" + (directory / "control"), "--log-file=" + log, "--queue-file=" + queue,
                                "--health-file=" + health}})};
  struct stat status {};
  for (const std::int64_t end = bench::now_ns() + hang_limit_ns; ::stat(health.c_str(), &status) != 0; bench::pause_ms(5))
    if (bench::now_ns() > end) throw std::runtime_error("the queue service writes no health file");
  std::minstd_rand chance{1};
  bench::Samples picked_up;
  double oldest = 0;
  for (int round = 0; round < rounds; ++round) {
    bench::pause_ms(static_cast<int>(chance() % 3000));
    std::ofstream{queue, std::ios::app} << "job " << round << std::endl;
    const std::int64_t begin = bench::now_ns();
    struct stat now {};
    for (; ::stat(queue.c_str(), &now) == 0 && now.st_size > 0; bench::pause_ms(1)) {
      timespec wall{};
      (void)::clock_gettime(CLOCK_REALTIME, &wall);
      if (::stat(health.c_str(), &status) == 0)
        oldest = std::max(oldest, static_cast<double>(wall.tv_sec - status.st_mtim.tv_sec) +
                                      static_cast<double>(wall.tv_nsec - status.st_mtim.tv_nsec) / 1e9);
    }
    picked_up.add(bench::now_ns() - begin);
  }
  service.stop();
  report.row({.what = "the queue service, tick 3 s: a job in the file is picked up",
              .claimed = "<= 3.2 s",
              .must_reach = "<= 3.2 s",
              .measured = fmt::format("at most {}", bench::duration(picked_up.max())),
              .verdict = bench::verdict(picked_up.max() <= 3.2 * s)});
  report.row({.what = "the same: age of its health file while it lives",
              .claimed = "<= 4 s",
              .must_reach = "<= 4 s",
              .measured = fmt::format("at most {:.2f} s", oldest),
              .verdict = bench::verdict(oldest <= 4)});
}
#endif

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const int rounds = arguments.rounds_or(arguments.long_run ? 30 : 10);
  stop_timeout(rounds, report);
  loop_of_a_second(rounds, report);
  start_with_descriptors(rounds * 5, report);
  hang_is_noticed(rounds, report);
#ifdef BENCH_WEB_SERVER
  request_in_flight(rounds * 2, report);
#endif
#ifdef BENCH_QUEUE_SERVICE
  queue_service(rounds, report);
#endif
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
