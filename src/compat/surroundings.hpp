// What the compat header wants to know of the process it runs in, and its way to the system log.
//
// Linux (surroundings.cpp): the C library knows the program's name, and our Log writes without leaving a descriptor open.
// In a portable build (surroundings_posix.cpp): the name is what startDaemon was called with, and the log is syslog(3).
// Thread safety: all. Fork safety: all. Signal safety: none.
//
//     compat::say_to_log(Level::Warning, "worker 812 was killed by SIGSEGV");
#pragma once

#include <cstdint>
#include <string>

namespace perdure {
enum class Level : std::uint8_t;  // <perdure/log.hpp>
}

namespace perdure::compat {

int own_pid() noexcept;
/// The program's name without directories, never empty.
std::string program_name();
/// argv[0], may be nullptr. Only a portable build needs to be told; before that it says "daemon".
void remember_program(const char* argument);
/// getenv(3), but nullptr in a setuid program: whoever starts it does not choose where its files are.
const char* trusted_variable(const char* name);
/// One line; not on Windows. No descriptor stays open that a worker would inherit. Without a system log nothing is said.
void say_to_log(Level level, const std::string& text);

}  // namespace perdure::compat
