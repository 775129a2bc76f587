// How a manager begins: the first one of an instance and every later one, on the same path.
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "core/service_machine.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "supervisor/failure_text.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"
#include "supervisor/name_service.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

std::string boot_id() {
  std::string id = os::read_file("/proc/sys/kernel/random/boot_id", 256).value_or(std::string{});
  std::erase_if(id, [](char c) { return c == '-' || c == '\n'; });
  return id;
}

/// A directory name for the instance, the same for every manager of the same runtime directory.
std::string instance_name(std::string_view runtime_dir) {
  return fmt::format("perdure-{:08x}", static_cast<std::uint32_t>(base::fnv1a(runtime_dir)));
}

/// How long the test of births waits for its child, a millisecond at a time.
constexpr int birth_looks_max = 2000;
constexpr int birth_look_pause_ms = 1;

/// As the client has written it: "infinity", or microseconds.
bool is_stop_timeout(std::string_view text) {
  return text == "infinity" || base::parse_number<std::uint64_t>(text).has_value();
}
std::optional<base::Duration> stop_timeout(std::string_view text) {
  if (text == "infinity") return std::nullopt;
  constexpr std::uint64_t most = std::chrono::duration_cast<std::chrono::microseconds>(unit::span_max).count();
  return std::chrono::microseconds{std::min(base::parse_number<std::uint64_t>(text).value_or(most), most)};
}

std::string first_line(const char* path) {
  std::string text = os::read_file(path, 4096).value_or(std::string{});
  return text.substr(0, text.find('\n'));
}

std::uint64_t own_ambient_capabilities() {
  const std::string status = os::read_file("/proc/self/status", 16 * 1024).value_or(std::string{});
  for (std::string_view line : base::lines(status)) {
    std::uint64_t set = 0;
    if (base::remove_prefix(line, "CapAmb:\t") && std::from_chars(line.begin(), line.end(), set, 16).ec == std::errc{})
      return set;
  }
  return 0;
}

unit::Specifiers machine_facts(const Accounts& accounts) {
  unit::Specifiers facts;
  utsname system{};
  ::uname(&system);
  facts.architecture = std::string_view{system.machine} == "x86_64"    ? "x86-64"
                       : std::string_view{system.machine} == "aarch64" ? "arm64"
                                                                       : system.machine;
  facts.kernel_release = system.release;
  facts.hostname = system.nodename;
  facts.short_hostname = facts.hostname.substr(0, facts.hostname.find('.'));
  facts.boot_id = boot_id();
  facts.machine_id = first_line("/etc/machine-id");
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  facts.uid = std::to_string(uid);
  facts.gid = std::to_string(gid);
  if (const Result<User> user = accounts.user(facts.uid)) {
    facts.user_name = user->name;
    facts.home = user->home;
    facts.shell = user->shell;
  }
  facts.group_name = facts.user_name;
  facts.temporary_directory = "/tmp";
  facts.large_temporary_directory = "/var/tmp";
  if (uid == 0) {
    facts.runtime_directory = "/run";
    facts.state_directory = "/var/lib";
    facts.cache_directory = "/var/cache";
    facts.log_directory = "/var/log";
    facts.configuration_directory = "/etc";
    return facts;
  }
  const auto from_environment = [&facts](const char* name, const char* below_home) {
    const char* value = ::secure_getenv(name);
    return value != nullptr && *value == '/' ? std::string{value} : facts.home + below_home;
  };
  const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  facts.runtime_directory = runtime != nullptr ? runtime : "";
  facts.state_directory = from_environment("XDG_STATE_HOME", "/.local/state");
  facts.cache_directory = from_environment("XDG_CACHE_HOME", "/.cache");
  facts.log_directory = facts.state_directory + "/log";
  facts.configuration_directory = from_environment("XDG_CONFIG_HOME", "/.config");
  return facts;
}

