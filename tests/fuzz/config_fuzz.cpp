// Can the text of a configuration file hurt us? And is what we print read back as the same settings?
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "perdure/settings.hpp"

namespace {

enum class Level { Debug, Info };

struct Tls {
  std::filesystem::path cert{};
  std::vector<std::string> ciphers{};
};

struct Settings {
  bool debug = false;
  std::uint16_t port = 80;
  std::int64_t offset = 0;
  double ratio = 0;
  std::string text{};
  std::chrono::milliseconds period{1000};
  perdure::Bytes size{};
  std::optional<std::string> motto{};
  std::vector<std::string> hosts{};
  Level level = Level::Info;
  Tls tls{};
};

void describe(perdure::Fields& f, Tls& tls) {
  f("cert", tls.cert);
  f("ciphers", tls.ciphers);
}

void describe(perdure::Fields& f, Settings& s) {
  f("debug", s.debug);
  f("port", s.port).range(1, 65535);
  f("offset", s.offset);
  f("ratio", s.ratio);
  f("text", s.text);
  f("period", s.period);
  f("size", s.size);
  f("motto", s.motto);
  f("hosts", s.hosts);
  f("level", s.level, {{"debug", Level::Debug}, {"info", Level::Info}});
  f.section("tls", s.tls);
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Settings settings;
  perdure::Fields fields;
  describe(fields, settings);
  const auto faults = perdure::detail::apply(fields, {.file_name = "f", .file_text = text});
  require(faults.size() <= 100);
  for (const perdure::Diagnostic& fault : faults) require(fault.text().find('\n') == std::string::npos);

  Settings again;
  perdure::Fields fields_again;
  describe(fields_again, again);
  const std::string printed = perdure::detail::print_settings(fields);
  // Escapes can make a line of one byte four times as long, past what is read: only then may it be refused.
  if (const auto refused = perdure::detail::apply(fields_again, {.file_name = "f", .file_text = printed}); refused.empty())
    require(perdure::detail::changed(fields, fields_again).empty());
  else require(size > 16 * 1024);
  return 0;
}
