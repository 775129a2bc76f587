#include "perdure/settings.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace {

using namespace std::chrono_literals;
using perdure::Bytes;
using perdure::Diagnostic;
using perdure::Fields;
using perdure::detail::SettingSources;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

enum class Level { Debug, Info, Warning };

struct Tls {
  std::filesystem::path cert = "/etc/ssl/cert.pem";
  std::vector<std::string> ciphers{};
};
struct Everything {
  bool debug = false;
  int port = 8080;
  std::uint8_t retries = 3;
  double ratio = 0.5;
  float gain = 0.1F;
  std::string device = "/dev/ttyS0";
  std::chrono::seconds period{1};
  Bytes limit{64 << 10};
  std::optional<int> nice{};
  std::optional<std::string> motto{};
  std::vector<std::string> hosts{"localhost"};
  std::vector<std::chrono::milliseconds> pauses{};
  Level level = Level::Info;
  std::string token = "changeme";
  Tls tls{};
};

void describe(Fields& f, Tls& t) {
  f("cert", t.cert).restart_only();
  f("ciphers", t.ciphers);
}

void describe(Fields& f, Everything& s) {
  f("debug", s.debug).env("DAEMON_DEBUG").flag("--debug");
  f("port", s.port).range(1, 65535).help("where it listens").env("DAEMON_PORT").flag("--port");
  f("retries", s.retries);
  f("ratio", s.ratio).range(0, 1);
  f("gain", s.gain);
  f("device", s.device).restart_only();
  f("period", s.period).range(1s, 1h).env("SCAN_INTERVAL");
  f("limit", s.limit).range(1, Bytes{1 << 20});
  f("nice", s.nice).range(-20, 19).env("DAEMON_NICE");
  f("motto", s.motto);
  f.section("tls", s.tls);
  f("hosts", s.hosts).env("DAEMON_HOST").flag("--host").check([](const auto& hosts) -> perdure::Result<void> {
    if (hosts.empty()) return perdure::Error{"at least one host is wanted"};
    return {};
  });
  f("pauses", s.pauses).range(0ms, 5s);
  f("level", s.level, {{"debug", Level::Debug}, {"info", Level::Info}, {"warning", Level::Warning}}).env("DAEMON_LOG_LEVEL");
  f("token", s.token).secret().check([](const std::string& token) -> perdure::Result<void> {
    if (token.size() < 4) return perdure::Error{token + " is short"};
    if (token == "throw") throw std::runtime_error{"no " + token};
    return {};
  });
}

struct Loaded {
  Everything value{};
  std::vector<std::string> faults{};
};

Loaded load(const SettingSources& sources) {
  Loaded loaded;
  Fields fields;
  describe(fields, loaded.value);
  for (const Diagnostic& d : perdure::detail::apply(fields, sources)) loaded.faults.push_back(d.text());
  return loaded;
}

Loaded load_file(const std::string& text) { return load({.file_name = "f", .file_text = text}); }

std::string print(Everything value) {
  Fields fields;
  describe(fields, value);
  return perdure::detail::print_settings(fields);
}

TEST(Settings, WithoutSourcesAreTheDefaults) {
  const auto loaded = load({});
  EXPECT_THAT(loaded.faults, IsEmpty());
  EXPECT_EQ(print(loaded.value), print(Everything{}));
}

TEST(Settings, EveryTypeOfFieldIsRead) {
  const auto [s, faults] = load_file(
      "debug = TRUE\nport = 80\nretries = 255\nratio = 1\ngain = -2.5e3\ndevice = \" a # b\"\nperiod = 1min 30s\nlimit = "
      "10K\n"
      "nice = -5\nmotto = \"\"\nhosts = a\nhosts = b\npauses = 5\npauses = 2s\nlevel = WARNING\ntoken = hunter2\n"
      "[tls]\ncert = /a/b.pem\nciphers = x\nciphers = y # z\n");
  EXPECT_THAT(faults, IsEmpty());
  EXPECT_TRUE(s.debug);
  EXPECT_EQ(s.port, 80);
  EXPECT_EQ(s.retries, 255);
  EXPECT_EQ(s.ratio, 1.0);
  EXPECT_EQ(s.gain, -2500.0F);
  EXPECT_EQ(s.device, " a # b");
  EXPECT_EQ(s.period, 90s);
  EXPECT_EQ(s.limit, Bytes{10240});
  EXPECT_EQ(s.nice, -5);
  EXPECT_EQ(s.motto, "");
  EXPECT_THAT(s.hosts, ElementsAre("a", "b"));
  EXPECT_THAT(s.pauses, ElementsAre(5ms, 2s));
  EXPECT_EQ(s.level, Level::Warning);
  EXPECT_EQ(s.token, "hunter2");
  EXPECT_EQ(s.tls.cert, "/a/b.pem");
  EXPECT_THAT(s.tls.ciphers, ElementsAre("x", "y"));
}

