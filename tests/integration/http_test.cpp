// The HTTP endpoint of a real daemon: what it answers in every state, to good clients and to bad ones.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/unique_fd.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

#include "probe.hpp"

namespace probe {
namespace {

using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr int hang_ms = 30'000;

// ── A client ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

perdure::UniqueFd connect_to(int port) {
  perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

bool say(const perdure::UniqueFd& fd, std::string_view text) {
  return ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// Everything until the other side closes; what came so far where it hangs.
std::string hear(const perdure::UniqueFd& fd) {
  std::string heard;
  for (char buffer[4096];;) {
    pollfd readable{fd.get(), POLLIN, 0};
    if (::poll(&readable, 1, hang_ms) <= 0) return heard + "[no end of it]";
    const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (count <= 0) return heard;
    heard.append(buffer, static_cast<std::size_t>(count));
  }
}

struct Page {
  int status = 0;
  std::string head{}, body{};
};

Page converse(int port, std::string_view request) {
  const auto fd = connect_to(port);
  if (!fd) return {};
  (void)say(fd, request);
  const std::string all = hear(fd);
  Page page;
  const auto end = all.find("\r\n\r\n");
  page.head = all.substr(0, end);
  if (end != std::string::npos) page.body = all.substr(end + 4);
  if (page.head.rfind("HTTP/1.1 ", 0) == 0) page.status = std::atoi(page.head.c_str() + 9);
  return page;
}

Page get(int port, const std::string& path, const std::string& method = "GET") {
  return converse(port, method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

// ── The text format, as Prometheus reads it ───────────────────────────────────────────────────────────────────────────────

/// Samples by name with labels; what is wrong with the text goes to `faults`.
std::map<std::string, double> parse_metrics(const std::string& text, std::vector<std::string>& faults) {
  static const std::regex help{R"(# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)*))"};
  static const std::regex type{R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped))"};
  static const std::regex sample{
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)*\})? (\S+))"};
  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;
  std::set<std::string> helped, finished;
  std::string family;
  if (text.empty() || text.back() != '\n') faults.emplace_back("the last line has no end");
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      if (!helped.insert(match[1]).second) faults.push_back("a second HELP: " + line);
    } else if (std::regex_match(line, match, type)) {
      if (!types.emplace(match[1], match[2]).second) faults.push_back("a second TYPE: " + line);
      if (!family.empty()) finished.insert(family);
      family = match[1];
      if (finished.count(family) != 0) faults.push_back("a family in two places: " + line);
    } else if (std::regex_match(line, match, sample)) {
      const std::string name = match[1];
      const bool has_parts = types[family] == "histogram" || types[family] == "summary";
      const bool belongs =
          name == family ||
          (has_parts && (name == family + "_bucket" || name == family + "_sum" || name == family + "_count"));
      if (!belongs) faults.push_back("a sample without its TYPE before it: " + line);
      const std::string value = match[3];
      char* end = nullptr;
      const double number = value == "+Inf" ? HUGE_VAL : std::strtod(value.c_str(), &end);
      if (end != nullptr && *end != '\0') faults.push_back("not a number: " + line);
      if (types[family] == "counter" && number < 0) faults.push_back("a counter below 0: " + line);
      if (!samples.emplace(name + match[2].str(), number).second) faults.push_back("twice: " + line);
    } else {
      faults.push_back("not a line of the format: " + line);
    }
  }
  return samples;
}

TEST(MetricsFormat, TheParserOfTheTestsRefusesWhatPrometheusRefuses) {
  for (const char* bad :
       {"a 1", "a 1\n", "# TYPE a counter\na -1\n", "# TYPE a gauge\na x\n", "# TYPE a gauge\na 1\na 2\n",
        "# TYPE a gauge\n# TYPE a gauge\na 1\n", "# TYPE a gauge\na{b=\"\"\"} 1\n", "# TYPE a gauge\n\na 1\n",
        "# TYPE a gauge\nb 1\n", "# HELP a \\x\n# TYPE a gauge\na 1\n", "# TYPE a gauge\na{b=1} 1\n"}) {
    std::vector<std::string> faults;
    parse_metrics(bad, faults);
    EXPECT_FALSE(faults.empty()) << bad;
  }
  std::vector<std::string> faults;
  const auto samples =
      parse_metrics("# HELP a of \\\\ it\n# TYPE a gauge\na{b=\"x\\\"\\\\\\n\",c=\"d\"} 1.5e+06\na -3\n", faults);
  EXPECT_THAT(faults, IsEmpty());
  EXPECT_EQ(samples.at("a"), -3);
}

