#include "control/listening_socket.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure::control {
namespace sys = os::sys;
namespace {

/// Somebody may remove or make the path between two looks at it; more often than this is not chance.
constexpr int attempts_max = 4;
constexpr std::string_view left_alone = "it was left alone";

std::string_view kind_of(mode_t mode) noexcept {
  if (S_ISREG(mode)) return "a regular file";
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  return "a device";
}

Error cannot_listen(const std::string& path) {
  Error error = Error::from_errno(errno, "listen on", path);
  switch (error.code()) {
    case ENOENT: return std::move(error).with_advice("make its directory first");
    case EACCES:
    case EROFS: return std::move(error).with_advice("choose a path in a directory that may be written");
    default: return error;
  }
}

Result<std::string> temporary_name(const std::string& path) {
  std::uint32_t number = 0;
  if (sys::getrandom(&number, sizeof number, 0) != sizeof number) return Error::from_errno(errno, "make a random name");
  return fmt::format("{}.{:08x}", path, number);
}

/// A socket whose file will have these rights from its first instant: bind(2) gives the file the mode of the socket's own inode,
/// less the umask (unix_bind_bsd, Linux 2.6 to 6.x). A umask that takes more than that away is undone by nobody: see `at`.
Result<UniqueFd> unbound_socket(const std::string& path, mode_t permissions) {
  UniqueFd fd{sys::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd || sys::fchmod(fd.get(), permissions) != 0) return cannot_listen(path);
  return fd;
}

/// Says no where something other than a socket stands at `path`; nothing there is fine.
Result<void> check_replaceable(const std::string& path) {
  struct stat there {};
  if (sys::lstat(path.c_str(), &there) != 0) {
    if (errno == ENOENT) return {};
    return cannot_listen(path);
  }
  if (S_ISSOCK(there.st_mode)) return {};
  return Error{fmt::format("cannot listen on {}: what stands there is {}, not a socket; {}", base::escape(path),
                           kind_of(there.st_mode), left_alone),
               EEXIST};
}

}  // namespace

Result<sockaddr_un> socket_address(const std::string& path, std::string_view attempt) {
  const auto refused = [&](int code, std::string_view why) {
    return Error{fmt::format("cannot {} {}: {}", attempt, base::quote(path), why), code};
  };
  if (path.empty()) return refused(EINVAL, "the path of the socket is empty");
  if (path.find('\0') != std::string::npos) return refused(EINVAL, "the path has a NUL byte");
  if (path.size() > socket_path_max) {
    return refused(ENAMETOOLONG, fmt::format("the path has {} bytes, a Unix socket's at most {}; choose a shorter one",
                                             path.size(), socket_path_max));
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<ListeningSocket> ListeningSocket::at(const std::string& path, const ListeningSocketOptions& options) {
  const auto bind_to = [](const UniqueFd& fd, const sockaddr_un& address) {
    return sys::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  };
  PERDURE_TRY(const sockaddr_un address, socket_address(path, "listen on"));

  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    PERDURE_TRY(UniqueFd fd, unbound_socket(path, options.permissions));
    std::string bound = path;
    if (bind_to(fd, address) != 0) {
      if (errno != EADDRINUSE) return cannot_listen(path);
      PERDURE_CHECK(check_replaceable(path));
      PERDURE_TRY(bound, temporary_name(path));
      const auto elsewhere = socket_address(bound, "listen on");
      if (!elsewhere) {
        if (sys::unlink(path.c_str()) != 0 && errno != ENOENT) return cannot_listen(path);
        continue;
      }
      if (bind_to(fd, *elsewhere) != 0) return cannot_listen(bound);
    }

    // From here on the file at `bound` is ours, and the destructor removes it on every way out.
    ListeningSocket result{std::move(fd)};
    struct stat made {};
    if (sys::lstat(bound.c_str(), &made) != 0) {
      Error error = cannot_listen(bound);
      sys::unlink(bound.c_str());
      return error;
    }
    result.own({bound, made.st_dev, made.st_ino});
    if ((made.st_mode & 07777) != options.permissions) {
      return Error{fmt::format("cannot listen on {}: the umask takes {} rights to it away; set one such as 027",
                               base::escape(path), options.permissions == 0600 ? "the owner's" : "some of the")};
    }
    if (sys::listen(result.fd(), options.backlog) != 0) return cannot_listen(path);
    if (bound != path) {
      if (sys::rename(bound.c_str(), path.c_str()) != 0) {
        return Error::from_errno(errno, "replace the socket", path).with_advice(left_alone);
      }
      result.file_.path = path;
    }
    return result;
  }
  return Error{
      fmt::format("cannot listen on {}: somebody else keeps making a socket there; {}", base::escape(path), left_alone),
      EADDRINUSE};
}

Result<ListeningSocket> ListeningSocket::adopt(int fd) {
  const auto ask = [fd](int option) {
    int value = -1;
    socklen_t size = sizeof value;
    return sys::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
  };
  const auto refused = [fd](std::string_view why, int code) {
    return Error{fmt::format("cannot listen on descriptor {}: {}; {}", fd, why, left_alone), code};
  };
  errno = 0;
  const int family = ask(SO_DOMAIN);
  if (family < 0) return refused(errno == EBADF ? "it is not open" : "it is not a socket", errno);
  if (family != AF_UNIX || ask(SO_TYPE) != SOCK_STREAM) return refused("it is not a Unix stream socket", EINVAL);
  if (ask(SO_ACCEPTCONN) != 1) return refused("it is a socket that does not listen", EINVAL);
  const int flags = sys::fcntl(fd, F_GETFL);
  if (flags < 0 || sys::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || sys::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return Error::from_errno(errno, "make non-blocking", fmt::format("descriptor {}", fd)).with_advice(left_alone);
  }
  return ListeningSocket{UniqueFd{fd}};
}

void ListeningSocket::own(SocketFile file) noexcept {
  file_ = std::move(file);
  owner_ = ::getpid();
}

ListeningSocket::~ListeningSocket() { remove_file(); }

void ListeningSocket::remove_file() noexcept {
  // Compared while the socket is open: its inode cannot have been given to another file.
  if (!fd_ || file_.path.empty() || ::getpid() != owner_) return;
  struct stat there {};
  if (sys::lstat(file_.path.c_str(), &there) != 0) return;
  if (S_ISSOCK(there.st_mode) && there.st_dev == file_.device && there.st_ino == file_.inode)
    sys::unlink(file_.path.c_str());
}

}  // namespace perdure::control
