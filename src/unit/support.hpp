// The support table: every directive that systemd 252 knows in a service's sections, and what becomes of it here.
//
// It is data, so that the loader, `verify`, `status` and docs/reference/unit-files.md cannot disagree: the test of this module
// compares the document with the table. The rule behind it: nothing is ignored silently, and nothing that a service needs in
// order to be safe or right is left out while it runs. So a directive that is not carried out yet has one of two consequences:
// the service runs without it and this is said, or it does not start.
// Left out: values (unit_spec.hpp), and whether this machine can carry a directive out (the executor finds out).
// Thread and fork safety: constants. Signal safety: all.
//
//     if (const Directive* d = find_directive("Service", "PrivateTmp")) say(text_of(d->outcome));
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace perdure::unit {

enum class Outcome : std::uint8_t {
  Enforced,  ///< carried out as systemd does
  Emulated,  ///< carried out in another way: Directive::note says how
  NotYet,    ///< this version does not carry it out
  Unknown,   ///< no such directive
};
/// "enforced", "emulated", "not yet", "unknown".
std::string_view text_of(Outcome outcome) noexcept;

/// What becomes of a service that sets a directive which is not carried out.
enum class Without : std::uint8_t {
  Starts,    ///< it runs, and `verify`, `status` and the log say what is missing
  Isolated,  ///< as Starts, for sandboxing; Isolation=strict makes it Refused
  Refused,   ///< it does not start
};

/// Values that ask for nothing, so that nothing is missing.
enum class Neutral : std::uint8_t {
  Never,
  Empty,     ///< an empty value takes back what was set before
  No,        ///< that, and a false boolean
  Infinity,  ///< that of Empty, and "infinity"
};

struct Directive {
  std::string_view section;
  std::string_view name;
  Outcome outcome;
  Without without = Without::Starts;
  Neutral neutral = Neutral::Empty;
  std::string_view note = {};  ///< why it is refused, or how it is emulated; may be empty
};

/// In the order of the sections Unit, Service, Install, X-Perdure.
std::span<const Directive> directives() noexcept;
/// nullptr where there is none.
const Directive* find_directive(std::string_view section, std::string_view name) noexcept;

}  // namespace perdure::unit
