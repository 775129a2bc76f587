#include "compat/surroundings.hpp"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <string_view>

#include "perdure/log.hpp"

namespace perdure::compat {

int own_pid() noexcept { return ::getpid(); }

std::string program_name() {
  const std::string_view name = program_invocation_short_name;
  return std::string{name.empty() ? std::string_view{"daemon"} : name};
}

void remember_program(const char*) {}

const char* trusted_variable(const char* name) { return ::secure_getenv(name); }

void say_to_log(Level level, const std::string& text) {
  Log log{program_name()};
  if (log.open({.target = LogTarget::Syslog})) log.write_text(level, text);
}

}  // namespace perdure::compat