TEST(Settings, LaterSourcesWin) {
  SettingSources sources{.file_name = "f", .file_text = "port = 1\nperiod = 2s\nhosts = file\n"};
  sources.environment = {{"DAEMON_PORT", "2"}, {"SCAN_INTERVAL", "300"}, {"DAEMON_HOST", "env"}, {"PATH", "/bin"}};
  sources.command_line = {{"--port", "3"}, {"--host", "one"}, {"--host", "two"}, {"--debug", ""}};
  const auto [s, faults] = load(sources);
  EXPECT_THAT(faults, IsEmpty());
  EXPECT_EQ(s.port, 3);
  EXPECT_EQ(s.period, 300s);
  EXPECT_THAT(s.hosts, ElementsAre("one", "two"));
  EXPECT_TRUE(s.debug);
}

TEST(Settings, TheLastOptionOfSeveralWins) {
  EXPECT_EQ(load({.command_line = {{"--port", "1"}, {"--port", "2"}}}).value.port, 2);
}

TEST(Settings, AnEmptyValueEmptiesOptionalsAndLists) {
  const auto [s, faults] = load_file("nice =\nmotto =\n[tls]\nciphers = a\nciphers =\nciphers = b\n");
  EXPECT_THAT(faults, IsEmpty());
  EXPECT_EQ(s.nice, std::nullopt);
  EXPECT_EQ(s.motto, std::nullopt);
  EXPECT_THAT(s.tls.ciphers, ElementsAre("b"));
  EXPECT_EQ(load({.file_text = "nice = 5", .environment = {{"DAEMON_NICE", ""}}}).value.nice, std::nullopt);
}

TEST(Settings, AFaultInALowerSourceIsReportedEvenWhereAHigherOneOverridesIt) {
  SettingSources sources{.file_name = "f", .file_text = "port = x\n", .environment = {{"DAEMON_PORT", "2"}}};
  EXPECT_THAT(load(sources).faults, ElementsAre("f:1:8: port: \"x\" is not an integer; wanted: 1 to 65535"));
}

TEST(Settings, FaultsOfEachSourceAreNamedAsThatSourceNamesTheField) {
  const auto faults = load({.file_name = "/etc/x.conf",
                            .file_text = "\nlevel = loud\n",
                            .environment = {{"SCAN_INTERVAL", "often"}, {"DAEMON_DEBUG", ""}},
                            .command_line = {{"--port", "70000"}, {"--prot", "1"}}})
                          .faults;
  EXPECT_THAT(faults,
              ElementsAre("/etc/x.conf:2:9: level: \"loud\" is none of debug, info, warning",
                          "environment: SCAN_INTERVAL: \"often\" is not a duration; write for example 90s, 1min 30s or "
                          "250ms; wanted: 1s to 1h",
                          "environment: DAEMON_DEBUG: the value is missing; wanted: yes|no",
                          "command line: unknown option \"--prot\"; did you mean \"--port\"?",
                          "command line: --port: 70000 is out of range: 1 to 65535"));
}

TEST(Settings, ADefaultThatFailsItsCheckIsAFaultWithoutALine) {
  EXPECT_THAT(load_file("hosts =\n").faults, ElementsAre("f:1:8: hosts: at least one host is wanted"));
  struct Required {
    std::string name;
  } required;
  Fields fields;
  fields("name", required.name).check([](const std::string& n) -> perdure::Result<void> {
    if (n.empty()) return perdure::Error{"a name is wanted"};
    return {};
  });
  const auto faults = perdure::detail::apply(fields, {.file_name = "f"});
  ASSERT_THAT(faults, SizeIs(1));
  EXPECT_EQ(faults[0].text(), "f: name: a name is wanted");
}

TEST(Settings, SecretsAreInNoDiagnosticWhateverTheChecksSay) {
  EXPECT_THAT(load_file("token = abc\n").faults,
              ElementsAre("f:1:9: token: the value is refused, and the reason would show it"));
  EXPECT_THAT(load_file("token = throw\n").faults,
              ElementsAre("f:1:9: token: the value is refused, and the reason would show it"));
  struct Pin {
    int pin = 1234;
  } pin;
  Fields fields;
  fields("pin", pin.pin).secret().range(1000, 9999).flag("--pin");
  for (const char* value : {"77", "77x", "99999999999999999999"}) {
    const auto faults = perdure::detail::apply(fields, {.command_line = {{"--pin", value}}});
    ASSERT_THAT(faults, SizeIs(1));
    EXPECT_EQ(faults[0].text().find("77"), std::string::npos) << faults[0].text();
    EXPECT_EQ(faults[0].text().find("999999"), std::string::npos) << faults[0].text();
    EXPECT_THAT(faults[0].text(), HasSubstr("1000 to 9999"));
  }
}

TEST(Settings, ARedactedSecretIsNotTakenForTheSecret) {
  EXPECT_THAT(load_file("token = ***\n").faults,
              ElementsAre("f:1:9: token: *** only stands for a secret that was not shown; write the secret itself"));
}

