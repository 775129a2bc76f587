// Values of directives: signals, exit statuses, limits, time spans, users, as systemd.exec(5) and its neighbours write them.
//
// Each says on failure what is wrong with the text, quoted, for the end of a diagnostic.
// Left out: words, numbers, booleans and sizes that config reads already (perdure/settings.hpp).
// Thread and fork safety: pure functions. Signal safety: none.
//
//     PERDURE_TRY(const int signal, parse_signal("SIGTERM"));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "perdure/result.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::unit {

/// Also "y", "t", "n" and "f", which systemd takes.
Result<bool> parse_truth(std::string_view text);

/// "SIGTERM", "TERM", "15", "RTMIN+3", "RTMAX-1".
Result<int> parse_signal(std::string_view text);

/// "3", "TEMPFAIL", "SIGUSR1": one word of SuccessExitStatus= and its relatives, put where it belongs.
Result<void> add_status(std::string_view text, StatusSet& set);

/// A time span, a bare number counting seconds; nullopt for "infinity". At most span_max.
Result<std::optional<base::Duration>> parse_span(std::string_view text);

/// "LimitNOFILE" and the others; nullopt for other names.
std::optional<Limit> limit_of(std::string_view directive) noexcept;
/// "1024", "1024:4096", "infinity", with the units of the limit: sizes, time spans, nice levels.
Result<LimitValue> parse_limit(Limit limit, std::string_view text);

/// A name or number for User= and Group=, whatever the user database says of it.
Result<void> check_account(std::string_view text);

/// Whether an environment could have a variable of that name.
bool is_variable_name(std::string_view text) noexcept;
/// Whether NAME=VALUE could stand in an environment.
bool is_assignment(std::string_view text) noexcept;

/// An octal mode of at most `max`.
Result<std::uint32_t> parse_mode(std::string_view text, std::uint32_t max);

/// An absolute path that a kernel could take, without "." parts and doubled slashes. One with ".." parts fails: they lead
/// elsewhere when a link changes.
Result<std::string> parse_path(std::string_view text);
/// The same, where systemd lets ".." pass: in commands.
Result<std::string> parse_program_path(std::string_view text);

}  // namespace perdure::unit
