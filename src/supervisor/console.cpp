#include "supervisor/console.hpp"

#include <fcntl.h>
#include <poll.h>
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

/// "<3>text": sd-daemon(3).
int take_priority(std::string_view& line) {
  const bool is_prefixed = line.size() >= 3 && line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>';
  if (!is_prefixed) return default_priority;
  const int priority = line[1] - '0';
  line.remove_prefix(3);
  return priority;
}

}  // namespace

Console::Console(ConsoleFormat format, int fd)
    : format_(format == ConsoleFormat::Default ? ConsoleFormat::Off : format), fd_(fd) {
  struct stat status {};
  if (!is_on() || sys::fstat(fd, &status) != 0 || !(S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))) return;
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
  text += '\n';
  if (pending_.size() + text.size() > console_room) flush();
  if (pending_.size() + text.size() > console_room) {
    ++left_out_;
    return;
  }
  pending_ += text;
}

void Console::flush() {
  for (;;) {
    if (pending_.empty()) {
      if (left_out_ == 0) return;
      pending_ = "perdure: " + std::to_string(std::exchange(left_out_, 0)) +
                 " lines are not shown here: nobody read fast enough; the log has them\n";
    }
    // Where it could not be opened anew, a write of what poll(2) promises is as near to not waiting as can be.
    pollfd polled{fd(), POLLOUT, 0};
    if (sys::poll(&polled, 1, 0) != 1 || (polled.revents & (POLLOUT | POLLERR)) == 0) return;
    const ssize_t written = sys::write(fd(), pending_.data(), std::min<std::size_t>(pending_.size(), 4096));
    if (written < 0 && errno != EAGAIN) pending_.clear();  // nobody will ever read it
    if (written <= 0) return;
    pending_.erase(0, static_cast<std::size_t>(written));
  }
}

}  // namespace perdure::supervisor