// ── The daemon ────────────────────────────────────────────────────────────────────────────────────────────────────────────

struct HttpDaemon : Daemon {
  std::string config_file = dir / "http.conf";

  void SetUp() override {
    Daemon::SetUp();
    write_file(config_file, "number = 1\n");
  }
  Process foreground(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {HTTP_PROBE, "--foreground", "--config", config_file});
    return Process{std::move(words), options};
  }
  Finished ask(std::vector<std::string> words) {
    words.insert(words.begin(), HTTP_PROBE);
    return perdure::testing::run(std::move(words), options);
  }
  /// Of the n-th endpoint, from the log; 0 where it said nothing.
  static int port_of(Process& app, std::size_t which = 0) {
    std::vector<int> ports;
    EXPECT_TRUE(eventually([&] {
      ports.clear();
      const std::string output = app.output();
      static const std::regex address{R"(http://127\.0\.0\.1:(\d+)/healthz, /readyz, /metrics\n)"};
      for (std::sregex_iterator at{output.begin(), output.end(), address}, end; at != end; ++at)
        ports.push_back(std::stoi((*at)[1]));
      return ports.size() > which;
    })) << app.output();
    return ports.size() > which ? ports[which] : 0;
  }
  static bool becomes_ready(int port) {
    return eventually([&] { return get(port, "/readyz").status == 200; });
  }
  static void expect_clean_end(Process& app) {
    app.signal(SIGTERM);
    EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
  }
  std::map<std::string, double> scrape(int port) {
    const Page page = get(port, "/metrics");
    EXPECT_EQ(page.status, 200) << page.head << page.body;
    std::vector<std::string> faults;
    auto samples = parse_metrics(page.body, faults);
    EXPECT_THAT(faults, IsEmpty()) << page.body;
    return samples;
  }
};

TEST_F(HttpDaemon, ThreePathsAnswerAndNoOther) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  const Page health = get(port, "/healthz");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(health.body, "ok\n");
  EXPECT_THAT(health.head, HasSubstr("Content-Type: text/plain; charset=utf-8"));
  EXPECT_THAT(health.head, HasSubstr("Cache-Control: no-store"));
  EXPECT_EQ(get(port, "/readyz").body, "ready\n");
  EXPECT_THAT(get(port, "/metrics").head, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8"));
  EXPECT_EQ(get(port, "/metrics?name[]=x").status, 200) << "a query is left out of account";
  for (const char* path : {"/", "/health", "/healthz/", "/../etc/passwd", "/%2e%2e/"})
    EXPECT_EQ(get(port, path).status, 404) << path;
  expect_clean_end(app);
  EXPECT_FALSE(connect_to(port)) << "the listener is gone with it";
}

TEST_F(HttpDaemon, HeadIsGetWithoutTheBodyAndNothingElseIsAnswered) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  for (const char* path : {"/healthz", "/readyz", "/metrics"}) {
    const Page head = get(port, path, "HEAD");
    EXPECT_EQ(head.status, 200) << path;
    EXPECT_EQ(head.body, "") << path;
    EXPECT_THAT(head.head, ContainsRegex("Content-Length: [1-9]")) << path;
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"}) {
    const Page refused =
        converse(port, std::string{method} + " /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_EQ(refused.status, 405) << method;
    EXPECT_THAT(refused.head, HasSubstr("Allow: GET, HEAD")) << method;
  }
  expect_clean_end(app);
}

