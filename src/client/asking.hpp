// What the verbs share: which units the words mean, what a failure is worth as an exit code, how JSON is printed.
//
// Left out: the verbs (commands.cpp, job_commands.cpp, unit_commands.cpp, logs_command.cpp).
// Thread safety: one thread. Fork and signal safety: none.
//
//     const auto names = names_of(instance, arguments.words);
//     if (!names) return give_up(names.error());
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/arguments.hpp"
#include "client/commands.hpp"
#include "client/instance.hpp"
#include "client/places.hpp"
#include "client/style.hpp"

namespace perdure::client {

/// Microseconds since 1970.
std::uint64_t now_us();

/// Says why, and gives the exit code that goes with it.
int give_up(const Error& error);

/// The units that the words mean: names as they are, patterns as what the instance knows. The words' order, each once.
Result<std::vector<std::string>> names_of(Instance& instance, const std::vector<std::string>& words);

/// The unit that `name` was probably meant to be, of those that the instance knows.
std::optional<std::string> meant_instead_of(Instance& instance, std::string_view name);
/// The same, of `known` ones.
std::optional<std::string> meant_instead_of(std::string_view name, const std::vector<std::string>& known);

/// JSON on one line, with its newline.
std::string json_line(const Json& value);

/// The instance's own properties; all of them where none is named.
Result<Json> instance_properties(Instance& instance, const std::vector<std::string>& properties);

/// What an answer carries in a member of that name. An array that is all of the data is taken for it, too.
const Json& list_in(const Answer& answer, const char* name);

// The verbs that stand in files of their own; exit codes.
int change_units(Instance& instance, const Arguments& arguments);
int kill_units(Instance& instance, const Arguments& arguments);
int reset_failed(Instance& instance, const Arguments& arguments);
int list_jobs(Instance& instance, const Arguments& arguments);
int cancel_jobs(Instance& instance, const Arguments& arguments);
int end_instance(Instance& instance, const Arguments& arguments);
int print_files(Instance& instance, const Arguments& arguments, const Style& style);
int list_dependencies(Instance& instance, const Arguments& arguments, const Style& style);
int verify_units(Instance& instance, const Arguments& arguments);
int tell_system_state(const Arguments& arguments, const Places& places);
int reload_unit_files(Instance& instance);
int show_environment(Instance& instance, const Arguments& arguments);
int show_logs(const Arguments& arguments, const Places& places, const Style& style);

}  // namespace perdure::client
