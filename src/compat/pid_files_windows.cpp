// Windows: a PID file is locked by its share mode. Whoever writes it keeps it open, others may read it, and nobody else may open
// it for writing or delete it; the system closes it when the process ends, however that comes.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "compat/pid_files.hpp"
#include "compat/surroundings.hpp"
#include "perdure/compat/daemon.hpp"

namespace perdure::compat {
namespace {

/// Longer than any process id with its newline; what does not fit is none.
constexpr DWORD pid_text_max = 32;

class Handle {
 public:
  explicit Handle(HANDLE handle) noexcept : handle_(handle == INVALID_HANDLE_VALUE ? nullptr : handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() { close(); }
  void close() noexcept {
    if (handle_ != nullptr) ::CloseHandle(std::exchange(handle_, nullptr));
  }
  [[nodiscard]] HANDLE get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

 private:
  HANDLE handle_;
};

/// A PID file of this process; removed when it ends through exit() or a return from main().
struct Written {
  std::filesystem::path path;
  Handle file;

  Written(std::filesystem::path name, Handle handle) : path(std::move(name)), file(std::move(handle)) {}
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;
  ~Written() {
    if (!file) return;
    file.close();
    ::DeleteFileW(path.c_str());  // refused where another instance has opened it meanwhile
  }
};

struct ProcessState {
  std::mutex mutex;
  std::string chosen;  ///< by setPidFilePath
  std::list<Written> written;
};

ProcessState& state() {
  static ProcessState instance;
  return instance;
}

void warn(const std::string& path, std::string_view attempt, DWORD error) {
  const std::string why = error == ERROR_SHARING_VIOLATION ? "another process holds it"
                                                           : std::system_category().message(static_cast<int>(error));
  std::fprintf(stderr, "%s: warning: PID file %s: %.*s: %s; the program goes on without it\n", program_name().c_str(),
               path.c_str(), static_cast<int>(attempt.size()), attempt.data(), why.c_str());
}

bool put(const Handle& file) {
  const std::string text = std::to_string(own_pid()) + "\n";
  DWORD written = 0;
  return ::SetFilePointer(file.get(), 0, nullptr, FILE_BEGIN) != INVALID_SET_FILE_POINTER &&
         ::WriteFile(file.get(), text.data(), static_cast<DWORD>(text.size()), &written, nullptr) != 0 &&
         written == text.size() && ::SetEndOfFile(file.get()) != 0;
}

std::optional<DWORD> read_pid(const std::filesystem::path& path) {
  constexpr DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  const Handle file{
      ::CreateFileW(path.c_str(), GENERIC_READ, shared, nullptr, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, nullptr)};
  std::array<char, pid_text_max> text{};
  DWORD size = 0;
  if (!file || ::GetFileType(file.get()) != FILE_TYPE_DISK ||
      ::ReadFile(file.get(), text.data(), pid_text_max, &size, nullptr) == 0 || size == 0)
    return std::nullopt;
  if (text[size - 1] == '\n') --size;
  if (size > 0 && text[size - 1] == '\r') --size;  // written by hand
  DWORD pid = 0;
  const char* const end = text.data() + size;
  const auto parsed = std::from_chars(text.data(), end, pid);
  if (parsed.ec != std::errc{} || parsed.ptr != end || pid == 0) return std::nullopt;
  return pid;
}

std::optional<std::wstring> program_of(HANDLE process) {
  std::wstring path(32768, L'\0');  // the longest that Windows has
  DWORD size = static_cast<DWORD>(path.size());
  if (::QueryFullProcessImageNameW(process, 0, path.data(), &size) == 0) return std::nullopt;
  path.resize(size);
  return path;
}

/// A process that we may not look into counts as alive and as ours.
bool is_living_instance(DWORD pid) {
  const Handle process{::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, pid)};
  if (!process) return ::GetLastError() == ERROR_ACCESS_DENIED;
  // Not GetExitCodeProcess: a process may end with 259, which is what it answers for one that runs.
  if (::WaitForSingleObject(process.get(), 0) != WAIT_TIMEOUT) return false;
  const auto theirs = program_of(process.get());
  const auto ours = program_of(::GetCurrentProcess());
  if (!theirs || !ours) return true;
  return ::CompareStringOrdinal(theirs->c_str(), -1, ours->c_str(), -1, TRUE) == CSTR_EQUAL;
}

}  // namespace

std::string default_pid_file_path() {
  std::error_code failed;
  return (std::filesystem::temp_directory_path(failed) / (program_name() + ".pid")).string();
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

std::string absolute_path(const std::string& path) {
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(path, failed).lexically_normal();
  return failed ? path : absolute.string();
}

void make_directories_above(const std::string& path) {
  std::error_code failed;  // shows when the file is opened
  std::filesystem::create_directories(std::filesystem::path{path}.parent_path(), failed);
}

void write_pid_file(const std::string& given) noexcept try {
  const std::filesystem::path path{absolute_path(given)};
  const std::scoped_lock guard{state().mutex};
  auto& written = state().written;
  auto held = std::find_if(written.begin(), written.end(), [&](const Written& file) { return file.path == path; });
  if (held == written.end()) {
    make_directories_above(path.string());
    Handle file{::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, nullptr, OPEN_ALWAYS,
                              FILE_FLAG_OPEN_REPARSE_POINT, nullptr)};
    if (!file) return warn(given, "cannot open it", ::GetLastError());
    held = written.emplace(written.end(), path, std::move(file));
  }
  if (!put(held->file)) warn(given, "cannot write it", ::GetLastError());
} catch (const std::exception& error) {  // no memory: what remains possible is to say so
  std::fprintf(stderr, "warning: cannot write the PID file %s: %s\n", given.c_str(), error.what());
}

bool is_running_instance(const std::string& path) noexcept try {
  const auto pid = read_pid(std::filesystem::path{absolute_path(path)});
  return pid && is_living_instance(*pid);
} catch (const std::exception&) {
  return false;
}

}  // namespace perdure::compat

namespace atom::async {

void writePidFile() { perdure::compat::write_pid_file(perdure::compat::pid_file_path()); }
void writePidFile(const std::string& path) { perdure::compat::write_pid_file(path); }
auto checkPidFile() -> bool { return perdure::compat::is_running_instance(perdure::compat::pid_file_path()); }
auto checkPidFile(const std::string& path) -> bool { return perdure::compat::is_running_instance(path); }

}  // namespace atom::async
