#include "supervisor/process_tracking.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <map>
#include <utility>

#include <climits>
#include <fmt/format.h>

#include "base/errno_name.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "wire/keeper_message.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;
namespace keeper = wire::keeper;

/// Rounds of signalling until no new process appears; a fork storm that outlives them is met by the next kill.
constexpr int signal_rounds_max = 64;
constexpr std::size_t proc_file_max = std::size_t{1} << 20;
constexpr int parents_max = 4096;
/// How long a process in the middle of an exec keeps every run from counting as empty. Bounded, so that none can hold us up by
/// looking like that for good.
constexpr base::Duration nameless_max = std::chrono::seconds{1};

std::string read_all(const UniqueFd& file) {
  std::string text;
  char block[4096];
  while (file && text.size() < proc_file_max) {
    const ssize_t count = sys::read(file.get(), block, sizeof block);
    if (count <= 0) break;
    text.append(block, static_cast<std::size_t>(count));
  }
  return text;
}

std::string read_at(int directory, const std::string& name) {
  return read_all(UniqueFd{sys::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC)});
}

bool write_at(int directory, const std::string& name, std::string_view text) {
  const UniqueFd file{sys::openat(directory, name.c_str(), O_WRONLY | O_CLOEXEC)};
  return file && sys::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::vector<pid_t> numbers_in(std::string_view text) {
  std::vector<pid_t> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    pid_t number = 0;
    const auto [rest, error] = std::from_chars(at, end, number);
    if (error == std::errc{} && number > 0) numbers.push_back(number);
    at = rest == at ? at + 1 : rest;
  }
  return numbers;
}

/// The first line of `text` that begins with `prefix`, without it.
std::optional<std::string_view> line_after(std::string_view text, std::string_view prefix) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(prefix)) return line.substr(prefix.size());
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

/// mountinfo writes blanks and backslashes as octal (proc(5)).
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Where the cgroup v2 hierarchy is mounted, and which part of it.
struct Cgroup2Mount {
  std::string root;
  std::string point;
};
std::optional<Cgroup2Mount> find_cgroup2() {
  const Result<std::string> table = os::read_file("/proc/self/mountinfo", proc_file_max);
  if (!table) return std::nullopt;
  std::string_view text = *table;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t separator = line.find(" - ");
    if (separator == std::string_view::npos || !line.substr(separator + 3).starts_with("cgroup2 ")) continue;
    std::vector<std::string_view> fields;
    for (std::string_view left = line.substr(0, separator); !left.empty() && fields.size() < 6;) {
      const std::size_t blank = std::min(left.find(' '), left.size());
      fields.push_back(left.substr(0, blank));
      left.remove_prefix(std::min(blank + 1, left.size()));
    }
    if (fields.size() >= 5) return Cgroup2Mount{unescaped(fields[3]), unescaped(fields[4])};
  }
  return std::nullopt;
}

UniqueFd open_pidfd(pid_t pid) { return UniqueFd{pid > 1 ? sys::pidfd_open(pid, 0) : -1}; }

struct ProcEntry {
  char state = '?';
  pid_t parent = 0;
  pid_t session = 0;
};
std::optional<ProcEntry> look_up(pid_t pid) {
  const Result<std::string> stat = os::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return std::nullopt;
  const std::size_t name_end = stat->rfind(')');  // the name itself may contain one
  if (name_end == std::string::npos || stat->size() < name_end + 3) return std::nullopt;
  ProcEntry entry;
  entry.state = (*stat)[name_end + 2];
  const std::vector<pid_t> numbers = numbers_in(std::string_view{*stat}.substr(name_end + 3));
  if (numbers.size() < 3) return std::nullopt;
  const char* at = stat->c_str() + name_end + 4;
  const char* const end = stat->c_str() + stat->size();
  pid_t group = 0;
  at = std::from_chars(at, end, entry.parent).ptr + 1;
  at = std::from_chars(at, end, group).ptr + 1;
  std::from_chars(at, end, entry.session);
  return entry;
}

