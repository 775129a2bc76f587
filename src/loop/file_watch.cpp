#include "loop/file_watch.hpp"

#include <limits.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure::loop {
namespace {

// As many as the kernel follows in one path (path_resolution(7)).
constexpr int links_max = 40;
constexpr std::uint32_t names_change =
    IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::uint32_t content_changes = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  for (const std::string_view part : base::split(path, '/'))
    if (!part.empty() && part != ".") parts.emplace_back(part);
  std::reverse(parts.begin(), parts.end());  // the next one at the end
  return parts;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

// The directories in which a name decides what `path` leads to: that of every link on the way, and that of the file itself. Where
// the way ends early: the last directory that is there, for in it the next name has to appear.
std::vector<std::string> deciding_directories(const std::string& path) {
  std::vector<std::string> deciding;
  std::vector<std::string> todo = components(path);
  std::string at;  // resolved so far: "" is the root
  int links = 0;
  while (!todo.empty()) {
    const std::string name = std::move(todo.back());
    todo.pop_back();
    if (name == "..") {
      at = at.empty() || parent_of(at) == "/" ? "" : parent_of(at);
      continue;
    }
    const std::string next = at + "/" + name;
    struct stat status {};
    const bool is_there = os::sys::lstat(next.c_str(), &status) == 0;
    const bool is_link = is_there && S_ISLNK(status.st_mode);
    if (!is_there || is_link || todo.empty()) deciding.push_back(at.empty() ? "/" : at);
    if (!is_there) break;
    if (!is_link) {
      at = next;
      continue;
    }
    std::array<char, PATH_MAX> target;
    const ssize_t size = os::sys::readlink(next.c_str(), target.data(), target.size());
    if (size <= 0 || ++links > links_max) break;
    const std::string_view text{target.data(), static_cast<std::size_t>(size)};
    if (text.front() == '/') at.clear();
    for (std::string& part : components(text)) todo.push_back(std::move(part));
  }
  std::sort(deciding.begin(), deciding.end());
  deciding.erase(std::unique(deciding.begin(), deciding.end()), deciding.end());
  return deciding;
}

}  // namespace

Result<FileWatch> FileWatch::open(std::string path) {
  UniqueFd inotify{os::sys::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
  if (!inotify) return Error::from_errno(errno, "watch", path);
  FileWatch watch{std::move(path), std::move(inotify)};
  watch.watch_anew();
  if (watch.failure_) return *watch.failure_;
  watch.seen_ = watch.look();
  return watch;
}

bool FileWatch::take_change(base::Instant now) {
  if (read_events()) quiet_.happened(now);
  if (!quiet_.take_end(now)) return false;
  watch_anew();
  const auto found = look();
  if (!found || found == seen_) return false;
  seen_ = found;
  return true;
}

// What leads to the file may change between looking and watching; whoever changes it later is heard, and whoever did so before is
// found out by looking at the way once more.
void FileWatch::watch_anew() {
  failure_.reset();
  std::vector<std::string> directories = deciding_directories(path_);
  std::vector<int> watches;
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const std::string& directory : directories) add(directory, names_change, watches);
    auto again = deciding_directories(path_);
    if (again == directories) break;
    directories = std::move(again);
  }
  add(path_, content_changes, watches);
  std::sort(watches.begin(), watches.end());
  for (const int old : watches_)
    if (!std::binary_search(watches.begin(), watches.end(), old)) os::sys::inotify_rm_watch(inotify_.get(), old);
  watches_ = std::move(watches);
}

void FileWatch::add(const std::string& path, std::uint32_t events, std::vector<int>& watches) {
  const int watch = os::sys::inotify_add_watch(inotify_.get(), path.c_str(), events | IN_MASK_ADD);
  if (watch >= 0) watches.push_back(watch);
  if (watch < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) failure_ = Error::from_errno(errno, "watch", path);
}

// Which event it was does not matter: the file at the path says what has come of it.
bool FileWatch::read_events() {
  alignas(inotify_event) std::array<char, 4096> events;
  bool has_read = false;
  while (os::sys::read(inotify_.get(), events.data(), events.size()) > 0) has_read = true;
  return has_read;
}

std::optional<FileWatch::Identity> FileWatch::look() const {
  struct stat status {};
  if (os::sys::stat(path_.c_str(), &status) != 0) return std::nullopt;
  return Identity{.device = status.st_dev,
                  .inode = status.st_ino,
                  .size = status.st_size,
                  .changed_ns = status.st_ctim.tv_sec * std::int64_t{1'000'000'000} + status.st_ctim.tv_nsec};
}

}  // namespace perdure::loop
