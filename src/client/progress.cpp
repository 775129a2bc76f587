#include "client/progress.hpp"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

constexpr int silent_s = 2;
constexpr std::size_t name_max = 40;

// What the signal handler writes with; it may not allocate.
constexpr std::size_t label_max = 256;
std::array<char, label_max> label;
std::size_t label_size = 0;
volatile sig_atomic_t waited_s = 0;
volatile sig_atomic_t has_written = 0;

void redraw(int /*number*/) {
  const int error = errno;
  waited_s = waited_s == 0 ? silent_s : waited_s + 1;
  constexpr std::string_view frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  constexpr std::string_view after = "s); Ctrl-C stops the waiting only\x1b[K";
  std::array<char, label_max + 128> line;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
  std::size_t size = 0;
  const auto add = [&](std::string_view text) {
    std::memcpy(line.data() + size, text.data(), text.size());
    size += text.size();
  };
  add("\r");
  add(frames[static_cast<unsigned>(waited_s) % std::size(frames)]);
  add(" ");
  add({label.data(), label_size});
  add(" (");
  std::array<char, 12> digits{};
  std::size_t first = digits.size();
  for (auto left = static_cast<unsigned>(waited_s); left > 0; left /= 10)
    digits[--first] = static_cast<char>('0' + left % 10);
  add({digits.data() + first, digits.size() - first});
  add(after);
  has_written = 1;
  os::sys::write(STDERR_FILENO, line.data(), size);
  errno = error;
}

bool is_terminal() {
  const char* const terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view{terminal} != "dumb";
}

void set_timer(int first_s, int then_s) {
  const itimerval times{.it_interval = {.tv_sec = then_s, .tv_usec = 0}, .it_value = {.tv_sec = first_s, .tv_usec = 0}};
  os::sys::setitimer(ITIMER_REAL, times);
}

std::string_view doing(std::string_view verb) {
  if (verb == "stop") return "stopping";
  if (verb == "restart" || verb == "try-restart") return "restarting";
  if (verb == "reload" || verb == "reload-or-restart") return "reloading";
  return "starting";
}

}  // namespace

std::string progress_label(std::string_view verb, const std::vector<std::string>& units) {
  std::string name = units.empty() ? std::string{"nothing"} : base::escape(units.front());
  if (name.size() > name_max) name = name.substr(0, name_max - 3) + "...";
  std::string text = fmt::format("{} {}", doing(verb), name);
  if (units.size() > 1) text += fmt::format(" and {} more", units.size() - 1);
  return text;
}

Progress::Progress(std::string_view verb, const std::vector<std::string>& units) : is_shown_(is_terminal()) {
  if (!is_shown_) return;
  const std::string text = progress_label(verb, units);
  label_size = std::min(text.size(), label.size());
  std::memcpy(label.data(), text.data(), label_size);
  waited_s = 0;
  has_written = 0;
  struct sigaction action {};
  action.sa_handler = redraw;
  action.sa_flags = SA_RESTART;
  os::sys::sigaction(SIGALRM, &action, nullptr);
  set_timer(silent_s, 1);
}

Progress::~Progress() {
  if (!is_shown_) return;
  set_timer(0, 0);
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  os::sys::sigaction(SIGALRM, &action, nullptr);
  constexpr std::string_view erased = "\r\x1b[K";
  if (has_written != 0) os::sys::write(STDERR_FILENO, erased.data(), erased.size());
}

}  // namespace perdure::client
