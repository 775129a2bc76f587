// Averages: what the collector knows, and what it answers. Text in, text out; no sockets, no clock.
//
// A request is one JSON object: {"name":"cpu","value":42.5}. The value is any finite JSON number. The name "dump" asks
// for everything instead. Bounds: request_bytes_max per request, name_bytes_max per name, names_max names. Thread safety:
// none, one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

inline constexpr std::size_t request_bytes_max = 512;
inline constexpr std::size_t name_bytes_max = 64;
inline constexpr std::size_t names_max = 256;

struct Answer {
  enum class Kind {
    Reply,       ///< send `reply`, then close
    Refused,     ///< close without a word: not a request
    Incomplete,  ///< so far the beginning of an object: more bytes may follow
  };
  Kind kind = Kind::Refused;
  std::string reply{};
  /// Of "dump": one line per name, ` cpu: avg=48.75 (n=2)`, in the order of the names.
  std::vector<std::string> dump{};
};

class Averages {
 public:
  /// Answers one request; a refused one changes nothing.
  Answer take(std::string_view request);

 private:
  struct Running {
    double sum = 0;
    std::uint64_t count = 0;
    [[nodiscard]] double average() const { return sum / static_cast<double>(count); }
  };
  Answer dump() const;
  Answer add(const std::string& name, double value);
  std::map<std::string, Running> running_;
};
