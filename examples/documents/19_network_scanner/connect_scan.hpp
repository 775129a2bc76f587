// The built-in scan: connects to each port of one host, all at once, and tells which of them answered.
//
// It needs no rights and sends nothing; whoever listens sees a connection that is closed again. Looking up a name blocks, so this is
// for a process of its own (see main.cpp), which can be killed. Thread safety: no state.
//
//     auto scan = connect_scan("127.0.0.1", {22, 80}, 3s);      // Result: nobody of this name, …
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

enum class PortState : std::uint8_t {
  Open,      ///< somebody accepted
  Closed,    ///< refused: the host is there, nobody listens
  NoAnswer,  ///< not in time, or on the way somebody said that it cannot be reached
};
std::string_view to_text(PortState state);

struct ScannedPort {
  std::uint16_t port;
  PortState state;
};

/// In the order of `ports`. A name with several addresses: the first one.
perdure::Result<std::vector<ScannedPort>> connect_scan(const std::string& host, const std::vector<std::uint16_t>& ports,
                                                       std::chrono::milliseconds within);
