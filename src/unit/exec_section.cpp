// systemd.exec(5): identity, directories, environment, limits and scheduling.
#include <algorithm>
#include <utility>

#include "unit/load.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

using perdure::detail::misfit;

template <auto Member>
Result<void> account(Load& load, std::string_view value) {
  if (value.empty()) {
    (load.service().*Member).clear();
    return {};
  }
  PERDURE_TRY(std::string name, load.expand(value));
  PERDURE_CHECK(check_account(name));
  load.service().*Member = std::move(name);
  return {};
}

Result<void> supplementary_groups(Load& load, std::string_view value) {
  std::vector<std::string>& groups = load.service().supplementary_groups;
  if (value.empty()) groups.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string name, load.expand(word));
    PERDURE_CHECK(check_account(name));
    groups.push_back(std::move(name));
  }
  return {};
}

Result<void> working_directory(Load& load, std::string_view value) {
  WorkingDirectory directory;
  directory.ignores_missing = base::remove_prefix(value, "-");
  if (value == "~") {
    directory.is_home = true;
  } else if (!value.empty()) {
    PERDURE_TRY(const std::string path, load.expand(value));
    auto parsed = parse_path(path);
    if (!parsed && directory.ignores_missing) {
      load.warnings.push_back(parsed.error().message() + "; the line is left out");
      return {};
    }
    PERDURE_TRY(directory.path, std::move(parsed));
  }
  load.service().working_directory = std::move(directory);
  return {};
}

Result<void> root_directory(Load& load, std::string_view value) {
  std::string& root = load.service().root_directory;
  root.clear();
  if (value.empty()) return {};
  PERDURE_TRY(const std::string path, load.expand(value));
  PERDURE_TRY(root, parse_path(path));
  if (root == "/") root.clear();
  return {};
}

// ---- the environment -----------------------------------------------------------------------------------------------------

Result<void> environment(Load& load, std::string_view value) {
  std::vector<std::string>& all = load.service().environment;
  if (value.empty()) all.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string assignment, load.expand(word));
    if (!is_assignment(assignment)) {
      // The value may be a secret, and without a name nobody knows where it begins.
      load.warnings.emplace_back(
          "a word is no NAME=VALUE and is left out; quotes go around a whole assignment, as in \"A=b c\"");
      continue;
    }
    const std::string_view name = std::string_view{assignment}.substr(0, assignment.find('=') + 1);
    std::size_t bytes = assignment.size() + 1;
    for (const std::string& other : all) bytes += other.size() + 1;
    if (bytes > environment_bytes_max)
      return Error{"the environment would have more than " + std::to_string(environment_bytes_max) + " bytes"};
    const auto same = std::find_if(all.begin(), all.end(), [&](const std::string& a) { return a.starts_with(name); });
    if (same != all.end()) {
      *same = std::move(assignment);
    } else {
      all.push_back(std::move(assignment));
    }
  }
  return {};
}

// The whole line is one path, blanks included.
Result<void> environment_file(Load& load, std::string_view value) {
  std::vector<EnvironmentFile>& all = load.service().environment_files;
  if (value.empty()) {
    all.clear();
    return {};
  }
  EnvironmentFile file;
  PERDURE_TRY(const std::string expanded, load.expand(value));
  std::string_view path = expanded;
  file.ignores_missing = base::remove_prefix(path, "-");
  PERDURE_TRY(file.path, parse_path(path));
  if (all.size() >= list_entries_max) return Error{"there are more than " + std::to_string(list_entries_max) + " of them"};
  all.push_back(std::move(file));
  return {};
}

template <auto Member, bool TakesAssignments>
Result<void> variables(Load& load, std::string_view value) {
  std::vector<std::string>& all = load.service().*Member;
  if (value.empty()) all.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string name, load.expand(word));
    if (!is_variable_name(name) && !(TakesAssignments && is_assignment(name))) {
      load.warnings.emplace_back(TakesAssignments ? "a word is neither the name of a variable nor NAME=VALUE; it is left out"
                                                  : misfit(name, "is no name of a variable; it is left out").message());
    } else if (all.size() >= list_entries_max) {
      return Error{"there are more than " + std::to_string(list_entries_max) + " of them"};
    } else if (std::find(all.begin(), all.end(), name) == all.end()) {
      all.push_back(std::move(name));
    }
  }
  return {};
}