std::vector<std::string> unit_path_of(const ManagerOptions& options) {
  if (!options.unit_path.empty()) return options.unit_path;
  if (::geteuid() == 0) return system_unit_path();
  const auto value = [](const char* name) {
    const char* found = ::secure_getenv(name);
    return std::string{found == nullptr ? "" : found};
  };
  return user_unit_path({value("HOME"), value("XDG_CONFIG_HOME"), value("XDG_RUNTIME_DIR"), value("XDG_DATA_HOME")});
}

/// Who made the channel. Our parent may be somebody else by now, and is never to be taken for the keeper.
pid_t peer_of(int channel) {
  const Result<Credentials> peer = peer_credentials(channel);
  return peer ? peer->pid : 0;
}

}  // namespace

Result<ManagerOptions> parse_manager_arguments(int count, char** arguments) {
  ManagerOptions options;
  options.arguments = {arguments, static_cast<std::size_t>(count)};
  bool only_units = false;
  for (int i = 1; i < count; ++i) {
    const std::string_view word{arguments[i]};
    const auto value_of = [word](std::string_view option, std::string& value) {
      if (!word.starts_with(option)) return false;
      value = word.substr(option.size());
      return true;
    };
    std::string directory;
    std::string value;
    if (only_units) {
      options.units.emplace_back(word);
    } else if (word == "--") {
      only_units = true;
    } else if (value_of("--unit-path=", directory)) {
      options.unit_path.push_back(std::move(directory));
    } else if (value_of("--pass-env=", value)) {
      options.pass_env.push_back(std::move(value));
    } else if (value_of("--enabled=", value) && (value == "yes" || value == "no")) {
      options.links = value == "yes" ? UnitFiles::Links::Enabled : UnitFiles::Links::None;
    } else if (value_of("--syslog=", value) && (value == "auto" || value == "off" || value.starts_with('/'))) {
      options.syslog = value;
    } else if (value_of("--stop-timeout=", value) && is_stop_timeout(value)) {
      options.stop_within = stop_timeout(value);
    } else if (value_of("--isolation=", value) && (value == "strict" || value == "as-systemd")) {
      options.isolation = value == "strict" ? unit::Isolation::Strict : unit::Isolation::AsSystemd;
    } else if (value_of("--console=", value) && (value == "prefix" || value == "json" || value == "off")) {
      options.console = value == "prefix" ? ConsoleFormat::Prefix
                        : value == "json" ? ConsoleFormat::Json
                                          : ConsoleFormat::Off;
    } else if (!value_of("--runtime-dir=", options.runtime_dir) && !value_of("--state-dir=", options.state_dir) &&
               !value_of("--log-dir=", options.log_dir) && !value_of("--cgroup-root=", options.cgroup_root)) {
      return Error{"perdure-manager: unknown argument " + std::string{word} + "; it is started by \"perdure run\""};
    }
  }
  for (const std::string* directory : {&options.runtime_dir, &options.state_dir, &options.log_dir}) {
    if (!directory->starts_with('/'))
      return Error{
          "perdure-manager: --runtime-dir=, --state-dir= and --log-dir= must be absolute paths; it is started by \"perdure "
          "run\""};
  }
  return options;
}

Manager::Manager(ManagerOptions options, UniqueFd channel, loop::Poller poller)
    : options_(std::move(options)),
      keeper_(std::move(channel)),
      keeper_pid_(peer_of(keeper_.fd())),
      poller_(std::move(poller)),
      tracking_(ProcessTracking::open(
          {options_.cgroup_root, instance_name(options_.runtime_dir), options_.runtime_dir, keeper_pid_})),
      files_(unit_path_of(options_), vendor_directories(), options_.links),
      console_(console_format(options_.console, keeper_pid_ == 1, STDOUT_FILENO), STDOUT_FILENO),
      started_(os::monotonic_now()) {}

Manager::~Manager() = default;

