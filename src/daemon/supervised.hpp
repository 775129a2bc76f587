// Whether this process is the worker of supervise(): its parent watches for its end, so it cannot be replaced by another one.
//
// Thread, fork and signal safety: all.
#pragma once

namespace perdure::daemon {

bool is_supervised_worker() noexcept;

}  // namespace perdure::daemon
