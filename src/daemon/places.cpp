#include "daemon/places.hpp"

#include <cerrno>

#include "os/file.hpp"
#include "os/runtime_directory.hpp"
#include "os/system.hpp"

namespace perdure::daemon {

Result<Places> choose_places(const Options& options, const CommandLine& line) {
  Places places;
  places.instance = line.instance ? options.name + "@" + *line.instance : options.name;

  std::string runtime;
  const auto in_runtime_directory = [&](const std::string& file) -> Result<std::string> {
    if (runtime.empty()) {
      PERDURE_TRY(runtime, os::runtime_directory(os::RuntimeSurroundings::of_this_process()));
    }
    return runtime + "/" + file;
  };

  const std::string pid_file = line.pid_file.value_or(options.pid_file);
  if (pid_file.empty()) {
    PERDURE_TRY(places.pid_file, in_runtime_directory(places.instance + ".pid"));
  } else {
    PERDURE_TRY(places.pid_file, os::absolute_path(pid_file));
  }

  const std::string control = line.control.value_or(options.control);
  if (control.empty()) {
    PERDURE_TRY(places.control, in_runtime_directory(places.instance + ".sock"));
  } else if (control != "none") {
    PERDURE_TRY(places.control, os::absolute_path(control));
  }

  const std::string config_file = line.config_file.value_or(options.config_file);
  if (!config_file.empty()) {
    PERDURE_TRY(places.config_file, os::absolute_path(config_file));
    places.config_must_exist = true;
  } else if (options.config.get() != nullptr) {
    places.config_file = "/etc/" + options.name + ".conf";
  }

  if (!options.health_file.path.empty()) {
    PERDURE_TRY(places.health_file, os::absolute_path(options.health_file.path));
  }
  const std::string log_file = line.log_file.value_or(options.log.path);
  if (!log_file.empty()) {
    PERDURE_TRY(places.log_file, os::absolute_path(log_file));
  }
  return places;
}

}  // namespace perdure::daemon