Result<std::unique_ptr<Manager>> Manager::start(ManagerOptions options, UniqueFd channel) {
  PERDURE_TRY(loop::Poller poller, loop::Poller::open());
  std::unique_ptr<Manager> manager{new Manager{std::move(options), std::move(channel), std::move(poller)}};
  PERDURE_CHECK(manager->open());
  PERDURE_CHECK(manager->recover());
  return manager;
}

Result<void> Manager::open() {
  // A terminal's Ctrl-C reaches the keeper alone, which tells us.
  sys::setsid();
  sigset_t all;
  ::sigfillset(&all);
  // Who wants to see where a manager hangs sends it one of these, and gets a core.
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP}) ::sigdelset(&all, signal);
  sys::sigprocmask(SIG_SETMASK, &all, nullptr);
  sys::prctl(PR_SET_TIMERSLACK, 1);
  now_ = os::monotonic_now();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  surroundings_.our_uid = ::geteuid();
  surroundings_.our_gid = ::getegid();
  surroundings_.nofile_hard = limit.rlim_max;
  surroundings_.inherited_ambient = own_ambient_capabilities();
  surroundings_.environment.push_back("PATH=" +
                                      surroundings_.search_path.substr(0, surroundings_.search_path.find(":/sbin")));
  if (const char* language = ::secure_getenv("LANG")) surroundings_.environment.push_back(std::string{"LANG="} + language);
  pass_environment();
  PERDURE_TRY(specs_, SpecFile::open());
  PERDURE_TRY(accounts_, Accounts::read());
  accounts_->ask_with(&ask_name_service);
  machine_ = machine_facts(*accounts_);
  surroundings_.directory_bases = directory_bases_of(machine_);
  Result<std::unique_ptr<logbook::LogDirectory>> logs = logbook::LogDirectory::open(options_.log_dir);
  if (!logs) return std::move(logs).error();
  logs_ = std::move(*logs);
  PERDURE_CHECK(poller_.add(keeper_.fd(), loop::Interest::Read, token_of(TokenKind::Keeper)));
  if (tracking_.fd() >= 0) PERDURE_CHECK(poller_.add(tracking_.fd(), loop::Interest::Read, token_of(TokenKind::Tracking)));
  for (const std::string& note : tracking_.notes()) notes_.push_back(note);
  oom_kills_ = machine_oom_kills();
  open_messages();
  // The lock was written when the instance started, and never since.
  struct stat lock {};
  const bool is_locked = sys::fstat(keeper::instance_lock_fd, &lock) == 0 && S_ISREG(lock.st_mode);
  const auto since_epoch = std::chrono::seconds{lock.st_mtim.tv_sec} + std::chrono::nanoseconds{lock.st_mtim.tv_nsec};
  instance_start_ = stamp(is_locked ? now_ - (os::wall_now().time_since_epoch() - since_epoch) : started_);
  return {};
}

/// What services get of the environment that we were started with: as PID 1 all of it, else what --pass-env= names. What is about
/// us and not about them is left out.
void Manager::pass_environment() {
  const auto is_ours = [](std::string_view name) {
    return name == "NOTIFY_SOCKET" || name.starts_with("LISTEN_") || name.starts_with("PERDURE_") ||
           name == "INVOCATION_ID" || name == "SYSTEMD_EXEC_PID" || name == "WATCHDOG_PID" || name == "WATCHDOG_USEC" ||
           name == "JOURNAL_STREAM";
  };
  const bool is_first_process = keeper_pid_ == 1;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view assignment{*variable};
    const std::string name{assignment.substr(0, assignment.find('='))};
    if (name.size() == assignment.size() || is_ours(name)) continue;
    surroundings_.start_environment.emplace_back(assignment);
    const bool is_passed =
        is_first_process || std::any_of(options_.pass_env.begin(), options_.pass_env.end(), [&](const auto& pattern) {
          return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
        });
    if (!is_passed) continue;
    const auto same = std::find_if(surroundings_.environment.begin(), surroundings_.environment.end(),
                                   [&name](const std::string& known) { return known.starts_with(name + '='); });
    if (same != surroundings_.environment.end()) *same = assignment;
    else surroundings_.environment.emplace_back(assignment);
  }
}

