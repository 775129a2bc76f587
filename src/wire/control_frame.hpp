// The control protocol's frames: one line in, one answer out. Bytes ⇄ values; no sockets here.
//
// A request is a JSON object ({"verb": "status", "text": "…"}, answered by a JSON object on one line) or a plain line
// `VERB [TEXT]` (answered in plain text). The first byte that is not blank decides: `{` or `[` is JSON. Everything a peer can
// send is bounded before it is looked at (size) or while it is (depth); nothing here recurses.
// Left out: splitting a stream into lines, order of answers, limits in time: control/connection.hpp. For users of other
// languages: docs/reference/control-protocol.md.
// Thread and fork safety: pure functions. Signal safety: none.
//
//     auto request = wire::parse_control_request("queue build project");
//     // request->verb == "queue", request->text == "build project", request->dialect == Dialect::Plain
//     wire::control_answer(request->dialect, {.text = "queued (1/32)"});        // "queued (1/32)\n"
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "perdure/result.hpp"

namespace perdure::wire {

/// Said in every JSON answer; a request may name it too. Grows when a member changes its meaning, not when one is added.
inline constexpr int control_protocol = 1;
/// Bytes of a request's line, its newline not counted.
inline constexpr std::size_t control_request_max = 64 * 1024;
/// Bytes of an answer, its newline counted.
inline constexpr std::size_t control_answer_max = 1024 * 1024;
/// Objects and arrays inside each other in a request, the outermost counted.
inline constexpr std::size_t control_depth_max = 8;
/// The same in an answer, which comes from someone whom the reader chose to trust.
inline constexpr std::size_t control_answer_depth_max = 64;
inline constexpr std::size_t control_verb_max = 64;

enum class Dialect : std::uint8_t { Plain, Json };

struct ControlRequest {
  Dialect dialect = Dialect::Plain;
  std::string verb{};  ///< [a-z][a-z0-9-]*, at most control_verb_max bytes
  std::string text{};  ///< UTF-8 without NUL; of a plain line: without blanks at its ends
  std::string json{};  ///< the whole object as it came; empty for a plain line
};

struct ControlAnswer {
  bool ok = true;
  std::string text{};
  std::string data{};          ///< a JSON value; empty: none
  bool data_is_sound = false;  ///< its maker vouches for it, as JSON and as shallow enough: it is not looked at again
};

/// How a request that begins with `line` (whole or not) wants to be answered.
Dialect control_dialect(std::string_view line) noexcept;

/// One line, with or without its "\n" or "\r\n".
/// On failure: the Error's text is what the requester is to read. A verb that no command can have is "unknown command".
Result<ControlRequest> parse_control_request(std::string_view line);

/// The request as one JSON line with its newline. Bytes that are not UTF-8 become U+FFFD.
std::string control_request(std::string_view verb, std::string_view text);

/// The answer in the requester's dialect, with exactly one newline at its end.
///
/// Plain: `text`, or `error: text`; newlines within are kept, so is an empty text (a lone newline). JSON: one line.
/// An answer over control_answer_max, or whose `data` is not JSON, becomes an error answer that says so.
std::string control_answer(Dialect dialect, const ControlAnswer& answer);

/// An answer in JSON, with or without its newline.
/// On failure: it is none; what came instead is quoted.
Result<ControlAnswer> parse_control_answer(std::string_view line);

}  // namespace perdure::wire
