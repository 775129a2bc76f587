// The properties of units and of the instance: what `show` prints, under systemd's names, as JSON.
//
// Names, order and meaning are systemd's (org.freedesktop.systemd1(5)) wherever it has the property: timestamps are microseconds,
// of CLOCK_REALTIME or, where the name says so, of CLOCK_MONOTONIC, and 0 is never. Ours stand at the end of each table.
// Thread and fork safety: pure. Signal safety: none.
//
//     put_unit(json, unit, wanted);      // {"Id":"web.service","MainPID":812}
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "supervisor/instance_view.hpp"
#include "supervisor/json_text.hpp"

namespace perdure::supervisor {

/// An object with the properties named in `wanted`, in the table's order; all of them where it names none. A name that is no
/// property is left out, as systemctl does.
void put_unit(JsonText& json, const UnitStatus& unit, std::span<const std::string_view> wanted);
void put_instance(JsonText& json, const InstanceFacts& facts, std::span<const std::string_view> wanted);

/// SystemState=: "running", "degraded", "stopping".
std::string_view system_state(const InstanceFacts& facts) noexcept;

}  // namespace perdure::supervisor
