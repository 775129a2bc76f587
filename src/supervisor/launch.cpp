#include "supervisor/launch.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "os/system.hpp"
#include "supervisor/launch_environment.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;
using wire::SpawnSpec;

static_assert(unit::limit_count == wire::spec_limits);
static_assert(static_cast<int>(unit::Limit::OpenFiles) == RLIMIT_NOFILE &&
              static_cast<int>(unit::Limit::Core) == RLIMIT_CORE &&
              static_cast<int>(unit::Limit::RealTimeTime) == RLIMIT_RTTIME);

/// Builds the block: the fixed part, then lists and texts behind it.
class SpecWriter {
 public:
  SpecWriter() : bytes_(sizeof(SpawnSpec)) {}
  std::uint32_t text(std::string_view text) {
    const auto offset = static_cast<std::uint32_t>(bytes_.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    bytes_.push_back('\0');
    return offset;
  }
  std::uint32_t numbers(const std::vector<std::uint32_t>& values) {
    return block(values.data(), values.size() * sizeof(std::uint32_t));
  }
  std::uint32_t block(const void* data, std::size_t size) {
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
    const auto offset = static_cast<std::uint32_t>(bytes_.size());
    bytes_.resize(bytes_.size() + size);
    if (size > 0) std::memcpy(bytes_.data() + offset, data, size);
    return offset;
  }
  std::uint32_t texts(const std::vector<std::string>& values) {
    std::vector<std::uint32_t> offsets;
    for (const std::string& value : values) offsets.push_back(text(value));
    return numbers(offsets);
  }
  std::vector<char> finish(SpawnSpec& spec) {
    while (bytes_.size() % 8 != 7) bytes_.push_back('\0');
    bytes_.push_back('\0');
    spec.size = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &spec, sizeof spec);
    return std::move(bytes_);
  }

 private:
  std::vector<char> bytes_;
};

/// `root`: below which the program will be looked for.
std::string find_program(const std::string& path, const std::string& search_path, const std::string& root) {
  if (path.find('/') != std::string::npos) return path;
  for (std::size_t at = 0; at <= search_path.size();) {
    const std::size_t end = std::min(search_path.find(':', at), search_path.size());
    const std::string candidate = search_path.substr(at, end - at) + '/' + path;
    if (sys::access((root + candidate).c_str(), X_OK) == 0) return candidate;
    at = end + 1;
  }
  return search_path.substr(0, search_path.find(':')) + '/' + path;  // its absence is told when it is executed
}

/// One compilation: what all its parts read and write.
struct Compilation {
  const unit::ServiceSpec& service;
  const unit::ExecCommand& command;
  CommandRole role;
  const Accounts& accounts;
  const LaunchSurroundings& surroundings;
  CompiledLaunch out{};
  SpawnSpec spec{};
  SpecWriter writer{};

  [[nodiscard]] bool is_sandboxed() const { return command.rights != unit::Rights::Full; }
  [[nodiscard]] bool changes_user() const { return is_sandboxed() && command.rights != unit::Rights::KeepUser; }
  [[nodiscard]] Error too_much(std::string_view what) const {
    return Error{fmt::format("{} and Environment= {} (E2BIG)", directive_of(role), what), E2BIG};
  }

  Result<void> set_ids(const User& user);
  void set_streams();
  void set_scheduling();
  void set_limits();
  Result<void> set_files();
  void set_working_directory(const User& user);
  Result<void> set_sandbox();
};

Result<void> Compilation::set_ids(const User& user) {
  if (!changes_user() || (service.user.empty() && service.group.empty() && service.supplementary_groups.empty())) return {};
  if (surroundings.our_uid != 0) {
    // Who is not root cannot become somebody else, and need not become himself.
    if (user.uid == surroundings.our_uid && user.gid == surroundings.our_gid && service.supplementary_groups.empty())
      return {};
    return Error{"User=, Group= or SupplementaryGroups= ask for other rights than those of uid " +
                     std::to_string(surroundings.our_uid) + ", who runs this instance (EPERM); run it as root",
                 EPERM};
  }
  std::vector<std::uint32_t> groups;
  if (!service.user.empty()) {
    for (const gid_t group : accounts.groups_of(user)) groups.push_back(group);
  }
  for (const std::string& word : service.supplementary_groups) {
    PERDURE_TRY(const gid_t group, accounts.group(word, "SupplementaryGroups="));
    groups.push_back(group);
  }
  if (groups.size() > wire::spec_groups_max) {
    return Error{fmt::format("User= and SupplementaryGroups= are more than {} groups (E2BIG)", wire::spec_groups_max),
                 E2BIG};
  }
  spec.flags |= wire::spec_set_ids;
  spec.user = user.uid;
  spec.group = user.gid;
  spec.group_count = static_cast<std::uint32_t>(groups.size());
  spec.groups = writer.numbers(groups);
  return {};
}

