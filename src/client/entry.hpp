// client_main(): what main() of `perdure` calls.
// Thread safety: the process's only thread. Fork and signal safety: none.
#pragma once

namespace perdure::client {

/// Returns the exit code; does not come back where `run` succeeds.
int client_main(int count, char* words[]);

}  // namespace perdure::client
