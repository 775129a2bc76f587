#include "client/places.hpp"

#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string_view>

#include "os/file.hpp"
#include "os/runtime_directory.hpp"

namespace perdure::client {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

bool is_absolute(std::string_view path) noexcept { return path.starts_with('/'); }

/// XDG base directory specification: a path that is not absolute is to be ignored.
std::string xdg(const std::string& value, const std::string& home, std::string_view below_home) {
  if (is_absolute(value)) return value;
  return is_absolute(home) ? home + std::string{below_home} : std::string{};
}

Result<std::string> directory(std::string_view path) {
  if (path.empty()) return Error{"the name of a directory is empty; nothing was done"};
  PERDURE_TRY(std::string absolute, os::absolute_path(path));
  while (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  return absolute;
}

std::optional<std::string> named(const std::optional<std::string>& option, const std::string& environment) {
  if (option) return option;
  return environment.empty() ? std::nullopt : std::optional{environment};
}

Result<std::string> default_runtime(const Surroundings& surroundings) {
  PERDURE_TRY(std::string base, os::runtime_directory({.xdg_runtime_dir = surroundings.xdg_runtime_dir,
                                                       .tmpdir = surroundings.tmpdir,
                                                       .user = surroundings.user}));
  return base + "/perdure";
}

Result<std::string> default_state(const Surroundings& surroundings) {
  if (surroundings.user == 0) return std::string{"/var/lib/perdure"};
  std::string base = xdg(surroundings.xdg_state_home, surroundings.home, "/.local/state");
  if (base.empty()) return Error{"neither XDG_STATE_HOME nor HOME says where state goes; give --state-dir"};
  return base + "/perdure";
}

std::vector<std::string> default_unit_path(const Surroundings& surroundings) {
  if (surroundings.user == 0) {
    return {"/etc/perdure/system",           "/etc/systemd/system",     "/run/systemd/system",
            "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"};
  }
  std::vector<std::string> path;
  const auto add = [&](std::string base, std::string_view below) {
    if (!base.empty()) path.push_back(std::move(base) + std::string{below});
  };
  const std::string config = xdg(surroundings.xdg_config_home, surroundings.home, "/.config");
  add(config, "/perdure/user");
  add(config, "/systemd/user");
  path.emplace_back("/etc/systemd/user");
  if (is_absolute(surroundings.xdg_runtime_dir)) add(surroundings.xdg_runtime_dir, "/systemd/user");
  add(xdg(surroundings.xdg_data_home, surroundings.home, "/.local/share"), "/systemd/user");
  path.emplace_back("/usr/local/lib/systemd/user");
  path.emplace_back("/usr/lib/systemd/user");
  return path;
}

}  // namespace

Surroundings Surroundings::of_this_process() {
  return {.runtime_dir = variable("PERDURE_RUNTIME_DIR"),
          .state_dir = variable("PERDURE_STATE_DIR"),
          .log_dir = variable("PERDURE_LOG_DIR"),
          .xdg_runtime_dir = variable("XDG_RUNTIME_DIR"),
          .xdg_state_home = variable("XDG_STATE_HOME"),
          .xdg_config_home = variable("XDG_CONFIG_HOME"),
          .xdg_data_home = variable("XDG_DATA_HOME"),
          .home = variable("HOME"),
          .tmpdir = variable("TMPDIR"),
          .user = ::geteuid()};
}

Result<Places> places_for(const Arguments& arguments, const Surroundings& surroundings) {
  Places places;
  if (arguments.scope == Scope::User && surroundings.user == 0)
    return Error{
        "--user means the instance of an ordinary user, and this is root; name it by --runtime-dir; nothing was done"};
  if (arguments.scope == Scope::System && surroundings.user != 0 && arguments.verb == Verb::Run)
    return Error{"--system means the instance of root, who alone can run it; nothing was done"};
  Surroundings as = surroundings;
  if (arguments.scope == Scope::System) as.user = 0;
  const auto runtime = named(arguments.runtime_dir, surroundings.runtime_dir);
  const auto state = named(arguments.state_dir, surroundings.state_dir);
  const auto log = named(arguments.log_dir, surroundings.log_dir);

  PERDURE_TRY(places.runtime, runtime ? directory(*runtime) : default_runtime(as));
  if (state || !runtime) {
    // Only `run` writes there: that a user has no home is no reason to refuse the other verbs.
    auto found = state ? directory(*state) : default_state(as);
    if (!found && arguments.verb == Verb::Run) return std::move(found).error();
    places.state = found ? *std::move(found) : places.runtime + "/state";
  } else {
    places.state = places.runtime + "/state";
  }
  places.log_was_named = log || runtime;
  if (log) {
    PERDURE_TRY(places.log, directory(*log));
  } else if (runtime) {
    places.log = places.runtime + "/log";
  } else {
    places.log = as.user == 0 ? "/var/log/perdure" : places.state + "/log";
  }

  places.unit_path_was_named = !arguments.unit_path.empty();
  for (const std::string& path : arguments.unit_path) {
    PERDURE_TRY(std::string absolute, directory(path));
    places.unit_path.push_back(std::move(absolute));
  }
  if (!places.unit_path_was_named) places.unit_path = default_unit_path(as);
  if (arguments.cgroup_root) {
    PERDURE_TRY(places.cgroup_root, directory(*arguments.cgroup_root));
  }
  return places;
}

}  // namespace perdure::client
