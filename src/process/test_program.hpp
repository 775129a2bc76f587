// What this module's tests share. The test program is also the programs that the tests start: `--role NAME …` runs a role.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/exit_status.hpp"
#include "perdure/resources.hpp"

namespace perdure::process::test {

using Arguments = std::vector<std::string>;
using Role = int (*)(const Arguments&);

/// At namespace scope: `const RoleEntry entry{"probe", …};`
struct RoleEntry {
  RoleEntry(const char* name, Role role);
};

/// Longest wait for an event before a test is told that it hangs.
inline constexpr std::chrono::seconds hang_limit{30};

template <class Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + hang_limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "perdure-process-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

inline void write_file(const std::string& path, const std::string& text) { std::ofstream{path} << text; }

/// Runs `body` in a forked process that ends with its result.
inline pid_t in_child(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  return pid;
}

inline ExitStatus wait_for(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, __WALL) != pid) return {};
  return WIFEXITED(status) ? ExitStatus::exited(WEXITSTATUS(status)) : ExitStatus::killed(WTERMSIG(status));
}

/// No child, dead or alive, that nobody has reaped.
inline bool has_no_children() {
  siginfo_t child{};
  return ::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
}

/// Reaps what is adopted until nothing is left; false when something goes on living.
inline bool reap_all() {
  return eventually([] {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
    return errno == ECHILD;
  });
}

/// A field of /proc/PID/status.
inline std::string status_of(pid_t pid, const std::string& field) {
  std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(field + ":", 0) == 0) return line.substr(line.find_first_not_of(" \t", field.size() + 1));
  }
  return {};
}

inline std::string link_of(pid_t pid, const std::string& name) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/" + name, error).string();
}

}  // namespace perdure::process::test
