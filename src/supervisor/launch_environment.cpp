#include "supervisor/launch_environment.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "supervisor/environment_file.hpp"

namespace perdure::supervisor {
namespace {

constexpr std::array<const char*, unit::directory_kind_count> directory_variables{
    "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY"};

/// Of the instance's environment these speak of the instance, and a service that believed them would be wrong.
constexpr std::array<std::string_view, 5> never_passed{"NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "PERDURE_", "INVOCATION_ID"};

std::string_view name_of(std::string_view assignment) noexcept { return assignment.substr(0, assignment.find('=')); }

/// As systemd: a shell that logs nobody in says nothing.
bool is_login_shell(std::string_view shell) noexcept {
  const std::string_view program = shell.substr(shell.rfind('/') + 1);
  return shell.starts_with('/') && program != "nologin" && program != "false" && program != "true";
}

void assign_user(std::vector<std::string>& environment, const User& user) {
  if (user.name.empty()) return;  // a number that has no entry
  assign(environment, "USER=" + user.name);
  assign(environment, "LOGNAME=" + user.name);
  if (user.home.starts_with('/') && user.home.size() > 1) assign(environment, "HOME=" + user.home);
  if (is_login_shell(user.shell)) assign(environment, "SHELL=" + user.shell);
}

void assign_directories(std::vector<std::string>& environment, const unit::ServiceSpec& service,
                        const DirectoryBases& bases) {
  for (std::size_t kind = 0; kind < unit::directory_kind_count; ++kind) {
    if (bases[kind].empty() || service.directories[kind].names.empty()) continue;
    std::string paths;
    for (const std::string& name : service.directories[kind].names)
      paths += (paths.empty() ? "" : ":") + bases[kind] + '/' + name;
    assign(environment, std::string{directory_variables[kind]} + '=' + paths);
  }
}

}  // namespace

void assign(std::vector<std::string>& environment, std::string assignment) {
  const std::string_view name = name_of(assignment);
  const auto same = std::find_if(environment.begin(), environment.end(),
                                 [name](const std::string& known) { return name_of(known) == name; });
  if (same != environment.end()) {
    *same = std::move(assignment);
  } else {
    environment.push_back(std::move(assignment));
  }
}

bool is_assigned(std::span<const std::string> environment, std::string_view name) noexcept {
  return std::any_of(environment.begin(), environment.end(),
                     [name](const std::string& known) { return name_of(known) == name; });
}

bool is_unset(const unit::ServiceSpec& service, std::string_view name) noexcept {
  return std::find(service.unset_environment.begin(), service.unset_environment.end(), name) !=
         service.unset_environment.end();
}

Result<std::vector<std::string>> environment_of(const unit::ServiceSpec& service, const User* user,
                                                const LaunchSurroundings& surroundings, std::span<const std::string> extra,
                                                std::vector<std::string>& remarks) {
  std::vector<std::string> environment = surroundings.environment;
  if (user != nullptr) assign_user(environment, *user);
  assign_directories(environment, service, surroundings.directory_bases);
  for (const std::string& assignment : extra) assign(environment, assignment);
  for (const std::string& name : service.pass_environment) {
    if (std::any_of(never_passed.begin(), never_passed.end(), [&name](auto prefix) { return name.starts_with(prefix); })) {
      remarks.push_back("PassEnvironment=" + name +
                        ": it speaks of the instance and not of the service; it is not passed on");
      continue;
    }
    for (const std::string& assignment : surroundings.start_environment) {
      if (name_of(assignment) == name) assign(environment, assignment);
    }
  }
  for (const std::string& assignment : service.environment) assign(environment, assignment);
  if (!service.environment_files.empty()) {
    PERDURE_TRY(EnvironmentText text, read_environment_files(service.environment_files));
    for (std::string& assignment : text.assignments) assign(environment, std::move(assignment));
    std::move(text.remarks.begin(), text.remarks.end(), std::back_inserter(remarks));
  }
  std::erase_if(environment, [&service](const std::string& assignment) {
    return is_unset(service, name_of(assignment)) || is_unset(service, assignment);
  });
  return environment;
}

}  // namespace perdure::supervisor
