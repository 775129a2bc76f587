// parse_moment(): a point in time as systemd.time(7) writes it, for `logs --since` and `--until`. parse_span(): a time span.
//
//     2026-11-21 18:00:00.5     2026-11-21 18:00     2026-11-21     18:00     with " UTC", else local time; "T" for the space
//     now     today     yesterday     tomorrow     @1763700010.25     -2h     +30s     1h 30min ago     5min left
// A weekday in front is accepted where it is the right one. Left out: other time zones, calendar expressions.
// Thread safety: asks for the local time zone as mktime(3) does. Fork: pure otherwise. Signal safety: none.
//
//     PERDURE_TRY(const std::int64_t since_us, client::parse_moment("-2h", now_us));
#pragma once

#include <cstdint>
#include <string_view>

#include "perdure/result.hpp"

namespace perdure::client {

/// Microseconds, of a span as systemd.time(7) writes it: "1min 30s", "90" (seconds). On failure: one line that says what is wanted.
Result<std::int64_t> parse_span(std::string_view text);

/// Microseconds since 1970. On failure: one line that says what is wanted.
Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now_us);

}  // namespace perdure::client
