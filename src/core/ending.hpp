// What an exit means: systemd's Result=, and whether another start follows.
//
// Left out: when that start comes, and the start limit (service_machine.cpp).
// Thread, fork and signal safety: plain values.
#pragma once

#include <optional>

#include "core/service_settings.hpp"
#include "core/unit_record.hpp"

namespace perdure::core {

/// Clean are code 0, SIGHUP, SIGINT, SIGTERM, SIGPIPE and SuccessExitStatus=. An exit that nobody saw is no success; its result
/// is Resources, since the program is not to blame for it.
[[nodiscard]] ServiceResult result_of(const Exit& exit, const StatusSet& success_status) noexcept;

/// Restart= and its two exceptions, RestartPreventExitStatus= and RestartForceExitStatus=; the first wins over the second.
/// `exit`: of this run's main process, where it had one. Not to be asked after a stop that somebody wanted.
[[nodiscard]] bool wants_restart(const ServiceSettings& settings, ServiceResult result,
                                 const std::optional<Exit>& exit) noexcept;

}  // namespace perdure::core
