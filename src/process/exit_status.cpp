#include "perdure/exit_status.hpp"

#include "process/signal_name.hpp"

namespace perdure {

int ExitStatus::shell_code() const noexcept {
  constexpr int killed_base = 128, unknown_code = 255;
  switch (kind_) {
    case Kind::Exited: return value_;
    case Kind::Killed: return killed_base + value_;
    case Kind::Unknown: break;
  }
  return unknown_code;
}

std::string ExitStatus::text() const {
  switch (kind_) {
    case Kind::Exited: return "exited with " + std::to_string(value_);
    case Kind::Killed: return "was killed by " + process::signal_name(value_) + (dumped_core_ ? " (core dumped)" : "");
    case Kind::Unknown: break;
  }
  return "ended, nobody saw how";
}

}  // namespace perdure
