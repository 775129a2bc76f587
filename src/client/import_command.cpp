// `perdure import supervisord FILE`: the units that the file means, written into a directory, all or none.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/commands.hpp"
#include "client/import_supervisord.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

constexpr const char* default_output = "units";
constexpr mode_t directory_mode = 0755, file_mode = 0644;

Variables environment_of_this_process() {
  Variables variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text{*variable};
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

/// Those of the files that are there already.
std::string files_in_the_way(const ImportedUnits& units, const std::string& directory) {
  std::string names;
  for (const auto& file : units.files) {
    struct stat status {};
    if (os::sys::lstat(fmt::format("{}/{}", directory, file.name).c_str(), &status) != 0) continue;
    names += (names.empty() ? "" : ", ") + file.name;
  }
  return names;
}

}  // namespace

int import_command(const Arguments& arguments) {
  const std::string& path = arguments.words.back();
  const std::string directory = arguments.output.value_or(default_output);
  const ImportedUnits units = import_supervisord(path, environment_of_this_process());
  for (const std::string& remark : units.remarks) complain(remark);
  for (const std::string& error : units.errors) complain(error);
  if (!units.errors.empty()) {
    complain(fmt::format("{} cannot be imported; nothing was written", base::escape(path)));
    return exit_failed;
  }
  if (const std::string names = files_in_the_way(units, directory); !names.empty() && !arguments.force) {
    complain(
        fmt::format("{} has {} already; nothing was written; --force replaces what is there, --output=DIR writes elsewhere",
                    base::escape(directory), base::escape(names)));
    return exit_failed;
  }
  if (os::sys::mkdir(directory.c_str(), directory_mode) != 0 && errno != EEXIST) {
    complain(Error::from_errno(errno, "create the directory", directory).with_advice("nothing was written").message());
    return exit_failed;
  }
  std::string written;
  for (const auto& file : units.files) {
    const std::string target = directory + '/' + file.name;
    if (const auto done = os::write_file_atomically(target, file.text, file_mode); !done) {
      print(written);
      complain(done.error().message() + "; of the units only those above were written");
      return exit_failed;
    }
    written += base::escape(target) + '\n';
  }
  return print(written) ? exit_done : exit_failed;
}

}  // namespace perdure::client