TEST_F(HttpDaemon, BeforeItIsReadyItIsAliveAndSaysWhatIsMissing) {
  Process app = foreground({"--do=starting"});
  const int port = port_of(app);
  EXPECT_EQ(get(port, "/healthz").status, 200);
  const Page starting = get(port, "/readyz");
  EXPECT_EQ(starting.status, 503);
  EXPECT_EQ(starting.body, "starting: worker \"db\" is starting\n");
  EXPECT_EQ(scrape(port).at("perdure_up"), 0);
  write_file(dir / "go", "");
  EXPECT_TRUE(becomes_ready(port));
  EXPECT_EQ(scrape(port).at("perdure_up"), 1);
  expect_clean_end(app);
}

TEST_F(HttpDaemon, WhoeverHeardThatItIsReadyFindsItSo) {
  for (int round = 0; round < 10; ++round) {
    const Finished started =
        perdure::testing::run({HTTP_PROBE, "--daemon", "--config", config_file, "--log-file", dir / "http.log"}, options);
    ASSERT_TRUE(started.status.success()) << started.output;
    const std::string said = read_file(dir / "http.log").value_or("");
    const auto at = said.rfind("http://127.0.0.1:");
    ASSERT_NE(at, std::string::npos) << said;
    EXPECT_EQ(get(std::atoi(said.c_str() + at + 17), "/readyz").status, 200);
    ASSERT_TRUE(ask({"stop"}).status.success());
  }
}

TEST_F(HttpDaemon, AFailedReadinessCheckIsListedAndTheDaemonIsAlive) {
  Process app = foreground({"--do=readiness"});
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  write_file(dir / "cold", "");
  EXPECT_TRUE(eventually([&] { return get(port, "/readyz").status == 503; }));
  EXPECT_EQ(get(port, "/readyz").body, "not ready: check \"sensor\" fails: the sensor is cold\n");
  EXPECT_EQ(get(port, "/healthz").status, 200);
  EXPECT_EQ(scrape(port).at("perdure_check_passed{check=\"sensor\"}"), 0);
  ::unlink((dir / "cold").c_str());
  EXPECT_TRUE(becomes_ready(port));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, AFailedLivenessCheckIsWhyItIsNotAlive) {
  write_file(dir / "full", "");
  Process app = foreground({"--do=liveness"});
  const int port = port_of(app);
  EXPECT_TRUE(eventually([&] { return get(port, "/healthz").status == 503; }));
  EXPECT_EQ(get(port, "/healthz").body, "check \"disk\" fails: the disk is full\n");
  ::unlink((dir / "full").c_str());
  EXPECT_TRUE(eventually([&] { return get(port, "/healthz").status == 200; }));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, AStuckWorkerIsNamedUntilItMakesProgress) {
  Process app = foreground({"--do=stuck"});
  const int port = port_of(app);
  EXPECT_TRUE(eventually([&] { return get(port, "/healthz").status == 503; }));
  EXPECT_EQ(get(port, "/healthz").body, "stuck: worker \"busy\" has not made progress in time\n");
  EXPECT_EQ(scrape(port).at("perdure_healthy"), 0);
  EXPECT_EQ(ask({"health"}).status, perdure::ExitStatus::exited(2)) << "both doors say the same";
  write_file(dir / "rest", "");
  EXPECT_TRUE(eventually([&] { return get(port, "/healthz").status == 200; }));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, ACheckThatHangsHindersNoAnswer) {
  write_file(dir / "hang", "");
  Process app = foreground({"--do=slow-check"});
  const int port = port_of(app);
  EXPECT_TRUE(eventually([&] { return get(port, "/readyz").body.find("no answer within 50 ms") != std::string::npos; }))
      << get(port, "/readyz").body;
  EXPECT_EQ(get(port, "/healthz").status, 200);
  EXPECT_EQ(scrape(port).at("perdure_check_passed{check=\"slow\"}"), 0);
  ::unlink((dir / "hang").c_str());
  EXPECT_TRUE(becomes_ready(port));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, WhileAWorkerStopsSlowlyItAnswersAliveAndStopping) {
  Process app = foreground({"--do=slow-stop"});
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  app.signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return get(port, "/readyz").status == 503; }));
  EXPECT_EQ(get(port, "/readyz").body, "stopping\n");
  EXPECT_EQ(get(port, "/healthz").status, 200);
  EXPECT_EQ(scrape(port).at("perdure_worker_state{worker=\"slow\",state=\"stopping\"}"), 1);
  write_file(dir / "finish", "");
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
  EXPECT_FALSE(connect_to(port));
}

