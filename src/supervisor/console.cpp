#include "supervisor/console.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "os/system.hpp"
#include "supervisor/json_text.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr int default_priority = 6;
constexpr int warning_priority = 4;

/// "<3>text": sd-daemon(3).
int take_priority(std::string_view& line) {
  const bool is_prefixed = line.size() >= 3 && line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>';
  if (!is_prefixed) return default_priority;
  const int priority = line[1] - '0';
  line.remove_prefix(3);
  return priority;
}

}  // namespace

ConsoleFormat console_format(ConsoleFormat asked, bool is_process_1, int fd) {
  if (asked != ConsoleFormat::Default || is_process_1)
    return asked == ConsoleFormat::Default ? ConsoleFormat::Prefix : asked;
  struct stat status {};
  if (sys::fstat(fd, &status) != 0) return ConsoleFormat::Off;
  struct stat null {};
  const bool is_null = S_ISCHR(status.st_mode) && sys::stat("/dev/null", &null) == 0 && null.st_rdev == status.st_rdev;
  return is_null || ::isatty(fd) == 1 ? ConsoleFormat::Off : ConsoleFormat::Prefix;
}

Console::Console(ConsoleFormat format, int fd)
    : format_(format == ConsoleFormat::Default ? ConsoleFormat::Off : format), fd_(fd) {
  struct stat status {};
  if (!is_on() || sys::fstat(fd, &status) != 0) return;
  is_socket_ = S_ISSOCK(status.st_mode);
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return;
  own_.reset(sys::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

void Console::take(std::string_view unit, bool has_levels, std::string_view bytes) {
  if (!is_on()) return;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    const auto rest = rests_.find(unit);
    if (end == std::string_view::npos) {
      std::string& begun = rest != rests_.end() ? rest->second : rests_[std::string{unit}];
      begun.append(part.substr(0, console_line_max - std::min(begun.size(), console_line_max)));
      return;
    }
    if (rest == rests_.end()) {
      put_line(unit, has_levels, part.substr(0, console_line_max));
    } else {
      std::string line = std::move(rest->second);
      rests_.erase(rest);
      line.append(part.substr(0, console_line_max - std::min(line.size(), console_line_max)));
      put_line(unit, has_levels, line);
    }
    bytes.remove_prefix(end + 1);
  }
}

void Console::end_line(std::string_view unit, bool has_levels) {
  const auto rest = rests_.find(unit);
  if (rest == rests_.end()) return;
  const std::string line = std::move(rest->second);
  rests_.erase(rest);
  put_line(unit, has_levels, line);
}

void Console::put_line(std::string_view unit, bool has_levels, std::string_view line) {
  const int priority = has_levels ? take_priority(line) : default_priority;
  const std::string text = line_of(unit, priority, line);
  if (pending_.size() + text.size() > console_room) flush();
  if (pending_.size() + text.size() > console_room) {
    ++left_out_;
    return;
  }
  pending_ += text;
}

std::string Console::line_of(std::string_view unit, int priority, std::string_view line) const {
  std::string text;
  if (format_ == ConsoleFormat::Json) {
    JsonText json;
    json.begin_object().key("unit").string(unit).key("priority").number(static_cast<std::uint64_t>(priority));
    json.key("message").string(line).end_object();
    text = std::move(json).text();
  } else {
    text = unit.substr(0, unit.rfind('.'));
    text.append(": ").append(line);
  }
  return text + '\n';
}

void Console::flush() {
  for (;;) {
    if (pending_.empty()) {
      being_told_ = std::exchange(left_out_, 0);
      if (being_told_ == 0) return;
      pending_ =
          line_of("perdure", warning_priority,
                  std::to_string(being_told_) + " lines are not shown here: nobody read fast enough; the log has them");
      notice_left_ = pending_.size();
    }
    // Where it could not be opened anew, a write of what poll(2) promises is as near to not waiting as can be.
    pollfd polled{fd(), POLLOUT, 0};
    if (sys::poll(&polled, 1, 0) != 1 || (polled.revents & (POLLOUT | POLLERR | POLLHUP)) == 0) return;
    const ssize_t written = write_some();
    if (written < 0 && errno != EAGAIN && errno != EINTR) give_up();
    if (written <= 0) return;
    pending_.erase(0, static_cast<std::size_t>(written));
    notice_left_ -= std::min(notice_left_, static_cast<std::size_t>(written));
    if (notice_left_ == 0) being_told_ = 0;
  }
}

ssize_t Console::write_some() {
  const std::size_t size = std::min<std::size_t>(pending_.size(), 4096);
  // A socket cannot be opened anew, but asked not to wait.
  if (is_socket_) return sys::sendto(fd(), pending_.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
  return sys::write(fd(), pending_.data(), size);
}

/// The reader is gone, or the disk is full: what waits will not be read, and waiting would be a loop.
void Console::give_up() {
  left_out_ = unshown();
  being_told_ = 0;
  notice_left_ = 0;
  pending_.clear();
}

std::uint64_t Console::unshown() const noexcept {
  const auto lines = static_cast<std::uint64_t>(std::count(pending_.begin(), pending_.end(), '\n'));
  return left_out_ + (being_told_ == 0 ? lines : being_told_ + lines - 1);
}

}  // namespace perdure::supervisor
