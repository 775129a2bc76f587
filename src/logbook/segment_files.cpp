#include "logbook/segment_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

constexpr mode_t file_mode = 0640;

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

std::optional<std::uint32_t> number_of(std::string_view name, std::string_view suffix) {
  constexpr std::size_t digits = 8;
  if (!name.ends_with(suffix) || name.size() != digits + suffix.size()) return std::nullopt;
  const auto number = base::parse_number<std::uint32_t>(name.substr(0, digits));
  if (!number || *number == 0) return std::nullopt;
  return number;
}

Error refused(const std::string& shown, std::string_view why) {
  return Error{fmt::format("cannot use the log file {}: {}", base::escape(shown), why), EPERM};
}

}  // namespace

std::string segment_name(std::uint32_t number, std::string_view suffix) { return fmt::format("{:08}{}", number, suffix); }

Result<std::vector<SegmentFile>> list_segments(int directory) {
  UniqueFd copy{os::sys::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!copy) return Error::from_errno(errno, "open a log directory");
  const std::unique_ptr<DIR, CloseDirectory> entries{os::sys::fdopendir(copy.get())};
  if (!entries) return Error::from_errno(errno, "read a log directory");
  (void)copy.release();
  std::map<std::uint32_t, SegmentFile> found;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string_view name{entry->d_name};
    const auto data = number_of(name, data_suffix);
    const auto index = data ? std::nullopt : number_of(name, index_suffix);
    if (!data && !index) continue;
    const std::uint32_t number = data ? *data : *index;
    SegmentFile& file = found[number];
    file.number = number;
    (data ? file.has_data : file.has_index) = true;
    if (found.size() == segments_max) break;
  }
  std::vector<SegmentFile> files;
  files.reserve(found.size());
  for (const auto& [number, file] : found) files.push_back(file);
  return files;
}

Result<OpenFile> open_regular_at(int directory, const std::string& name, int flags, Ownership ownership,
                                 const std::string& shown) {
  // O_NONBLOCK: opening a FIFO must not wait for its other end.
  flags |= O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  OpenFile file{.fd = UniqueFd{os::sys::openat(directory, name.c_str(), flags, file_mode)}};
  if (!file.fd) {
    if (errno == ELOOP) return Error{refused(shown, "it is a symbolic link").message(), ELOOP};
    if (errno == EISDIR || errno == ENXIO) return refused(shown, "it is no regular file");
    return Error::from_errno(errno, (flags & O_CREAT) != 0 ? "make the log file" : "open the log file", shown);
  }
  if (os::sys::fstat(file.fd.get(), &file.status) != 0) return Error::from_errno(errno, "look at the log file", shown);
  if (!S_ISREG(file.status.st_mode)) return refused(shown, "it is no regular file");
  if (ownership == Ownership::Any) return file;
  if (file.status.st_uid != ::geteuid()) {
    return refused(shown, fmt::format("it belongs to uid {}, not to uid {}", file.status.st_uid, ::geteuid()));
  }
  if (file.status.st_nlink != 1) {
    return refused(shown, fmt::format("it has {} names, and what is written would appear under all", file.status.st_nlink));
  }
  // Only the maker sets the mode, whatever the umask: somebody's chmod of a log is to last. A file system without modes may refuse.
  if ((flags & O_EXCL) != 0) (void)os::sys::fchmod(file.fd.get(), file_mode);
  return file;
}

}  // namespace perdure::logbook
