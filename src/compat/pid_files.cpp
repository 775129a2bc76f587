#include "compat/pid_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include <climits>

#include "compat/surroundings.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/process_identity.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::compat {
namespace {

/// Longer than any pid with its newline; what does not fit is no pid.
constexpr std::size_t pid_text_max = 32;

struct ProcessState {
  std::mutex mutex;
  std::string chosen;       ///< by setPidFilePath
  std::string supervisors;  ///< of the guard this process is a worker of
  bool wrote_supervisors = false;
  std::vector<PidFile> written;  ///< its destructors remove the files at exit(3)
};

ProcessState& state() {
  static ProcessState instance;
  return instance;
}

std::optional<pid_t> parse_pid(std::string_view text) noexcept {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty() || text.size() > 10) return std::nullopt;
  long long number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  const auto pid = static_cast<pid_t>(number);
  if (pid <= 0 || pid != number) return std::nullopt;
  return pid;
}

/// Neither a link nor a FIFO nor another user's file can make this wait or lie.
std::optional<pid_t> read_pid(const std::string& path) noexcept {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)};
  if (!file) return std::nullopt;
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  const uid_t user = ::geteuid();
  if (user != 0 && status.st_uid != user && status.st_uid != 0) return std::nullopt;
  char text[pid_text_max];
  const ssize_t size = ::pread(file.get(), text, sizeof text, 0);
  return size > 0 ? parse_pid({text, static_cast<std::size_t>(size)}) : std::nullopt;
}

void warn(const std::string& path, std::string_view reason) {
  const std::string text = std::string{reason} + "; the program goes on without the PID file " + path;
  std::fprintf(stderr, "%s: warning: %s\n", program_name().c_str(), text.c_str());
  ::syslog(LOG_WARNING, "%s", text.c_str());
}

void write_or_throw(const std::string& path) {
  ProcessState& process = state();
  const std::scoped_lock guard{process.mutex};
  if (path == process.supervisors) {
    process.wrote_supervisors = true;
    return;
  }
  auto held =
      std::find_if(process.written.begin(), process.written.end(), [&](const PidFile& file) { return file.path() == path; });
  if (held == process.written.end()) {
    make_directories_above(path);
    auto acquired = PidFile::acquire(path);
    if (!acquired) return warn(path, acquired.error().message());
    held = process.written.insert(held, std::move(*acquired));
  }
  if (auto written = held->write(); !written) warn(path, written.error().message());
}

}  // namespace

std::string default_pid_file_path() {
  const std::string file = "/" + program_name() + ".pid";
  if (::geteuid() == 0) return "/run" + file;
  const char* runtime = trusted_variable("XDG_RUNTIME_DIR");
  struct stat status {};
  const bool usable = runtime != nullptr && *runtime == '/' && ::stat(runtime, &status) == 0 && S_ISDIR(status.st_mode) &&
                      status.st_uid == ::geteuid();
  return (usable ? runtime : "/tmp") + file;
}

std::string pid_file_path() {
  {
    const std::scoped_lock guard{state().mutex};
    if (!state().chosen.empty()) return state().chosen;
  }
  return default_pid_file_path();
}

void choose_pid_file(const std::string& absolute_path) {
  const std::scoped_lock guard{state().mutex};
  state().chosen = absolute_path;
}

void adopt_supervisors_pid_file(const std::string& absolute_path) {
  const std::scoped_lock guard{state().mutex};
  state().supervisors = absolute_path;
}

std::string absolute_path(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(path, failed).lexically_normal();
  return failed ? path : absolute.string();
}

void make_directories_above(const std::string& path) {
  std::array<char, PATH_MAX> above{};
  if (path.size() >= above.size()) return;  // whoever opens it says so
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    path.copy(above.data(), slash);
    (void)::mkdir(above.data(), 0755);
  }
}

void write_pid_file(const std::string& path) noexcept {
  try {
    write_or_throw(absolute_path(path));
  } catch (const std::exception& error) {  // no memory: what remains possible is to say so
    std::fprintf(stderr, "warning: cannot write the PID file %s: %s\n", path.c_str(), error.what());
  }
}

bool is_running_instance(const std::string& path) noexcept {
  try {
    const std::string absolute = absolute_path(path);
    {
      const std::scoped_lock guard{state().mutex};
      if (absolute == state().supervisors && !state().wrote_supervisors) return false;
    }
    const auto pid = read_pid(absolute);
    return pid && is_alive(*pid) && is_same_executable(*pid);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace perdure::compat

namespace atom::async {

void writePidFile() { perdure::compat::write_pid_file(perdure::compat::pid_file_path()); }
void writePidFile(const std::string& path) { perdure::compat::write_pid_file(path); }
auto checkPidFile() -> bool { return perdure::compat::is_running_instance(perdure::compat::pid_file_path()); }
auto checkPidFile(const std::string& path) -> bool { return perdure::compat::is_running_instance(path); }

}  // namespace atom::async
