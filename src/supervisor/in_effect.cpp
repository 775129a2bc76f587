#include "supervisor/in_effect.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

constexpr std::size_t file_bytes_max = 16 * 1024;

/// The directive, and the line of /proc/PID/limits.
struct LimitName {
  std::string_view directive;
  std::string_view line;
};
constexpr std::array<LimitName, unit::limit_count> limit_names{{
    {"LimitCPU", "Max cpu time"},
    {"LimitFSIZE", "Max file size"},
    {"LimitDATA", "Max data size"},
    {"LimitSTACK", "Max stack size"},
    {"LimitCORE", "Max core file size"},
    {"LimitRSS", "Max resident set"},
    {"LimitNPROC", "Max processes"},
    {"LimitNOFILE", "Max open files"},
    {"LimitMEMLOCK", "Max locked memory"},
    {"LimitAS", "Max address space"},
    {"LimitLOCKS", "Max file locks"},
    {"LimitSIGPENDING", "Max pending signals"},
    {"LimitMSGQUEUE", "Max msgqueue size"},
    {"LimitNICE", "Max nice priority"},
    {"LimitRTPRIO", "Max realtime priority"},
    {"LimitRTTIME", "Max realtime timeout"},
}};

std::string read(pid_t pid, std::string_view file) {
  return os::read_file(fmt::format("/proc/{}/{}", pid, file), file_bytes_max).value_or(std::string{});
}

std::optional<int> number(std::string_view text) { return base::parse_number<int>(base::trim(text)); }

/// As proc_pid_stat(5) numbers its fields, from the third on: what is before may hold blanks.
std::optional<int> field(std::string_view stat, std::size_t at) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> fields = base::words(stat.substr(name_end + 1));
  return at - 3 < fields.size() ? number(fields[at - 3]) : std::nullopt;
}

std::string policy_name(int policy) {
  constexpr std::array<std::string_view, 6> names{"other", "fifo", "rr", "batch", "", "idle"};
  const bool is_known = policy >= 0 && static_cast<std::size_t>(policy) < names.size();
  return is_known ? std::string{names[static_cast<std::size_t>(policy)]} : std::to_string(policy);
}

std::uint64_t limit(std::string_view text) {
  return base::parse_number<std::uint64_t>(text).value_or(unit::limit_infinity);  // "unlimited"
}

std::string shown(std::uint64_t value) { return value == unit::limit_infinity ? "infinity" : std::to_string(value); }

/// What stands in the unit is a class and a priority; the kernel gives a process without either what its nice value says.
void compare_io(const unit::IoScheduling& wanted, pid_t pid, std::vector<std::string>& lines) {
  constexpr std::array<std::string_view, 4> classes{"none", "realtime", "best-effort", "idle"};
  constexpr int class_shift = 13, priorities = 8;  // linux/ioprio.h
  const int has = os::sys::ioprio_get(pid);
  if (has < 0) return;
  const auto text = [&](int io_class, int priority) {
    const bool is_known = io_class >= 0 && static_cast<std::size_t>(io_class) < classes.size();
    std::string name = is_known ? std::string{classes[static_cast<std::size_t>(io_class)]} : std::to_string(io_class);
    return io_class == 1 || io_class == 2 ? name + ' ' + std::to_string(priority) : name;  // the others have no priorities
  };
  const std::string ours = text(wanted.io_class, wanted.priority);
  const std::string theirs = text(has >> class_shift, has % priorities);
  if (ours != theirs)
    lines.push_back(fmt::format(
        "IOSchedulingClass= and IOSchedulingPriority= ({}) are not in effect: its main process has {}", ours, theirs));
}

void compare_limits(const unit::ServiceSpec& service, pid_t pid, std::vector<std::string>& lines) {
  const bool asks =
      std::any_of(service.limits.begin(), service.limits.end(), [](const auto& one) { return one.has_value(); });
  if (!asks) return;
  const std::string text = read(pid, "limits");
  for (std::string_view line : base::lines(text)) {
    for (std::size_t i = 0; i < limit_names.size(); ++i) {
      std::string_view rest = line;
      if (!service.limits[i] || !base::remove_prefix(rest, limit_names[i].line)) continue;
      const std::vector<std::string_view> values = base::words(rest);
      if (values.size() < 2) continue;
      const std::uint64_t soft = limit(values[0]);
      const std::uint64_t hard = limit(values[1]);
      if (soft >= service.limits[i]->soft && hard >= service.limits[i]->hard) continue;
      lines.push_back(fmt::format("{}={}:{} is not in effect: its main process has {}:{}", limit_names[i].directive,
                                  shown(service.limits[i]->soft), shown(service.limits[i]->hard), shown(soft), shown(hard)));
    }
  }
}

}  // namespace

bool asks_for_priorities_or_limits(const unit::ServiceSpec& service) noexcept {
  return service.nice || service.oom_score_adjust || service.cpu_scheduling || service.io_scheduling ||
         std::any_of(service.limits.begin(), service.limits.end(), [](const auto& one) { return one.has_value(); });
}

std::vector<std::string> not_in_effect(const unit::ServiceSpec& service, pid_t pid) {
  constexpr std::size_t nice_field = 19, real_time_priority_field = 40, policy_field = 41;
  std::vector<std::string> lines;
  const auto compare = [&lines](std::string_view directive, std::optional<int> wanted, std::optional<int> has) {
    if (wanted && has && *wanted != *has)
      lines.push_back(fmt::format("{}={} is not in effect: its main process has {}", directive, *wanted, *has));
  };
  const std::string stat = read(pid, "stat");
  compare("Nice", service.nice, field(stat, nice_field));
  if (service.oom_score_adjust) compare("OOMScoreAdjust", service.oom_score_adjust, number(read(pid, "oom_score_adj")));
  if (service.cpu_scheduling) {
    const std::optional<int> policy = field(stat, policy_field);
    if (policy && *policy != service.cpu_scheduling->policy)
      lines.push_back(fmt::format("CPUSchedulingPolicy={} is not in effect: its main process has {}",
                                  policy_name(service.cpu_scheduling->policy), policy_name(*policy)));
    compare("CPUSchedulingPriority", service.cpu_scheduling->priority, field(stat, real_time_priority_field));
  }
  if (service.io_scheduling) compare_io(*service.io_scheduling, pid, lines);
  compare_limits(service, pid, lines);
  return lines;
}

}  // namespace perdure::supervisor
