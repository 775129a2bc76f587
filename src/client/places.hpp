// Places: which directories belong to the instance that is meant. Options before environment before defaults.
//
//                   root                        an ordinary user
//     runtime       /run/perdure                $XDG_RUNTIME_DIR/perdure (else perdure-UID/perdure in the temporary directory)
//     state         /var/lib/perdure            $XDG_STATE_HOME/perdure
//     log           /var/log/perdure            STATE/log
// Where the runtime directory was named (an instance beside the usual one) and another was not, that one is RUNTIME/state or
// RUNTIME/log: two instances never share what they write by default.
// Left out: making them (run_instance.hpp).
// Thread safety: as far as getenv(3) is. Fork: a plain value. Signal safety: none.
//
//     PERDURE_TRY(const client::Places places, client::places_for(arguments, client::Surroundings::of_this_process()));
//     places.control_socket()       // "/run/perdure/control.sock"
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "client/arguments.hpp"
#include "perdure/result.hpp"

namespace perdure::client {

/// What the choice depends on besides the command line; unset variables are empty.
struct Surroundings {
  std::string runtime_dir{}, state_dir{}, log_dir{};  ///< $PERDURE_…_DIR
  std::string xdg_runtime_dir{}, xdg_state_home{}, xdg_config_home{}, xdg_data_home{}, home{}, tmpdir{};
  uid_t user = 0;

  static Surroundings of_this_process();
};

struct Places {
  std::string runtime{}, state{}, log{};  ///< absolute
  bool log_was_named = false;             ///< by option or environment, itself or through the runtime directory
  std::vector<std::string> unit_path{};   ///< absolute, first wins
  bool unit_path_was_named = false;
  std::string cgroup_root{};  ///< absolute; empty: the manager finds one

  [[nodiscard]] std::string control_socket() const { return runtime + "/control.sock"; }
  [[nodiscard]] std::string lock() const { return runtime + "/lock"; }
};

Result<Places> places_for(const Arguments& arguments, const Surroundings& surroundings);

}  // namespace perdure::client
