#include "process/redirect_stdio.hpp"

#include <cerrno>
#include <cstdio>
#include <iostream>

#include "os/system.hpp"
#include "perdure/detach.hpp"

namespace perdure {

namespace sys = os::sys;

namespace process {

namespace {

constexpr const char* null_path = "/dev/null";
constexpr const char* stdio_names[stdio_fds] = {"standard input", "standard output", "standard error"};

/// Somewhere above 0–2, so that dup2() onto those cannot hit it.
Result<UniqueFd> above_stdio(UniqueFd fd, const std::string& path) {
  if (fd.get() >= stdio_fds) return fd;
  UniqueFd moved{sys::fcntl(fd.get(), F_DUPFD_CLOEXEC, stdio_fds)};
  if (!moved) return Error::from_errno(errno, "duplicate the descriptor of", path);
  return moved;
}

/// What 0–2 were, to be put back unless the change is complete.
class SavedStdio {
 public:
  Result<void> save() {
    for (int fd = 0; fd < stdio_fds; ++fd) {
      saved_[fd].reset(sys::fcntl(fd, F_DUPFD_CLOEXEC, stdio_fds));
      if (!saved_[fd] && errno != EBADF) return Error::from_errno(errno, "duplicate", stdio_names[fd]);
    }
    return {};
  }
  void restore() noexcept {
    for (int fd = 0; fd < stdio_fds; ++fd) {
      if (saved_[fd]) sys::dup2(saved_[fd].get(), fd);
      else sys::close(fd);
    }
  }

 private:
  UniqueFd saved_[stdio_fds];
};

}  // namespace

Result<UniqueFd> open_null() {
  UniqueFd null{sys::open(null_path, O_RDWR | O_CLOEXEC | O_NOCTTY)};
  if (!null) return Error::from_errno(errno, "open", null_path);
  return above_stdio(std::move(null), null_path);
}

Result<FilledStdio> FilledStdio::fill() {
  FilledStdio stdio;
  for (int fd = 0; fd < stdio_fds; ++fd) {
    if (sys::fcntl(fd, F_GETFD) >= 0) continue;
    if (errno != EBADF) return Error::from_errno(errno, "look at", stdio_names[fd]);
    // The lowest free number is `fd`: those below it are open.
    stdio.filled_[static_cast<std::size_t>(fd)].reset(sys::open(null_path, O_RDWR | O_NOCTTY));
    if (!stdio.filled_[static_cast<std::size_t>(fd)]) return Error::from_errno(errno, "open", null_path);
  }
  return stdio;
}

void FilledStdio::keep() noexcept {
  for (UniqueFd& fd : filled_) static_cast<void>(fd.release());
}

Result<void> put_on_stdio(int input, int output) {
  SavedStdio before;
  PERDURE_CHECK(before.save());
  for (int fd = 0; fd < stdio_fds; ++fd) {
    if (sys::dup2(fd == 0 ? input : output, fd) >= 0) continue;
    const int error = errno;
    before.restore();
    return Error::from_errno(error, "replace", stdio_names[fd]);
  }
  return {};
}

void flush_stdio() {
  std::cout.flush();
  std::clog.flush();
  std::fflush(nullptr);
}

}  // namespace process

Result<void> redirect_stdio(const std::string& output) {
  PERDURE_TRY(UniqueFd null, process::open_null());
  UniqueFd file;
  if (!output.empty()) {
    constexpr mode_t output_mode = 0640;
    file.reset(sys::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, output_mode));
    if (!file) return Error::from_errno(errno, "open", output);
    PERDURE_TRY(file, process::above_stdio(std::move(file), output));
  }
  process::flush_stdio();
  return process::put_on_stdio(null.get(), file ? file.get() : null.get());
}

}  // namespace perdure
