// The name of a signal, for messages: "SIGSEGV", "SIGRTMIN+3", "signal 99".
// Thread and fork safety: a pure function. Signal safety: none.
#pragma once

#include <string>

namespace perdure::process {

std::string signal_name(int number);

}  // namespace perdure::process
