// PID files: whatever stands in one, the answer is a living process's pid or none, and the file stays as it is.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "perdure/pid_file.hpp"
#include "perdure/unique_fd.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// A file of our own, locked as its owner locks it, so that it counts as a running instance's.
class LockedFile {
 public:
  LockedFile() : file_(::mkstemp(path_)) { require(file_ && ::flock(file_.get(), LOCK_EX) == 0); }
  ~LockedFile() { ::unlink(path_); }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;
  void put(std::string_view bytes) const {
    require(::ftruncate(file_.get(), 0) == 0);
    require(::pwrite(file_.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  }
  [[nodiscard]] std::string path() const { return path_; }

 private:
  char path_[32] = "/tmp/perdure-fuzz-pid-XXXXXX";
  perdure::UniqueFd file_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const LockedFile file;
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  file.put(bytes);
  if (const auto holder = perdure::PidFile::holder(file.path())) {
    require(*holder > 0);
    const auto end = bytes.find('\n');
    require(end != std::string_view::npos && std::all_of(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(end),
                                                         [](char c) { return c >= '0' && c <= '9'; }));
  }
  require(perdure::PidFile::is_locked(file.path()));
  return 0;
}
