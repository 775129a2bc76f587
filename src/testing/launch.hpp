// launch(): fork and exec, with every detail of the child's start chosen by the caller.
//
// Everything that allocates happens before the fork; the child makes async-signal-safe calls only and reports the step that
// failed through a close-on-exec pipe. So a multi-threaded test may launch too. Left out: waiting, killing.
// Thread safety: one thread at a time. Not signal-safe.
//
//     Launched child = launch({"/bin/cat"}, options, environment);
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::testing::detail {

struct Launched {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd input;       ///< our end of its standard input, non-blocking
  UniqueFd output;      ///< our end of its standard output and error, non-blocking
  std::string failure;  ///< why the program is not executed and the child exits with 127; empty when it runs
};

/// Returns when the child executes the program or has given up. Throws std::system_error when there is no child.
/// `mark` goes into the child's PERDURE_TEST_ID.
Launched launch(const std::vector<std::string>& command, const ProcessOptions& options, const std::string& mark);

}  // namespace perdure::testing::detail
