// Requests: what a client's line asks for, and the work that one of them is. Knows no sockets and no threads.
//
//     hello              hello                      every line comes back,
//     /primes 100        25                         but for those with a slash
//     /ask hello         what the upstream answers
//
// Thread safety: all functions.
#pragma once

#include <charconv>
#include <string>
#include <vector>

struct Request {
  std::string_view verb;  ///< with its slash; "": a line that comes back
  std::string_view text;  ///< after the blank
};

/// `line` without its newline, and at its end telnet's '\r' perhaps. The result points into it.
inline Request parse(std::string_view line) {
  if (!line.starts_with('/')) return {"", line};
  if (line.ends_with('\r')) line.remove_suffix(1);
  const std::string_view verb = line.substr(0, line.find(' '));
  return {verb, line.substr(std::min(verb.size() + 1, line.size()))};
}

/// How many primes there are up to the number that `text` is, ten million at most.
inline std::string count_primes(std::string_view text) {
  std::uint32_t last = 0, count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), last);
  if (error != std::errc{} || end != text.data() + text.size() || last > 10'000'000)
    return "error: /primes takes a number, 10000000 at most";
  std::vector<bool> is_composite(last + 1);
  for (std::uint64_t n = 2; n <= last; ++n) {
    if (is_composite[n]) continue;
    ++count;
    for (std::uint64_t multiple = n * n; multiple <= last; multiple += n) is_composite[multiple] = true;
  }
  return std::to_string(count);
}