/// The id in hexadecimal at `at`; zeros where there is none.
std::array<std::uint8_t, 16> id_at(std::string_view text, std::size_t at) {
  std::array<std::uint8_t, 16> id{};
  for (std::size_t i = 0; i < id.size() && at + 2 * i + 2 <= text.size(); ++i) {
    std::from_chars(text.data() + at + 2 * i, text.data() + at + 2 * i + 2, id[i], 16);
  }
  return id;
}

struct Identity {
  std::array<std::uint8_t, 16> invocation{};  ///< zeros: none, or nothing we may read
  bool is_in_exec = false;                    ///< its new program has neither words nor an environment yet
};

Identity identity_of(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  const Result<std::string> environment = os::read_file(process + "/environ", proc_file_max);
  if (!environment) return {};
  constexpr std::string_view name = "INVOCATION_ID=";
  const std::size_t at = environment->starts_with(name) ? 0 : environment->find('\0' + std::string{name});
  if (at != std::string::npos) return {id_at(*environment, at + name.size() + (at == 0 ? 0 : 1))};
  // An executor has no environment yet: the id is its second argument.
  if (!environment->empty()) return {};
  const std::string words = os::read_file(process + "/cmdline", proc_file_max).value_or(std::string{});
  if (words.empty()) return {{}, true};
  constexpr std::string_view executor{"perdure-executor\0", 17};
  const std::size_t second = words.starts_with(executor) ? words.find('\0', executor.size()) : std::string::npos;
  return {second == std::string::npos ? std::array<std::uint8_t, 16>{} : id_at(words, second + 1)};
}

