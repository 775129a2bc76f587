#include "server.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <array>
#include <unordered_map>

#include "connection.hpp"
#include "jobs.hpp"
#include "perdure/resources.hpp"
#include "requests.hpp"
#include "upstream.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int accepts_at_once = 64;                   // then those who are there have their turn
constexpr std::chrono::milliseconds beat_every = 5s;  // well within the WatchdogSec= of the unit file
constexpr std::chrono::milliseconds accept_pause = 100ms;
constexpr auto end_within = 3s;  // of the five seconds that a stop may take

/// What an event is about; higher numbers are clients.
enum Source : std::uint64_t { Stop, Listener, Computed, Asked, first_client };

/// "127.0.0.1:8080": what getsockname or getpeername says.
std::string address_of(int fd, decltype(&::getsockname) end) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
  if (end(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV);
  return fmt::format("{}:{}", host, port);
}

class Server {
 public:
  using Clock = std::chrono::steady_clock;
  using Number = std::uint64_t;

  Server(perdure::Context& ctx, const perdure::Config<Settings>& config, Figures& figures)
      : ctx_(ctx), log_(ctx.log()), config_(config), figures_(figures) {
    for (const auto& [fd, source] :
         {std::pair{ctx.stop_fd(), Stop}, {listener_, Listener}, {computing_.fd(), Computed}, {asking_.fd(), Asked}})
      watch(EPOLL_CTL_ADD, fd, source, EPOLLIN);
  }

  void run() {
    log_.info("serving", {{"address", address_of(listener_, ::getsockname)}, {"max_connections", config_->max_connections}});
    ctx_.ready();
    for (std::array<epoll_event, 256> events; !is_ending_ || (!clients_.empty() && Clock::now() < end_by_);) {
      const auto limit = std::min(is_paused_ || is_ending_ ? accept_pause : beat_every, config_->report_every);
      const int count = ::epoll_wait(epoll_.get(), events.data(), 256, static_cast<int>(limit.count()));
      const auto begun = Clock::now();
      ctx_.beat();
      for (int i = 0; i < count; ++i) happened(events[i].data.u64, events[i].events);
      if (is_paused_ && begun >= accept_again_) pause_accepting(false);
      longest_round_ = std::max(longest_round_, Clock::now() - begun);
      if (begun >= last_report_ + config_->report_every) report();
    }
    report();
    if (!clients_.empty()) log_.warning("clients are cut off", {{"connections", clients_.size()}});
  }

