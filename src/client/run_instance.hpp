// run_instance(): what `perdure run` does before it becomes the keeper.
//
// Checks the command line, makes the directories and checks that nobody else rules them, takes the instance's locks, opens the
// programs, and replaces itself by the keeper, whose pid it thereby gives away: a lock belongs to the open file and goes along.
// The keeper finds: 3 its own binary, 4 the executor's, 5 the manager's, 6 the instance's lock, 7 and 8 those of the state and log
// directories, where these are directories of their own; nothing else above 2; 0–2 open.
// Its arguments: "perdure-keeper", the options of the places, what was said of --console=, --pass-env=, --stop-timeout= and
// --isolation=, "--", then UNITs: names, or absolute paths of unit files. The unit of `run -- COMMAND` is written to
// RUNTIME/transient/NAME.service.
// Left out: everything about units. Requires one thread. Fork and signal safety: none.
//
//     return client::run_instance(*arguments, *places);      // comes back only where it failed
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/arguments.hpp"
#include "client/places.hpp"
#include "client/unit_text.hpp"
#include "perdure/result.hpp"

namespace perdure::client {

/// Descriptors of the keeper.
inline constexpr int keeper_program_fd = 3;
inline constexpr int executor_program_fd = 4;
inline constexpr int manager_program_fd = 5;
inline constexpr int instance_lock_fd = 6;
/// Units and files in one command line.
inline constexpr std::size_t run_words_max = 4'096;

/// What is to run, from the words of the command line.
struct RunPlan {
  std::vector<std::string>
      units{};  ///< names, or absolute paths of unit files, each once; empty: what the unit path enables
  std::vector<std::string> unit_path{};      ///< absolute
  std::vector<std::string> options{};        ///< for the manager: "--console=prefix", …
  std::optional<TransientUnit> transient{};  ///< of a command; its path stands in `units`
};
/// Whether an init that runs this machine is known to be there, and whether we are it.
struct Machine {
  bool is_pid_1 = false;
  bool has_systemd = false;
  static Machine of_this_process();
};
/// On failure: one line; nothing was made.
Result<RunPlan> plan_run(const Arguments& arguments, const Places& places, const Machine& machine);

/// Writes the unit of a command where the plan says. Requires: the runtime directory is ours.
Result<void> write_transient_unit(const RunPlan& plan, const Places& places);

/// Makes the three directories where they are missing (parents, too), and refuses one that others may write in.
Result<void> prepare_directories(const Places& places);

std::vector<std::string> keeper_arguments(const RunPlan& plan, const Places& places);

/// Returns an exit code where it failed, after saying why.
int run_instance(const Arguments& arguments, const Places& places);

}  // namespace perdure::client
