// The start sequence, read from top to bottom. While it runs the process has one thread; docs/concepts/start-sequence.md says
// why each step stands where it stands.

#include "perdure/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "daemon/command_line.hpp"
#include "daemon/configuration.hpp"
#include "daemon/daemon.hpp"
#include "daemon/listeners.hpp"
#include "daemon/members.hpp"
#include "daemon/own_directories.hpp"
#include "daemon/places.hpp"
#include "daemon/predecessor.hpp"
#include "daemon/signals.hpp"
#include "daemon/successor.hpp"
#include "daemon/unit_file.hpp"
#include "daemon/verbs.hpp"
#include "logbook/target.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "os/threads.hpp"
#include "perdure/detach.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/rights.hpp"
#include "perdure/version.hpp"
#include "process/at_load.hpp"
#include "process/redirect_stdio.hpp"
#include "rights/rights_text.hpp"

namespace perdure::detail {
namespace {

using daemon::CommandLine;
using daemon::Places;
using daemon::Signals;
using daemon::Task;

// A daemon is a property of the process: its signals, its lock, its descriptors 0 to 2.
std::atomic<bool> has_run{false};
// For exit(3) from inside the body.
std::atomic<Daemon*> running{nullptr};
std::atomic<pid_t> running_pid{0};

/// How much longer the first process waits than the daemon itself allows for its start and a forced end: the daemon's own words
/// say more than the first process's.
constexpr std::chrono::seconds launcher_margin{2};

extern "C" void perdure_leave_by_exit() {
  if (::getpid() != running_pid) return;  // a child that the program forked has neither the threads nor the files
  if (Daemon* daemon = running.exchange(nullptr)) daemon->leave_by_exit();
}

bool is_valid_name(std::string_view name) {
  const auto is_word = [](char c) { return base::is_lower(c) || base::is_digit(c) || c == '_' || c == '-'; };
  return !name.empty() && base::is_lower(name.front()) && std::all_of(name.begin(), name.end(), is_word);
}

/// Where stderr is the journal, that takes "<3>" at the beginning for the line's priority: sd-daemon(3). Else nothing.
std::string_view error_mark() { return logbook::gather_target_facts(false).stderr_is_journal ? "<3>" : ""; }

int complain(const std::string& name, int code, std::string_view why) {
  fmt::print(stderr, "{}{}: {}\n", error_mark(), name, why);
  return code;
}

/// Refuses a process that has threads already: detaching would lose them, and what they hold.
std::optional<std::string> other_threads() {
#if defined(__SANITIZE_THREAD__)
  return std::nullopt;  // ThreadSanitizer brings a thread of its own; in such a build the check would refuse everybody
#endif
  const auto threads = os::threads();
  if (threads.size() <= 1) return std::nullopt;
  std::string names;
  for (const auto& thread : threads)
    if (thread.id != ::getpid()) names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", thread.name, thread.id);
  return fmt::format(
      "run() was called with {} other thread{} in the process: {}; start threads in the body; nothing was started",
      threads.size() - 1, threads.size() == 2 ? "" : "s", names);
}

/// Where the outcome of steps 6 to 8 goes: the terminal, or over the pipe of a detached start.
int fail(const std::string& name, Daemon& daemon, int code, const Error& error) {
  daemon.withdraw();  // before anybody hears of it, and starts the next
  const std::string why = error.message() + (daemon.is_successor() ? "" : "; nothing was started");
  if (daemon.report().is_pending()) {
    daemon.report().failed(code, why);
  } else {
    complain(name, code, why);
  }
  return code;
}

std::string already_running_text(const Options& options, const PidFileError& error) {
  if (options.already_running_text.empty()) {
    return error.message() + fmt::format(". See \"{0} status\", stop it with \"{0} stop\"", options.name);
  }
  std::string text = options.already_running_text;
  const std::string_view place = "{pid}";
  if (const auto at = text.find(place); at != std::string::npos)
    text.replace(at, place.size(), error.holder() ? std::to_string(*error.holder()) : "unknown");
  return text;
}

int print_version(const Options& options) {
  fmt::print("{}{}{}\nperdure {}\n", options.name, options.version.empty() ? "" : " ", options.version, version());
  return exit_ok;
}

/// Step 2: what must be readable, and the settings. 0, or the exit code after everything that is wrong was said.
int load_configuration(const Options& options, const CommandLine& line, const Places& places) {
  for (const std::string& path : options.required_files) {
    if (os::sys::access(path.c_str(), R_OK) == 0) continue;
    const int code = errno;
    if (code == ENOENT) return complain(options.name, options.exit_codes.configuration, "Config file not found: " + path);
    return complain(options.name, options.exit_codes.configuration, Error::from_errno(code, "read", path).message());
  }
  if (options.config.get() == nullptr) return 0;
  const auto faults = daemon::load_first(*options.config.get(), places, line);
  for (const std::string& fault : faults) complain(options.name, 0, fault);
  if (faults.empty()) return 0;
  complain(options.name, 0,
           line.verb == "restart" ? "the configuration was refused; nothing was stopped, nothing was started"
                                  : "the configuration was refused; nothing was started");
  return options.exit_codes.configuration;
}

/// For what only looks at an instance, or at where it would be. A configuration that is refused hinders nobody from asking or
/// stopping the daemon that runs with the one before.
std::string settle_places(Options& options, const CommandLine& line, Places& places) {
  if (!options.configure) return {};  // the settings have no say
  try {
    std::string fault;
    if (auto* config = options.config.get()) fault = daemon::load_what_is_good(*config, places, line);
    options.configure(options);
    auto chosen = daemon::choose_places(options, line);
    if (!chosen) return chosen.error().message();
    places = *std::move(chosen);
    return fault;
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string own_program() {
  std::string path(4096, '\0');
  const ssize_t length = os::sys::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return path;
}

/// The command line has the last word on who the daemon becomes.
void take_user(Options& options, const CommandLine& line) {
  if (line.user) {
    options.rights.user = *line.user;
    options.rights.group.clear();  // the other user's own, unless the command line names one, too
  }
  if (line.group) options.rights.group = *line.group;
}

/// A client verb, or --print-unit.
int look(Options& options, const CommandLine& line, Places& places) {
  const std::string fault = settle_places(options, line, places);
  int code = exit_ok;
  take_user(options, line);
  if (line.task == Task::PrintUnit) {
    fmt::print("{}", daemon::unit_file(options, line, places, own_program()));
  } else {
    code = daemon::run_verb(options, line, places);
  }
  // An instance that answered was found all the same.
  const bool was_found = line.task == Task::Verb && (code == verb_ok || code == verb_failed);
  if (!fault.empty() && !was_found)
    complain(options.name, 0, "the configuration was left out of this, for it was refused: " + fault);
  return code;
}

bool should_detach(const Options& options, const CommandLine& line) {
  if (line.detach) return *line.detach;
  return options.mode == Mode::Detached && !is_under_init();
}

/// Where this process comes from.
struct Origin {
  daemon::Invocation invocation{};
  std::optional<daemon::Predecessor> predecessor{};  ///< in an upgrade: it has what we need, and waits for our start
};

/// Steps 3 to 10.
int start(const Options& options, CommandLine line, Places places, Signals signals, Origin origin,
          const Callback<int(Context&)>& body, bool ready_at_entry, daemon::Members* members) {
  const std::string name = options.name;
  for (const Metric& metric : options.metrics)
    PERDURE_ASSERT(daemon::is_metric_name(metric.name) && metric.value != nullptr,
                   "an Options::metrics has no valid name, or no value");
  auto& predecessor = origin.predecessor;
  // 3: who we become, before anything is taken. A successor begins with what its predecessor has left.
  if (predecessor && predecessor->offer().rights != rights::text_of(options.rights))
    return complain(
        name, exit_rights,
        "this program gives up other rights than the running one has given up, which cannot be changed: restart instead");
  auto rights = predecessor ? RightsDrop::prepare_successor(options.rights) : RightsDrop::prepare(options.rights);
  if (!rights) {
    const RightsError& error = rights.error();
    return complain(name, error.exit_code() == exit_configuration ? options.exit_codes.configuration : error.exit_code(),
                    error.message() + "; nothing was started");
  }
  const bool has_new_root = !options.rights.chroot.empty();
  // What cannot be seen from a new root is not what has been deleted: a reload must not take the defaults for it.
  if (has_new_root && os::sys::access(places.config_file.c_str(), F_OK) == 0) places.config_must_exist = true;
  auto directories = daemon::OwnDirectories::make(*rights, daemon::written_places(places));
  if (!directories)
    return complain(name, options.exit_codes.cannot_create, directories.error().message() + "; nothing was started");

  // 4: the lock, in the first process, so that a refusal reaches the terminal.
  auto lock = predecessor ? predecessor->lock(places.pid_file) : PidFile::acquire(places.pid_file, rights->new_user());
  if (!lock) {
    const PidFileError& error = lock.error();
    if (error.is_already_running()) {
      fmt::print(stderr, "{}{}{}\n", error_mark(), options.already_running_text.empty() ? name + ": " : "",
                 already_running_text(options, error));
      return options.exit_codes.already_running;
    }
    return complain(name, error.exit_code() == exit_cannot_create ? options.exit_codes.cannot_create : error.exit_code(),
                    error.message());
  }

  // 5: detach. The sockets of an init are taken before: LISTEN_PID names the first process.
  ListenFds sockets = predecessor ? predecessor->sockets() : ListenFds::from_environment();
  StartReport report = predecessor ? predecessor->report() : StartReport{};
  const bool detached = !predecessor && should_detach(options, line);
  if (detached) {
    DetachOptions how{.umask = options.umask,
                      .working_directory = options.working_directory,
                      .keep_fds = options.keep_fds,
                      .start_within = options.start_within.count() > 0
                                          ? options.start_within + options.stop_within + launcher_margin
                                          : std::chrono::milliseconds::max(),
                      .redirect_stdio = true,
                      .name = name};
    for (const int fd : sockets.fds()) how.keep_fds.push_back(fd);
    auto detaching = detach(how);
    if (!detaching) return complain(name, exit_system, detaching.error().message());
    report = *std::move(detaching);
  } else if (has_new_root) {  // a directory that somebody left open would be a way out
    std::vector<int> keep = options.keep_fds;
    keep.insert(keep.end(), sockets.fds().begin(), sockets.fds().end());
    process::close_fds_from_before_load(keep);
  }

  // A successor is where its predecessor went; only its directory is that of the command line until here.
  const bool is_away = predecessor ? predecessor->offer().is_detached : detached;
  if (predecessor && is_away && os::sys::chdir(options.working_directory.c_str()) != 0)
    return complain(name, exit_system, Error::from_errno(errno, "enter", options.working_directory).message());

  Daemon daemon{options, std::move(line), std::move(places), std::move(signals), members, {}};
  daemon.remember(std::move(origin.invocation), is_away);
  if (predecessor) daemon.succeed(*std::move(predecessor));
  daemon.hold(*std::move(lock));
  daemon.report_to(std::move(report));
  daemon.use(std::move(sockets));

  // 6: the log, the listeners, the control socket, the init.
  if (auto restored = daemon.restore_error_output(); !restored) return fail(name, daemon, exit_system, restored.error());
  if (auto opened = daemon.open_log(); !opened) return fail(name, daemon, options.exit_codes.cannot_create, opened.error());
  if (auto opened = daemon.open_listeners(); !opened)
    return fail(name, daemon, options.exit_codes.cannot_create, opened.error());
  if (auto opened = daemon.open_control(); !opened)
    return fail(name, daemon, options.exit_codes.cannot_create, opened.error());
  if (auto connected = daemon.connect_init(); !connected) return fail(name, daemon, exit_system, connected.error());
  if (auto prepared = daemon.prepare_stop_event(); !prepared) return fail(name, daemon, exit_system, prepared.error());
  const auto not_opened = [&](const Error& error) {
    const bool is_denied = error.code() == EACCES || error.code() == EPERM;
    return fail(name, daemon, is_denied ? exit_rights : options.exit_codes.cannot_create, error);
  };
  if (auto opened = daemon.open_what_needs_rights(*rights); !opened) return not_opened(opened.error());
  if (auto prepared = daemon.prepare_components(); !prepared) return not_opened(prepared.error());
  // Handlers stand, the log is open: from here on somebody may find us by the PID file and signal us.
  if (auto written = daemon.publish_pid(); !written)
    return fail(name, daemon, options.exit_codes.cannot_create, written.error());

  // 7: rights.
  if (auto gone = daemon.give_up(*rights); !gone) return fail(name, daemon, exit_rights, gone.error());
  directories->keep();

  // 8 to 10: the control thread, the body; ready is what the body makes it.
  static const bool at_exit = std::atexit(perdure_leave_by_exit) == 0;
  if (auto started = daemon.start(ready_at_entry); !started) return fail(name, daemon, exit_system, started.error());
  running_pid.store(::getpid());
  if (at_exit) running.store(&daemon);

  const int code = daemon.run(body);
  running.store(nullptr);  // only now: a stop hook may call exit(3) as well
  return code;
}

int run_any(int argc, char** argv, const Options& given, const Callback<int(Context&)>& body, bool ready_at_entry,
            daemon::Members* members) {
  if (has_run.exchange(true))
    return complain(given.name, exit_failed, "run() was called a second time in one process; nothing was started");
  // A closed 0, 1 or 2 would be taken by the first descriptor we open, and printf would write into that.
  auto standard_descriptors = process::FilledStdio::fill();
  Options options{given};  // before_start may still change it
  auto signals = Signals::install();
  Origin origin{.invocation = daemon::Invocation::of_this_process(argc, argv)};
  auto predecessor = daemon::Predecessor::from_environment();
  PERDURE_ASSERT(is_valid_name(options.name), "Options::name is a word of lower-case letters, digits, - and _");
  const std::string name = options.name;
  if (!standard_descriptors)
    return complain(name, exit_system, standard_descriptors.error().message() + "; nothing was started");
  standard_descriptors->keep();
  if (!signals) return complain(name, exit_system, signals.error().message() + "; nothing was started");
  if (!predecessor) return complain(name, exit_system, predecessor.error().message());
  origin.predecessor = *std::move(predecessor);
  if (origin.predecessor) origin.invocation.program = origin.predecessor->offer().program;
  if (const auto refusal = other_threads()) return complain(name, exit_failed, *refusal);

  // 1: the command line.
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) words.emplace_back(argv[i]);
  const auto fields = options.config.get() != nullptr ? options.config.get()->fields() : std::vector<FieldEntry>{};
  auto parsed = daemon::parse_command_line(words, options, fields);
  if (!parsed) {
    const std::string& why = parsed.error().message();
    return complain(name, exit_usage, fmt::format("{}{} See \"{} --help\"", why, why.ends_with('?') ? "" : ".", name));
  }
  CommandLine& line = *parsed;
  if (origin.predecessor) {  // the words of whoever started the first of us: start, restart, --daemon
    line.task = Task::Run;
    line.is_start = false;
    line.detach = false;
  }
  if (line.task == Task::Help) return fmt::print("{}", line.help), exit_ok;
  if (line.task == Task::Version) return print_version(options);

  auto chosen = daemon::choose_places(options, line);
  if (!chosen) return complain(name, exit_cannot_create, chosen.error().message());
  Places& places = *chosen;
  if (line.task == Task::Verb || line.is_start) {
    if (is_under_init() && (line.is_start || line.verb == "stop" || line.verb == "restart"))
      return complain(name, exit_usage,
                      fmt::format("an init runs this process: use its own command, e.g. \"systemctl {} {}\"",
                                  line.is_start ? "start" : line.verb, name));
  }
  if (line.task == Task::Verb) signals->restore_defaults();  // Ctrl-C ends a client
  const bool is_restart = line.task == Task::Verb && line.verb == "restart";
  if (line.task == Task::PrintUnit || (line.task == Task::Verb && !is_restart)) return look(options, line, places);

  // 2: the configuration.
  if (const int refused = load_configuration(options, line, places)) return refused;
  if (line.task == Task::CheckConfig) return fmt::print("{}: the configuration is good\n", name), exit_ok;
  if (line.task == Task::PrintConfig) {
    if (options.config.get() != nullptr) fmt::print("{}", options.config.get()->print());
    return exit_ok;
  }
  if (options.configure) {
    try {
      options.configure(options);
    } catch (const std::exception& error) {
      return complain(name, options.exit_codes.failed, error.what());
    }
    chosen = daemon::choose_places(options, line);
    if (!chosen) return complain(name, exit_cannot_create, chosen.error().message());
  }
  if (is_restart) {  // only now: nothing is stopped for a configuration that would not start again
    const int stopped = PidFile::is_locked(places.pid_file) ? daemon::stop_running(options, places) : 0;
    if (stopped != verb_ok && stopped != verb_not_running) return stopped;
    line.detach = true;
    signals->catch_signals();
  }
  if (options.before_start) {
    try {
      if (auto prepared = options.before_start(options); !prepared)
        return complain(name, options.exit_codes.configuration, prepared.error().message());
    } catch (const std::exception& error) {
      return complain(name, options.exit_codes.failed, error.what());
    }
    chosen = daemon::choose_places(options, line);
    if (!chosen) return complain(name, exit_cannot_create, chosen.error().message());
  }
  if (auto checked = daemon::check_listeners(options.listeners); !checked)
    return complain(name, options.exit_codes.configuration, checked.error().message() + "; nothing was started");
  take_user(options, line);
  return start(options, std::move(line), std::move(places), *std::move(signals), std::move(origin), body, ready_at_entry,
               members);
}

}  // namespace

int run_erased(int argc, char** argv, const Options& options, Callback<int(Context&)> body, bool ready_at_entry) {
  return run_any(argc, argv, options, body, ready_at_entry, nullptr);
}

}  // namespace perdure::detail

int perdure::daemon::run_members(int argc, char** argv, const Options& options, Callback<int(Context&)> body,
                                 Members& members) {
  return detail::run_any(argc, argv, options, body, false, &members);
}
