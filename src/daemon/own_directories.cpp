#include "daemon/own_directories.hpp"

#include <cstdlib>
#include <set>
#include <string_view>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::daemon {

std::vector<std::string> written_places(const Places& places, const std::string& log_path) {
  std::set<std::string> directories;
  for (const std::string& path : {places.pid_file, places.control, places.health_file, places.log_file, log_path})
    if (!path.empty()) directories.insert(os::directory_of(path));
  for (const char* variable : {"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr) continue;
    for (const std::string_view directory : base::split(value, ':'))
      if (directory.starts_with('/')) directories.emplace(directory);
  }
  return {directories.begin(), directories.end()};
}

Result<OwnDirectories> OwnDirectories::make(const RightsDrop& rights, const std::vector<std::string>& directories) {
  OwnDirectories own;
  for (const std::string& directory : directories) {
    PERDURE_TRY(const bool is_new, rights.make_directory(directory));
    if (is_new) own.made_.push_back(directory);
  }
  return own;
}

OwnDirectories::~OwnDirectories() {
  for (const std::string& directory : made_) os::sys::rmdir(directory.c_str());
}

}  // namespace perdure::daemon
