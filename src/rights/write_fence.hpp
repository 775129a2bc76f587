// A fence around what the process may write (Landlock): from then on it makes, changes and removes files only where it may.
//
// Reading and executing are not fenced, descriptors that are open already are not touched, and connecting to a socket is not
// writing. Children inherit it; nobody can take it away. Which access rights there are depends on the kernel's ABI, which is
// asked for. Requires CAP_SYS_ADMIN or no_new_privs.
// Threads: the calling one is fenced, and those it starts later. Signal safety: none.
// Source: linux/landlock.h, Documentation/userspace-api/landlock.rst; Linux 5.13 (ABI 1) to 6.18 (ABI 7).
#pragma once

#include <string>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::rights {

struct Fence {
  int abi = 0;  ///< the kernel's; 0 where it has no Landlock, or has it switched off, and nothing was done
  int why = 0;  ///< then the errno that said so
};
/// `writable`: directories with all below them, and files. What does not exist or cannot be reached is left out.
Result<Fence> fence_writing(const std::vector<std::string>& writable);

/// The access rights that are fenced under an ABI: all that change something.
unsigned long long fenced_rights(int abi) noexcept;

}  // namespace perdure::rights
