#include "supervisor/main_pid_file.hpp"

#include <string_view>

#include "base/text.hpp"
#include "os/file.hpp"

namespace perdure::supervisor {

Result<pid_t> read_pid_file(const std::string& path) {
  constexpr std::size_t pid_file_bytes_max = 64;
  PERDURE_TRY(const std::string text, os::read_file(path, pid_file_bytes_max));
  const std::string_view line = base::trim(std::string_view{text}.substr(0, text.find('\n')));
  const auto pid = base::parse_number<pid_t>(line);
  if (!pid || *pid <= 1) return Error{path + " holds no process number: " + base::quote(line)};
  return *pid;
}

}  // namespace perdure::supervisor
