// The server as its clients and its administrator see it: thousands of them, slow ones, one too many; its log, its limits, its
// rights, its end and its successor.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::UniqueFd;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::proc_status;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

/// A blocking client; whatever is waited for ends at the hang limit.
class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{.tv_sec = perdure::testing::hang_limit.count(), .tv_usec = 0};
    const sockaddr_in to = loopback(port);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fd_.reset();
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool is_connected() const { return static_cast<bool>(fd_); }
  void say(std::string_view text) const { trial::say(fd_, text); }
  /// The next line without its newline; what there is where the connection ends before.
  std::string hear() {
    std::array<char, 16384> buffer;
    for (std::size_t end = heard_.find('\n');; end = heard_.find('\n')) {
      if (end != heard_.npos) {
        std::string line = heard_.substr(0, end);
        heard_.erase(0, end + 1);
        return line;
      }
      const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) return std::exchange(heard_, {}) + (count == 0 ? "(end)" : "(broken)");
      heard_.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }
  std::string ask(const std::string& line) {
    say(line + "\n");
    return hear();
  }
  void half_close() const { ::shutdown(fd_.get(), SHUT_WR); }
  /// Closing sends a reset.
  void be_rude() const {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  UniqueFd fd_;
  std::string heard_;
};

/// A listening socket of the test's, in the place of an upstream.
class FakeUpstream {
 public:
  FakeUpstream() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd_.get(), 64) != 0 ||
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error{"cannot listen"};
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] int port() const { return port_; }
  /// Who connects next.
  [[nodiscard]] UniqueFd accept() const {
    pollfd readable{fd_.get(), POLLIN, 0};
    if (::poll(&readable, 1, 30'000) != 1) throw std::runtime_error{"nobody asks"};
    UniqueFd connection{::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    const timeval limit{.tv_sec = perdure::testing::hang_limit.count(), .tv_usec = 0};
    ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connection;
  }
  [[nodiscard]] bool is_left_alone() const {
    pollfd readable{fd_.get(), POLLIN, 0};
    return ::poll(&readable, 1, 0) == 0;
  }
  static std::string question(const UniqueFd& from) {
    std::string line;
    for (char byte = 0; byte != '\n'; line += byte)
      if (::recv(from.get(), &byte, 1, 0) != 1) return line;
    return line;
  }

 private:
  UniqueFd fd_;
  int port_ = 0;
};

struct DaemonServer : testing::Test {
  perdure::testing::TempDir dir;
  std::string config = dir / "daemon.conf", pid_file = dir / "run/pid", control = dir / "run/sock", log = dir / "run/log";
  std::optional<Process> server;
  int port = 0;

  DaemonServer() {
    ::chmod(dir.path().c_str(), 0755);  // for who the daemon becomes
    write_file(config, "");
  }
  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const {
    words.insert(words.begin(), EXAMPLE_PROGRAM);
    words.insert(words.end(), {"--config=" + config, "--pid-file=" + pid_file, "--control=" + control});
    return words;
  }
  [[nodiscard]] Finished run(std::vector<std::string> words) const {
    return perdure::testing::run(command(std::move(words)), {.unset_env = {"NOTIFY_SOCKET"}});
  }
  /// In the foreground, its log being its output.
  void start(std::vector<std::string> words = {}) {
    ::mkdir((dir / "run").c_str(), 0755);
    words.insert(words.begin(), {"--foreground", "--port=0"});
    server.emplace(command(std::move(words)), perdure::testing::ProcessOptions{.unset_env = {"NOTIFY_SOCKET"}});
    if (!server->wait_for_output("serving address=")) throw std::runtime_error{server->output()};
    port = port_in(server->output());
  }
  static int port_in(const std::string& text) {
    std::smatch found;
    return std::regex_search(text, found, std::regex{"serving address=127.0.0.1:([0-9]+)"}) ? std::stoi(found[1]) : 0;
  }
  [[nodiscard]] std::string conversation(const std::string& said) const {
    const Client client{port};
    client.say(said);
    client.half_close();
    return trial::hear(UniqueFd{::dup(client.fd())});
  }
  [[nodiscard]] std::int64_t metric(const std::string& name) const {
    const std::string text = run({"metrics"}).output;
    std::smatch found;
    return std::regex_search(text, found, std::regex{"\ndaemon_server_" + name + " ([0-9]+)"}) ? std::stoll(found[1]) : -1;
  }
  void reload(const std::string& settings) {
    write_file(config, settings);
    const Finished reloaded = run({"reload"});
    ASSERT_TRUE(reloaded.status.success()) << reloaded.output;
  }
  [[nodiscard]] std::size_t descriptors() const {
    const std::filesystem::directory_iterator all{"/proc/" + std::to_string(server->pid()) + "/fd"};
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
};

/// Raises the soft limit of this process; false where the hard one is too low.
bool may_open(rlim_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  return limit.rlim_max >= count && ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// ── What it answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(DaemonServer, AnswersInTheOrderOfTheQuestionsAlsoWhileAThreadIsAtWork) {
  start();
  EXPECT_EQ(
      conversation("hello\n/primes 10000000\n\nafter\r\n/primes 100\r\n/ask x\n/dance\n/primes 10000001\n/primes x\nno end"),
      "hello\n664579\n\nafter\r\n25\nerror: there is no upstream\n"
      "error: there are /primes and /ask, and every line without a slash\n"
      "error: /primes takes a number, 10000000 at most\nerror: /primes takes a number, 10000000 at most\n");
}

TEST_F(DaemonServer, ALineMayComeInPiecesButHasAnEnd) {
  start();
  Client client{port};
  for (const char byte : std::string{"in pieces\n"}) client.say({&byte, 1});
  EXPECT_EQ(client.hear(), "in pieces");
  const std::string longest(4096, 'x');
  EXPECT_EQ(client.ask(longest), longest);
  client.say(longest + "x");
  EXPECT_EQ(client.hear(), "error: a line has 4096 bytes at most");
  EXPECT_EQ(client.hear(), "(end)");
}

TEST_F(DaemonServer, ManyClientsHaveTheirWorkDoneByFewThreads) {
  start();
  std::vector<Client> clients;
  for (int i = 0; i < 50; ++i) clients.emplace_back(port).say("/primes 1000\n");
  for (Client& client : clients) EXPECT_EQ(client.hear(), "168");
  std::set<std::string> workers;
  const auto look = [&] {
    workers.clear();
    for (const auto& task : std::filesystem::directory_iterator{"/proc/" + std::to_string(server->pid()) + "/task"})
      if (std::string name = *read_file(task.path() / "comm"); name.starts_with("compute-")) workers.insert(name);
    return workers.size() == 2;  // one that has had no work may not have its name yet
  };
  EXPECT_TRUE(eventually(look));
  EXPECT_THAT(workers, testing::ElementsAre("compute-1\n", "compute-2\n"));
}

// ── How many ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(DaemonServer, HoldsTwoThousandIdleClientsAndAnswersAThousandActiveOnes) {
  if (!may_open(3'200)) GTEST_SKIP() << "RLIMIT_NOFILE allows this test too few descriptors";
  start({"--max-connections=3000"});
  std::vector<Client> idle, active;
  for (int i = 0; i < 2'000; ++i) ASSERT_TRUE(idle.emplace_back(port).is_connected()) << i;
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(active.emplace_back(port).is_connected()) << i;
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 0; i < active.size(); ++i) active[i].say(std::to_string(i) + "." + std::to_string(round) + "\n");
    for (std::size_t i = 0; i < active.size(); ++i)
      ASSERT_EQ(active[i].hear(), std::to_string(i) + "." + std::to_string(round));
  }
  EXPECT_EQ(metric("connections"), 3'000);
  for (Client& client : idle) ASSERT_EQ(client.ask("still there?"), "still there?");
  Client one_too_many{port};
  EXPECT_EQ(one_too_many.hear(), "error: 3000 clients are served already; try again later");
  EXPECT_EQ(one_too_many.hear(), "(end)");
}

TEST_F(DaemonServer, TenThousandConnectionsLeaveNeitherDescriptorsNorMemoryBehind) {
  start();
  const auto come_and_go = [this](int count) {
    for (int i = 0; i < count; ++i) {
      Client client{port};
      ASSERT_EQ(client.ask("hello"), "hello");
      if (i % 2 == 0) client.be_rude();
    }
    ASSERT_TRUE(eventually([this] { return metric("connections") == 0; }));
  };
  const std::size_t before = descriptors();
  come_and_go(100);
  const std::int64_t asked = metric("heap_requests_total");
  come_and_go(10'000);
  EXPECT_TRUE(eventually([&] { return descriptors() == before; })) << descriptors() << " instead of " << before;
  EXPECT_EQ(metric("requests_total"), 10'100);
  EXPECT_EQ(metric("heap_requests_total"), asked) << "clients and their bytes live in the pool, which has what it needs";
}

TEST_F(DaemonServer, BeyondItsNumberClientsAreRefusedInWordsAndTheOthersGoOn) {
  start({"--max-connections=2"});
  std::optional<Client> first{port};
  Client second{port};
  EXPECT_EQ(first->ask("a"), "a");
  EXPECT_EQ(second.ask("b"), "b");
  for (int i = 0; i < 3; ++i) {
    Client third{port};
    third.say("words that nobody reads\n");
    EXPECT_EQ(third.hear(), "error: 2 clients are served already; try again later");
    EXPECT_EQ(third.hear(), "(end)");
  }
  EXPECT_EQ(metric("refused_total"), 3);
  EXPECT_EQ(second.ask("still"), "still");
  first.reset();
  EXPECT_TRUE(eventually([this] { return Client{port}.ask("room?") == "room?"; })) << "one has left";
}

TEST_F(DaemonServer, WithoutDescriptorsNewClientsWaitAndNothingSpins) {
  start();
  Client there{port};
  ASSERT_EQ(there.ask("hello"), "hello");
  const rlimit none{.rlim_cur = descriptors(), .rlim_max = 4096};
  ASSERT_EQ(::prlimit(server->pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  std::vector<Client> waiting;
  for (int i = 0; i < 5; ++i) waiting.emplace_back(port).say("me too\n");
  ASSERT_TRUE(
      server->wait_for_output("ERROR clients have to wait why=\"cannot accept them: Too many open files (EMFILE)\""));
  // Each look at the backlog fails and is counted: ten in a second. Without a pause it were one for each event.
  for (int i = 0; i < 2'000; ++i) ASSERT_EQ(there.ask("go on"), "go on");
  const rlimit enough{.rlim_cur = 4096, .rlim_max = 4096};
  ASSERT_EQ(::prlimit(server->pid(), RLIMIT_NOFILE, &enough, nullptr), 0);
  for (Client& client : waiting) EXPECT_EQ(client.hear(), "me too");
  EXPECT_GE(metric("not_accepted_total"), 1);
  EXPECT_LT(metric("not_accepted_total"), 1'000);
}

TEST_F(DaemonServer, WhoDoesNotReadIsReadNoMoreAndDelaysNobody) {
  start();
  Client slow{port}, quick{port};
  const std::string line = std::string(4'000, 'x') + "\n";
  std::size_t sent = 0;
  // As long as the server reads, more can be sent: it stops once both sides' kernel buffers and its own are full.
  const auto send_what_fits = [&] {
    for (ssize_t count = 1; count > 0 && sent <= std::size_t{64} << 20;) {
      count =
          ::send(slow.fd(), line.data() + sent % line.size(), line.size() - sent % line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count > 0) sent += static_cast<std::size_t>(count);
    }
    return sent;
  };
  // Each answer to the quick one is a round of its loop, in which it would read from the slow one as well.
  ASSERT_TRUE(eventually([&] {
    const std::size_t before = send_what_fits();
    for (int round = 0; round < 50; ++round) EXPECT_EQ(quick.ask("me?"), "me?");
    return send_what_fits() == before;
  }));
  EXPECT_LT(sent, std::size_t{64} << 20) << "the kernel's buffers bound it";
  const std::string rest = line.substr(sent % line.size());
  const std::jthread end{[&] {
    slow.say(rest);  // waits until the server reads again, which it does once it is read
    slow.half_close();
  }};
  std::size_t heard = 0;
  for (std::string text = slow.hear(); text != "(end)"; text = slow.hear()) {
    ASSERT_EQ(text.size() + 1, line.size());
    heard += text.size() + 1;
  }
  EXPECT_EQ(heard, sent + rest.size()) << "nothing is lost";
}

// ── Settings and log ────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(DaemonServer, ReadsTheDocumentsFile) {
  const Finished printed =
      perdure::testing::run({EXAMPLE_PROGRAM, "--config=" EXAMPLE_DIR "/daemon.conf", "--print-config"});
  EXPECT_THAT(printed.output, AllOf(HasSubstr("port = 8080\n"), HasSubstr("log_level = INFO\n"),
                                    HasSubstr("max_connections = 100\n"), HasSubstr("pid_file = /var/run/mydaemon.pid\n")));
  EXPECT_THAT(*read_file(EXAMPLE_DIR "/daemon.conf"),
              HasSubstr("\nport=8080\nlog_level=INFO\nmax_connections=100\npid_file=/var/run/mydaemon.pid\n"));
}

TEST_F(DaemonServer, ABadFileIsRefusedWithItsLines) {
  write_file(config, "# a comment\r\n\r\nport = 99999\nlog_level=LOUD\nmax_connections\nmax_conections=1\n");
  const Finished refused = run({"--foreground"});
  EXPECT_EQ(refused.status.value(), 78);
  EXPECT_THAT(refused.output, AllOf(HasSubstr("daemon.conf:3:"), HasSubstr("daemon.conf:4:"), HasSubstr("daemon.conf:5:"),
                                    HasSubstr("daemon.conf:6:")));
  write_file(config, "max_connections=5000\n");
  EXPECT_THAT(run({"--foreground"}).output, HasSubstr("max_connections: 5000 need open_files=5068, it is 4096"));
}

TEST_F(DaemonServer, LogsConnectionsErrorsChangesAndFiguresEachAtItsLevel) {
  write_file(config, "log_level=DEBUG\nreport_every=20ms\nmax_connections=1\n");
  start();
  {
    Client client{port};
    EXPECT_EQ(client.ask("hello"), "hello");
    EXPECT_THAT(Client{port}.hear(), HasSubstr("error: 1 clients"));
  }
  EXPECT_TRUE(server->wait_for_output("DEBUG client disconnected client=4 requests=1 why=\"it has its answers\""));
  EXPECT_THAT(server->output(), ContainsRegex("DEBUG client connected client=4 peer=127.0.0.1:[0-9]+\n"));
  EXPECT_THAT(server->output(), ContainsRegex("WARN  clients are refused max_connections=1\n"));
  EXPECT_TRUE(server->wait_for_output("INFO  figures connections="));
  EXPECT_THAT(server->output(), ContainsRegex("requests=[0-9]+ longest_round_us=[0-9]+ rss_kib=[1-9][0-9]+\n"));
  reload("log_level=ERROR\nreport_every=20ms\nmax_connections=7\n");
  EXPECT_TRUE(server->wait_for_output("INFO  configuration changed log_level=ERROR max_connections=7\n"));
}

TEST_F(DaemonServer, AnErrorIsLoggedAsSuchAndLowerLevelsAreLeftOut) {
  write_file(config, "log_level=ERROR\nreport_every=20ms\nmax_connections=1\n");
  port = FakeUpstream{}.port();  // free again by now
  ::mkdir((dir / "run").c_str(), 0755);
  ASSERT_TRUE(run({"start", "--port=" + std::to_string(port), "--log-file=" + log, "--upstream-port=1"}).status.success());
  {
    Client client{port};
    EXPECT_EQ(client.ask("/ask x"), "error: cannot connect to the upstream, port 1: Connection refused (ECONNREFUSED)");
    EXPECT_THAT(Client{port}.hear(), HasSubstr("error: 1 clients"));
  }
  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_THAT(*read_file(log), AllOf(HasSubstr("ERROR job failed client=4 why=\"cannot connect to"), Not(HasSubstr("INFO ")),
                                     Not(HasSubstr("WARN ")), Not(HasSubstr("DEBUG "))));
}

TEST_F(DaemonServer, AReloadChangesHowManyAreServedAndWhatIsLogged) {
  write_file(config, "max_connections=1\n");
  start();
  Client first{port};
  EXPECT_EQ(first.ask("a"), "a");
  EXPECT_EQ(Client{port}.hear(), "error: 1 clients are served already; try again later");
  reload("max_connections=2\nlog_level=DEBUG\n");
  Client second{port};
  EXPECT_EQ(second.ask("b"), "b");
  EXPECT_TRUE(server->wait_for_output("DEBUG client connected client=5"));
  reload("max_connections=1\n");
  EXPECT_EQ(second.ask("still"), "still") << "who is there stays";

  write_file(config, "max_connections=4096\n");
  const Finished refused = run({"reload"});
  EXPECT_FALSE(refused.status.success());
  EXPECT_THAT(refused.output, HasSubstr("max_connections: 4096 need open_files="));
  server->signal(SIGHUP);
  EXPECT_TRUE(server->wait_for_output("reload refused"));
  EXPECT_EQ(first.ask("a"), "a");
}

// ── The upstream ────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(DaemonServer, AsksItsUpstreamOverAFewConnectionsThatAreUsedAgain) {
  const FakeUpstream upstream;
  write_file(config, "upstream_connections=3\nupstream_port=" + std::to_string(upstream.port()) + "\n");
  start();
  std::vector<Client> clients;
  for (int i = 0; i < 12; ++i) clients.emplace_back(port).say("/ask question\n");
  std::vector<UniqueFd> connections;
  for (int i = 0; i < 3; ++i) connections.push_back(upstream.accept());
  std::array<pollfd, 3> questions{};
  for (std::size_t i = 0; i < 3; ++i) questions[i] = {connections[i].get(), POLLIN, 0};
  for (int answers = 0; answers < 12;) {
    ASSERT_GT(::poll(questions.data(), questions.size(), 30'000), 0) << answers;
    for (std::size_t i = 0; i < 3; ++i) {
      if (questions[i].revents == 0) continue;
      ASSERT_EQ(FakeUpstream::question(connections[i]), "question\n");
      trial::say(connections[i], "answer\n");
      ++answers;
    }
  }
  for (Client& client : clients) EXPECT_EQ(client.hear(), "answer");
  EXPECT_TRUE(upstream.is_left_alone()) << "three connections, and no more";
}

TEST_F(DaemonServer, AnUpstreamsBrokenConnectionIsDroppedAndTheNextQuestionGetsAnother) {
  const FakeUpstream upstream;
  write_file(config, "upstream_connections=1\nupstream_port=" + std::to_string(upstream.port()) + "\n");
  start();
  Client client{port};
  client.say("/ask one\n");
  UniqueFd first = upstream.accept();
  FakeUpstream::question(first);
  trial::say(first, "1\n");
  EXPECT_EQ(client.hear(), "1");
  first.reset();  // idle: the daemon finds out when its turn comes
  client.say("/ask two\n");
  UniqueFd second = upstream.accept();
  EXPECT_EQ(FakeUpstream::question(second), "two\n");
  second.reset();  // in the middle of a question
  EXPECT_EQ(client.hear(), "error: the upstream does not answer");
  EXPECT_TRUE(server->wait_for_output("ERROR job failed client=4 why=\"the upstream does not answer\""));
  client.say("/ask three\n");
  const UniqueFd third = upstream.accept();
  EXPECT_EQ(FakeUpstream::question(third), "three\n");
  trial::say(third, "3\nand more than was asked\n");
  EXPECT_EQ(client.hear(), "error: the upstream does not answer") << "nobody knows any more which answer is whose";
}

TEST_F(DaemonServer, TheUpstreamMayBeAnotherOneOfItsKind) {
  start();
  const int first_port = port;
  Process first = std::move(*server);
  pid_file = dir / "run/pid2", control = dir / "run/sock2";
  start({"--upstream-port=" + std::to_string(first_port)});
  Client client{port};
  EXPECT_EQ(client.ask("/ask hello"), "hello");
  EXPECT_EQ(client.ask("/ask /primes 100"), "25");
  first.signal(SIGTERM);
  EXPECT_EQ(first.wait().text(), "exited with 0");
  EXPECT_THAT(client.ask("/ask hello"), HasSubstr("error: cannot connect to the upstream"));
}

// ── Its end ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(DaemonServer, AStopFinishesWhatWasAskedAndLeavesNothingBehind) {
  const FakeUpstream upstream;
  start({"--upstream-port=" + std::to_string(upstream.port())});
  Client idle{port}, asking{port};
  EXPECT_EQ(idle.ask("hello"), "hello");
  asking.say("/ask question\nand this\n");
  const UniqueFd asked = upstream.accept();
  EXPECT_EQ(FakeUpstream::question(asked), "question\n");
  server->signal(SIGTERM);
  EXPECT_EQ(idle.hear(), "(end)") << "it was asked nothing";
  EXPECT_FALSE(server->poll()) << "one answer is still owed";
  trial::say(asked, "answer\n");
  EXPECT_EQ(asking.hear(), "answer");
  EXPECT_EQ(asking.hear(), "and this");
  EXPECT_EQ(asking.hear(), "(end)");
  EXPECT_EQ(server->wait().text(), "exited with 0");
  EXPECT_FALSE(trial::exists(pid_file));
  EXPECT_FALSE(trial::exists(control));
  EXPECT_FALSE(Client{port}.is_connected());
  const UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_in address = loopback(port);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // as the next start does it
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST_F(DaemonServer, IsReplacedWithoutAClientThatIsRefusedOrLeftWithoutAnswer) {
  perdure::testing::adopt_orphans();
  ::mkdir((dir / "run").c_str(), 0755);
  ASSERT_TRUE(run({"start", "--port=0", "--log-file=" + log}).status.success());
  ASSERT_TRUE(trial::file_says(log, "serving address="));
  port = port_in(*read_file(log));
  std::atomic<int> refused{0}, cut{0}, answered{0};
  {
    std::vector<std::jthread> load;
    for (int i = 0; i < 2; ++i)
      load.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          Client client{port};
          if (!client.is_connected()) ++refused;
          else if (client.ask("hello") != "hello") ++cut;
          else ++answered;
        }
      });
    for (int i = 0; i < 5; ++i) {
      const pid_t old = perdure::PidFile::holder(pid_file).value_or(0);
      const Finished upgraded = run({"upgrade"});
      ASSERT_TRUE(upgraded.status.success()) << upgraded.output;
      EXPECT_EQ(perdure::testing::wait_adopted(old).text(), "exited with 0");
    }
  }
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(cut, 0);
  EXPECT_GT(answered, 5);
  EXPECT_TRUE(run({"stop"}).status.success());
}

// ── Its rights ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

struct DaemonServerRights : DaemonServer {
  pid_t pid = 0;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::getpwnam("nobody") == nullptr) GTEST_SKIP() << "there is no user nobody";
    perdure::testing::adopt_orphans();
    for (port = 1023; port > 0 && !is_free(port); --port) {
    }
  }
  void TearDown() override {
    if (pid != 0) perdure::testing::kill_adopted(pid, SIGTERM);
  }
  static bool is_free(int port) {
    const UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_in address = loopback(port);
    return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  void start_detached(std::vector<std::string> words) {
    words.insert(words.begin(), {"start", "--user=nobody", "--port=" + std::to_string(port), "--log-file=" + log});
    const Finished started = run(words);
    ASSERT_TRUE(started.status.success()) << started.output;
    pid = perdure::PidFile::holder(pid_file).value_or(0);
    ASSERT_NE(pid, 0);
  }
  [[nodiscard]] std::string link(const std::string& name, const std::string& who) const {
    return std::filesystem::read_symlink("/proc/" + who + "/" + name);
  }
};

TEST_F(DaemonServerRights, BindsAPortOfRootAndServesAsNobodyWithoutAnyRight) {
  start_detached({});
  const std::string uid = std::to_string(::getpwnam("nobody")->pw_uid), gid = std::to_string(::getpwnam("nobody")->pw_gid);
  EXPECT_EQ(proc_status(pid, "Uid"), uid + "\t" + uid + "\t" + uid + "\t" + uid);
  EXPECT_EQ(proc_status(pid, "Gid"), gid + "\t" + gid + "\t" + gid + "\t" + gid);
  EXPECT_EQ(proc_status(pid, "Groups"), gid);
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(proc_status(pid, set), "0000000000000000") << set;
  EXPECT_EQ(proc_status(pid, "NoNewPrivs"), "1");
  EXPECT_EQ(proc_status(pid, "Seccomp"), "2");
  EXPECT_THAT(*read_file("/proc/" + std::to_string(pid) + "/limits"), ContainsRegex("Max open files +4096 +4096 "));
  EXPECT_EQ(Client{port}.ask("hello"), "hello");
  EXPECT_TRUE(run({"stop"}).status.success());
  pid = 0;
  EXPECT_FALSE(trial::exists(pid_file)) << "in a directory of its own, which was made for nobody";
}

TEST_F(DaemonServerRights, LivesInItsJailAndItsNamespaces) {
  const std::string jail = dir / "jail";
  ::mkdir(jail.c_str(), 0755);
  start_detached({"--chroot=" + jail, "--namespaces=yes"});
  EXPECT_EQ(link("root", std::to_string(pid)), jail);
  EXPECT_EQ(link("cwd", std::to_string(pid)), jail);
  for (const char* kind : {"ns/mnt", "ns/ipc", "ns/uts"})
    EXPECT_NE(link(kind, std::to_string(pid)), link(kind, "self")) << kind;
  EXPECT_EQ(Client{port}.ask("hello"), "hello");
  EXPECT_EQ(Client{port}.ask("/primes 100"), "25");
  EXPECT_THAT(run({"status"}).output, HasSubstr("root directory " + jail));
}

TEST_F(DaemonServerRights, IsReplacedAsNobodyToo) {
  start_detached({});
  Client before{port};
  EXPECT_EQ(before.ask("hello"), "hello");
  const Finished upgraded = run({"upgrade", "--user=nobody"});
  ASSERT_TRUE(upgraded.status.success()) << upgraded.output << read_file(log).value_or("");
  EXPECT_EQ(perdure::testing::wait_adopted(pid).text(), "exited with 0");
  pid = perdure::PidFile::holder(pid_file).value_or(0);
  EXPECT_THAT(proc_status(pid, "Uid"), testing::StartsWith(std::to_string(::getpwnam("nobody")->pw_uid) + "\t"));
  EXPECT_EQ(Client{port}.ask("hello"), "hello");
}

}  // namespace
