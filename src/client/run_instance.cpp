#include "client/run_instance.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <set>
#include <string_view>
#include <utility>

#include <climits>
#include <fmt/format.h>

#include "base/text.hpp"
#include "client/commands.hpp"
#include "client/instance_lock.hpp"
#include "os/file.hpp"
#include "os/runtime_directory.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::client {
namespace {
namespace sys = os::sys;

constexpr mode_t runtime_mode = os::instance_runtime_mode, state_mode = 0700, log_mode = 0750, parent_mode = 0755;
constexpr std::size_t socket_path_max = sizeof(sockaddr_un::sun_path) - 1;
/// Longer than any name of a file that we make in the runtime directory ("/control.sock", and room for a temporary name).
constexpr std::size_t runtime_name_max = 24;
constexpr std::size_t directories_deep_max = 128;
/// Where programs are looked for without $PATH: execvp(3).
constexpr std::string_view default_search_path = "/usr/local/bin:/usr/bin:/bin";

// --- what to run ------------------------------------------------------------------------------------------------------------

Error nothing_to_run(const Machine& machine) {
  return Error{machine.has_systemd
                   ? "systemd manages this machine; name the units to run, or give --unit-path; nothing was started"
                   : "nothing to run: name units or unit files, give --unit-path or --target; nothing was started"};
}

Result<std::string> unit_file(std::string_view word) {
  PERDURE_TRY(std::string path, os::absolute_path(word));
  struct stat status {};
  if (sys::stat(path.c_str(), &status) != 0) return Error::from_errno(errno, "run", path).with_advice("nothing was started");
  if (!S_ISREG(status.st_mode)) {
    return Error{fmt::format("cannot run {}: it is neither a unit file nor a directory of them; nothing was started",
                             base::escape(path))};
  }
  const std::string_view name = std::string_view{path}.substr(path.rfind('/') + 1);
  if (unit_name_of(name) != name) {
    return Error{fmt::format("cannot run {}: a unit file's name ends in .service; nothing was started", base::escape(path))};
  }
  return path;
}

std::string target_name(const std::string& word) { return word + (word.ends_with(".target") ? "" : ".target"); }

std::string transient_directory(const Places& places) { return places.runtime + "/transient"; }

bool is_directory(const std::string& path) {
  struct stat status {};
  return sys::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Result<void> check_unit_directory(const std::string& path) {
  struct stat status {};
  const int error = sys::stat(path.c_str(), &status) != 0 ? errno : S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
  if (error != 0) return Error::from_errno(error, "look for units in", path).with_advice("nothing was started");
  return {};
}

// --- directories ------------------------------------------------------------------------------------------------------------

Result<void> make_parents(const std::string& path) {
  std::vector<std::string> missing;
  for (std::string parent = os::directory_of(path); missing.size() < directories_deep_max;
       parent = os::directory_of(parent)) {
    struct stat status {};
    if (sys::stat(parent.c_str(), &status) == 0 || errno != ENOENT) break;
    missing.push_back(parent);
  }
  for (auto parent = missing.rbegin(); parent != missing.rend(); ++parent) {
    if (sys::mkdir(parent->c_str(), parent_mode) != 0 && errno != EEXIST)
      return Error::from_errno(errno, "create the directory", *parent).with_advice("nothing was started");
  }
  return {};
}

Result<void> prepare_directory(const std::string& path, mode_t mode) {
  PERDURE_CHECK(make_parents(path));
  auto made = os::make_own_directory(path, mode);
  if (!made) return std::move(made).error().with_advice("nothing was started");
  return {};
}

// --- programs ---------------------------------------------------------------------------------------------------------------

struct Program {
  std::string path{};
  UniqueFd file{};
};

/// Where our own programs may stand, in this order.
std::vector<std::string> program_directories() {
  std::vector<std::string> directories;
  // secure_getenv(3): who got rights from our file must not run what somebody else's environment names.
  if (const char* const named = ::secure_getenv("PERDURE_LIBEXEC_DIR"); named != nullptr && *named == '/') {
    return {named};
  }
  std::array<char, PATH_MAX> own{};
  const ssize_t size = sys::readlink("/proc/self/exe", own.data(), own.size());
  if (size > 0 && std::cmp_less(size, own.size())) {
    const std::string beside = os::directory_of(std::string_view{own.data(), static_cast<std::size_t>(size)});
    directories.push_back(beside);
    directories.push_back(beside + "/../libexec/perdure");
  }
  return directories;
}

Result<Program> find_program(const std::vector<std::string>& directories, std::string_view name) {
  for (const std::string& directory : directories) {
    Program program{fmt::format("{}/{}", directory, name), {}};
    program.file.reset(sys::open(program.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!program.file) {
      if (errno == ENOENT) continue;
      return Error::from_errno(errno, "open the program", program.path).with_advice("nothing was started");
    }
    struct stat status {};
    if (sys::fstat(program.file.get(), &status) != 0) return Error::from_errno(errno, "look at the program", program.path);
    if (!S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0) {
      return Error{fmt::format("cannot use {}: it is no program; nothing was started", base::escape(program.path)), EACCES};
    }
    return program;
  }
  return Error{fmt::format("cannot find the program {} in {}; nothing was started; is perdure installed as a whole? "
                           "PERDURE_LIBEXEC_DIR says where else it is",
                           name, fmt::join(directories, " or ")),
               ENOENT};
}

// --- becoming the keeper ----------------------------------------------------------------------------------------------------

Result<void> fill_stdio() {
  for (;;) {
    UniqueFd null{sys::open("/dev/null", O_RDWR)};
    if (!null) return Error::from_errno(errno, "open", "/dev/null");
    // Standard input is nobody's business from here on: the keeper's is what services get as theirs.
    if (null.get() > STDERR_FILENO) {
      if (sys::dup2(null.get(), STDIN_FILENO) < 0) return Error::from_errno(errno, "replace", "standard input");
      return {};
    }
    (void)null.release();
  }
}

/// Closes what is open above the keeper's descriptors, at the latest when it is executed.
Result<void> leave_nothing_open(int above) {
  if (sys::close_range(static_cast<unsigned>(above) + 1, ~0U, 0) == 0) return {};
  // A filter may refuse the call (seccomp in a container).
  DIR* const list = sys::opendir("/proc/self/fd");
  if (list == nullptr) return Error::from_errno(errno, "find out what is open in", "/proc/self/fd");
  while (const dirent* const entry = ::readdir(list)) {
    const auto fd = base::parse_number<int>(entry->d_name);
    if (fd && *fd > above) sys::fcntl(*fd, F_SETFD, FD_CLOEXEC);
  }
  ::closedir(list);
  return {};
}

/// Puts `files` on 3, 4, … in their order, not close-on-exec, and lets go of everything else above 2; -1 leaves a number free.
Result<void> place_descriptors(std::array<int, 6> files) {
  constexpr int first = keeper_program_fd, count = 6;
  for (int& file : files) {  // out of the way of each other: one may have the number that another one is to get
    if (file < 0) continue;
    file = sys::fcntl(file, F_DUPFD_CLOEXEC, first + count);
    if (file < 0) return Error::from_errno(errno, "copy a descriptor");
  }
  for (int i = 0; i < count; ++i) {
    const int file = files[static_cast<std::size_t>(i)];
    if (file < 0) sys::close(first + i);
    else if (sys::dup2(file, first + i) < 0) return Error::from_errno(errno, "place a descriptor");
  }
  return leave_nothing_open(first + count - 1);
}

/// What an outer init said to this process and not to the keeper: the descriptors it speaks of are gone.
void forget_passed_sockets() {
  for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
}

Result<void> become_keeper(const Program& keeper, const Program& executor, const Program& manager, const UniqueFd& lock,
                           const DirectoryLocks& locks, const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));  // execve(2) changes nothing
  arguments.push_back(nullptr);
  forget_passed_sockets();
  PERDURE_CHECK(place_descriptors(
      {keeper.file.get(), executor.file.get(), manager.file.get(), lock.get(), locks.state.get(), locks.log.get()}));
  sys::execve(keeper.path.c_str(), arguments.data(), environ);
  return Error::from_errno(errno, "execute", keeper.path).with_advice("nothing was started");
}

Result<void> start(const Arguments& arguments, const Places& places) {
  PERDURE_TRY(const RunPlan plan, plan_run(arguments, places, Machine::of_this_process()));
  PERDURE_CHECK(fill_stdio());
  PERDURE_CHECK(prepare_directories(places));
  PERDURE_TRY(const UniqueFd lock, take_instance_lock(places.lock()));
  PERDURE_TRY(const DirectoryLocks locks, take_directory_locks(places));
  const auto directories = program_directories();
  PERDURE_TRY(const Program keeper, find_program(directories, "perdure-keeper"));
  PERDURE_TRY(const Program executor, find_program(directories, "perdure-executor"));
  PERDURE_TRY(const Program manager, find_program(directories, "perdure-manager"));
  PERDURE_CHECK(write_transient_unit(plan, places));
  return become_keeper(keeper, executor, manager, lock, locks, keeper_arguments(plan, places));
}

}  // namespace