Result<void> leave_out_empty(Load& load) {
  load.warnings.emplace_back("it is empty; the line is left out");
  return {};
}

// ---- directories ---------------------------------------------------------------------------------------------------------

constexpr std::string_view private_directory = "private";  // where systemd keeps those of DynamicUser=

Result<std::string> parse_relative(std::string_view text) {
  if (text.empty() || text.starts_with('/')) return misfit(text, "is no relative path");
  const auto parts = base::split(text, '/');
  if (std::find(parts.begin(), parts.end(), "..") != parts.end()) return misfit(text, "leads out of its place with \"..\"");
  PERDURE_TRY(const std::string path, parse_path('/' + std::string{text}));
  std::string relative = path.substr(1);
  if (relative.empty()) return misfit(text, "names no directory below its place");
  if (relative == private_directory || relative.starts_with(std::string{private_directory} + '/'))
    return misfit(text, "is within \"private\", which is not for services");
  return relative;
}

template <class T>
void add_once(std::vector<T>& all, T value) {
  if (std::find(all.begin(), all.end(), value) == all.end()) all.push_back(std::move(value));
}

// One word of RuntimeDirectory= and its relatives: NAME, or NAME:LINK.
Result<void> add_directory(const Load& load, ManagedDirectories& all, bool may_have_link, std::string_view word) {
  const auto parts = base::split(word, ':');
  PERDURE_TRY(const std::string expanded, load.expand(parts[0]));
  PERDURE_TRY(const std::string name, parse_relative(expanded));
  if (all.names.size() + all.links.size() >= list_entries_max)
    return Error{"there are more than " + std::to_string(list_entries_max) + " of them"};
  if (parts.size() > 1 && !parts[1].empty()) {
    if (!may_have_link) return misfit(word, "has a link after \":\", which ConfigurationDirectory= does not take");
    PERDURE_TRY(const std::string link, load.expand(parts[1]));
    PERDURE_TRY(std::string path, parse_relative(link));
    add_once(all.links, DirectoryLink{.path = std::move(path), .directory = name});
  }
  add_once(all.names, name);
  return {};
}

template <DirectoryKind Kind>
Result<void> directories(Load& load, std::string_view value) {
  ManagedDirectories& all = load.service().directories[static_cast<std::size_t>(Kind)];
  if (value.empty()) {
    all.names.clear();
    all.links.clear();
  }
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words)
    if (const auto added = add_directory(load, all, Kind != DirectoryKind::Configuration, word); !added)
      load.warnings.push_back(added.error().message() + "; it is left out");
  return {};
}

// An empty mode is none, as under systemd; one that is wrong could open to all what was meant for one.
template <DirectoryKind Kind>
Result<void> directory_mode(Load& load, std::string_view value) {
  if (value.empty()) return leave_out_empty(load);
  PERDURE_TRY(load.service().directories[static_cast<std::size_t>(Kind)].mode, parse_mode(value, 07777));
  return {};
}

Result<void> runtime_directory_preserve(Load& load, std::string_view value) {
  Preserve& preserve = load.service().runtime_directory_preserve;
  if (value == "restart") {
    preserve = Preserve::Restart;
    return {};
  }
  const auto parsed = parse_truth(value);
  if (!parsed) return misfit(value, "is neither yes, no nor restart");
  preserve = *parsed ? Preserve::Yes : Preserve::No;
  return {};
}

// ---- limits and scheduling -----------------------------------------------------------------------------------------------

Result<void> umask(Load& load, std::string_view value) {
  if (value.empty()) return leave_out_empty(load);
  PERDURE_TRY(load.service().umask, parse_mode(value, 0777));
  return {};
}

