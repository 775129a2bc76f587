// Our reading of a unit in the words of systemd's own dump (`systemd --test`), for the comparison of both.
//
// Left out: what is not in the dump, and what differs for a reason (corpus_test.cpp).
// Thread and fork safety: pure functions. Signal safety: none.
//
//     EXPECT_EQ(dump.lines.find("KillMode")->second, properties(unit).at("KillMode"));
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "unit/unit_spec.hpp"

namespace perdure::unit::testing {

/// The value of a key that is not in the dump.
inline const std::string absent = "(nothing)";

/// "Command Line:" under "-> ExecStart:" and the others.
std::string command_line(const ExecCommand& command);
/// The words in one order, whatever order systemd's hash tables have them in; a "~" stays in front.
std::string sorted_words(std::string_view text);
/// By key, where a key is there once at most; keys that depend on the machine only where the unit sets them.
std::map<std::string, std::string> properties(const UnitSpec& unit);
/// By key, where a key is there once for each value.
std::map<std::string, std::vector<std::string>> lists(const UnitSpec& unit);
/// "ConditionPathExists: !/x".
std::vector<std::string> conditions(const UnitSpec& unit);

}  // namespace perdure::unit::testing
