#include "supervisor/launch.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/buffer.hpp"
#include "os/system.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;
using wire::SpawnSpec;

constexpr std::size_t unwritten_max = 32 * 1024;  // bytes of specs that are written together

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
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
    const auto offset = static_cast<std::uint32_t>(bytes_.size());
    bytes_.resize(bytes_.size() + values.size() * sizeof(std::uint32_t));
    if (!values.empty()) std::memcpy(bytes_.data() + offset, values.data(), values.size() * sizeof(std::uint32_t));
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

/// NAME=VALUE in place of an earlier one of the same name.
void assign(std::vector<std::string>& environment, std::string assignment) {
  const std::string_view name = std::string_view{assignment}.substr(0, assignment.find('=') + 1);
  const auto same = std::find_if(environment.begin(), environment.end(),
                                 [name](const std::string& known) { return known.starts_with(name); });
  if (same != environment.end()) {
    *same = std::move(assignment);
  } else {
    environment.push_back(std::move(assignment));
  }
}

std::string find_program(const std::string& path, const std::string& search_path) {
  if (path.find('/') != std::string::npos) return path;
  for (std::size_t at = 0; at <= search_path.size();) {
    const std::size_t end = std::min(search_path.find(':', at), search_path.size());
    const std::string candidate = search_path.substr(at, end - at) + '/' + path;
    if (sys::access(candidate.c_str(), X_OK) == 0) return candidate;
    at = end + 1;
  }
  return search_path.substr(0, search_path.find(':')) + '/' + path;  // its absence is told when it is executed
}

struct Streams {
  Launch& launch;
  std::uint32_t next = 1;  // 0 is the spec itself
  std::uint32_t log = 0;

  std::uint32_t file(const std::string& path, int flags) {
    launch.files.push_back({path, flags});
    return next++;
  }
};

}  // namespace

