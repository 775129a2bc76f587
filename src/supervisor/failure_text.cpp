#include "supervisor/failure_text.hpp"

#include <cerrno>

#include "base/errno_name.hpp"
#include "perdure/result.hpp"

namespace perdure::supervisor {

std::string setup_failure_text(wire::Step step, int error, const std::string& program, const Rights& rights) {
  if (step == wire::Step::Exec) {
    const std::string text = Error::from_errno(error, "execute", program).message();
    const std::string why = why_not_executed(error, program, rights);
    return why.empty() ? text : text + ": " + why;
  }
  if (error == ETIMEDOUT)
    return "cannot start " + program + ": the set-up timed out at the step \"" + wire::step_words(step) + "\" (ETIMEDOUT)";
  return "cannot start " + program + ": the step \"" + wire::step_words(step) + "\" failed: " + base::errno_words(error) +
         " (" + std::string{base::errno_name(error)} + ")";
}

}  // namespace perdure::supervisor
