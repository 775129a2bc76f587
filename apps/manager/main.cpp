#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "supervisor/manager.hpp"

namespace {

/// What counts is in the keeper's table and in the journal, so whoever comes next is better off than one that goes on without memory.
/// Takes none itself, and never waits for a reader of our stderr. Want of memory is nobody's fault; what else was thrown counts as a
/// crash over what was in hand (supervisor/crash_record.hpp).
[[noreturn]] void give_up() noexcept {
  const char* why = "terminated";
  bool is_a_crash = true;
  if (std::current_exception() != nullptr) {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      why = "out of memory (ENOMEM)";
      is_a_crash = false;
    } catch (const std::exception& error) {
      why = error.what();
    } catch (...) {
      why = "an exception of no known type";
    }
  }
  char before[] = "perdure: the manager gives up: ", after[] = "; services go on, and the keeper starts it anew\n";
  const iovec parts[] = {{before, sizeof before - 1}, {const_cast<char*>(why), std::strlen(why)}, {after, sizeof after - 1}};
  pollfd writable{STDERR_FILENO, POLLOUT, 0};
  if (perdure::os::sys::poll(&writable, 1, 0) == 1) (void)perdure::os::sys::writev(STDERR_FILENO, parts, 3);
  if (is_a_crash) std::abort();
  ::_exit(perdure::exit_failed);
}

}  // namespace

// The keeper starts this program, and starts it again when it dies.
int main(int argc, char** argv) {
  using perdure::supervisor::Manager;
  std::set_terminate(give_up);  // an exception that nobody takes ends here, and so does one that may not leave a function
  auto options = perdure::supervisor::parse_manager_arguments(argc, argv);
  if (!options) {
    std::fprintf(stderr, "%s\n", options.error().message().c_str());
    return perdure::exit_usage;
  }
  auto manager = Manager::start(std::move(*options), perdure::UniqueFd{perdure::wire::keeper::channel_fd});
  if (!manager) {
    std::fprintf(stderr, "perdure: the manager cannot start: %s\n", manager.error().message().c_str());
    return perdure::exit_failed;
  }
  return (*manager)->run();
}