void Compilation::set_streams() {
  Launch& launch = out.launch;
  std::uint32_t next = 1;  // 0 is the spec itself
  std::uint32_t log = 0;
  const auto file = [&](const std::string& path, int flags) {
    launch.files.push_back({path, flags});
    return next++;
  };
  const unit::Output& output = service.standard_output;
  const unit::Output& error = service.standard_error;
  const bool has_input_file = service.standard_input.kind == unit::InputKind::File;
  const auto is_input = [&](const unit::Output& stream) {
    return has_input_file && stream.kind == unit::OutputKind::File && stream.path == service.standard_input.path;
  };
  if (has_input_file) {
    // As systemd: for reading, unless an output goes to the same file; then one descriptor is both.
    int flags = O_RDONLY;
    if (output.kind == unit::OutputKind::Inherit) flags = O_RDWR;
    if (is_input(output) || is_input(error)) flags = O_RDWR | O_CREAT;
    spec.stdin_index = file(service.standard_input.path, flags | O_NOCTTY);
  }
  const bool output_is_log =
      output.kind == unit::OutputKind::Journal || (output.kind == unit::OutputKind::Inherit && !has_input_file);
  launch.has_log = output_is_log || error.kind == unit::OutputKind::Journal;
  launch.files_before_log = next - 1;
  if (launch.has_log) log = next++;
  const auto stream = [&](const unit::Output& wanted, std::uint32_t inherited) -> std::uint32_t {
    constexpr int plain = O_WRONLY | O_CREAT | O_NOCTTY;
    if (is_input(wanted)) return spec.stdin_index;
    switch (wanted.kind) {
      case unit::OutputKind::Inherit: return inherited;
      case unit::OutputKind::Null: return 0;
      case unit::OutputKind::Journal: return log;
      case unit::OutputKind::File: return file(wanted.path, plain);
      case unit::OutputKind::Append: return file(wanted.path, plain | O_APPEND);
      case unit::OutputKind::Truncate: return file(wanted.path, plain | O_TRUNC);
    }
    return 0;
  };
  spec.stdout_index = stream(output, has_input_file ? spec.stdin_index : log);
  const bool is_same_file = error.kind == output.kind && error.path == output.path && !error.path.empty();
  spec.stderr_index = is_same_file ? spec.stdout_index : stream(error, spec.stdout_index);
  launch.has_gate = role == CommandRole::Start && service.type == unit::ServiceType::Exec;
  if (launch.has_gate) spec.flags |= wire::spec_gate;
}

void Compilation::set_scheduling() {
  if (service.ignore_sigpipe) spec.flags |= wire::spec_ignore_sigpipe;
  if (service.nice) {
    spec.flags |= wire::spec_has_nice;
    spec.nice = *service.nice;
  }
  if (service.oom_score_adjust) {
    spec.flags |= wire::spec_has_oom_score;
    spec.oom_score_adjust = *service.oom_score_adjust;
  }
  if (service.cpu_scheduling) {
    spec.flags |= wire::spec_has_cpu_scheduling;
    spec.cpu_policy = service.cpu_scheduling->policy | (service.cpu_scheduling->resets_on_fork ? SCHED_RESET_ON_FORK : 0);
    spec.cpu_priority = service.cpu_scheduling->priority;
  }
  if (service.io_scheduling) {
    constexpr int class_shift = 13;  // linux/ioprio.h
    spec.flags |= wire::spec_has_io_priority;
    spec.io_priority = service.io_scheduling->io_class << class_shift | service.io_scheduling->priority;
  }
}

void Compilation::set_limits() {
  constexpr auto open_files = static_cast<std::size_t>(unit::Limit::OpenFiles);
  for (std::size_t i = 0; i < unit::limit_count; ++i) {
    if (!service.limits[i] || !is_sandboxed()) continue;
    spec.limits_set |= 1U << i;
    spec.limits[i] = {service.limits[i]->soft, service.limits[i]->hard};
  }
  if ((spec.limits_set >> open_files & 1U) == 0) {
    // The keeper has raised its own; a service gets what it would have got without us.
    spec.limits_set |= 1U << open_files;
    spec.limits[open_files] = {surroundings.nofile_soft, surroundings.nofile_hard};
  }
}