/// A hierarchy of cgroup v1 without controllers, which only tracks.
bool mount_hierarchy(const std::string& point, const std::string& instance) {
  const std::string data = "none,name=" + instance;
  return ::mount(instance.c_str(), point.c_str(), "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, data.c_str()) == 0;
}

/// The number of the cgroup that a process is in, or was when it ended; 0: the kernel does not say.
std::uint64_t cgroup_of(int pidfd) {
  // The head of <linux/pidfd.h>'s pidfd_info, which older headers lack.
  struct {
    std::uint64_t mask = 0;
    std::uint64_t cgroup = 0;
    std::uint32_t rest[12]{};
  } info;
  constexpr std::uint64_t has_cgroup = 1 << 2;
  constexpr std::uint64_t has_exit = 1 << 3;
  constexpr unsigned long get_info = 0xc000ff0bUL | (sizeof info << 16);  // _IOWR(0xFF, 11, struct pidfd_info)
  info.mask = has_cgroup | has_exit;
  if (pidfd < 0 || sys::ioctl(pidfd, get_info, reinterpret_cast<int*>(&info)) != 0) return 0;
  return (info.mask & has_cgroup) != 0 ? info.cgroup : 0;
}

std::array<std::uint8_t, 16> invocation_of(pid_t pid) { return identity_of(pid).invocation; }

bool is_alive(const ProcEntry& entry) { return entry.state != 'Z' && entry.state != 'X'; }

struct SeenProcess {
  ProcEntry entry{};
  Identity identity{};
};
using Processes = std::map<pid_t, SeenProcess>;

/// Everything in /proc, zombies too. Who has gone, or ended, between being listed and being looked at may have left a child that
/// was not listed: the list is read again, for what is new in it, until nobody new is missed.
Processes all_processes() {
  constexpr int passes_max = 4;  // in a storm of forks somebody is always new, and met by the next look
  Processes found;
  bool is_settled = false;
  for (int pass = 0; pass < passes_max && !is_settled; ++pass) {
    is_settled = true;
    DIR* const proc = sys::opendir("/proc");
    if (proc == nullptr) return found;
    while (const dirent* const entry = ::readdir(proc)) {
      pid_t pid = 0;
      const char* const end = entry->d_name + std::strlen(entry->d_name);
      if (std::from_chars(entry->d_name, end, pid).ptr != end || pid <= 1 || found.contains(pid)) continue;
      const auto known = look_up(pid);
      is_settled = is_settled && known && is_alive(*known);
      if (known) found.emplace(pid, SeenProcess{*known, is_alive(*known) ? identity_of(pid) : Identity{}});
    }
    ::closedir(proc);
  }
  return found;
}

bool descends_from(const Processes& processes, pid_t pid, pid_t ancestor) {
  for (int steps = 0; steps < parents_max; ++steps) {
    const auto entry = processes.find(pid);
    if (entry == processes.end()) return false;
    pid = entry->second.entry.parent;
    if (pid == ancestor) return true;
    if (pid <= 1) return false;
  }
  return false;
}

/// Whether the process executes the program that we hold as `program`.
bool executes(pid_t pid, int program) {
  struct stat theirs {};
  struct stat ours {};
  return sys::stat(("/proc/" + std::to_string(pid) + "/exe").c_str(), &theirs) == 0 && sys::fstat(program, &ours) == 0 &&
         theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

}  // namespace

std::string_view word_of(TrackingKind kind) noexcept {
  switch (kind) {
    case TrackingKind::CgroupV2: return "cgroup v2";
    case TrackingKind::CgroupV1: return "cgroup v1";
    case TrackingKind::BestEffort: break;
  }
  return "best effort";
}

bool is_dumping_core(pid_t pid) {
  if (pid <= 1) return false;
  const std::string status = read_at(AT_FDCWD, "/proc/" + std::to_string(pid) + "/status");
  return line_after(status, "CoreDumping:\t") == "1";
}

std::optional<std::uint64_t> machine_oom_kills() {
  const std::string counts = read_at(AT_FDCWD, "/proc/vmstat");
  const auto count = line_after(counts, "oom_kill ");
  return count ? base::parse_number<std::uint64_t>(*count) : std::nullopt;
}

std::string ProcessTracking::leaf_name(std::string_view unit, std::uint64_t run) {
  constexpr std::size_t name_max = 255 - 21;  // of a directory, without "#" and the longest number
  if (unit.size() <= name_max) return std::string{unit} + '#' + std::to_string(run);
  // What two long names differ in may be what was cut: a hash of the whole keeps them apart.
  const std::string hash = fmt::format("{:016x}", base::fnv1a(unit));
  return std::string{unit.substr(0, name_max - 1 - hash.size())} + '~' + hash + '#' + std::to_string(run);
}

ProcessTracking ProcessTracking::open(const TrackingOptions& options) {
  ProcessTracking tracking;
  tracking.keeper_ = options.keeper;
  if (tracking.open_cgroup2(options)) {
    tracking.kind_ = TrackingKind::CgroupV2;
    tracking.inotify_.reset(sys::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  } else if (tracking.open_cgroup1(options)) {
    tracking.kind_ = TrackingKind::CgroupV1;
  } else {
    tracking.notes_.emplace_back(
        "process tracking: best effort (no cgroup hierarchy can be written here); a process that leaves its session and "
        "clears its environment is not found");
  }
  return tracking;
}

bool ProcessTracking::open_cgroup2(const TrackingOptions& options) {
  if (!options.cgroup_root.empty()) {
    if (use_directory(options.cgroup_root, options)) return true;
    notes_.push_back("cannot use --cgroup-root " + options.cgroup_root + " (" + std::string{base::errno_name(errno)} + ")");
    return false;
  }
  const std::optional<Cgroup2Mount> mount = find_cgroup2();
  const Result<std::string> own = os::read_file("/proc/self/cgroup", proc_file_max);
  if (!mount || !own) return false;
  const std::optional<std::string_view> line = line_after(*own, "0::");
  if (!line || !line->starts_with('/')) return false;
  std::string path{*line};
  // A manager after the first is in the instance's own leaf already: the instance is two floors up.
  const std::size_t own_place = path.rfind('/' + options.instance + '/');
  if (own_place != std::string::npos) path.resize(own_place);
  if (mount->root != "/") {
    if (!path.starts_with(mount->root)) return false;
    path.erase(0, mount->root.size());
  }
  if (path == "/") path.clear();
  return use_directory(mount->point + path, options);
}

bool ProcessTracking::use_directory(const std::string& base, const TrackingOptions& options) {
  path_ = base + '/' + options.instance;
  if (sys::mkdir(path_.c_str(), 0755) != 0 && errno != EEXIST) return false;
  directory_.reset(sys::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_) return false;
  // A leaf that was killed once is of no use to a keeper (a child of it would be killed at birth): a fresh one per keeper.
  own_leaf_ = "supervisor." + std::to_string(options.keeper);
  const bool is_new = sys::mkdirat(directory_.get(), own_leaf_.c_str(), 0755) == 0;
  if (!is_new && errno != EEXIST) {
    directory_.reset();
    return false;
  }
  const std::string procs = own_leaf_ + "/cgroup.procs";
  const std::vector<pid_t> inside = numbers_in(read_at(directory_.get(), procs));
  bool moved = true;
  for (const pid_t pid : {options.keeper, ::getpid()}) {
    if (pid <= 0 || std::find(inside.begin(), inside.end(), pid) != inside.end()) continue;
    // A keeper that is gone has no place to be moved to.
    moved = (write_at(directory_.get(), procs, std::to_string(pid)) || errno == ESRCH) && moved;
  }
  if (!moved) {
    const int error = errno;
    sys::unlinkat(directory_.get(), own_leaf_.c_str(), AT_REMOVEDIR);
    directory_.reset();
    sys::rmdir(path_.c_str());
    errno = error;
    return false;
  }
  // So that every leaf counts who is ended for want of memory. Whether there is the controller decides who gave us the directory.
  const std::string controllers = read_at(directory_.get(), "cgroup.controllers");
  const auto words = base::split(base::trim(controllers), ' ');
  if (std::find(words.begin(), words.end(), "memory") != words.end())
    write_at(directory_.get(), "cgroup.subtree_control", "+memory");
  shown_path_ = path_;
  if (const auto mount = find_cgroup2(); mount && path_.starts_with(mount->point))
    shown_path_ = path_.substr(mount->point.size());
  return true;
}

bool ProcessTracking::open_cgroup1(const TrackingOptions& options) {
  if (!options.cgroup_root.empty() || ::geteuid() != 0) return false;
  const std::string point = options.runtime_dir + "/cgroup";
  sys::mkdir(point.c_str(), 0755);
  if (sys::access((point + "/cgroup.procs").c_str(), W_OK) != 0) {
    if (!mount_hierarchy(point, options.instance)) {
      sys::rmdir(point.c_str());
      return false;
    }
  }
  path_ = point;
  instance_ = options.instance;
  shown_path_ = "/";
  directory_.reset(sys::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory_) notes_.emplace_back("process tracking: cgroup v1 (no cgroup v2 hierarchy can be written here)");
  return static_cast<bool>(directory_);
}

Result<Birthplace> ProcessTracking::prepare(std::string_view leaf) {
  if (kind_ == TrackingKind::BestEffort) return Birthplace{};
  const std::string name{leaf};
  if (sys::mkdirat(directory_.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
    return Error::from_errno(errno, "make the cgroup", path_ + '/' + name);
  }
  Birthplace place;
  place.enters_by_itself = enters_by_procs();
  place.fd.reset(place.enters_by_itself
                     ? sys::openat(directory_.get(), (name + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC)
                     : sys::openat(directory_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place.fd) return Error::from_errno(errno, "open the cgroup", path_ + '/' + name);
  return place;
}

bool ProcessTracking::is_empty(const RunProcesses& run) const {
  switch (kind_) {
    case TrackingKind::CgroupV2: {
      const UniqueFd file{
          sys::openat(directory_.get(), (std::string{run.leaf} + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC)};
      if (!file) return errno == ENOENT;  // the leaf is gone
      char text[256];
      const ssize_t count = sys::read(file.get(), text, sizeof text);
      const auto populated = count > 0 ? line_after({text, static_cast<std::size_t>(count)}, "populated ") : std::nullopt;
      return populated == "0";
    }
    case TrackingKind::CgroupV1:
    case TrackingKind::BestEffort: break;
  }
  const bool is_none_found = members(run).empty();
  return is_none_found && !has_nameless_;
}

/// All descendants of the keeper, found once per round of the loop: a look through /proc costs milliseconds.
struct ProcessTracking::Snapshot {
  base::Instant began = os::monotonic_now();
  struct Member {
    ProcEntry entry{};
    std::array<std::uint8_t, 16> invocation{};
  };
  std::map<pid_t, Member> living{};
  std::multimap<pid_t, pid_t> by_session{};
  std::multimap<pid_t, pid_t> by_parent{};
  std::map<std::array<std::uint8_t, 16>, std::vector<pid_t>> by_invocation{};
};

void ProcessTracking::look_again() const { snapshot_.reset(); }
void ProcessTracking::look_again_after(base::Instant change) const {
  if (snapshot_ && snapshot_->began <= change) snapshot_.reset();
}

const ProcessTracking::Snapshot& ProcessTracking::snapshot() const {
  if (snapshot_) return *snapshot_;
  snapshot_ = std::make_shared<Snapshot>();
  const Processes processes = all_processes();
  // Who is in the middle of an exec cannot be asked whose it is, and will say so when asked again.
  const base::Instant now = os::monotonic_now();
  std::map<pid_t, base::Instant> nameless;
  has_nameless_ = false;
  for (const auto& [pid, seen] : processes) {
    const auto& [entry, identity] = seen;
    if (!is_alive(entry) || pid == keeper_ || pid == ::getpid()) continue;
    const bool is_descendant = descends_from(processes, pid, keeper_);
    if (is_descendant && identity.is_in_exec) {
      const auto known = nameless_.find(pid);
      const base::Instant since = known == nameless_.end() ? now : known->second;
      has_nameless_ = has_nameless_ || now - since < nameless_max;
      nameless.emplace(pid, since);
    }
    Snapshot::Member member{entry, identity.invocation};
    if (is_descendant) {
      snapshot_->by_session.emplace(entry.session, pid);
      snapshot_->by_parent.emplace(entry.parent, pid);
    }
    if (member.invocation != std::array<std::uint8_t, 16>{}) snapshot_->by_invocation[member.invocation].push_back(pid);
    snapshot_->living.emplace(pid, member);
  }
  nameless_ = std::move(nameless);
  return *snapshot_;
}

std::vector<pid_t> ProcessTracking::members(const RunProcesses& run) const {
  if (kind_ != TrackingKind::BestEffort)
    return numbers_in(read_at(directory_.get(), std::string{run.leaf} + "/cgroup.procs"));
  const Snapshot& all = snapshot();
  std::vector<pid_t> found;
  const auto add = [&found](pid_t pid) {
    if (std::find(found.begin(), found.end(), pid) == found.end()) found.push_back(pid);
  };
  // A main process that has ended may have lent its number to another run's since, which then leads a session of that number.
  constexpr std::array<std::uint8_t, 16> unknown{};
  const auto is_of_another_run = [&all, &run, &unknown](pid_t pid) {
    const auto known = all.living.find(pid);
    return known != all.living.end() && run.invocation != unknown && known->second.invocation != unknown &&
           known->second.invocation != run.invocation;
  };
  if (run.main > 1) {
    // It counts as itself only while we hold it.
    const auto leader = all.living.find(run.main);
    const bool leads = leader != all.living.end();
    if (run.main_pidfd >= 0 && leads && !is_of_another_run(run.main)) add(run.main);
    // A number stays taken while a session has it: a leader that lives, and is neither held nor of this run, has it anew.
    if (!leads || run.main_pidfd >= 0 || leader->second.invocation == run.invocation) {
      const auto [first, last] = all.by_session.equal_range(run.main);
      for (auto member = first; member != last; ++member) {
        if (!is_of_another_run(member->second)) add(member->second);
      }
    }
  }
  if (const auto same = all.by_invocation.find(run.invocation); same != all.by_invocation.end()) {
    for (const pid_t pid : same->second) add(pid);
  }
  for (std::size_t i = 0; i < found.size(); ++i) {  // it grows by what it finds
    const auto [first, last] = all.by_parent.equal_range(found[i]);
    for (auto child = first; child != last; ++child) add(child->second);
  }
  return found;
}

std::vector<NamedProcess> ProcessTracking::named(const RunProcesses& run, std::size_t most) const {
  std::vector<NamedProcess> found;
  for (const pid_t pid : members(run)) {
    if (found.size() == most) break;
    std::string name = os::read_file("/proc/" + std::to_string(pid) + "/comm", 64).value_or("?");
    if (name.ends_with('\n')) name.pop_back();
    found.push_back({pid, base::escape(name)});
  }
  return found;
}

bool ProcessTracking::contains(const RunProcesses& run, pid_t pid) const {
  if (pid <= 1) return false;
  const std::vector<pid_t> inside = members(run);
  return std::find(inside.begin(), inside.end(), pid) != inside.end();
}

/// The second look at a process, now that its pidfd is held.
bool ProcessTracking::still_belongs(const RunProcesses& run, pid_t pid) const {
  if (kind_ != TrackingKind::BestEffort) return contains(run, pid);
  const auto known = snapshot().living.find(pid);
  const auto now = look_up(pid);
  return known != snapshot().living.end() && now && now->session == known->second.entry.session &&
         (now->parent == known->second.entry.parent || now->parent == keeper_) &&
         invocation_of(pid) == known->second.invocation;
}

pid_t ProcessTracking::leader(const RunProcesses& run) const {
  for (const pid_t pid : members(run)) {
    const auto entry = look_up(pid);
    if (entry && entry->session == pid) return pid;
  }
  // It may be on its way there: then it still executes the keeper or the executor.
  for (const pid_t pid : members(run)) {
    if (executes(pid, keeper::executor_program_fd) || executes(pid, keeper::keeper_program_fd)) return pid;
  }
  return 0;
}

pid_t ProcessTracking::only_child_of(const RunProcesses& run, pid_t parent) const {
  pid_t only = 0;
  for (const pid_t pid : members(run)) {
    const auto entry = look_up(pid);
    if (!entry || entry->parent != parent) continue;
    if (only != 0) return 0;
    only = pid;
  }
  return only;
}

/// What /proc says of a number is of our process when that is still there afterwards.
std::optional<std::string> ProcessTracking::leaf_of(pid_t pid, int pidfd) const {
  if (kind_ == TrackingKind::BestEffort || pid <= 1) return std::nullopt;
  const bool is_v2 = kind_ == TrackingKind::CgroupV2;
  const std::string text = read_at(AT_FDCWD, "/proc/" + std::to_string(pid) + "/cgroup");
  const bool has_gone = pidfd >= 0 && sys::pidfd_send_signal(pidfd, 0) != 0 && errno == ESRCH;
  if (has_gone) {
    const std::uint64_t id = is_v2 ? cgroup_of(pidfd) : 0;
    if (id != 0) return leaf_with_id(id).value_or(std::string{});
  }
  const std::string hierarchy = is_v2 ? "0::" + shown_path_ : "name=" + instance_ + ":";
  for (std::string_view line : base::lines(has_gone ? std::string_view{} : std::string_view{text})) {
    if (!is_v2) line.remove_prefix(std::min(line.find(':') + 1, line.size()));  // the number of the hierarchy
    if (!base::remove_prefix(line, hierarchy) || !base::remove_prefix(line, "/") || line.empty()) continue;
    return std::string{line.substr(0, line.find('/'))};  // a service may have cgroups of its own in its leaf
  }
  // In a hierarchy of cgroup v1, whoever ends goes back to the top.
  return is_v2 ? std::optional{std::string{}} : std::nullopt;
}

/// The leaf that is, or that holds, the cgroup with this number; empty: it is none of ours. Nothing: it could not be found out.
std::optional<std::string> ProcessTracking::leaf_with_id(std::uint64_t id) const {
  // Opening by number takes CAP_DAC_READ_SEARCH, which containers do not have.
  alignas(file_handle) char room[sizeof(file_handle) + sizeof id]{};
  auto* const handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = sizeof id;
  handle->handle_type = 0xfe;  // FILEID_KERNFS
  std::memcpy(room + sizeof(file_handle), &id, sizeof id);
  if (const UniqueFd cgroup{sys::open_by_handle_at(directory_.get(), handle, O_PATH | O_CLOEXEC)}) {
    char name[PATH_MAX];
    const ssize_t size = sys::readlink(("/proc/self/fd/" + std::to_string(cgroup.get())).c_str(), name, sizeof name);
    std::string_view path{name, size > 0 ? static_cast<std::size_t>(size) : 0};
    if (!base::remove_prefix(path, path_) || !base::remove_prefix(path, "/")) return std::string{};
    return std::string{path.substr(0, path.find('/'))};
  }
  if (errno != EPERM) return std::nullopt;
  for (std::string& leaf : leaves()) {
    struct stat status {};
    if (sys::fstatat(directory_.get(), leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == id)
      return std::move(leaf);
  }
  return std::nullopt;
}

bool ProcessTracking::was_used(std::string_view leaf) const {
  if (kind_ != TrackingKind::CgroupV2) return false;
  const std::string times = read_at(directory_.get(), std::string{leaf} + "/cpu.stat");
  const auto used = line_after(times, "usage_usec ");
  return used && *used != "0";
}

std::optional<std::uint64_t> ProcessTracking::oom_kills(std::string_view leaf) const {
  if (kind_ != TrackingKind::CgroupV2) return std::nullopt;
  const std::string events = read_at(directory_.get(), std::string{leaf} + "/memory.events");
  const auto count = line_after(events, "oom_kill ");
  return count ? base::parse_number<std::uint64_t>(*count) : std::nullopt;
}

std::size_t ProcessTracking::signal_all(const RunProcesses& run, int signal) const {
  const auto send = [signal](int pidfd) {
    sys::pidfd_send_signal(pidfd, signal);
    if (signal == SIGTERM || signal == SIGHUP) sys::pidfd_send_signal(pidfd, SIGCONT);
  };
  UniqueFd procs;
  if (kind_ != TrackingKind::BestEffort)
    procs.reset(sys::openat(directory_.get(), (std::string{run.leaf} + "/cgroup.procs").c_str(), O_RDONLY | O_CLOEXEC));
  const auto look = [&] {
    if (kind_ == TrackingKind::BestEffort) return members(run);
    return procs && sys::lseek(procs.get(), 0, SEEK_SET) == 0 ? numbers_in(read_all(procs)) : std::vector<pid_t>{};
  };
  // One more look through /proc for each of a thousand services that stop together would take minutes: what escapes the first is
  // met by the kill, which looks to the last.
  const bool to_the_last = kind_ != TrackingKind::BestEffort || signal == SIGKILL || signal == SIGSTOP;
  std::vector<pid_t> done;
  for (int round = 0; round < signal_rounds_max; ++round) {
    bool is_moving = false;
    for (const pid_t pid : look()) {
      if (std::find(done.begin(), done.end(), pid) != done.end()) continue;
      if (pid == run.main && run.main_pidfd >= 0) {
        send(run.main_pidfd);  // its own since its birth: no second look is needed
      } else {
        // Opened first, then looked at again: a number that has passed to a stranger meanwhile is not of this run.
        const UniqueFd pidfd = open_pidfd(pid);
        is_moving = is_moving || pidfd;
        if (!pidfd || !still_belongs(run, pid)) continue;
        send(pidfd.get());
      }
      is_moving = true;
      done.push_back(pid);
    }
    if (!to_the_last || (!is_moving && !has_nameless_)) break;
    look_again();
  }
  return done.size();
}

/// Without a kill in one stroke, all are stopped first: who stands still has no more children.
std::size_t ProcessTracking::kill_all(const RunProcesses& run) const {
  if (kind_ == TrackingKind::CgroupV2) {
    const std::size_t count = members(run).size();
    if (write_at(directory_.get(), std::string{run.leaf} + "/cgroup.kill", "1")) return count;  // Linux 5.14
  }
  signal_all(run, SIGSTOP);
  look_again();
  return signal_all(run, SIGKILL);
}

bool ProcessTracking::remove(std::string_view leaf) const {
  if (kind_ == TrackingKind::BestEffort) return true;
  return sys::unlinkat(directory_.get(), std::string{leaf}.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
}

std::vector<std::string> ProcessTracking::leaves() const {
  std::vector<std::string> names;
  if (kind_ == TrackingKind::BestEffort) return names;
  DIR* const directory = sys::opendir(path_.c_str());
  if (directory == nullptr) return names;
  while (const dirent* const entry = ::readdir(directory)) {
    const std::string_view name{entry->d_name};
    if (entry->d_type == DT_DIR && name.find('#') != std::string_view::npos) names.emplace_back(name);
  }
  ::closedir(directory);
  return names;
}

/// The kernel keeps a hierarchy for good that has cgroups when it is unmounted, those included that are removed and not quite gone:
/// then it is mounted and unmounted once more. One that goes takes a moment, too.
void ProcessTracking::drop_hierarchy() {
  constexpr int attempts_max = 5;
  constexpr int looks_max = 50;
  constexpr int pause_ms = 2;
  directory_.reset();
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    ::umount2(path_.c_str(), MNT_DETACH);
    for (int look = 0; look < looks_max; ++look) {
      const std::string all = read_at(AT_FDCWD, "/proc/self/cgroup");
      if (all.find(":name=" + instance_ + ":") == std::string::npos) {
        sys::rmdir(path_.c_str());
        return;
      }
      sys::poll(nullptr, 0, pause_ms);
    }
    if (!mount_hierarchy(path_, instance_)) break;
  }
  ::umount2(path_.c_str(), MNT_DETACH);
  sys::rmdir(path_.c_str());
}

void ProcessTracking::close_down() {
  if (kind_ == TrackingKind::BestEffort) return;
  for (const std::string& leaf : leaves()) remove(leaf);
  if (kind_ == TrackingKind::CgroupV1) return drop_hierarchy();
  // Back to where we came from, or the directory could not go.
  const std::string above = path_.substr(0, path_.rfind('/'));
  const UniqueFd base{sys::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  for (const pid_t pid : {keeper_, ::getpid()}) {
    if (base && pid > 0) write_at(base.get(), "cgroup.procs", std::to_string(pid));
  }
  if (DIR* const directory = sys::opendir(path_.c_str())) {
    while (const dirent* const entry = ::readdir(directory)) {
      if (std::string_view{entry->d_name}.starts_with("supervisor."))
        sys::unlinkat(directory_.get(), entry->d_name, AT_REMOVEDIR);
    }
    ::closedir(directory);
  }
  sys::rmdir(path_.c_str());
}

void ProcessTracking::thaw(std::string_view leaf) const {
  if (kind_ == TrackingKind::CgroupV2) write_at(directory_.get(), std::string{leaf} + "/cgroup.freeze", "0");
}

int ProcessTracking::watch(std::string_view leaf) {
  if (!inotify_) return -1;
  return sys::inotify_add_watch(inotify_.get(), (path_ + '/' + std::string{leaf} + "/cgroup.events").c_str(), IN_MODIFY);
}

void ProcessTracking::unwatch(int watch) {
  if (inotify_ && watch >= 0) sys::inotify_rm_watch(inotify_.get(), watch);
}

std::vector<int> ProcessTracking::events() const {
  std::vector<int> found;
  alignas(inotify_event) char block[4096];
  for (;;) {
    const ssize_t count = inotify_ ? sys::read(inotify_.get(), block, sizeof block) : -1;
    if (count <= 0) return found;
    for (ssize_t at = 0; at < count;) {
      inotify_event event{};
      std::memcpy(&event, block + at, sizeof event);
      found.push_back(event.wd);  // -1: the queue overflowed; whoever reads this looks at all
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
}

}  // namespace perdure::supervisor
