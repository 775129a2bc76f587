// What a service wrote, shown: whatever the bytes, no terminal obeys a line, it is one line, and as JSON it can be read back.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "logbook/line_view.hpp"

namespace logbook = perdure::logbook;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// Takes the next eight bytes, as far as there are so many.
std::uint64_t take_number(std::string_view& bytes) {
  std::uint64_t number = 0;
  const std::size_t size = std::min(bytes.size(), sizeof number);
  std::memcpy(&number, bytes.data(), size);
  bytes.remove_prefix(size);
  return number;
}

/// Only whole characters of UTF-8, and of the controls only tab and newline: neither C0, nor DEL, nor C1.
void require_harmless(std::string_view shown) {
  while (!shown.empty()) {
    const std::size_t length = perdure::base::utf8_length(shown);
    require(length > 0);
    const auto first = static_cast<unsigned char>(shown[0]);
    require(first >= 0x20 || first == '\t' || first == '\n');
    require(first != 0x7F);
    if (first == 0xC2) require(static_cast<unsigned char>(shown[1]) >= 0xA0);
    shown.remove_prefix(length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const std::string_view text = bytes;
  const std::uint64_t choice = take_number(bytes);
  logbook::LineOrigin origin;
  origin.place = {static_cast<std::uint32_t>(choice), choice};
  if ((choice & 1U) != 0)
    origin.time = logbook::TimeRecord{.realtime_ns = static_cast<std::int64_t>(take_number(bytes)), .monotonic_ns = 1};
  origin.main_pid = static_cast<std::uint32_t>(choice >> 8U);
  const std::uint64_t cut = (choice & 2U) != 0 ? choice >> 2U : 0;
  const std::string name{
      bytes.substr(0, bytes.find('\n'))};  // of the unit and of the host: from outside they are checked, here not
  for (const auto format :
       {logbook::ShowFormat::Short, logbook::ShowFormat::ShortIso, logbook::ShowFormat::Cat, logbook::ShowFormat::Json}) {
    std::string shown;
    logbook::append_line(shown, {.format = format, .unit = name, .host = name},
                         {.origin = origin, .text = text, .cut = cut});
    require_harmless(shown);
    require(shown.find('\n') == shown.size() - 1);
    if (format == logbook::ShowFormat::Json) require(nlohmann::json::accept(shown));
  }
  std::string raw;
  logbook::append_line(raw, {.format = logbook::ShowFormat::Cat, .raw = true}, {.origin = origin, .text = text});
  require(raw == std::string{text} + '\n');
  return 0;
}