TEST_F(HttpDaemon, EndedByForceOrByExitItLeavesNothingBehind) {
  Process stubborn = foreground({"--do=slow-stop", "--stop-within=100ms"});
  ASSERT_TRUE(becomes_ready(port_of(stubborn)));
  stubborn.signal(SIGTERM);
  EXPECT_EQ(stubborn.wait(), perdure::ExitStatus::exited(70)) << stubborn.output();
  Process leaver = foreground({"--do=exit"});
  ASSERT_TRUE(becomes_ready(port_of(leaver)));
  write_file(dir / "leave", "");
  EXPECT_EQ(leaver.wait(), perdure::ExitStatus::exited(5)) << leaver.output();
  EXPECT_FALSE(read_file(dir / "http-probe.pid").has_value());
}

TEST_F(HttpDaemon, TheVerbAndThePathTellTheSameMetrics) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  std::vector<std::string> faults;
  const auto by_verb = parse_metrics(ask({"metrics"}).output, faults);
  EXPECT_THAT(faults, IsEmpty());
  const auto by_http = scrape(port);
  for (const auto& [name, value] : by_verb) EXPECT_EQ(by_http.count(name), 1U) << name;
  for (const auto& [name, value] : by_http)
    if (name.rfind("perdure_", 0) == 0 || name.rfind("process_", 0) == 0) {
      EXPECT_EQ(by_verb.count(name), 1U) << name;
    }
  EXPECT_EQ(by_http.at("probe_samples_total"), 42);
  EXPECT_EQ(by_verb.at("probe_samples_total"), 42);
  EXPECT_EQ(by_http.at("perdure_worker_restarts_total{worker=\"db\"}"), 0);
  EXPECT_EQ(by_http.at("perdure_worker_state{worker=\"db\",state=\"ready\"}"), 1);
  EXPECT_GT(by_http.at("process_resident_memory_bytes"), 0);
  EXPECT_GE(by_http.at("perdure_uptime_seconds"), by_verb.at("perdure_uptime_seconds"));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, ARegistryOfPrometheusIsServedAfterTheDaemonsOwn) {
#if !PROBE_HAS_PROMETHEUS
  GTEST_SKIP() << "prometheus-cpp is not installed";
#endif
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  const auto samples = scrape(port);
  EXPECT_EQ(samples.at(R"(probe_reads_total{device="tty \"S0\"\\\n"})"), 3);
  EXPECT_EQ(samples.at("probe_seconds_bucket{le=\"1\"}"), 1);
  EXPECT_EQ(samples.at("probe_seconds_count"), 1);
  expect_clean_end(app);
}

TEST_F(HttpDaemon, ReloadsAreCountedWhileItIsScraped) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  for (int round = 1; round <= 20; ++round) {
    write_file(config_file, round % 2 == 0 ? "number = 1000\n" : "number = " + std::to_string(round) + "\n");
    app.signal(SIGHUP);
    EXPECT_EQ(get(port, "/readyz").status, 200) << "a reload is no reason not to be ready";
    (void)scrape(port);
    EXPECT_TRUE(eventually([&] {
      const auto samples = scrape(port);
      return samples.at("perdure_reloads_total") + samples.at("perdure_reloads_refused_total") == round;
    }));
  }
  EXPECT_EQ(scrape(port).at("perdure_reloads_refused_total"), 10);
  expect_clean_end(app);
}

