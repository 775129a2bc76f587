#include "supervisor/crash_file.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <new>
#include <utility>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// nullptr: it cannot be. A file that is too short would be the end of whoever looks into it (SIGBUS).
CrashRecord* map(const UniqueFd& file) {
  struct stat status {};
  if (!file || sys::fstat(file.get(), &status) != 0 || status.st_size < static_cast<off_t>(sizeof(CrashRecord)))
    return nullptr;
  void* const memory = ::mmap(nullptr, sizeof(CrashRecord), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  return memory == MAP_FAILED ? nullptr : static_cast<CrashRecord*>(memory);
}

}  // namespace

CrashFile::CrashFile(UniqueFd file, CrashRecord* mapped)
    : file_(std::move(file)),
      mapped_(mapped),
      own_(mapped == nullptr ? std::make_unique<CrashRecord>() : nullptr),
      record_(mapped == nullptr ? own_.get() : mapped) {
  if (mapped == nullptr) file_.reset();
}

CrashFile CrashFile::create() {
  UniqueFd file{sys::memfd_create("perdure-crashes", MFD_CLOEXEC)};
  if (!file || sys::ftruncate(file.get(), sizeof(CrashRecord)) != 0) return {UniqueFd{}, nullptr};
  CrashRecord* const mapped = map(file);
  if (mapped != nullptr) new (mapped) CrashRecord{};
  return {std::move(file), mapped};
}

CrashFile CrashFile::adopt(UniqueFd file) {
  CrashRecord* const mapped = map(file);
  if (mapped == nullptr) return create();
  if (!is_sound(*mapped)) new (mapped) CrashRecord{};
  return {std::move(file), mapped};
}

CrashFile::CrashFile(CrashFile&& other) noexcept
    : file_(std::move(other.file_)),
      mapped_(std::exchange(other.mapped_, nullptr)),
      own_(std::move(other.own_)),
      record_(std::exchange(other.record_, nullptr)) {}

CrashFile& CrashFile::operator=(CrashFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(mapped_, other.mapped_);
  std::swap(own_, other.own_);
  std::swap(record_, other.record_);
  return *this;
}

CrashFile::~CrashFile() {
  if (mapped_ != nullptr) ::munmap(mapped_, sizeof(CrashRecord));
}

}  // namespace perdure::supervisor