/// A terminal that nobody reads, or a full pipe, must not hold us up: both get an open of our own that never waits. A regular file
/// keeps the shared offset of the inherited one.
void Manager::open_messages() {
  struct stat status {};
  if (sys::fstat(STDERR_FILENO, &status) != 0 || !(S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))) return;
  messages_.reset(sys::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

Result<std::map<std::string, UniqueFd>> Manager::list_parked() {
  std::map<std::string, UniqueFd> parked;
  std::uint32_t from = 0;
  do {
    keeper::Request request;
    request.operation = keeper::Operation::ListParked;
    request.from = from;
    PERDURE_TRY(KeeperChannel::Received part, keeper_.ask(request));
    const auto labels = part.labels();
    for (std::size_t i = 0; i < labels.size() && i < part.fds.size(); ++i) {
      const std::string label{labels[i].label, ::strnlen(labels[i].label, sizeof labels[i].label)};
      parked[label] = std::move(part.fds[i]);
    }
    from = part.message.header.next;
  } while (from != 0);
  return parked;
}

void Manager::park(const std::string& label, int fd) {
  keeper::Request request;
  request.operation = keeper::Operation::Put;
  std::memcpy(request.label, label.data(), std::min(label.size(), sizeof request.label));
  keeper_.send(request, {&fd, 1});
}

/// The next part is asked for before this one is taken: keeper and manager work at the same time.
Result<void> Manager::list_processes(std::vector<core::Event>& found) {
  const auto ask_from = [this](std::uint32_t from) {
    keeper::Request request;
    request.operation = keeper::Operation::List;
    request.from = from;
    return keeper_.send(request);
  };
  std::uint64_t question = ask_from(0);
  for (;;) {
    PERDURE_TRY(KeeperChannel::Received part, keeper_.answer_to(question));
    keeper_facts_ = part.message.header;
    const std::uint32_t next = part.message.header.next;
    if (next != 0) question = ask_from(next);
    std::size_t next_fd = 0;
    for (std::uint32_t i = 0; i < part.message.header.count; ++i)
      take_entry(part.message.entries[i], part.fds, next_fd, found);
    if (next == 0) return {};
  }
}

void Manager::take_entry(const keeper::Entry& entry, std::vector<UniqueFd>& fds, std::size_t& next_fd,
                         std::vector<core::Event>& found) {
  const auto take = [&fds, &next_fd, &entry](std::uint16_t flag) {
    return (entry.flags & flag) != 0 && next_fd < fds.size() ? std::move(fds[next_fd++]) : UniqueFd{};
  };
  UniqueFd log = take(keeper::entry_has_log);
  UniqueFd gate = take(keeper::entry_has_gate);
  UniqueFd pidfd = take(keeper::entry_has_pidfd);
  SupervisedUnit* const unit = find(entry.key.unit);
  if (unit == nullptr) return;  // of a test of births, or of a unit that a damaged file has lost
  Run* run = unit->find_run(entry.key.run);
  if (run == nullptr) {
    unit->runs.push_back(std::make_unique<Run>());
    run = unit->runs.back().get();
    run->run = entry.key.run;
    std::copy(std::begin(entry.invocation), std::end(entry.invocation), run->invocation.begin());
    std::sort(unit->runs.begin(), unit->runs.end(), [](const auto& a, const auto& b) { return a->run < b->run; });
    run = unit->find_run(entry.key.run);
  }
  run->unacknowledged.push_back(entry.key.spawn);
  run->last_spawn = std::max(run->last_spawn, entry.key.spawn);
  const core::UnitRecord* const record = recorded(unit->id);
  const bool is_of_record = record != nullptr && record->run == entry.key.run;
  // Processes that have ended and were acknowledged have numbers, too.
  if (is_of_record) run->last_spawn = std::max(run->last_spawn, record->last_spawn);
  const bool is_control = is_of_record && record->control == entry.key.spawn;
  const bool is_main = is_of_record ? record->spawn == entry.key.spawn : entry.key.spawn >= run->spawn;
  if (is_control) {
    run->control = std::make_unique<ControlProcess>();
    run->control->spawn = entry.key.spawn;
    run->control->pid = entry.pid;
    run->control->pidfd = std::move(pidfd);
  } else if (is_main) {
    run->spawn = entry.key.spawn;
    run->pid = entry.pid;
    run->pidfd = std::move(pidfd);
    run->gate = std::move(gate);
    run->started = stamp(base::Instant{base::Duration{entry.started_ns}});
  }
  const core::SpawnKey key{unit->id, run->run, entry.key.spawn};
  if (log && !run->log) {
    run->log = std::move(log);
    run->log_pipe = inode_of(run->log);
    run->log_is_polled =
        poller_.add(run->log.get(), loop::Interest::Read, token_of(TokenKind::Log, unit->id, run->run)).has_value();
  }
  if (run->log) log_of(*unit).begin_run(identity_of(*run));
  if (is_main && run->gate)
    static_cast<void>(poller_.add(run->gate.get(), loop::Interest::None, token_of(TokenKind::Gate, unit->id, run->run)));
  found.emplace_back(core::ProcessStarted{key});
  if (entry.state == keeper::EntryState::Ended) {
    std::swap(events_, found);
    take_exit(entry);
    std::swap(events_, found);
  }
}

const core::UnitRecord* Manager::recorded(core::UnitId id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

Result<void> Manager::recover() {
  PERDURE_TRY(auto parked, list_parked());
  for (const char* const label : {keeper::state_lock_label, keeper::log_lock_label}) {
    if (const auto lock = parked.find(label); lock != parked.end()) locks_[label] = std::move(lock->second);
  }
  is_first_start_ = !parked.contains(units_label);
  const std::string boot = boot_id();
  journal_ = parked.contains(journal_label) ? Journal::adopt(std::move(parked[journal_label]), options_.state_dir, boot)
                                            : Journal::open(options_.state_dir, boot);
  std::vector<JournalEntry> entries = journal_->load();
  UniqueFd saved = std::move(parked[units_label]);
  // Something decided before, within this boot, and nothing parked: keeper and manager were both lost, or a first manager died
  // early (perhaps just when it was to take over from those two). What was written down tells of services that go on.
  bool both_lost = false;
  PERDURE_CHECK(ask_keeper_facts());
  take_crashes(std::move(parked[crashes_label]));
  if (is_first_start_) {
    Result<SavedUnits> left = SavedUnits::open(options_.state_dir);
    both_lost = left && !entries.empty();
    if (both_lost) {
      saved = UniqueFd{sys::fcntl(left->fd(), F_DUPFD_CLOEXEC, 0)};
    } else {
      entries.clear();
      journal_->rewrite({});
    }
  }
  if (journal_->wants_rewrite(entries.size())) journal_->rewrite(entries);
  park(journal_label, journal_->fd());
  if (journal_->is_volatile()) notes_.push_back(journal_->note());
  // Every manager has numbers of its own for jobs, so that whoever waits for one is never told of another. 2^21 managers fit into
  // the 53 bits that a reader of JSON may have.
  if (keeper_facts_.manager_starts > 1) last_job_ = std::uint64_t{keeper_facts_.manager_starts - 1} << 32;
  for (const JournalEntry& entry : entries) {
    if (entry.record.job != core::unasked_job) last_job_ = std::max(last_job_, entry.record.job);
  }

  if (parked.contains(by_procs_label)) tracking_.enter_by_procs();
  load_units(std::move(saved));
  if (both_lost) {
    // A unit that is missing in a damaged file must not leave its number to another one.
    if (!entries.empty()) units_.resize(std::max<std::size_t>(units_.size(), entries.back().record.unit + std::size_t{1}));
    park(units_label, saved_->fd());
    load_arguments();
  }
  PERDURE_CHECK(open_control(std::move(parked[control_label]), std::move(parked[control_file_label])));
  PERDURE_CHECK(open_notify(std::move(parked[notify_label]), std::move(parked[notify_file_label])));
  UniqueFd syslog = std::move(parked[syslog_label]);
  UniqueFd syslog_file = std::move(parked[syslog_file_label]);
  UniqueFd syslog_pipe = std::move(parked[syslog_pipe_label]);
  for (const JournalEntry& entry : entries) records_[entry.record.unit] = entry.record;
  std::vector<core::Event> found;
  PERDURE_CHECK(list_processes(found));
  if (is_first_start_ && tracking_.kind() == TrackingKind::CgroupV2) test_births();
  note_births();
  adopt_survivors(entries, found, both_lost || (keeper_facts_.facts & keeper::fact_adopted) != 0);

  for (const JournalEntry& entry : entries) {
    SupervisedUnit* const unit = find(entry.record.unit);
    if (unit == nullptr) continue;
    unit->state_change = stamp(entry.record.state_since);
    (core::is_up(entry.record.state) ? unit->active_enter : unit->inactive_enter) = unit->state_change;
    if (entry.record.run != 0 && unit->find_run(entry.record.run) == nullptr) {
      unit->last = std::make_unique<MainProcess>(MainProcess{.run = entry.record.run,
                                                             .pid = entry.process.pid,
                                                             .invocation = entry.process.invocation,
                                                             .started = stamp(entry.record.last_start),
                                                             .log_pipe = entry.process.log_pipe});
    }
    events_.emplace_back(core::UnitRestored{entry.record});
  }
  events_.insert(events_.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  records_.clear();
  open_syslog(std::move(syslog), std::move(syslog_file), std::move(syslog_pipe));  // now that it is known who runs
  watch_sockets();
  std::uint64_t seed = 0;
  static_cast<void>(sys::getrandom(&seed, sizeof seed, 0));
  events_.emplace_back(core::RecoveryCompleted{seed, stop_within()});
  if (!is_first_start_) remove_unknown_leaves();
  if (is_first_start_) {
    core::JobsRequested starts;
    for (const core::UnitId id : named_) {
      if (find(id)->load_state == LoadState::Loaded) starts.jobs.push_back({++last_job_, core::JobType::Start, id});
    }
    events_.emplace_back(std::move(starts));
  }
  if (!is_first_start_) {
    const auto is_alive = [](const auto& unit) {
      return unit != nullptr && unit->last_run() != nullptr && !unit->last_run()->exit;
    };
    say("the manager was started again (start " + std::to_string(keeper_facts_.manager_starts) + "); " +
        std::to_string(std::count_if(units_.begin(), units_.end(), is_alive)) + " services run on");
  }
  if (const auto stop = parked.find(stopping_label); stop != parked.end()) {
    stop_ = StopFile::adopt(std::move(stop->second));
    is_shutting_down_ = has_stopping_parked_ = inherits_stop_ = true;
    events_.emplace_back(core::ShutdownRequested{stop_.began()});
  }
  return {};
}

/// How the manager before us ended, and whether what it had in hand may be the reason.
void Manager::take_crashes(UniqueFd parked) {
  const bool is_new = !parked;
  crashes_ = is_new ? CrashFile::create() : CrashFile::adopt(std::move(parked));
  if (is_new && crashes_.fd() >= 0) park(crashes_label, crashes_.fd());
  const std::chrono::nanoseconds ended{keeper_facts_.manager_ended_realtime_ns};
  last_crash_ =
      crash_text(keeper_facts_.manager_end_code, keeper_facts_.manager_end_status,
                 std::chrono::system_clock::time_point{std::chrono::duration_cast<std::chrono::microseconds>(ended)},
                 keeper_facts_.manager_starts - 1);
  if (last_crash_.empty()) return forget_in_hand(crashes_.record());
  const Suspect* const suspect = count_crash(crashes_.record(), now_);
  if (suspect != nullptr)
    last_crash_ += (suspect->input == Input::Unit ? " while it was loading " : " while it was carrying out ") +
                   base::quote(suspect->name.view());
  say(last_crash_);
  if (suspect != nullptr && suspect->is_quarantined != 0) say(quarantine_text(suspect->input, suspect->name.view()));
}

void Manager::remove_unknown_leaves() {
  std::vector<std::string> leaves = tracking_.leaves();
  std::unordered_set<std::string> known;
  for (const auto& unit : units_) {
    if (unit == nullptr) continue;
    for (const auto& run : unit->runs) known.insert(ProcessTracking::leaf_name(unit->name, run->run));
  }
  for (std::string& leaf : leaves) {
    if (!known.contains(leaf)) remove_leaf(std::move(leaf));
  }
}

Result<void> Manager::ask_keeper_facts() {
  keeper::Request request;
  request.operation = keeper::Operation::List;
  request.from = ~std::uint32_t{0};  // no entries, only what every message says
  PERDURE_TRY(const KeeperChannel::Received answer, keeper_.ask(request));
  keeper_facts_ = answer.message.header;
  surroundings_.nofile_soft = keeper_facts_.nofile_at_start;
  return {};
}

/// Services that outlived keeper and manager. A process is one of ours by its cgroup leaf, or by its INVOCATION_ID; a bare pid
/// proves nothing. One that is gone ended in a way that nobody saw.
void Manager::adopt_survivors(const std::vector<JournalEntry>& entries, std::vector<core::Event>& found, bool keeper_lost) {
  std::size_t adopted = 0;
  std::size_t lost = 0;
  for (const JournalEntry& entry : entries) {
    const core::UnitRecord& record = entry.record;
    SupervisedUnit* const unit = find(record.unit);
    if (unit == nullptr || record.run == 0 || record.main_ended || unit->find_run(record.run) != nullptr) continue;
    // Ordered, and no process seen: where the keeper that got the order lives, the core simply orders it again.
    if (!record.main_running && !keeper_lost) continue;
    auto run = std::make_unique<Run>();
    run->run = record.run;
    run->spawn = record.spawn;
    run->last_spawn = record.last_spawn;
    run->pid = entry.process.pid;
    run->invocation = entry.process.invocation;
    run->started = stamp(record.last_start);
    run->log_pipe = entry.process.log_pipe;
    const std::string leaf = ProcessTracking::leaf_name(unit->name, run->run);
    if (run->pid == 0) run->pid = tracking_.leader(processes(*run, leaf));
    const RunProcesses members = processes(*run, leaf);
    if (run->pid == 0 && !record.main_running) continue;  // it was never started
    if (run->pid > 1) run->pidfd.reset(sys::pidfd_open(run->pid, 0));
    const core::SpawnKey key{unit->id, run->run, run->spawn};
    if (run->pidfd && tracking_.contains(members, run->pid)) {
      keeper::Request request;
      request.operation = keeper::Operation::Track;
      request.key = {run->run, unit->id, run->spawn};
      request.number = run->pid;
      std::copy(run->invocation.begin(), run->invocation.end(), std::begin(request.invocation));
      std::vector<int> fds{run->pidfd.get()};
      if (unit->launch.has_log)
        run->log.reset(sys::open(("/proc/" + std::to_string(run->pid) + "/fd/1").c_str(),
                                 O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
      // It may have put a pipe of its own there since.
      struct stat status {};
      const bool is_ours =
          run->log && sys::fstat(run->log.get(), &status) == 0 && S_ISFIFO(status.st_mode) && status.st_ino == run->log_pipe;
      if (!is_ours) run->log.reset();
      if (run->log) {
        request.flags |= keeper::has_log;
        fds.push_back(run->log.get());
        run->log_is_polled =
            poller_.add(run->log.get(), loop::Interest::Read, token_of(TokenKind::Log, unit->id, run->run)).has_value();
      } else if (unit->launch.has_log) {
        unit->remarks.push_back(
            "its output could not be found again after keeper and manager were lost; what it writes is not recorded until "
            "it is restarted");
      }
      keeper_.send(request, fds);
      run->unacknowledged.push_back(run->spawn);
      found.emplace_back(core::ProcessStarted{key});
      unit->runs.push_back(std::move(run));
      ++adopted;
    } else {
      run->pidfd.reset();
      run->exit = core::Exit{};
      found.emplace_back(core::ProcessExited{key, core::Exit{}, false});
      unit->runs.push_back(std::move(run));
      std::swap(events_, found);
      check_empty(*unit, *unit->runs.back());
      std::swap(events_, found);
      if (record.main_running) ++lost;
    }
  }
  if (adopted + lost == 0) return;
  say("a keeper was lost; " + std::to_string(adopted) + " running services adopted, the end of " + std::to_string(lost) +
      " others was seen by nobody");
}

/// A real birth into a fresh leaf: below a cgroup that was killed once, some kernels kill every child that clone3 puts elsewhere.
/// The executor is given nothing to do, and says so.
void Manager::test_births() {
  const std::string leaf = "self-test#1";
  Result<Birthplace> place = tracking_.prepare(leaf);
  if (place) {
    keeper::Request request;
    request.operation = keeper::Operation::Spawn;
    request.key = {1, ~std::uint32_t{0}, 1};
    request.flags = keeper::has_cgroup;
    request.child_fds = 1;
    const int fds[] = {specs_->fd(), place->fd.get()};
    const Result<KeeperChannel::Received> answer = keeper_.ask(request, fds);
    keeper::Entry entry{};
    const bool was_made = answer && answer->message.header.error == 0 && answer->message.header.count == 1;
    for (int looks = 0; was_made && looks < birth_looks_max && entry.state != keeper::EntryState::Ended; ++looks) {
      if (looks > 0) sys::poll(nullptr, 0, birth_look_pause_ms);
      keeper::Request list;
      list.operation = keeper::Operation::List;
      const Result<KeeperChannel::Received> part = keeper_.ask(list);
      if (!part) break;
      for (std::uint32_t i = 0; i < part->message.header.count; ++i) {
        if (part->message.entries[i].key == request.key) entry = part->message.entries[i];
      }
    }
    keeper::Request done;
    done.operation = keeper::Operation::Acknowledge;
    done.key = request.key;
    keeper_.send(done);
    const bool works = entry.failed_step == static_cast<std::uint32_t>(wire::Step::ReadSpec);
    if (!works) {
      tracking_.enter_by_procs();
      park(by_procs_label, specs_->fd());
    }
  }
  remove_leaf(leaf);
}

/// What an administrator should know of how children are born.
void Manager::note_births() {
  if (tracking_.kind() != TrackingKind::CgroupV2 || !tracking_.enters_by_procs()) return;
  notes_.emplace_back(
      "children cannot be born into their cgroup here (clone3); they enter it by themselves, which is slower after idle "
      "times");
}

Timestamp Manager::stamp(base::Instant instant) const {
  if (instant == base::Instant{}) return {};
  const auto ago = os::monotonic_now() - instant;
  const auto wall = os::wall_now() - ago;
  const auto us = [](auto duration) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
  };
  return {us(wall.time_since_epoch()), us(instant.time_since_epoch())};
}

}  // namespace perdure::supervisor
