// What does a whole daemon cost beside a bare epoll loop, with 3,000 clients? How many lines a second does it send back, how long does
// the unluckiest hundredth wait, how much memory do its clients take?
//
// Both servers run side by side, each with 3,000 clients of this process: 2,000 are idle, 1,000 ask and ask again as soon as they have
// their answer. They take turns; the ratio is the median of the rounds' ratios. daemon_server is the program of examples/documents with its
// sandbox, its limits and its memory pool, and finds the lines in what it reads; the loop sends back what it reads.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <vector>

#include "measure.hpp"
#include "processes.hpp"

namespace {

constexpr int idle_clients = 2'000, active_clients = 1'000, questions_a_round = 200'000;
constexpr std::size_t line_size = 64;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

int free_port() {
  const perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    bench::fail("find a free port");
  return ntohs(address.sin_port);
}

perdure::UniqueFd connected(int port) {
  const sockaddr_in to = loopback(port);
  const int on = 1;
  perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fd.reset();
  return fd;
}

/// A server with its clients.
class Contender {
 public:
  Contender(std::vector<std::string> command, int port) : server_(bench::spawn({.command = std::move(command)})) {
    const std::int64_t limit = bench::now_ns() + std::int64_t{bench::hang_limit_ms} * 1'000'000;
    for (perdure::UniqueFd first; !(first = connected(port)); bench::pause_ms(5))
      if (bench::now_ns() > limit) throw std::runtime_error("a server does not listen");
    for (int i = 0; i < idle_clients; ++i) {
      idle_.push_back(connected(port));
      if (!idle_.back()) bench::fail("connect an idle client");
    }
    for (int i = 0; i < active_clients; ++i) {
      active_.push_back({connected(port), 0, 0});
      epoll_event event{.events = EPOLLIN, .data = {.u32 = static_cast<std::uint32_t>(i)}};
      if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, active_.back().fd.get(), &event) != 0) bench::fail("watch a client");
    }
  }
  /// Lines a second.
  double round(bench::Samples& waited) {
    int asked = 0, answered = 0;
    const std::int64_t begun = bench::now_ns();
    for (Client& client : active_) asked += ask(client);
    for (std::array<epoll_event, 256> events; answered < asked;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), 256, bench::hang_limit_ms);
      if (count <= 0) throw std::runtime_error("a server does not answer");
      for (int i = 0; i < count; ++i) {
        Client& client = active_[events[static_cast<std::size_t>(i)].data.u32];
        if (!hear(client)) continue;
        ++answered;
        waited.add(bench::now_ns() - client.asked_at);
        if (asked < questions_a_round) asked += ask(client);
      }
    }
    answered_ += answered;
    return answered * 1e9 / static_cast<double>(bench::now_ns() - begun);
  }
  [[nodiscard]] long rss_kib() const { return bench::rss_kib(server_); }
  /// Microseconds of a processor that the server had for each line since it was started.
  [[nodiscard]] double processor_us() const {
    const double seconds =
        static_cast<double>(bench::activity_of(server_).cpu_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    return seconds * 1e6 / static_cast<double>(answered_);
  }

 private:
  struct Client {
    perdure::UniqueFd fd;
    std::int64_t asked_at;
    std::size_t heard;
  };
  static int ask(Client& client) {
    static const std::string line = std::string(line_size - 1, 'x') + '\n';
    client.asked_at = bench::now_ns();
    if (::send(client.fd.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
      bench::fail("ask a server");
    return 1;
  }
  /// True once the answer is there as a whole.
  static bool hear(Client& client) {
    std::array<char, 4096> buffer;
    const ssize_t count = ::recv(client.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count <= 0) bench::fail("hear a server");
    client.heard += static_cast<std::size_t>(count);
    if (client.heard < line_size) return false;
    client.heard = 0;
    return true;
  }

  pid_t server_;
  std::int64_t answered_ = 0;
  perdure::UniqueFd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  std::vector<perdure::UniqueFd> idle_;
  std::vector<Client> active_;
};

void measure(const bench::Arguments& arguments, bench::Report& report) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  if (limit.rlim_max < 6'200 || ::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    throw std::runtime_error("6,200 descriptors are needed: ulimit -Hn");
  const bench::Directory directory{bench::memory_base()};
  const int port = free_port(), bare_port = free_port();
  Contender ours{
      {bench::sibling("daemon_server"), "--foreground", "--port=" + std::to_string(port), "--max-connections=3001",
       "--pid-file=" + (directory / "pid"), "--control=none", "--log-file=" + (directory / "log")},
      port};
  Contender bare{{bench::sibling("bare_server"), std::to_string(bare_port)}, bare_port};

  bench::Samples warm_up, waited, bare_waited, speed, bare_speed, ratio;
  ours.round(warm_up);
  bare.round(warm_up);
  const int rounds = arguments.rounds_or(arguments.long_run ? 40 : 15);
  for (int i = 0; i < rounds; ++i) {
    const bool is_first = i % 2 == 0;
    const double one = is_first ? ours.round(waited) : bare.round(bare_waited);
    const double other = is_first ? bare.round(bare_waited) : ours.round(waited);
    speed.add(is_first ? one : other);
    bare_speed.add(is_first ? other : one);
    ratio.add(is_first ? one / other : other / one);
  }
  const auto thousands = [](double value) { return fmt::format("{:.1f} k/s", value / 1'000); };
  report.row({.what = "3,000 clients on daemon_server, echo of 64 bytes",
              .claimed = "thousands",
              .must_reach = ">= 0.9 x bare",
              .measured = thousands(speed.median()),
              .bare_peer = "epoll loop: " + thousands(bare_speed.median()),
              .ratio = bench::times(ratio.median()),
              .verdict = bench::verdict(ratio.median() >= 0.9)});
  report.row({.what = "the same: from question to answer, 1,000 under way",
              .measured = bench::median_and(waited, 99),
              .bare_peer = bench::median_and(bare_waited, 99),
              .ratio = bench::times(waited.percentile(99) / bare_waited.percentile(99))});
  report.row({.what = "the same: processor time for a line",
              .measured = fmt::format("{:.2f} us", ours.processor_us()),
              .bare_peer = fmt::format("{:.2f} us", bare.processor_us()),
              .ratio = bench::times(ours.processor_us() / bare.processor_us())});
  report.row({.what = "the same: resident memory, with 3,000 clients",
              .measured = fmt::format("{} KiB", ours.rss_kib()),
              .bare_peer = fmt::format("{} KiB", bare.rss_kib())});
  report.note(fmt::format("ratio of each of {} rounds: {:.2f} to {:.2f}; waiting: {}", rounds, ratio.min(), ratio.max(),
                          bench::all_of(waited)));
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