 private:
  void watch(int operation, int fd, Number number, std::uint32_t events) const {
    epoll_event event{.events = events, .data = {.u64 = number}};
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0)
      throw std::runtime_error{perdure::Error::from_errno(errno, "watch a descriptor").message()};
  }

  void happened(Number number, std::uint32_t events) {
    if (number == Stop) begin_end();
    else if (number == Listener && !is_ending_) accept_clients();
    else if (number == Computed) finish_jobs(computing_);
    else if (number == Asked) finish_jobs(asking_);
    else if (const auto client = clients_.find(number); client != clients_.end()) serve(number, client->second, events);
  }

  void report() {
    last_report_ = Clock::now();
    const auto requests = figures_.requests - std::exchange(reported_requests_, figures_.requests);
    const auto longest = std::exchange(longest_round_, {}) / 1us;
    if (requests == 0) return;
    log_.info("figures", {{"connections", clients_.size()},
                          {"requests", requests},
                          {"longest_round_us", longest},
                          {"rss_kib", perdure::rss().value_or(0) / 1024}});
  }

  // ── Who comes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  void accept_clients() {
    for (int i = 0; i < accepts_at_once; ++i) {
      perdure::UniqueFd socket{::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
      if (socket) welcome(std::move(socket));
      else if (errno == EAGAIN) return;
      else if (errno != ECONNABORTED) return pause_accepting(true);
    }
  }

  void welcome(perdure::UniqueFd socket) {
    if (clients_.size() >= config_->max_connections) return refuse(socket.get());
    const int on = 1;  // an answer is sent as a whole: nothing is gained by waiting for more
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const Number number = next_client_++;
    Connection& client = clients_.try_emplace(number, std::move(socket)).first->second;
    watch(EPOLL_CTL_ADD, client.fd(), number, client.interest = EPOLLIN);
    ++figures_.connections;
    if (log_.is_enabled(perdure::Level::Debug))
      log_.debug("client connected", {{"client", number}, {"peer", address_of(client.fd(), ::getpeername)}});
  }

  void refuse(int fd) {
    const auto line = fmt::format("error: {} clients are served already; try again later\n", config_->max_connections);
    (void)!::recv(fd, scratch_.data(), scratch_.size(), 0);  // bytes that nobody has read would make the end a reset
    (void)!::send(fd, line.data(), line.size(), MSG_NOSIGNAL);
    ++figures_.refused;
    if (!std::exchange(is_full_, true)) log_.warning("clients are refused", {{"max_connections", config_->max_connections}});
  }

  /// Who waits stays in the backlog, and epoll would report it again at once: without a pause this would spin.
  void pause_accepting(bool is_paused) {
    if (is_paused && !std::exchange(is_told_, true))
      log_.error("clients have to wait", {{"why", perdure::Error::from_errno(errno, "accept them").message()}});
    if (is_paused) ++figures_.not_accepted;
    is_paused_ = is_paused;
    accept_again_ = Clock::now() + accept_pause;
    if (!is_ending_) watch(EPOLL_CTL_MOD, listener_, Listener, is_paused ? 0U : EPOLLIN);
  }

  // ── Who is there ────────────────────────────────────────────────────────────────────────────────────────────────────────

  void serve(Number number, Connection& client, std::uint32_t events) {
    const bool is_gone = (events & (EPOLLERR | EPOLLHUP)) != 0;
    if (is_gone || ((events & EPOLLIN) != 0 && !client.receive(scratch_))) return close(number, "it is gone");
    go_on(number, client);
  }

  /// Answers what can be answered now, and has epoll look for what something can be done about.
  void go_on(Number number, Connection& client) {
    bool is_whole = client.flush();
    while (const auto line = is_whole ? client.next_line() : std::nullopt) {
      answer(number, client, *line);
      if (!client.may_answer()) is_whole = client.flush();
    }
    if (!client.is_last && client.is_too_long()) {
      client.say(fmt::format("error: a line has {} bytes at most", Connection::line_max));
      client.is_last = true;
    }
    if (!is_whole || (client.may_answer() && !client.flush())) return close(number, "it is gone");
    client.is_last = client.is_last || (is_ending_ && client.requests > 0);
    if (client.is_last && client.is_flushed() && !client.is_waiting) return close(number, "it has its answers");
    const std::uint32_t interest =
        (client.may_answer() && !client.is_last ? EPOLLIN : 0U) | (client.is_flushed() ? 0U : EPOLLOUT);
    if (interest != std::exchange(client.interest, interest)) watch(EPOLL_CTL_MOD, client.fd(), number, interest);
  }

  void answer(Number number, Connection& client, std::string_view line) {
    ++figures_.requests;
    ++client.requests;
    const auto [verb, text] = parse(line);
    if (verb.empty()) return client.say(text);
    if (verb == "/primes") return start(computing_, number, client, [n = std::string{text}] { return count_primes(n); });
    if (verb != "/ask") return client.say("error: there are /primes and /ask, and every line without a slash");
    if (config_->upstream_port == 0) return client.say("error: there is no upstream");
    start(asking_, number, client, [this, question = std::string{text}] { return upstream_.ask(question); });
  }

  void start(Jobs& jobs, Number number, Connection& client, Jobs::Work work) const {
    client.is_waiting = jobs.submit(number, std::move(work));
    if (!client.is_waiting) client.say("error: too much to do; try again later");
  }

  void finish_jobs(Jobs& jobs) {
    for (const auto& [number, line] : jobs.take()) {
      const auto client = clients_.find(number);
      if (client == clients_.end()) continue;  // it did not wait
      client->second.is_waiting = false;
      client->second.say(line);
      go_on(number, client->second);
    }
  }

  void close(Number number, std::string_view why) {
    const auto client = clients_.find(number);
    log_.debug("client disconnected", {{"client", number}, {"requests", client->second.requests}, {"why", why}});
    clients_.erase(client);
    --figures_.connections;
    is_full_ = is_told_ = false;
    if (is_paused_) pause_accepting(false);  // there is a descriptor again
  }

  /// Nobody is accepted any more. In an upgrade, who has come and not asked yet may still do so.
  void begin_end() {
    is_ending_ = true;
    end_by_ = Clock::now() + end_within;
    watch(EPOLL_CTL_DEL, ctx_.stop_fd(), Stop, 0);
    watch(EPOLL_CTL_DEL, listener_, Listener, 0);
    for (auto next = clients_.begin(); next != clients_.end();) {
      auto& [number, client] = *next++;
      client.is_last = ctx_.stop_reason() != perdure::StopReason::Upgraded || client.requests > 0;
      serve(number, client, client.interest & EPOLLIN);  // what it has said until now has been asked
    }
  }

  perdure::Context& ctx_;
  perdure::Log& log_;
  const perdure::Config<Settings>& config_;
  Figures& figures_;
  const int listener_ = ctx_.listener("clients");
  const perdure::UniqueFd epoll_{::epoll_create1(EPOLL_CLOEXEC)};

  CountedHeap heap_{figures_.heap_requests};
  std::pmr::unsynchronized_pool_resource memory_{{1024, 2 * Connection::unread_max}, &heap_};
  std::pmr::unordered_map<Number, Connection> clients_{&memory_};
  Number next_client_ = first_client;
  std::array<char, 16 * 1024> scratch_{};

  Upstream upstream_{config_->upstream_port, config_->upstream_connections};
  Jobs computing_{"compute", config_->workers, log_};
  Jobs asking_{"ask", config_->upstream_connections, log_};  // as many as there are connections: none waits for one

  Clock::time_point last_report_ = Clock::now(), accept_again_, end_by_;
  Clock::duration longest_round_{0};
  std::int64_t reported_requests_ = 0;
  bool is_ending_ = false, is_paused_ = false;
  bool is_full_ = false, is_told_ = false;  ///< the log has been told
};

}  // namespace

void serve_clients(perdure::Context& ctx, const perdure::Config<Settings>& config, Figures& figures) {
  Server{ctx, config, figures}.run();
}
