// Load: a unit while its texts are read, and the readers that take one value each: the inside of load_unit().
//
// A reader changes the Load or says what is wrong with the value; where that stands, and what follows from it, is load_unit.cpp's
// business. There is one table of readers for each man page, in the source named after it.
// Thread and fork safety: plain values. Signal safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"
#include "perdure/settings.hpp"
#include "unit/support.hpp"
#include "unit/unit_spec.hpp"
#include "unit/values.hpp"

namespace perdure::unit {

/// What a value that can be read, and not be carried out as it is, comes to.
struct Exception {
  enum class Kind : std::uint8_t {
    None,
    Refused,   ///< this version cannot do it, and the unit does not start
    LeftOut,   ///< this version does not do it, and the unit starts without it
    Emulated,  ///< it is done in another way
  };
  Kind kind = Kind::None;
  std::string what{};  ///< Refused and LeftOut: the value; Emulated: how
};

/// What is known while the texts are read one after the other.
struct Load {
  UnitSpec spec;
  const Specifiers& machine;
  Isolation isolation;
  // What the service's lines say and its settings do not show:
  std::optional<ServiceType> type{};
  bool has_timeout_start = false;
  bool has_watchdog = false;  ///< WatchdogSec= is not 0; "infinity" counts, and never barks
  bool permissions_start_only = false;
  bool has_bus_name = false;
  bool cpu_resets_on_fork = false;
  bool has_system_call_list = false;  ///< SystemCallFilter= says already what its list is
  // Of the assignment that is being read:
  std::string_view directive{};
  std::vector<std::string> warnings{};
  Exception exception{};

  [[nodiscard]] ServiceSpec& service() noexcept { return spec.service; }
  [[nodiscard]] Result<std::string> expand(std::string_view text) const {
    return expand_specifiers(text, {spec.name, machine, spec.source_path});
  }
};

using Read = Result<void> (*)(Load&, std::string_view value);

/// What follows from a value that cannot be read.
enum class Invalid : std::uint8_t {
  LeavesOut,  ///< the assignment counts for nothing, as under systemd, and that is said
  Refuses,    ///< the unit does not start: without it the service would be another, or have more rights
};

struct Reader {
  std::string_view section;
  std::string_view name;
  Invalid invalid;
  Read read;
};

std::span<const Reader> unit_readers() noexcept;     // [Unit], [Install] and [X-Perdure]
std::span<const Reader> service_readers() noexcept;  // systemd.service(5) and systemd.kill(5)
std::span<const Reader> exec_readers() noexcept;     // systemd.exec(5): surroundings and limits
std::span<const Reader> stream_readers() noexcept;   // systemd.exec(5): what it reads and where it writes
std::span<const Reader> rights_readers() noexcept;   // systemd.exec(5): what it may do
/// nullptr: the directive is not carried out by this version, or is none.
/// Requires: it is one of directives().
const Reader* find_reader(const Directive& directive);

/// Why the unit as a whole cannot start, or nothing, when all is read and complete_service() was called; and the directive at
/// fault, whose place a person has to look at (empty: none).
struct Fault {
  std::string_view directive{};
  std::string why{};
};
std::vector<Fault> faults_of_service(const Load& load);
/// What follows from several settings together: the type, defaults of timeouts, who is listened to, where output goes.
void complete_service(Load& load);
/// The dependencies that a unit has without naming them, systemd.service(5) and systemd.target(5).
void add_default_dependencies(UnitSpec& unit);

// ---- values that many directives have ------------------------------------------------------------------------------------

inline Result<void> accept(Load&, std::string_view) { return {}; }

template <class Words>
Result<std::size_t> parse_choice(std::string_view text, const Words& words) {
  PERDURE_TRY(const std::size_t index, perdure::detail::parse_word(text, {std::begin(words), std::end(words)}));
  if (words[index] != text) return perdure::detail::misfit(text, "has to be written " + std::string{words[index]});
  return index;
}

template <auto Member>
Result<void> truth(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().*Member, parse_truth(value));
  return {};
}

template <auto Member>
Result<void> unit_truth(Load& load, std::string_view value) {
  PERDURE_TRY(load.spec.*Member, parse_truth(value));
  return {};
}

/// "infinity" is span_max.
template <auto Member>
Result<void> span_up_to_max(Load& load, std::string_view value) {
  PERDURE_TRY(const auto parsed, parse_span(value));
  load.service().*Member = parsed.value_or(span_max);
  return {};
}

template <auto Member, int Min, int Max>
Result<void> number(Load& load, std::string_view value) {
  if (value.empty()) {
    (load.service().*Member).reset();
    return {};
  }
  base::remove_prefix(value, "+");
  PERDURE_TRY(const std::int64_t parsed, perdure::detail::parse_integer(value, Min, Max));
  load.service().*Member = static_cast<int>(parsed);
  return {};
}

Result<void> read_start_limit_burst(Load& load, std::string_view value);
Result<void> read_start_limit_action(Load& load, std::string_view value);

}  // namespace perdure::unit
