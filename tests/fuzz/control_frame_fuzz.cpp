// Control frames: whatever a peer sends is parsed or refused in words, within the bounds that control_frame.hpp promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/control_frame.hpp"

namespace wire = perdure::wire;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_one_line(std::string_view text) { return text.find('\n') == text.size() - 1; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const auto dialect = wire::control_dialect(bytes);

  if (const auto request = wire::parse_control_request(bytes)) {
    require(!request->verb.empty() && request->verb.size() <= wire::control_verb_max);
    require(request->text.find('\0') == std::string_view::npos);
    // What was understood can be said again, and is understood the same way, unless escapes made it too long.
    const auto said = wire::control_request(request->verb, request->text);
    if (said.size() <= wire::control_request_max) {
      const auto again = wire::parse_control_request(said);
      require(again && again->verb == request->verb && again->text == request->text);
    }
  } else {
    require(!request.error().message().empty());
    const auto refusal = wire::control_answer(dialect, {.ok = false, .text = request.error().message()});
    require(!refusal.empty() && refusal.back() == '\n' && refusal.size() <= wire::control_answer_max);
  }

  const auto answer = wire::control_answer(wire::Dialect::Json, {.ok = true, .text = std::string{bytes}});
  require(is_one_line(answer) && wire::parse_control_answer(answer));
  if (const auto parsed = wire::parse_control_answer(bytes)) {
    require(wire::control_answer(wire::Dialect::Plain, *parsed).back() == '\n');
  }
  return 0;
}
