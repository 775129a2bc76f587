// SystemCallFilter= and SystemCallArchitectures=: names of system calls made into the programs that the kernel runs at each call.
//
// libseccomp compiles; what comes out are bytes that go into the spawn spec, and the executor installs them right before execve(2).
// A list of what is allowed always contains systemd's @default, execve(2) among it. The machine's other instruction sets (32 bit
// beside 64) are filtered by the same names, unless SystemCallArchitectures= leaves them out.
// As systemd: a name that this libseccomp does not know is remarked and left out; nobody can call what does not exist.
// Left out: groups ("@system-service"), which unit resolves.
// Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(const SystemCallPrograms* programs, filters.compiled(*service.system_call_filter));
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "perdure/result.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

struct SystemCallPrograms {
  /// Each a row of struct sock_filter; in the order in which they are installed.
  std::vector<std::vector<char>> programs{};
  std::vector<std::string> remarks{};
};

/// On failure: the directive, what is wrong, and the errno of libseccomp.
Result<SystemCallPrograms> compile_system_call_filter(const unit::SystemCallFilter& filter);

/// What was compiled, by what it was compiled from: many units have the same filter, and every restart the one of before.
class SystemCallFilters {
 public:
  /// Valid until the next call.
  Result<const SystemCallPrograms*> compiled(const unit::SystemCallFilter& filter);

 private:
  std::map<std::string, SystemCallPrograms> known_{};
};

}  // namespace perdure::supervisor
