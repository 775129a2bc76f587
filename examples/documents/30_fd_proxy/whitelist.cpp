#include "whitelist.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

using perdure::Error, perdure::Result, perdure::UniqueFd;

namespace {

bool is_ours_or_roots(const struct stat& found) { return found.st_uid == 0 || found.st_uid == geteuid(); }

/// Whether nobody but root and we can change what stands in the directory.
bool is_closed_to_others(const std::string& directory) {
  struct stat found {};
  return stat(directory.c_str(), &found) == 0 && is_ours_or_roots(found) && (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool is_plain_file_of_ours(const struct stat& found) {
  return S_ISREG(found.st_mode) && found.st_uid == geteuid() && found.st_nlink == 1;
}

}  // namespace

bool Whitelist::contains(std::string_view path) const { return std::ranges::find(paths_, path) != paths_.end(); }

Result<UniqueFd> Whitelist::open(const std::string& path) {
  const auto refused = [&path](const char* why) { return Error{"cannot open " + path + ": " + why, ELOOP}; };
  const bool is_closed = is_closed_to_others(std::filesystem::path{path}.parent_path());
  struct stat found {};
  UniqueFd file{::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  if (!file || fstat(file.get(), &found) != 0) return Error::from_errno(errno, "open", path);
  if (S_ISLNK(found.st_mode)) {
    if (!is_closed || !is_ours_or_roots(found)) return refused("it is a link that others could have put there");
    file.reset(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!file || fstat(file.get(), &found) != 0) return Error::from_errno(errno, "open", path);
  } else if (!is_closed && !is_plain_file_of_ours(found)) {
    return refused("others could have put it there");
  }
  if (!S_ISREG(found.st_mode)) return refused("it is not a regular file");
  // Not by its name, under which there may be another file by now.
  UniqueFd readable{::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDONLY | O_CLOEXEC)};
  if (!readable) return Error::from_errno(errno, "open", path);
  return readable;
}

Result<void> write_test_file(const std::string& path, std::string_view content) {
  const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600)};
  struct stat found {};
  if (!file || fstat(file.get(), &found) != 0) return Error::from_errno(errno, "write", path);
  if (!is_plain_file_of_ours(found))
    return Error{"cannot write " + path + ": it is no plain file of ours; it stays as it is"};
  if (fchmod(file.get(), 0600) != 0 || ftruncate(file.get(), 0) != 0 ||
      write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    return Error::from_errno(errno, "write", path);
  return {};
}
