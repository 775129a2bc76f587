// What users read when a configuration is wrong, reviewed as an interface: testdata/error_texts.txt.
// PERDURE_REWRITE_GOLDEN=1 in the environment rewrites the file from what the code says now.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "config/ini.hpp"
#include "perdure/settings.hpp"

namespace {

using namespace std::chrono_literals;

enum class Level { Debug, Info, Warning, Error };

struct Settings {
  std::uint16_t port = 8080;
  Level log_level = Level::Info;
  unsigned max_connections = 100;
  std::string pid_file = "/var/run/mydaemon.pid";
  std::chrono::seconds scan_interval{300};
  bool debug = false;
  perdure::Bytes log_size{10 << 20};
  double ratio = 0.5;
  std::string token{};
  struct Tls {
    std::string cert{};
  } tls{};
};
void describe(perdure::Fields& f, Settings::Tls& tls) { f("cert", tls.cert); }
void describe(perdure::Fields& f, Settings& s) {
  f("port", s.port).range(1, 65535);
  f("log_level", s.log_level,
    {{"debug", Level::Debug}, {"info", Level::Info}, {"warning", Level::Warning}, {"error", Level::Error}});
  f("max_connections", s.max_connections).range(1, 10'000);
  f("pid_file", s.pid_file);
  f("scan_interval", s.scan_interval).range(1s, 24h);
  f("debug", s.debug);
  f("log_size", s.log_size);
  f("ratio", s.ratio);
  f("token", s.token).secret().check([](const std::string& t) -> perdure::Result<void> {
    if (t.size() == 1) return perdure::Error{"it needs at least two characters"};
    return {};
  });
  f.section("tls", s.tls);
}

std::vector<std::string> faults(const std::string& text) {
  Settings settings;
  perdure::Fields fields;
  describe(fields, settings);
  std::vector<std::string> all;
  for (const auto& d : perdure::detail::apply(fields, {.file_name = "/etc/mydaemon.conf", .file_text = text}))
    all.push_back(d.text());
  return all;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

const std::string texts[] = {
    "port=eighty\n",
    "port = 70000\n",
    "port = -1\n",
    "port =\n",
    "prot = 80\n",
    "colour = red\n",
    "port 8080\n",
    "= 8080\n",
    "my port = 8080\n",
    "port = 1\nport = 2\n",
    "log_level = INOF\n",
    "log_level = loud\n",
    "max_connections = 1e3\n",
    "scan_interval = 0.5s\n",
    "scan_interval = 5 parsecs\n",
    "scan_interval = 400y\n",
    "scan_interval = infinity\n",
    "scan_interval = 2d\n",
    "debug = maybe\n",
    "log_size = 10MB\n",
    "ratio = 0,5\n",
    "token = x\n",
    "token = ***\n",
    "pid_file = \"/run/x.pid\n",
    "pid_file = '/run/x.pid' or so\n",
    "pid_file = \"a\\q\"\n",
    "pid_file = #none\n",
    "pid_file = \"/run/\"x\" # y\n",
    "pid_file = /run/x \"a # b\"\n",
    "pid_file = a\x1b[31mb\n",
    "cert = x\n",
    "tls.cert = x\n",
    "[tls]\nport = 1\n",
    "[tls]\ncret = 1\n",
    "[tsl]\ncert = x\n",
    "[tls\ncert = x\n",
    "[t l s]\n",
    "[tls] cert = x\n",
    std::string{"\xFF\xFEp\0o\0", 6},
    std::string{"port=80\0", 8},
    std::string(70'000, 'x'),
    std::string((1 << 20) + 1, '\n'),
    "a\nb\nport = x\n",
};

TEST(ErrorTexts, AreThoseOfTheGoldenFile) {
  const std::filesystem::path golden = PERDURE_CONFIG_TESTDATA "/error_texts.txt";
  std::string now;
  for (const std::string& text : texts) {
    now += "> " + perdure::base::escape(text.substr(0, 60)) + (text.size() > 60 ? "…" : "") + '\n';
    for (const std::string& fault : faults(text)) now += fault + '\n';
    now += '\n';
  }
  if (std::getenv("PERDURE_REWRITE_GOLDEN") != nullptr) std::ofstream{golden, std::ios::binary} << now;
  EXPECT_EQ(now, read_text(golden));
}

TEST(ErrorTexts, TheSampleOfTheDocumentsHasNone) {
  const std::string sample = read_text(PERDURE_CONFIG_TESTDATA "/daemon.conf");
  ASSERT_FALSE(sample.empty());
  EXPECT_TRUE(faults(sample).empty());
  std::string crlf;
  for (const char c : sample) crlf += c == '\n' ? std::string{"\r\n"} : std::string{c};
  EXPECT_TRUE(faults(crlf).empty());
}

TEST(Corpus, EveryFileIsReadWithoutHarm) {
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator{PERDURE_CONFIG_CORPUS}) {
    ++files;
    for (const std::string& fault : faults(read_text(file.path())))
      EXPECT_EQ(perdure::base::escape(fault), fault) << file.path();
  }
  EXPECT_GT(files, 10);
}

}  // namespace
