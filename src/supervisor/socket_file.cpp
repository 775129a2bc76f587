#include "supervisor/socket_file.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace sys = os::sys;

bool is_listened_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::copy(path.begin(), path.end(), address.sun_path);
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    const UniqueFd socket{sys::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (socket && sys::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
    // EAGAIN: so many wait that no more may. Who cannot find out must not take it for free.
    const bool is_nobody =
        errno == ECONNREFUSED || errno == EPROTOTYPE || errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    if (!is_nobody) return true;
  }
  return false;
}

SocketFile SocketFile::at(std::string path) {
  UniqueFd file{sys::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  return {std::move(path), std::move(file)};
}

Standing SocketFile::look() const {
  struct stat there {};
  if (sys::lstat(path_.c_str(), &there) != 0)
    return errno == ENOENT || errno == ENOTDIR ? Standing::Free : Standing::Anothers;
  struct stat ours {};
  if (file_ && sys::fstat(file_.get(), &ours) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
    return Standing::Ours;
  return S_ISSOCK(there.st_mode) && !is_listened_to(path_) ? Standing::Free : Standing::Anothers;
}

void SocketFile::remove() const {
  if (!path_.empty() && look() == Standing::Ours) sys::unlink(path_.c_str());
}

}  // namespace perdure::supervisor
