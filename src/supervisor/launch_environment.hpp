// The environment of a command, systemd.exec(5) "Environment Variables in Spawned Processes", but for what the executor adds.
//
// In this order, where the later of one name counts: every service's; what systemd says of user and directories; the moment's
// (MAINPID …); PassEnvironment=; Environment=; EnvironmentFile=. UnsetEnvironment= then takes away.
// Thread and fork safety: reads environment files, keeps nothing. Signal safety: none.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "supervisor/accounts.hpp"
#include "supervisor/launch.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

/// `user`: whom User= names; nullptr where it is not set. Remarks are added to `remarks`.
Result<std::vector<std::string>> environment_of(const unit::ServiceSpec& service, const User* user,
                                                const LaunchSurroundings& surroundings, std::span<const std::string> extra,
                                                std::vector<std::string>& remarks);

/// NAME=VALUE in place of an earlier one of the same name.
void assign(std::vector<std::string>& environment, std::string assignment);
/// Whether there is a NAME=….
bool is_assigned(std::span<const std::string> environment, std::string_view name) noexcept;
/// Whether UnsetEnvironment= takes NAME away whatever its value is.
bool is_unset(const unit::ServiceSpec& service, std::string_view name) noexcept;

}  // namespace perdure::supervisor
