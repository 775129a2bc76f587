// A server for the upgrade's tests: answers "PID GENERATION COUNT\n" to each line "ask\n" on its listeners, TCP and Unix.
//
// --how=WORD misbehaves; a file "how" in the current directory overrides it, so that the successor may behave otherwise.
// When stopping it accepts nobody any more and answers what has begun; "slow\n" is answered once a file "go" is there.
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <list>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::string tcp = "127.0.0.1:0";
  std::string local;
  int generation = 1;
  std::string how = "serve";
  std::chrono::milliseconds within{20'000}, patience{20'000};
};

void describe(perdure::Fields& f, Settings& s) {
  f("tcp", s.tcp).flag("--tcp").restart_only();
  f("local", s.local).flag("--local").restart_only();
  f("generation", s.generation);
  f("how", s.how).flag("--how").restart_only();
  f("within", s.within).flag("--within").restart_only();
  f("patience", s.patience).flag("--patience").restart_only();
}

std::string how_to_behave(const Settings& settings) {
  std::ifstream file{"how"};
  std::string word;
  return file >> word ? word : settings.how;
}

struct Client {
  perdure::UniqueFd socket{};
  std::string input{};
  bool is_slow = false;  ///< has asked something that is not answered yet
  bool is_over = false;
};

class Server {
 public:
  Server(perdure::Context& ctx, perdure::Config<Settings>& config) : ctx_(ctx), config_(config) {}

  int run() {
    std::vector<pollfd> set;
    while (!ctx_.stopping()) {
      fill(set, {ctx_.listener("tcp"), ctx_.listener("local")});
      if (ctx_.wait_fds(set, 20ms) < 0) break;
      for (std::size_t i = 0; i < 2; ++i)
        if (set[i].revents != 0) accept(set[i].fd);
      serve(set, 2);
    }
    // Nobody is accepted any more: whoever connects now waits for the successor. What has begun is finished.
    while (!clients_.empty() && is_owed()) {
      fill(set, {});
      ::poll(set.data(), set.size(), 5);
      serve(set, 0);
    }
    return 0;
  }

 private:
  void fill(std::vector<pollfd>& set, std::initializer_list<int> listeners) {
    set.clear();
    for (const int fd : listeners) set.push_back({fd, POLLIN, 0});
    for (const Client& client : clients_) set.push_back({client.socket.get(), POLLIN, 0});
  }

  void accept(int listener) {
    for (;;) {
      perdure::UniqueFd socket{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
      if (!socket) return;
      clients_.push_back({std::move(socket)});
    }
  }

  void serve(const std::vector<pollfd>& set, std::size_t first) {
    std::size_t at = first;
    for (auto client = clients_.begin(); client != clients_.end() && at < set.size(); ++client, ++at)
      if (set[at].revents != 0) read(*client);
    for (Client& client : clients_) answer(client);
    clients_.remove_if([](const Client& client) { return client.is_over; });
  }

  static void read(Client& client) {
    char buffer[512];
    const ssize_t size = ::read(client.socket.get(), buffer, sizeof buffer);
    if (size > 0) client.input.append(buffer, static_cast<std::size_t>(size));
    else if (size == 0 || errno != EAGAIN) client.is_over = true;
  }

  void answer(Client& client) {
    if (client.is_slow && ::access("go", F_OK) == 0) {
      client.is_slow = false;
      say(client);
    }
    for (auto end = client.input.find('\n'); end != std::string::npos && !client.is_slow; end = client.input.find('\n')) {
      const std::string line = client.input.substr(0, end);
      client.input.erase(0, end + 1);
      if (line == "slow") client.is_slow = true;
      else say(client);
    }
  }

  void say(Client& client) {
    const std::string text =
        std::to_string(::getpid()) + " " + std::to_string(config_->generation) + " " + std::to_string(++count_) + "\n";
    if (::send(client.socket.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) client.is_over = true;
  }

  /// A connection whose request may be on its way is owed an answer until its client hangs up.
  bool is_owed() { return ctx_.stop_reason() == perdure::StopReason::Upgraded; }

  perdure::Context& ctx_;
  perdure::Config<Settings>& config_;
  std::list<Client> clients_;
  unsigned count_ = 0;
};

[[noreturn]] void hang() {
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  perdure::Options options{
      .name = "probe", .config = config, .configure = [&](perdure::Options& o) {
        o.listeners = {{.name = "tcp", .address = config->tcp}, {.name = "local", .address = config->local}};
        o.start_within = config->within;
        o.stop_within = config->patience;
      }};
  if (const char* directory = std::getenv("PROBE_DIRECTORY")) options.working_directory = directory;
  if (std::getenv("PROBE_WITHOUT_CORE") != nullptr) options.rights.limits.core_bytes = 0;
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    const std::string how = how_to_behave(*config.get());
    ctx.log().info("pid {} is {}", ::getpid(), how);
    if (how == "throw") throw std::runtime_error{"the new version does not like it here"};
    if (how == "crash") std::raise(SIGSEGV);
    if (how == "never-ready") hang();
    if (how == "unknown-listener") (void)ctx.listener("htpp");
    if (how == "wait-for-go")
      while (::access("go", F_OK) != 0 && !ctx.stopping()) ctx.beat();
    return Server{ctx, config}.run();
  });
}
