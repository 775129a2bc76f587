#include "supervisor/stop_file.hpp"

#include <sys/mman.h>

#include <utility>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// What was parked for want of such a file begins otherwise.
constexpr std::uint64_t stop_mark = 0x706f7473'64727570;

}  // namespace

StopFile StopFile::create(base::Instant began) {
  StopFile stop;
  stop.bytes_ = {.mark = stop_mark, .began_ns = began.time_since_epoch().count()};
  stop.file_.reset(sys::memfd_create("perdure-stop", MFD_CLOEXEC));
  stop.write();
  return stop;
}

StopFile StopFile::adopt(UniqueFd file) {
  StopFile stop;
  Bytes bytes;
  const ssize_t size = sys::pread(file.get(), &bytes, sizeof bytes, 0);
  if (size != static_cast<ssize_t>(sizeof bytes) || bytes.mark != stop_mark) return stop;
  stop.bytes_ = bytes;
  stop.file_ = std::move(file);
  return stop;
}

std::optional<base::Instant> StopFile::began() const noexcept {
  if (bytes_.mark == 0) return std::nullopt;
  return base::Instant{base::Duration{bytes_.began_ns}};
}

std::optional<int> StopFile::code() const noexcept {
  return bytes_.has_code != 0 ? std::optional{bytes_.code} : std::nullopt;
}

void StopFile::set_code(int code) {
  bytes_.code = code;
  bytes_.has_code = 1;
  write();
}

/// One write: a manager that is killed in it has written all or nothing of a few bytes within a page.
void StopFile::write() const {
  if (file_) static_cast<void>(sys::pwrite(file_.get(), &bytes_, sizeof bytes_, 0));
}

}  // namespace perdure::supervisor
