#include "supervisor/failure_text.hpp"

#include <cerrno>

#include "perdure/result.hpp"

namespace perdure::supervisor {

std::string setup_failure_text(wire::Step step, int error, const std::string& program, const Rights& rights) {
  if (step == wire::Step::Exec) {
    const std::string text = Error::from_errno(error, "execute", program).message();
    const std::string why = why_not_executed(error, program, rights);
    return why.empty() ? text : text + ": " + why;
  }
  const std::string text = Error::from_errno(error, "start", program).message();
  if (error == ETIMEDOUT)
    return "cannot start " + program + ": the set-up timed out at the step \"" + wire::step_words(step) + "\" (ETIMEDOUT)";
  return text + " at the step \"" + wire::step_words(step) + "\"";
}

}  // namespace perdure::supervisor
