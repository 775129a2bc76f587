// The metrics collector's requests: whatever a client sends is answered, refused or waited for, within the bounds of averages.hpp.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "31_metrics_collector/averages.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  Averages averages;
  // As bytes come from a socket: a piece that is the beginning of a request may only be waited for, answered or refused.
  for (const std::string_view piece : {bytes.substr(0, size / 2), bytes, bytes}) {
    const Answer answer = averages.take(piece);
    if (answer.kind == Answer::Kind::Reply) require(!answer.reply.empty());
    if (answer.kind != Answer::Kind::Reply) require(answer.reply.empty() && answer.dump.empty());
    require(answer.dump.size() <= names_max);
  }
  const Answer dump = averages.take(R"({"name": "dump"})");
  require(dump.kind == Answer::Kind::Reply && dump.dump.size() <= 1);
  for (const auto& line : dump.dump) require(line.find('\n') == std::string_view::npos);
  return 0;
}