TEST_F(HttpDaemon, APortInUseRefusesTheStartAndSaysSoWhereItWasAskedFor) {
  Process first = foreground();
  const int port = port_of(first);
  const perdure::testing::TempDir elsewhere;
  const Finished second =
      perdure::testing::run({HTTP_PROBE, "--daemon", "--config", config_file, "--pid-file", elsewhere / "b.pid", "--control",
                             elsewhere / "b.sock", "--log-file", elsewhere / "b.log", "--port", std::to_string(port)},
                            options);
  EXPECT_EQ(second.status, perdure::ExitStatus::exited(73));
  EXPECT_THAT(second.output,
              HasSubstr("cannot listen on 127.0.0.1:" + std::to_string(port) +
                        " for HTTP: Address already in use (EADDRINUSE); choose another port, or 0 for one that "
                        "is free; nothing was started"));
  EXPECT_TRUE(std::filesystem::is_empty(elsewhere.path())) << "a start that failed leaves nothing behind";
  EXPECT_EQ(get(port, "/healthz").status, 200);
  expect_clean_end(first);
}

TEST_F(HttpDaemon, AnUpgradeThatFindsThePortTakenIsRefusedAndTheOldOneServesOn) {
  const Finished started =
      perdure::testing::run({HTTP_PROBE, "--daemon", "--config", config_file, "--log-file", dir / "http.log"}, options);
  ASSERT_TRUE(started.status.success()) << started.output;
  const std::string said = read_file(dir / "http.log").value_or("");
  const int port = std::atoi(said.c_str() + said.find("http://127.0.0.1:") + 17);
  ASSERT_TRUE(ask({"stop"}).status.success());  // its port is free now, and can be asked for
  const Finished fixed = perdure::testing::run(
      {HTTP_PROBE, "--daemon", "--config", config_file, "--log-file", dir / "http.log", "--port", std::to_string(port)},
      options);
  ASSERT_TRUE(fixed.status.success()) << fixed.output;
  const Finished upgrade = ask({"upgrade"});
  EXPECT_EQ(upgrade.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(upgrade.output, HasSubstr("Address already in use (EADDRINUSE)"));
  EXPECT_EQ(get(port, "/readyz").status, 200);
  EXPECT_TRUE(ask({"stop"}).status.success());
}

TEST_F(HttpDaemon, AnAddressThatIsNoneRefusesTheStart) {
  const Finished refused = ask({"--foreground", "--config", config_file, "--address", "localhost"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73));
  EXPECT_THAT(refused.output,
              HasSubstr("cannot listen on \"localhost\" for HTTP: a numeric IPv4 or IPv6 address is wanted"));
}

TEST_F(HttpDaemon, AnIpv6AddressIsOneToo) {
  Process app = foreground({"--address=::1"});
  if (!app.wait_for_output("http://[::1]:")) {
    ASSERT_THAT(app.output(), HasSubstr("cannot listen on [::1]:0 for HTTP: "));
    GTEST_SKIP() << "no IPv6 here: " << app.output();
  }
  const std::string said = app.output();
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(static_cast<std::uint16_t>(std::atoi(said.c_str() + said.find("[::1]:") + 6)));
  const perdure::UniqueFd fd{::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  (void)say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(hear(fd), EndsWith("\r\n\r\nok\n"));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, TwoEndpointsStandSideBySide) {
  Process app = foreground({"--do=two"});
  const int first = port_of(app, 0), second = port_of(app, 1);
  ASSERT_NE(first, second);
  ASSERT_TRUE(becomes_ready(first));
  EXPECT_EQ(get(second, "/readyz").status, 200);
  EXPECT_EQ(scrape(second).count("probe_samples_total"), 1U);
  expect_clean_end(app);
}

// ── Bad clients ───────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(HttpDaemon, WhatIsTooLongOrNoHttpIsRefusedAndForgotten) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  const std::string start = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
  EXPECT_EQ(converse(port, start + "X: " + std::string(20'000, 'a') + "\r\n\r\n").status, 431);
  EXPECT_THAT(converse(port, "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n").status,
              ::testing::AnyOf(414, 431));
  std::string many = start;
  for (int i = 0; i < 2'000; ++i) many += "H" + std::to_string(i) + ": x\r\n";
  EXPECT_EQ(converse(port, many + "\r\n").status, 431);
  EXPECT_EQ(converse(port, "GET /healthz HTTP/1.1\r\n\r\n").status, 400) << "HTTP/1.1 without a Host";
  for (const std::string& bytes : {std::string(5'000, '\0') + "\r\n\r\n", std::string{"\x16\x03\x01\x02"},
                                   std::string{"\r\n\r\n\r\n\r\n"}, std::string{"GET\r\n\r\n"}}) {
    const auto fd = connect_to(port);
    (void)say(fd, bytes);
    ::shutdown(fd.get(), SHUT_WR);
    EXPECT_THAT(hear(fd), Not(HasSubstr("200 OK")));
  }
  const Page chunks = converse(port, "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n");
  EXPECT_EQ(chunks.status, 405) << "refused before its body";
  EXPECT_EQ(get(port, "/healthz").status, 200);
  expect_clean_end(app);
}

TEST_F(HttpDaemon, TwoHundredSlowClientsDoNotHinderAScrape) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  const double fds_before = scrape(port).at("process_open_fds");
  std::vector<perdure::UniqueFd> slow;
  for (int i = 0; i < 200; ++i) {
    slow.push_back(connect_to(port));
    ASSERT_TRUE(slow.back());
    (void)say(slow.back(), "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    for (const auto& one : slow) (void)say(one, "a");  // each of them goes on, a byte at a time: never silent
    if (i % 20 == 19) {
      EXPECT_EQ(get(port, "/healthz").status, 200) << "with " << i + 1 << " of them";
    }
  }
  const auto samples = scrape(port);
  EXPECT_LE(samples.at("process_open_fds"), fds_before + 64) << "the oldest gave way";
  slow.clear();
  EXPECT_TRUE(eventually([&] { return scrape(port).at("process_open_fds") <= fds_before + 1; }));
  expect_clean_end(app);
}

TEST_F(HttpDaemon, ASilentClientIsClosedAndAStopDoesNotWaitForOne) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  const auto silent = connect_to(port);
  EXPECT_EQ(hear(silent), "") << "closed without a word, and not kept until the test gives up";
  const auto half = connect_to(port);
  (void)say(half, "GET /healthz HTT");
  app.signal(SIGTERM);
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
  EXPECT_THAT(hear(half), Not(HasSubstr("no end of it")));
}

TEST_F(HttpDaemon, AFloodOfConnectionsLeavesItAsItWas) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  const double fds_before = scrape(port).at("process_open_fds");
  for (int i = 0; i < 2'000; ++i) {
    const auto fd = connect_to(port);
    if (fd && i % 3 == 0) (void)say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");  // and does not wait for the answer
  }
  EXPECT_EQ(get(port, "/healthz").status, 200);
  EXPECT_TRUE(eventually([&] { return scrape(port).at("process_open_fds") <= fds_before + 1; }));
  EXPECT_TRUE(ask({"status"}).status.success());
  expect_clean_end(app);
}

// ── What a daemon without it pays ─────────────────────────────────────────────────────────────────────────────────────────

std::string mapped_files(pid_t pid) { return read_file("/proc/" + std::to_string(pid) + "/maps").value_or(""); }

TEST_F(HttpDaemon, ADaemonWithoutItLoadsNoneOfItsLibraries) {
  Process without{{APP_PROBE, "--foreground", "--config", config_file}, options};
  ASSERT_TRUE(without.wait_for_output("event: ready\n")) << without.output();
  EXPECT_THAT(mapped_files(without.pid()), HasSubstr("libc.so"));
  EXPECT_THAT(mapped_files(without.pid()), Not(ContainsRegex("microhttpd|prometheus|gnutls")));
  without.signal(SIGTERM);
  without.wait();
  Process with = foreground();
  ASSERT_TRUE(becomes_ready(port_of(with)));
  EXPECT_THAT(mapped_files(with.pid()), HasSubstr("microhttpd")) << "else the look at the other one shows nothing";
  expect_clean_end(with);
}

TEST_F(HttpDaemon, AVerbOrARefusedCommandLineBindsNothing) {
  Process app = foreground();
  const int port = port_of(app);
  ASSERT_TRUE(becomes_ready(port));
  EXPECT_TRUE(ask({"status", "--config", config_file}).status.success());
  EXPECT_TRUE(ask({"--check-config", "--config", config_file, "--port", std::to_string(port)}).status.success());
  expect_clean_end(app);
}

}  // namespace
}  // namespace probe