template <Limit Which>
Result<void> limit(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().limits[static_cast<std::size_t>(Which)], parse_limit(Which, value));
  return {};
}

constexpr std::string_view io_classes[] = {"none", "realtime", "best-effort", "idle"};
constexpr int io_class_numbers[] = {0, 1, 2, 3};

// The index of a word, or of its number.
template <std::size_t Count>
Result<std::size_t> parse_numbered(std::string_view value, const std::string_view (&words)[Count],
                                   const int (&numbers)[Count]) {
  const auto number = base::parse_number<int>(value);
  const auto at = number ? std::find(std::begin(numbers), std::end(numbers), *number) : std::end(numbers);
  if (at != std::end(numbers)) return static_cast<std::size_t>(at - std::begin(numbers));
  return parse_choice(value, words);
}

// "none" is what a process has that nobody asked for: best effort in the middle.
Result<void> io_class(Load& load, std::string_view value) {
  std::optional<IoScheduling>& io = load.service().io_scheduling;
  if (value.empty()) {
    io.reset();
    return {};
  }
  PERDURE_TRY(const std::size_t index, parse_numbered(value, io_classes, io_class_numbers));
  const int io_class = io_class_numbers[index];
  io = io_class == 0 ? IoScheduling{} : IoScheduling{.io_class = io_class, .priority = io.value_or(IoScheduling{}).priority};
  return {};
}

Result<void> io_priority(Load& load, std::string_view value) {
  std::optional<IoScheduling>& io = load.service().io_scheduling;
  if (value.empty()) {
    io.reset();
    return {};
  }
  PERDURE_TRY(const std::uint64_t priority, perdure::detail::parse_unsigned(value, 7));
  io = IoScheduling{.io_class = io.value_or(IoScheduling{}).io_class, .priority = static_cast<int>(priority)};
  return {};
}

constexpr int fifo = 1, round_robin = 2;  // as sched_setscheduler(2) counts
constexpr std::string_view cpu_policies[] = {"other", "fifo", "rr", "batch", "idle"};
constexpr int cpu_policy_numbers[] = {0, fifo, round_robin, 3, 5};
constexpr int real_time_priority_max = 99;

CpuScheduling& cpu_scheduling(Load& load) {
  std::optional<CpuScheduling>& cpu = load.service().cpu_scheduling;
  if (!cpu) cpu.emplace();
  return *cpu;
}

// The priority follows the policy into the range that it has there.
Result<void> cpu_policy(Load& load, std::string_view value) {
  if (value.empty()) {
    load.service().cpu_scheduling.reset();
    return {};
  }
  PERDURE_TRY(const std::size_t index, parse_numbered(value, cpu_policies, cpu_policy_numbers));
  const int policy = cpu_policy_numbers[index];
  CpuScheduling& cpu = cpu_scheduling(load);
  const bool is_real_time = policy == fifo || policy == round_robin;
  cpu.policy = policy;
  cpu.priority = is_real_time ? std::clamp(cpu.priority, 1, real_time_priority_max) : 0;
  return {};
}

Result<void> cpu_priority(Load& load, std::string_view value) {
  PERDURE_TRY(const std::uint64_t priority, perdure::detail::parse_unsigned(value, real_time_priority_max));
  cpu_scheduling(load).priority = static_cast<int>(priority);
  return {};
}

Result<void> cpu_reset_on_fork(Load& load, std::string_view value) {
  PERDURE_TRY(load.cpu_resets_on_fork, parse_truth(value));
  return {};
}

using enum Invalid;
using S = ServiceSpec;

