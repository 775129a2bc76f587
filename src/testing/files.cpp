// Files and directories of tests, and what /proc says about a process.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::testing {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& attempt) { throw std::system_error(errno, std::generic_category(), attempt); }

// Directories that a test made unreadable or read-only would keep an ordinary user from removing what is in them.
void make_removable(const fs::path& directory) {
  std::error_code ignored;
  fs::permissions(directory, fs::perms::owner_all, fs::perm_options::add | fs::perm_options::nofollow, ignored);
  for (fs::directory_iterator entry{directory, ignored}, end; entry != end; entry.increment(ignored)) {
    if (entry->symlink_status(ignored).type() == fs::file_type::directory) make_removable(entry->path());
  }
}

}  // namespace

TempDir::TempDir() : owner_(::getpid()) {
  const char* const root = std::getenv("TMPDIR");
  std::error_code ignored;
  const fs::path parent = root != nullptr && *root != '\0' ? fs::absolute(root, ignored) : fs::path{"/tmp"};
  path_ = (parent / "perdure-test-XXXXXX").string();
  if (::mkdtemp(path_.data()) == nullptr) fail("cannot create a directory in " + parent.string());
}

TempDir::~TempDir() {
  if (::getpid() != owner_) return;
  make_removable(path_);
  std::error_code error;
  fs::remove_all(path_, error);
  if (error) std::fprintf(stderr, "perdure::testing: cannot remove %s: %s\n", path_.c_str(), error.message().c_str());
}

std::optional<std::string> read_file(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (!file) return std::nullopt;
  std::string content;
  char block[16384];
  for (;;) {
    const ssize_t count = ::read(file.get(), block, sizeof block);
    if (count > 0) {
      content.append(block, static_cast<std::size_t>(count));
    } else if (count == 0 || errno == EAGAIN) {
      return content;
    } else if (errno != EINTR) {
      return std::nullopt;
    }
  }
}

void write_file(const std::string& path, std::string_view content) {
  const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
  if (!file) fail("cannot open " + path);
  while (!content.empty()) {
    const ssize_t count = ::write(file.get(), content.data(), content.size());
    if (count >= 0) {
      content.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      fail("cannot write " + path);
    }
  }
}

std::string proc_status(pid_t pid, std::string_view field) {
  const std::optional<std::string> status = read_file("/proc/" + std::to_string(pid) + "/status");
  if (!status) return {};
  const std::string wanted = "\n" + std::string{field} + ":";
  const std::string text = "\n" + *status;
  const std::size_t found = text.find(wanted);
  if (found == std::string::npos) return {};
  const std::size_t start = found + wanted.size();
  const std::string value = text.substr(start, text.find('\n', start) - start);
  const std::size_t first = value.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  return value.substr(first, value.find_last_not_of(" \t") - first + 1);
}

void pause_between_looks() noexcept { ::poll(nullptr, 0, 5); }

}  // namespace perdure::testing