Machine Machine::of_this_process() {
  return {.is_pid_1 = ::getpid() == 1, .has_systemd = sys::access("/run/systemd/system", F_OK) == 0};
}

Result<RunPlan> plan_run(const Arguments& arguments, const Places& places, const Machine& machine) {
  RunPlan plan;
  if (arguments.console) plan.options.push_back("--console=" + *arguments.console);
  if (arguments.syslog) plan.options.push_back("--syslog=" + *arguments.syslog);
  for (const std::string& pattern : arguments.pass_env) plan.options.push_back("--pass-env=" + pattern);
  if (arguments.stop_timeout) plan.options.push_back("--stop-timeout=" + *arguments.stop_timeout);
  if (arguments.isolation) plan.options.push_back("--isolation=" + *arguments.isolation);
  // Who names a unit of the machine's does not want what the machine has enabled for its start, least of all beside its init.
  const auto say_what_is_enabled = [&] {
    const bool starts_machine = plan.units.empty() || arguments.target;
    plan.options.emplace_back(starts_machine ? "--enabled=yes" : "--enabled=no");
  };
  if (arguments.has_command) {
    const char* const search_path = std::getenv("PATH");
    PERDURE_TRY(const std::string here, os::absolute_path("."));
    auto unit = transient_unit(arguments.words, search_path == nullptr ? default_search_path : search_path,
                               std::string_view{here}.substr(0, std::max<std::size_t>(here.size() - 2, 1)));
    if (!unit) return std::move(unit).error().with_advice("nothing was started");
    plan.transient = *std::move(unit);
    plan.units.push_back(transient_directory(places) + '/' + plan.transient->name);
    plan.unit_path = places.unit_path;
    if (arguments.target) plan.units.push_back(target_name(*arguments.target));
    for (const std::string& path : plan.unit_path) {
      if (places.unit_path_was_named) PERDURE_CHECK(check_unit_directory(path));
    }
    if (!places.unit_path_was_named) say_what_is_enabled();
    return plan;
  }
  if (arguments.words.size() > run_words_max) {
    return Error{
        fmt::format("run takes at most {} units; name a directory of them instead; nothing was started", run_words_max)};
  }
  std::set<std::string, std::less<>> seen;
  const auto add_unit = [&](std::string unit) {
    if (seen.insert(unit).second) plan.units.push_back(std::move(unit));
  };
  bool has_named_path = places.unit_path_was_named;
  if (has_named_path) plan.unit_path = places.unit_path;
  for (const std::string& word : arguments.words) {
    if (word.empty() || is_pattern(word)) {
      return Error{
          fmt::format("{} is no unit to run: patterns mean units that an instance knows already; nothing was started",
                      base::quote(word))};
    }
    if (word.find('/') == std::string::npos) {
      add_unit(unit_name_of(word));
    } else if (is_directory(word)) {
      PERDURE_TRY(std::string path, os::absolute_path(word));
      while (path.size() > 1 && path.ends_with('/')) path.pop_back();
      plan.unit_path.push_back(std::move(path));
      has_named_path = true;
    } else {
      PERDURE_TRY(std::string path, unit_file(word));
      add_unit(std::move(path));
    }
  }
  if (arguments.target) add_unit(target_name(*arguments.target));
  if (plan.units.empty() && !has_named_path && !machine.is_pid_1) return nothing_to_run(machine);
  for (const std::string& path : plan.unit_path) PERDURE_CHECK(check_unit_directory(path));
  if (!has_named_path) {
    say_what_is_enabled();
    plan.unit_path = places.unit_path;
  }
  return plan;
}

