// Rendering: the properties that the instance tells, as text for people and for scripts. Values in, text out.
//
// The shapes are systemctl's: the block of `status`, NAME=VALUE lines of `show`, the columns of `list-units`. Everything that came
// from a unit file is escaped. Left out: asking, printing, exit codes (commands.cpp).
// Thread safety: asks for the local time zone. Fork: pure otherwise. Signal safety: none.
//
//     print(client::status_block(unit, style, now_us, "nginx"));
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/instance.hpp"
#include "client/style.hpp"

namespace perdure::client {

/// The block of a unit, without its log. `command`: what the main process calls itself, empty where nobody knows.
std::string status_block(const Json& unit, const Style& style, std::uint64_t now_us, std::string_view command);
/// The same for the instance.
std::string instance_block(const Json& instance, const Style& style, std::uint64_t now_us);

enum class Names : bool { Hide, Show };
enum class Empty : bool { Hide, Show };
/// One line per property.
std::string property_lines(const Json& object, Names names, Empty empty);

struct ListOptions {
  bool plain = false;
  bool no_legend = false;
  bool all = false;  ///< what was left out need not be mentioned
};
std::string unit_table(const std::vector<Json>& units, const ListOptions& options, const Style& style);

/// JOB UNIT TYPE STATE.
std::string job_table(const Json& jobs, const ListOptions& options, const Style& style);
/// The files of units, each below a line with its path.
std::string file_texts(const Json& files, const Style& style);
/// Nested {unit, state, children}, as `systemctl list-dependencies` draws them; plain: by indentation only.
std::string dependency_tree(const Json& roots, bool is_plain, const Style& style);

/// One line that says why a unit's start (`verb`) did not work: "web.service did not start: …".
std::string job_failure(std::string_view verb, const Json& unit, std::string_view result);

}  // namespace perdure::client
