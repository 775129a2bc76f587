#include "supervisor/spec_file.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "base/buffer.hpp"
#include "os/system.hpp"

namespace perdure::supervisor {

namespace sys = os::sys;

namespace {

constexpr std::size_t unwritten_max = 32 * 1024;  // bytes of specs that are written together
constexpr std::uint32_t room = 512;               // bytes; what a place that may grow is a multiple of

}  // namespace

Result<SpecFile> SpecFile::open() {
  UniqueFd file{sys::memfd_create("perdure-specs", MFD_CLOEXEC)};
  if (!file) return Error::from_errno(errno, "make", "the memory file of spawn specs");
  return SpecFile{std::move(file)};
}

Result<SpecPlace> SpecFile::add(const std::vector<char>& bytes) {
  if (unwritten_.size() >= unwritten_max) PERDURE_CHECK(flush());
  const auto size = static_cast<std::uint32_t>(bytes.size());
  const SpecPlace place{size_, size, size};
  unwritten_.insert(unwritten_.end(), bytes.begin(), bytes.end());
  size_ += bytes.size();
  return place;
}

Result<void> SpecFile::put(SpecPlace& place, const std::vector<char>& bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (size > place.capacity) {
    // Doubled each time it is outgrown, so that what is left behind is never more than what is used.
    const std::uint32_t capacity = (std::max(size, 2 * place.capacity) + room - 1) / room * room;
    std::vector<char> padded = bytes;
    padded.resize(capacity);
    PERDURE_TRY(place, add(padded));
    place.size = size;
    return {};
  }
  const std::uint64_t written = size_ - unwritten_.size();
  if (place.offset >= written) {
    std::copy(bytes.begin(), bytes.end(), unwritten_.begin() + static_cast<std::ptrdiff_t>(place.offset - written));
  } else if (sys::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(place.offset)) !=
             static_cast<ssize_t>(bytes.size())) {
    return Error::from_errno(errno, "write", "the memory file of spawn specs");
  }
  place.size = size;
  return {};
}

Result<void> SpecFile::flush() {
  if (unwritten_.empty()) return {};
  const auto begin = static_cast<off_t>(size_ - unwritten_.size());
  const ssize_t written = sys::pwrite(file_.get(), unwritten_.data(), unwritten_.size(), begin);
  if (written != static_cast<ssize_t>(unwritten_.size()))
    return Error::from_errno(written < 0 ? errno : ENOSPC, "write", "the memory file of spawn specs");
  base::clear_burst(unwritten_);
  return {};
}

}  // namespace perdure::supervisor