Result<void> Compilation::set_files() {
  spec.umask = service.umask;
  if (!service.root_directory.empty() && service.root_directory != "/")
    spec.root_directory = writer.text(service.root_directory);
  if (!is_sandboxed()) return {};
  std::vector<unit::BindMount> mounts = service.bind_mounts;
  if (spec.root_directory != 0) {
    // As systemd: a service that cannot see the machine's /var/lib still has its part of it.
    for (std::size_t kind = 0; kind < unit::directory_kind_count; ++kind) {
      for (const std::string& name : service.directories[kind].names) {
        const std::string path = surroundings.directory_bases[kind] + '/' + name;
        mounts.push_back({.source = path, .destination = path});
      }
    }
  }
  if (mounts.size() > wire::spec_mounts_max)
    return Error{fmt::format("BindPaths= and BindReadOnlyPaths= are more than {} (E2BIG)", wire::spec_mounts_max), E2BIG};
  // What is below another one comes after it, or it would be covered.
  std::stable_sort(mounts.begin(), mounts.end(), [](const auto& a, const auto& b) { return a.destination < b.destination; });
  std::vector<std::uint32_t> numbers;
  for (const unit::BindMount& mount : mounts) {
    numbers.push_back(writer.text(mount.source));
    numbers.push_back(writer.text(mount.destination));
    numbers.push_back((mount.is_read_only ? wire::mount_read_only : 0U) | (mount.is_recursive ? wire::mount_recursive : 0U) |
                      (mount.ignores_missing ? wire::mount_may_be_missing : 0U));
  }
  spec.mount_count = static_cast<std::uint32_t>(mounts.size());
  spec.mounts = writer.numbers(numbers);
  return {};
}

void Compilation::set_working_directory(const User& user) {
  const unit::WorkingDirectory& wanted = service.working_directory;
  std::string directory = wanted.is_home ? user.home : wanted.path;
  bool may_fail = wanted.ignores_missing;
  if (directory.empty() && surroundings.our_uid != 0) {
    // As systemd: a user's services begin at home, where there is one.
    const auto ourselves = accounts.user(std::to_string(surroundings.our_uid));
    if (ourselves) directory = ourselves->home;
    may_fail = true;
  }
  if (!directory.empty() && directory != "/") spec.working_directory = writer.text(directory);
  if (may_fail) spec.flags |= wire::spec_cwd_may_fail;
}

Result<void> Compilation::set_sandbox() {
  if (!is_sandboxed()) return {};
  if (service.no_new_privileges) spec.flags |= wire::spec_no_new_privileges;
  if (service.capability_bounding_set && *service.capability_bounding_set != ~std::uint64_t{0}) {
    spec.flags |= wire::spec_has_bounding_set;
    spec.bounding_set = *service.capability_bounding_set;
  }
  if (service.ambient_capabilities != 0 || surroundings.inherited_ambient != 0) {
    spec.flags |= wire::spec_has_ambient_set;
    spec.ambient_set = service.ambient_capabilities;
  }
  if (service.secure_bits != 0) {
    spec.flags |= wire::spec_has_secure_bits;
    spec.secure_bits = service.secure_bits;
  }
  if (!service.system_call_filter) return {};
  PERDURE_TRY(const SystemCallPrograms* const compiled, surroundings.filters->compiled(*service.system_call_filter));
  std::vector<std::uint32_t> numbers;
  for (const std::vector<char>& program : compiled->programs) {
    numbers.push_back(writer.block(program.data(), program.size()));
    numbers.push_back(static_cast<std::uint32_t>(program.size() / 8));
  }
  spec.filter_count = static_cast<std::uint32_t>(compiled->programs.size());
  spec.filters = writer.numbers(numbers);
  out.remarks.insert(out.remarks.end(), compiled->remarks.begin(), compiled->remarks.end());
  return {};
}

/// What the executor adds to the environment, or must not: what is set already counts more, and what is unset stays away.
std::uint32_t environment_flags(const unit::ServiceSpec& service, CommandRole role,
                                std::span<const std::string> environment) {
  const auto is_settled = [&](std::string_view name) { return is_assigned(environment, name) || is_unset(service, name); };
  std::uint32_t flags = 0;
  if (is_settled("INVOCATION_ID")) flags |= wire::spec_no_invocation_id;
  if (is_settled("SYSTEMD_EXEC_PID")) flags |= wire::spec_no_exec_pid;
  if (role == CommandRole::Start && is_assigned(environment, "WATCHDOG_USEC") && !is_settled("WATCHDOG_PID"))
    flags |= wire::spec_watchdog_pid;
  return flags;
}

}  // namespace

