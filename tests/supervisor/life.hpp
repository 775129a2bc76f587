// A life of a service under test, from the inside: it begins with the unit's lock and a line in the truth, works until SIGTERM,
// and writes down how it will end before it does.
//
// Left out: what it does meanwhile (service_probe.cpp, phase_probe.cpp). Thread safety: one thread. Signal safety: is_stopping.
#pragma once

#include <csignal>
#include <cstdint>

#include "truth.hpp"

namespace supervisor_test {

extern volatile std::sig_atomic_t is_stopping;  ///< SIGTERM has come, where it is handled

void on_sigterm(int);
void handle_sigterm(void (*handler)(int));

/// What the service does with its time; a SIGTERM ends it early.
void work_for(int milliseconds);
void work_until_stopped();

/// Takes the unit's lock and a place among the lives; ends the process where another one of the unit lives.
Life& begin_life(TruthFile& truth);
[[noreturn]] void exit_as(Life& life, int code);
/// In one of many ways: an exit status, or a signal.
struct Death {
  EndKind end;
  int status;
};
Death death_of(std::uint64_t random);
[[noreturn]] void die(Life& life, Death death);

}  // namespace supervisor_test