// clang-format off
constexpr Reader readers[] = {
    {"Service", "User", Refuses, account<&S::user>},
    {"Service", "Group", Refuses, account<&S::group>},
    {"Service", "SupplementaryGroups", Refuses, supplementary_groups},
    {"Service", "UMask", Refuses, umask},
    {"Service", "WorkingDirectory", Refuses, working_directory},
    {"Service", "RootDirectory", Refuses, root_directory},
    {"Service", "Environment", LeavesOut, environment},
    {"Service", "EnvironmentFile", LeavesOut, environment_file},
    {"Service", "PassEnvironment", LeavesOut, variables<&S::pass_environment, false>},
    {"Service", "UnsetEnvironment", LeavesOut, variables<&S::unset_environment, true>},
    {"Service", "RuntimeDirectory", LeavesOut, directories<DirectoryKind::Runtime>},
    {"Service", "StateDirectory", LeavesOut, directories<DirectoryKind::State>},
    {"Service", "CacheDirectory", LeavesOut, directories<DirectoryKind::Cache>},
    {"Service", "LogsDirectory", LeavesOut, directories<DirectoryKind::Logs>},
    {"Service", "ConfigurationDirectory", LeavesOut, directories<DirectoryKind::Configuration>},
    {"Service", "RuntimeDirectoryMode", Refuses, directory_mode<DirectoryKind::Runtime>},
    {"Service", "StateDirectoryMode", Refuses, directory_mode<DirectoryKind::State>},
    {"Service", "CacheDirectoryMode", Refuses, directory_mode<DirectoryKind::Cache>},
    {"Service", "LogsDirectoryMode", Refuses, directory_mode<DirectoryKind::Logs>},
    {"Service", "ConfigurationDirectoryMode", Refuses, directory_mode<DirectoryKind::Configuration>},
    {"Service", "RuntimeDirectoryPreserve", LeavesOut, runtime_directory_preserve},
    {"Service", "Nice", LeavesOut, number<&S::nice, -20, 19>},
    {"Service", "OOMScoreAdjust", LeavesOut, number<&S::oom_score_adjust, -1000, 1000>},
    {"Service", "IOSchedulingClass", LeavesOut, io_class},
    {"Service", "IOSchedulingPriority", LeavesOut, io_priority},
    {"Service", "CPUSchedulingPolicy", LeavesOut, cpu_policy},
    {"Service", "CPUSchedulingPriority", LeavesOut, cpu_priority},
    {"Service", "CPUSchedulingResetOnFork", LeavesOut, cpu_reset_on_fork},
    {"Service", "LimitCPU", LeavesOut, limit<Limit::Cpu>},
    {"Service", "LimitFSIZE", LeavesOut, limit<Limit::FileSize>},
    {"Service", "LimitDATA", LeavesOut, limit<Limit::Data>},
    {"Service", "LimitSTACK", LeavesOut, limit<Limit::Stack>},
    {"Service", "LimitCORE", LeavesOut, limit<Limit::Core>},
    {"Service", "LimitRSS", LeavesOut, limit<Limit::Rss>},
    {"Service", "LimitNPROC", LeavesOut, limit<Limit::Processes>},
    {"Service", "LimitNOFILE", LeavesOut, limit<Limit::OpenFiles>},
    {"Service", "LimitMEMLOCK", LeavesOut, limit<Limit::LockedMemory>},
    {"Service", "LimitAS", LeavesOut, limit<Limit::AddressSpace>},
    {"Service", "LimitLOCKS", LeavesOut, limit<Limit::Locks>},
    {"Service", "LimitSIGPENDING", LeavesOut, limit<Limit::PendingSignals>},
    {"Service", "LimitMSGQUEUE", LeavesOut, limit<Limit::MessageQueues>},
    {"Service", "LimitNICE", LeavesOut, limit<Limit::Nice>},
    {"Service", "LimitRTPRIO", LeavesOut, limit<Limit::RealTimePriority>},
    {"Service", "LimitRTTIME", LeavesOut, limit<Limit::RealTimeTime>},
    {"Service", "IgnoreSIGPIPE", LeavesOut, truth<&S::ignore_sigpipe>},
};
// clang-format on

}  // namespace

std::span<const Reader> exec_readers() noexcept { return readers; }

}  // namespace perdure::unit
