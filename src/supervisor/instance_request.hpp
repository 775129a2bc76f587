// InstanceRequest: a request of the instance protocol, every word of it checked. Bytes → values, or why not.
//
// The table of verbs is closed, and so are the members each takes; names are checked and counted before the instance is asked
// anything. Left out: what a verb does (verbs.hpp). Thread and fork safety: pure. Signal safety: none.
//
//     const auto question = InstanceRequest::parse(request);
//     if (!question) refuse(question.error().code, question.error().message);
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.hpp"
#include "perdure/request.hpp"
#include "perdure/result.hpp"

namespace perdure::supervisor {

/// Unit names, or job numbers, in one request.
inline constexpr std::size_t units_max = 1'024;
/// Properties named in one request.
inline constexpr std::size_t properties_max = 128;

enum class Verb : std::uint8_t {
  Cancel,
  Cat,
  DaemonReload,
  Exit,
  Instance,
  IsActive,
  IsFailed,
  IsSystemRunning,
  Kill,
  ListDependencies,
  ListJobs,
  ListUnits,
  Ping,
  Reload,
  ReloadOrRestart,
  ResetFailed,
  Restart,
  Show,
  ShowEnvironment,
  Shutdown,
  Start,
  Status,
  Stop,
  TryRestart,
  Verify,
  Wait,
};

/// Which processes of a unit kill signals.
enum class KillWhom : std::uint8_t { All, Main, Control };

/// Why a request is refused; nothing has changed.
class Fault {
 public:
  Fault(std::string_view code, std::string message, std::string unit = {})
      : code_(code), message_(std::move(message)), unit_(std::move(unit)) {}

  /// For programs: "no-such-unit", …; the closed list stands in docs/reference/instance-protocol.md. Always a literal.
  [[nodiscard]] std::string_view code() const noexcept { return code_; }
  /// For people: one line.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  /// Which unit it is about; empty: none.
  [[nodiscard]] const std::string& unit() const noexcept { return unit_; }

 private:
  std::string_view code_;
  std::string message_;
  std::string unit_;
};

struct InstanceRequest {
  std::uint64_t id = 0;
  Verb verb = Verb::Ping;
  std::vector<std::string> units{};
  std::vector<std::string> properties{};  ///< empty: all
  std::vector<core::JobId> jobs{};
  std::string after{};
  bool waits = true;
  int signal = 15;
  KillWhom whom = KillWhom::All;
  bool is_reverse = false;
  bool wants_all = false;
  std::optional<int> code{};

  static Result<InstanceRequest, Fault> parse(const Request& request);
};

}  // namespace perdure::supervisor
