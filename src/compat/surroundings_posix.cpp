#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "compat/surroundings.hpp"
#include "perdure/log.hpp"

namespace perdure::compat {
namespace {

// The first name counts, and is never freed: the PID file must not move.
std::atomic<const std::string*> remembered{nullptr};

int priority_of(Level level) noexcept {
  switch (level) {
    case Level::Error: return LOG_ERR;
    case Level::Warning: return LOG_WARNING;
    default: return LOG_INFO;
  }
}

}  // namespace

int own_pid() noexcept { return ::getpid(); }

std::string program_name() {
  const std::string* const name = remembered;
  return name != nullptr ? *name : "daemon";
}

void remember_program(const char* argument) {
  if (argument == nullptr || remembered != nullptr) return;
  const std::string_view path{argument};
  const std::string_view name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  if (name.empty()) return;
  auto* const ours = new std::string{name};
  const std::string* none = nullptr;
  if (!remembered.compare_exchange_strong(none, ours)) delete ours;
}

const char* trusted_variable(const char* name) {
  const bool is_privileged = ::getuid() != ::geteuid() || ::getgid() != ::getegid();
  return is_privileged ? nullptr : ::getenv(name);
}

// openlog(3) keeps the pointer and not the text: the name must outlive the call. closelog(3) also forgets what the program
// asked for with openlog(3) of its own: its worker asks again.
void say_to_log(Level level, const std::string& text) {
  const std::string name = program_name();
  ::openlog(name.c_str(), LOG_PID, LOG_DAEMON);
  ::syslog(priority_of(level), "%s", text.c_str());
  ::closelog();
}

}  // namespace perdure::compat