TEST(Settings, AreAtMostAHundredFaults) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "x=1\n";
  EXPECT_THAT(load_file(text).faults, SizeIs(100));
  EXPECT_THAT(load_file(text).faults.back(), HasSubstr("there are more faults"));
}

TEST(PrintSettings, IsAFileWithHelpSectionsAndNoSecrets) {
  const std::string text = print(Everything{});
  EXPECT_THAT(
      text, HasSubstr("# where it listens\n# (integer, 1 to 65535; environment DAEMON_PORT; option --port)\nport = 8080\n"));
  EXPECT_THAT(text, HasSubstr("\nnice =\n"));
  EXPECT_THAT(text, HasSubstr("\ntoken = ***\n"));
  EXPECT_THAT(text, HasSubstr("\n\n[tls]\n# (path; changes need a restart)\ncert = /etc/ssl/cert.pem\n"));
  EXPECT_EQ(text.find("changeme"), std::string::npos);
  EXPECT_LT(text.find("\ntoken ="), text.find("[tls]")) << "what is in no section comes before the first";
}

std::string any_text() {
  auto text = *rc::gen::string<std::string>();
  std::erase(text, '\0');
  return text;
}

RC_GTEST_PROP(PrintSettings, IsReadBackAsTheSameSettings, ()) {
  Everything s;
  s.debug = *rc::gen::arbitrary<bool>();
  s.port = *rc::gen::inRange(1, 65536);
  s.retries = *rc::gen::arbitrary<std::uint8_t>();
  s.ratio = *rc::gen::inRange(0, 1000) / 1000.0;
  s.gain = *rc::gen::arbitrary<float>();
  s.device = any_text();
  s.period = std::chrono::seconds{*rc::gen::inRange(1, 3601)};
  s.limit = Bytes{*rc::gen::inRange<std::uint64_t>(1, (1 << 20) + 1)};
  if (*rc::gen::arbitrary<bool>()) s.nice = *rc::gen::inRange(-20, 20);
  if (*rc::gen::arbitrary<bool>()) s.motto = any_text();
  s.hosts = {any_text()};
  s.pauses.resize(*rc::gen::inRange<std::size_t>(0, 4), 7ms);
  s.level = *rc::gen::element(Level::Debug, Level::Info, Level::Warning);
  s.tls.cert = any_text();
  s.tls.ciphers.resize(*rc::gen::inRange<std::size_t>(0, 3), any_text());
  s.token = "correct horse";

  std::string text = print(s);
  text.replace(text.find("***"), 3, s.token);
  const auto loaded = load_file(text);
  RC_ASSERT(loaded.faults.empty());
  Everything back = loaded.value;
  Fields was, now;
  describe(was, s);
  describe(now, back);
  RC_ASSERT(perdure::detail::changed(was, now).empty());
}

TEST(Changed, ComparesSecretsToo) {
  Everything a, b;
  b.port = 1;
  b.token = "other";
  b.tls.cert = "/x";
  Fields was, now;
  describe(was, a);
  describe(now, b);
  EXPECT_THAT(perdure::detail::changed(was, now), ElementsAre("port", "tls.cert", "token"));
  EXPECT_THAT(perdure::detail::changed_restart_only(was, now), ElementsAre("tls.cert"));
}

TEST(DiagnosticText, IsOneLineThatBeginsWithThePlace) {
  EXPECT_EQ((Diagnostic{.source = "f", .line = 3, .column = 8, .message = "a\nb"}).text(), "f:3:8: a\\nb");
  EXPECT_EQ((Diagnostic{.source = "f", .line = 3, .message = "x"}).text(), "f:3: x");
  EXPECT_EQ((Diagnostic{.source = "environment", .message = "x", .is_warning = true}).text(), "environment: warning: x");
  EXPECT_EQ((Diagnostic{.message = "x"}).text(), "x");
}

using DescribeDeathTest = testing::Test;

TEST(DescribeDeathTest, BugsInADescriptionEndTheProgramWithTheFieldsName) {
  int n = 0;
  std::uint8_t small = 0;
  std::string text;
  EXPECT_DEATH(
      {
        Fields f;
        f("a", n);
        f("a", n);
      },
      "field \"a\": it is described twice");
  for (const char* name : {"", "A", "1a", "a-b", "a b", "a.b"})
    EXPECT_DEATH(
        {
          Fields f;
          f(name, n);
        },
        "wrong about the field")
        << name;
  EXPECT_DEATH(
      {
        Fields f;
        f("a", n).range(2, 1);
      },
      "upside down");
  EXPECT_DEATH(
      {
        Fields f;
        f("a", small).range(1, 256);
      },
      "does not fit its type");
  EXPECT_DEATH(
      {
        Fields f;
        f("a", n).flag("-a");
        (void)perdure::detail::apply(f, {});
      },
      "does not begin with --");
  EXPECT_DEATH(
      {
        Fields f;
        f("a", n).env("X");
        f("b", text).env("X");
        (void)perdure::detail::apply(f, {});
      },
      "another field's too");
}

}  // namespace