std::string_view directive_of(CommandRole role) noexcept {
  switch (role) {
    case CommandRole::Condition: return "ExecCondition=";
    case CommandRole::StartPre: return "ExecStartPre=";
    case CommandRole::Start: return "ExecStart=";
    case CommandRole::StartPost: return "ExecStartPost=";
    case CommandRole::Reload: return "ExecReload=";
    case CommandRole::Stop: return "ExecStop=";
    case CommandRole::StopPost: return "ExecStopPost=";
  }
  return "Exec=";
}

DirectoryBases directory_bases_of(const unit::Specifiers& machine) {
  return {machine.runtime_directory, machine.state_directory, machine.cache_directory, machine.log_directory,
          machine.configuration_directory};
}

Result<User> user_of_unit(const unit::ServiceSpec& service, const Accounts& accounts,
                          const LaunchSurroundings& surroundings) {
  User user{surroundings.our_uid, surroundings.our_gid, {}, "/", {}};
  if (!service.user.empty()) {
    PERDURE_TRY(user, accounts.user(service.user));
  }
  if (!service.group.empty()) {
    PERDURE_TRY(user.gid, accounts.group(service.group));
  }
  return user;
}

Result<CompiledLaunch> compile(const unit::UnitSpec& unit, const unit::ExecCommand& command, CommandRole role,
                               const Accounts& accounts, const LaunchSurroundings& surroundings,
                               std::span<const std::string> extra_environment) {
  const unit::ServiceSpec& service = unit.service;
  Compilation c{service, command, role, accounts, surroundings};
  PERDURE_TRY(const User user, user_of_unit(service, accounts, surroundings));
  PERDURE_CHECK(c.set_ids(user));
  PERDURE_TRY(const std::vector<std::string> environment, environment_of(service, service.user.empty() ? nullptr : &user,
                                                                         surroundings, extra_environment, c.out.remarks));
  const std::vector<std::string> arguments = unit::expand_arguments(command, environment);
  if (arguments.size() > wire::spec_strings_max || environment.size() + 3 > wire::spec_strings_max)
    return c.too_much(fmt::format("have more than {} entries", wire::spec_strings_max));
  c.spec.flags |= environment_flags(service, role, environment);

  Launch& launch = c.out.launch;
  launch.program = find_program(command.path, surroundings.search_path, service.root_directory);
  launch.log_owner = surroundings.our_uid == 0 ? user.uid : surroundings.our_uid;
  launch.log_group = surroundings.our_uid == 0 ? user.gid : surroundings.our_gid;
  c.set_streams();
  c.set_scheduling();
  c.set_limits();
  PERDURE_CHECK(c.set_files());
  PERDURE_CHECK(c.set_sandbox());

  c.spec.program = c.writer.text(launch.program);
  c.spec.argument_count = static_cast<std::uint32_t>(arguments.size());
  c.spec.environment_count = static_cast<std::uint32_t>(environment.size());
  c.spec.arguments = c.writer.texts(arguments);
  c.spec.environment = c.writer.texts(environment);
  c.set_working_directory(user);
  c.out.bytes = c.writer.finish(c.spec);
  if (c.out.bytes.size() > wire::spec_size_max)
    return c.too_much(fmt::format("together are larger than {} KiB", wire::spec_size_max / 1024));
  return std::move(c.out);
}

Result<CompiledLaunch> compile(const unit::UnitSpec& unit, const Accounts& accounts,
                               const LaunchSurroundings& surroundings) {
  if (unit.service.exec_start.empty()) return Error{"ExecStart= is not set"};
  return compile(unit, unit.service.exec_start.front(), CommandRole::Start, accounts, surroundings);
}

bool wants_fresh_compile(const unit::UnitSpec& unit) {
  if (!unit.service.environment_files.empty()) return true;
  for (const auto* commands :
       {&unit.service.exec_condition, &unit.service.exec_start_pre, &unit.service.exec_start, &unit.service.exec_start_post,
        &unit.service.exec_reload, &unit.service.exec_stop, &unit.service.exec_stop_post}) {
    for (const unit::ExecCommand& command : *commands) {
      const std::vector<std::string> names = unit::variables_of(command);
      if (std::find(names.begin(), names.end(), "INVOCATION_ID") != names.end()) return true;
    }
  }
  return false;
}

}  // namespace perdure::supervisor