Result<CompiledLaunch> compile(const unit::UnitSpec& unit, const Accounts& accounts,
                               const LaunchSurroundings& surroundings) {
  const unit::ServiceSpec& service = unit.service;
  if (service.exec_start.empty()) return Error{"ExecStart= is not set"};
  const unit::ExecCommand& command = service.exec_start.front();
  const bool has_own_rights = command.rights == unit::Rights::Full;

  CompiledLaunch compiled;
  SpawnSpec spec;
  SpecWriter writer;
  User user{surroundings.our_uid, surroundings.our_gid, {}, "/", {}};
  std::vector<std::uint32_t> groups;
  const bool sets_ids =
      !has_own_rights && (!service.user.empty() || !service.group.empty() || !service.supplementary_groups.empty());
  if (sets_ids) {
    if (!service.user.empty()) {
      PERDURE_TRY(user, accounts.user(service.user));
    }
    if (!service.group.empty()) {
      PERDURE_TRY(user.gid, accounts.group(service.group));
    }
    if (surroundings.our_uid != 0) {
      // Who is not root cannot become somebody else, and need not become himself.
      if (user.uid != surroundings.our_uid || user.gid != surroundings.our_gid || !service.supplementary_groups.empty()) {
        return Error{"User=, Group= or SupplementaryGroups= ask for other rights than those of uid " +
                         std::to_string(surroundings.our_uid) + ", who runs this instance (EPERM); run it as root",
                     EPERM};
      }
    } else {
      if (!service.user.empty()) {
        for (const gid_t group : accounts.groups_of(user)) groups.push_back(group);
      }
      for (const std::string& word : service.supplementary_groups) {
        PERDURE_TRY(const gid_t group, accounts.group(word));
        groups.push_back(group);
      }
      spec.flags |= wire::spec_set_ids;
      spec.user = user.uid;
      spec.group = user.gid;
    }
  }

  std::vector<std::string> environment = surroundings.environment;
  if (!service.user.empty()) {
    if (!user.name.empty()) {
      assign(environment, "USER=" + user.name);
      assign(environment, "LOGNAME=" + user.name);
    }
    assign(environment, "HOME=" + user.home);
    if (!user.shell.empty()) assign(environment, "SHELL=" + user.shell);
  }
  for (const std::string& assignment : service.environment) assign(environment, assignment);
  std::vector<std::string> arguments = unit::expand_arguments(command, environment);

  Launch& launch = compiled.launch;
  launch.program = find_program(command.path, surroundings.search_path);
  launch.log_owner = user.uid;
  launch.log_group = user.gid;
  Streams streams{launch};
  const unit::Output& out = service.standard_output;
  const unit::Output& err = service.standard_error;
  const bool has_input_file = service.standard_input.kind == unit::InputKind::File;
  const auto is_input = [&](const unit::Output& output) {
    return has_input_file && output.kind == unit::OutputKind::File && output.path == service.standard_input.path;
  };
  if (has_input_file) {
    // As systemd: for reading, unless an output goes to the same file; then one descriptor is both.
    int flags = O_RDONLY;
    if (out.kind == unit::OutputKind::Inherit) flags = O_RDWR;
    if (is_input(out) || is_input(err)) flags = O_RDWR | O_CREAT;
    spec.stdin_index = streams.file(service.standard_input.path, flags | O_NOCTTY);
  }
  const bool out_is_log =
      out.kind == unit::OutputKind::Journal || (out.kind == unit::OutputKind::Inherit && !has_input_file);
  launch.has_log = out_is_log || err.kind == unit::OutputKind::Journal;
  launch.files_before_log = streams.next - 1;
  if (launch.has_log) streams.log = streams.next++;
  const auto stream = [&](const unit::Output& output, std::uint32_t inherited) -> std::uint32_t {
    constexpr int plain = O_WRONLY | O_CREAT | O_NOCTTY;
    if (is_input(output)) return spec.stdin_index;
    switch (output.kind) {
      case unit::OutputKind::Inherit: return inherited;
      case unit::OutputKind::Null: return 0;
      case unit::OutputKind::Journal: return streams.log;
      case unit::OutputKind::File: return streams.file(output.path, plain);
      case unit::OutputKind::Append: return streams.file(output.path, plain | O_APPEND);
      case unit::OutputKind::Truncate: return streams.file(output.path, plain | O_TRUNC);
    }
    return 0;
  };
  spec.stdout_index = stream(out, has_input_file ? spec.stdin_index : streams.log);
  const bool same_file = err.kind == out.kind && err.path == out.path && !err.path.empty();
  spec.stderr_index = same_file ? spec.stdout_index : stream(err, spec.stdout_index);
  launch.has_gate = service.type == unit::ServiceType::Exec;
  if (launch.has_gate) spec.flags |= wire::spec_gate;

  if (service.no_new_privileges) spec.flags |= wire::spec_no_new_privileges;
  if (service.ignore_sigpipe) spec.flags |= wire::spec_ignore_sigpipe;
  if (service.nice) {
    spec.flags |= wire::spec_has_nice;
    spec.nice = *service.nice;
  }
  if (service.oom_score_adjust) {
    spec.flags |= wire::spec_has_oom_score;
    spec.oom_score_adjust = *service.oom_score_adjust;
  }
  spec.umask = service.umask;
  for (std::size_t i = 0; i < unit::limit_count; ++i) {
    if (!service.limits[i]) continue;
    spec.limits_set |= 1U << i;
    spec.limits[i] = {service.limits[i]->soft, service.limits[i]->hard};
  }
  constexpr auto open_files = static_cast<std::size_t>(unit::Limit::OpenFiles);
  if (!service.limits[open_files]) {
    // The keeper has raised its own; a service gets what it would have got without us.
    spec.limits_set |= 1U << open_files;
    spec.limits[open_files] = {surroundings.nofile_soft, surroundings.nofile_hard};
  }

  spec.program = writer.text(launch.program);
  spec.argument_count = static_cast<std::uint32_t>(arguments.size());
  spec.environment_count = static_cast<std::uint32_t>(environment.size());
  if (arguments.size() > wire::spec_strings_max || environment.size() + 2 > wire::spec_strings_max) {
    return Error{"ExecStart= or Environment= has more than " + std::to_string(wire::spec_strings_max) + " entries (E2BIG)",
                 E2BIG};
  }
  spec.arguments = writer.texts(arguments);
  spec.environment = writer.texts(environment);
  spec.group_count = static_cast<std::uint32_t>(std::min<std::size_t>(groups.size(), wire::spec_groups_max));
  spec.groups = writer.numbers(groups);
  std::string directory = service.working_directory.is_home ? user.home : service.working_directory.path;
  if (!directory.empty() && directory != "/") spec.working_directory = writer.text(directory);
  if (service.working_directory.ignores_missing) spec.flags |= wire::spec_cwd_may_fail;
  compiled.bytes = writer.finish(spec);
  if (compiled.bytes.size() > wire::spec_size_max) {
    return Error{"ExecStart= and Environment= together are larger than " + std::to_string(wire::spec_size_max / 1024) +
                     " KiB (E2BIG)",
                 E2BIG};
  }
  return compiled;
}

Result<SpecFile> SpecFile::open() {
  UniqueFd file{sys::memfd_create("perdure-specs", MFD_CLOEXEC)};
  if (!file) return Error::from_errno(errno, "make", "the memory file of spawn specs");
  return SpecFile{std::move(file)};
}

Result<SpecPlace> SpecFile::add(const std::vector<char>& bytes) {
  if (unwritten_.size() >= unwritten_max) PERDURE_CHECK(flush());
  const SpecPlace place{size_, static_cast<std::uint32_t>(bytes.size())};
  unwritten_.insert(unwritten_.end(), bytes.begin(), bytes.end());
  size_ += bytes.size();
  return place;
}

Result<void> SpecFile::flush() {
  if (unwritten_.empty()) return {};
  const auto begin = static_cast<off_t>(size_ - unwritten_.size());
  const ssize_t written = sys::pwrite(file_.get(), unwritten_.data(), unwritten_.size(), begin);
  if (written != static_cast<ssize_t>(unwritten_.size()))
    return Error::from_errno(written < 0 ? errno : ENOSPC, "write", "the memory file of spawn specs");
  base::clear_burst(unwritten_);
  return {};
}

}  // namespace perdure::supervisor
