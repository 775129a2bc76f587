#include "perdure/command.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>

#include <fmt/core.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "os/system.hpp"
#include "process/at_load.hpp"
#include "process/spawn.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

constexpr std::string_view default_search_path = "/usr/local/bin:/usr/bin:/bin";
constexpr int first_passable_fd = 3;

Error cannot_start(const std::string& program, std::string_view why, int code = 0) {
  std::string text = fmt::format("cannot start {}: {}", base::escape(program), why);
  if (code != 0) text += fmt::format(": {} ({})", base::errno_words(code), base::errno_name(code));
  return Error{std::move(text), code};
}

bool has_nul(std::string_view text) noexcept { return text.find('\0') != std::string_view::npos; }

/// What an init said to us and not to our children.
bool is_meant_for_us_alone(std::string_view name) noexcept {
  return name == "NOTIFY_SOCKET" || name.starts_with("WATCHDOG_") || name.starts_with("LISTEN_");
}

using Environment = std::map<std::string, std::string, std::less<>>;

Environment environment_of_child(const std::vector<std::pair<std::string, std::optional<std::string>>>& changes) {
  Environment result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text{*entry};
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || is_meant_for_us_alone(text.substr(0, equals))) continue;
    result.emplace(text.substr(0, equals), text.substr(equals + 1));  // of duplicates the first counts, as for getenv(3)
  }
  for (const auto& [name, value] : changes) {
    if (value) result.insert_or_assign(name, *value);
    else result.erase(name);
  }
  return result;
}

/// Where the program may be. Relative directories in PATH are left out: what they mean changes with every chdir.
std::vector<std::string> candidates_for(const std::string& program, const Environment& environment) {
  if (program.find('/') != std::string::npos) return {program};
  const auto path = environment.find("PATH");
  std::vector<std::string> result;
  for (const std::string_view directory :
       base::split(path == environment.end() ? default_search_path : std::string_view{path->second}, ':')) {
    if (directory.starts_with('/')) result.push_back(fmt::format("{}/{}", directory, program));
  }
  return result;
}

/// The same texts as execve(2) wants them. Points into `texts`.
std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// One standard descriptor on its way to the child.
struct Channel {
  UniqueFd ours, theirs;
};

Result<Channel> make_channel(const std::string& program, Stdio kind, int fd) {
  Channel channel;
  // A child without a standard output would write into the first file it opens.
  if (kind == Stdio::Inherit && sys::fcntl(fd, F_GETFD) < 0 && errno == EBADF) kind = Stdio::Null;
  switch (kind) {
    case Stdio::Inherit: break;
    case Stdio::Null:
      channel.theirs.reset(sys::open("/dev/null", O_RDWR | O_CLOEXEC));
      if (!channel.theirs) return cannot_start(program, "opening /dev/null failed", errno);
      break;
    case Stdio::Pipe:
      int ends[2] = {-1, -1};
      if (sys::pipe2(ends, O_CLOEXEC) != 0) return cannot_start(program, "making a pipe failed", errno);
      channel.ours.reset(ends[fd == STDIN_FILENO ? 1 : 0]);
      channel.theirs.reset(ends[fd == STDIN_FILENO ? 0 : 1]);
      break;
  }
  return channel;
}

}  // namespace

Command::Command(std::string program) : program_(std::move(program)) {}

Command Command::self(std::initializer_list<std::string> arguments) {
  Command command{process::own_program()};
  command.arguments_ = arguments;
  return command;
}

Command& Command::arg(std::string argument) & {
  arguments_.push_back(std::move(argument));
  return *this;
}

Command& Command::args(const std::vector<std::string>& arguments) & {
  arguments_.insert(arguments_.end(), arguments.begin(), arguments.end());
  return *this;
}

Command& Command::env(const std::string& name, std::optional<std::string> value) & {
  environment_.emplace_back(name, std::move(value));
  return *this;
}

Command& Command::working_directory(std::string path) & {
  working_directory_ = std::move(path);
  return *this;
}

Command& Command::stdio(Stdio in, Stdio out, Stdio err) & {
  in_ = in;
  out_ = out;
  err_ = err;
  return *this;
}

Command& Command::pass_fd(int fd, int target) & {
  fds_.emplace_back(fd, target);
  return *this;
}

Result<Child> Command::spawn() const {
  if (program_.empty()) return Error{"cannot start a program without a name"};
  if (has_nul(program_) || has_nul(working_directory_) || std::any_of(arguments_.begin(), arguments_.end(), has_nul))
    return cannot_start(program_, "its name, an argument or its working directory contains a NUL");
  for (const auto& [name, value] : environment_) {
    if (name.empty() || name.find('=') != std::string::npos || has_nul(name) || (value && has_nul(*value)))
      return cannot_start(program_, fmt::format("{} is no environment variable", base::quote(name)));
  }

  process::SpawnSpec spec;
  for (const auto& [fd, target] : fds_) {
    const auto takes_target = [wanted = target](const process::FdMove& move) { return move.to == wanted; };
    if (fd < 0 || target < first_passable_fd || std::any_of(spec.fds.begin(), spec.fds.end(), takes_target))
      return cannot_start(program_,
                          fmt::format("descriptor {} cannot be passed as {}: targets are from 3 on, each once", fd, target));
    spec.fds.push_back({fd, target});
  }

  const Stdio kinds[3] = {in_, out_, err_};
  Channel channels[3];
  for (int fd = 0; fd < 3; ++fd) {
    PERDURE_TRY(channels[fd], make_channel(program_, kinds[fd], fd));
    if (channels[fd].theirs) spec.fds.push_back({channels[fd].theirs.get(), fd});
  }

  const Environment environment = environment_of_child(environment_);
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(fmt::format("{}={}", name, value));
  std::vector<std::string> arguments{program_};
  arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
  const std::vector<std::string> paths = candidates_for(program_, environment);
  std::vector<const char*> candidates;
  for (const std::string& path : paths) candidates.push_back(path.c_str());
  const std::vector<char*> argument_pointers = pointers_to(arguments), variable_pointers = pointers_to(variables);
  spec.candidates = candidates;
  spec.arguments = argument_pointers.data();
  spec.environment = variable_pointers.data();
  spec.working_directory = working_directory_.empty() ? nullptr : working_directory_.c_str();

  process::Spawned spawned = process::spawn(std::move(spec));
  if (spawned.failure) {
    const std::string where =
        spawned.failure->step == process::SpawnStep::Directory ? fmt::format(" ({})", base::escape(working_directory_)) : "";
    return cannot_start(program_, process::words_of(spawned.failure->step) + where, spawned.failure->error);
  }
  Child child;
  child.pid_ = spawned.pid;
  child.pidfd_ = std::move(spawned.pidfd);
  child.in_ = std::move(channels[0].ours);
  child.out_ = std::move(channels[1].ours);
  child.err_ = std::move(channels[2].ours);
  return child;
}

}  // namespace perdure