Result<void> prepare_directories(const Places& places) {
  if (places.runtime.size() + runtime_name_max > socket_path_max) {
    return Error{
        fmt::format("cannot use the runtime directory {}: its path has {} bytes, and {} is the most that leaves room for "
                    "its sockets' names; choose a shorter one; nothing was started",
                    base::escape(places.runtime), places.runtime.size(), socket_path_max - runtime_name_max),
        ENAMETOOLONG};
  }
  PERDURE_CHECK(prepare_directory(places.runtime, runtime_mode));
  PERDURE_CHECK(prepare_directory(places.state, state_mode));
  return prepare_directory(places.log, log_mode);
}

Result<void> write_transient_unit(const RunPlan& plan, const Places& places) {
  if (!plan.transient) return {};
  PERDURE_CHECK(prepare_directory(transient_directory(places), state_mode));
  // A command may hold what others must not read.
  return os::write_file_atomically(transient_directory(places) + '/' + plan.transient->name, plan.transient->text, 0600);
}

std::vector<std::string> keeper_arguments(const RunPlan& plan, const Places& places) {
  std::vector<std::string> words{"perdure-keeper", "--runtime-dir=" + places.runtime, "--state-dir=" + places.state,
                                 "--log-dir=" + places.log};
  for (const std::string& path : plan.unit_path) words.push_back("--unit-path=" + path);
  if (!places.cgroup_root.empty()) words.push_back("--cgroup-root=" + places.cgroup_root);
  words.insert(words.end(), plan.options.begin(), plan.options.end());
  words.emplace_back("--");
  words.insert(words.end(), plan.units.begin(), plan.units.end());
  return words;
}

int run_instance(const Arguments& arguments, const Places& places) {
  const auto started = start(arguments, places);
  complain(started.error().message());  // it has not become the keeper
  return exit_failed;
}

}  // namespace perdure::client
