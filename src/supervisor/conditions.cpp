#include "supervisor/conditions.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "supervisor/accounts.hpp"
#include "unit/capabilities.hpp"
#include "unit/values.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;
using unit::Condition;

constexpr std::size_t proc_file_max = 64 * 1024;

std::optional<struct stat> status_of(const std::string& path) {
  struct stat status {};
  if (sys::stat(path.c_str(), &status) != 0) return std::nullopt;
  return status;
}

std::optional<bool> truth_of(const std::string& text) {
  const Result<bool> truth = unit::parse_truth(text);
  return truth ? std::optional{*truth} : std::nullopt;
}

std::string text_of(const char* path) { return os::read_file(path, proc_file_max).value_or(std::string{}); }

// ---- files

bool path_exists(const std::string& path) { return sys::access(path.c_str(), F_OK) == 0; }
bool path_exists_glob(const std::string& pattern) {
  glob_t found{};
  const bool is_there = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0 && found.gl_pathc > 0;
  ::globfree(&found);
  return is_there;
}
bool path_is_directory(const std::string& path) {
  const auto status = status_of(path);
  return status && S_ISDIR(status->st_mode);
}
bool path_is_symbolic_link(const std::string& path) {
  struct stat status {};
  return sys::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}
/// mountinfo(5): the fifth word of a line is where it is mounted.
bool path_is_mount_point(const std::string& path) {
  if (path == "/") return true;
  for (const std::string_view line : base::lines(text_of("/proc/self/mountinfo"))) {
    const std::vector<std::string_view> word = base::words(line);
    if (word.size() > 4 && word[4] == path) return true;
  }
  return false;
}
bool path_is_read_write(const std::string& path) {
  struct statvfs status {};
  return sys::statvfs(path.c_str(), &status) == 0 && (status.f_flag & ST_RDONLY) == 0;
}
bool directory_not_empty(const std::string& path) {
  DIR* const directory = sys::opendir(path.c_str());
  if (directory == nullptr) return false;
  bool has_entry = false;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name{entry->d_name};
    if (name != "." && name != "..") has_entry = true;
  }
  ::closedir(directory);
  return has_entry;
}
bool file_not_empty(const std::string& path) {
  const auto status = status_of(path);
  return status && S_ISREG(status->st_mode) && status->st_size > 0;
}
bool file_is_executable(const std::string& path) {
  const auto status = status_of(path);
  return status && S_ISREG(status->st_mode) && (status->st_mode & 0111) != 0;
}

// ---- the machine

/// A word of the kernel's command line: as it is, or up to "=".
bool kernel_command_line(const std::string& wanted) {
  const std::string text = text_of("/proc/cmdline");
  const std::vector<std::string_view> words = base::words(text);
  const bool has_value = wanted.find('=') != std::string::npos;
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
    return has_value ? word == wanted : word.substr(0, word.find('=')) == wanted;
  });
}

/// Runs of digits are compared as numbers, everything else by bytes.
int compare_versions(std::string_view one, std::string_view other) {
  while (!one.empty() && !other.empty()) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto take = [&is_digit](std::string_view& text) {
      const bool digits = is_digit(text.front());
      std::size_t end = 0;
      while (end < text.size() && is_digit(text[end]) == digits) ++end;
      std::string_view part = text.substr(0, end);
      text.remove_prefix(end);
      if (digits) part.remove_prefix(std::min(part.find_first_not_of('0'), part.size()));
      return std::pair{digits, part};
    };
    const auto [one_digits, a] = take(one);
    const auto [other_digits, b] = take(other);
    if (one_digits && other_digits && a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
    if (const int order = a.compare(b); order != 0) return order;
  }
  return one.empty() ? (other.empty() ? 0 : -1) : 1;
}
/// "op value", where op is one of < <= = == != >= >; `otherwise` where there is none.
struct Comparison {
  std::string_view op{};
  std::string value{};
};
Comparison comparison_of(std::string_view text, std::string_view otherwise) {
  for (const std::string_view op : {"<=", ">=", "!=", "==", "<>", "<", ">", "="}) {
    if (!text.starts_with(op)) continue;
    text.remove_prefix(op.size());
    return {op, std::string{base::trim(text)}};
  }
  return {otherwise, std::string{base::trim(text)}};
}
bool compares(int order, std::string_view op) {
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  if (op == ">=") return order >= 0;
  if (op == "!=" || op == "<>") return order != 0;
  return order == 0;
}
bool kernel_version(const std::string& wanted) {
  utsname system{};
  ::uname(&system);
  const std::vector<std::string_view> words = base::words(wanted);
  const auto one_holds = [&system](std::string_view word) {
    const Comparison wish = comparison_of(word, "glob");
    if (wish.op == "glob") return ::fnmatch(wish.value.c_str(), system.release, 0) == 0;
    return compares(compare_versions(system.release, wish.value), wish.op);
  };
  return std::all_of(words.begin(), words.end(), one_holds);
}
bool architecture(const std::string& wanted) {
  utsname system{};
  ::uname(&system);
  const std::string_view machine{system.machine};
  const std::string_view name = machine == "x86_64" ? "x86-64" : machine == "aarch64" ? "arm64" : machine;
  return wanted == name || wanted == "native";
}
bool host(const std::string& wanted) {
  utsname system{};
  ::uname(&system);
  if (wanted.size() == 32 && wanted == std::string{base::trim(text_of("/etc/machine-id"))}) return true;
  return ::fnmatch(wanted.c_str(), system.nodename, FNM_CASEFOLD) == 0;
}

bool is_in_container() {
  if (path_exists("/run/systemd/container") || path_exists("/.dockerenv") || path_exists("/run/.containerenv")) return true;
  return ::getpid() == 1 || text_of("/proc/1/environ").find("container=") != std::string::npos;
}
bool is_in_virtual_machine() {
  const std::string processor = text_of("/proc/cpuinfo");
  return processor.find(" hypervisor") != std::string::npos || path_exists("/proc/xen");
}
bool virtualization(const std::string& wanted) {
  const bool container = is_in_container();
  const bool machine = is_in_virtual_machine();
  if (wanted == "container") return container;
  if (wanted == "vm") return machine && !container;
  if (const auto truth = truth_of(wanted)) return *truth == (container || machine);
  if (wanted == "docker") return path_exists("/.dockerenv");
  if (wanted == "podman") return path_exists("/run/.containerenv");
  return false;
}

bool user(const std::string& wanted) {
  if (wanted == "@system") return ::geteuid() < 1000;
  const Result<Accounts> accounts = Accounts::read();
  const Result<User> found = accounts ? accounts->user(wanted) : Result<User>{accounts.error()};
  return found && found->uid == ::geteuid();
}
bool group(const std::string& wanted) {
  const Result<Accounts> accounts = Accounts::read();
  const Result<gid_t> found = accounts ? accounts->group(wanted) : Result<gid_t>{accounts.error()};
  if (!found) return false;
  if (*found == ::getegid()) return true;
  std::array<gid_t, 1024> groups{};
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  return count > 0 && std::find(groups.begin(), groups.begin() + count, *found) != groups.begin() + count;
}

bool capability(const std::string& wanted) {
  const Result<std::uint64_t> set = unit::parse_capabilities(wanted);
  if (!set) return false;
  for (std::string_view line : base::lines(text_of("/proc/self/status"))) {
    if (!base::remove_prefix(line, "CapBnd:")) continue;
    const std::string bits{base::trim(line)};
    return (std::strtoull(bits.c_str(), nullptr, 16) & *set) == *set;
  }
  return false;
}
bool security(const std::string& wanted) {
  if (wanted == "selinux") return path_exists("/sys/fs/selinux/enforce");
  if (wanted == "apparmor") return text_of("/sys/module/apparmor/parameters/enabled").starts_with('Y');
  if (wanted == "audit") return path_exists("/proc/self/loginuid") && path_exists("/proc/sys/kernel/audit");
  if (wanted == "ima") return path_exists("/sys/kernel/security/ima");
  if (wanted == "smack") return path_exists("/sys/fs/smackfs");
  if (wanted == "tomoyo") return path_exists("/sys/kernel/security/tomoyo/version");
  if (wanted == "tpm2") return path_exists_glob("/sys/class/tpmrm/tpmrm*");
  return false;
}
bool environment(const std::string& wanted) {
  const std::size_t equals = wanted.find('=');
  const char* const value = ::secure_getenv(wanted.substr(0, equals).c_str());
  if (value == nullptr) return false;
  return equals == std::string::npos || wanted.substr(equals + 1) == value;
}
bool cpus(const std::string& wanted) {
  cpu_set_t set;
  const Comparison wish = comparison_of(wanted, ">=");
  const auto count = base::parse_number<long>(wish.value);
  if (!count || ::sched_getaffinity(0, sizeof set, &set) != 0) return false;
  const long own = CPU_COUNT(&set);
  return compares(own < *count ? -1 : own > *count ? 1 : 0, wish.op);
}
bool memory(const std::string& wanted) {
  const Comparison wish = comparison_of(wanted, ">=");
  const Result<unit::LimitValue> bytes = unit::parse_limit(unit::Limit::Data, wish.value);
  if (!bytes) return false;
  const auto own =
      static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return compares(own < bytes->soft ? -1 : own > bytes->soft ? 1 : 0, wish.op);
}
bool ac_power(const std::string& wanted) {
  bool has_mains = false;
  bool is_on = false;
  glob_t found{};
  if (::glob("/sys/class/power_supply/*/type", GLOB_NOSORT, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc; ++i) {
      const std::string type{found.gl_pathv[i]};
      if (!text_of(type.c_str()).starts_with("Mains")) continue;
      has_mains = true;
      is_on = is_on || text_of((type.substr(0, type.rfind('/')) + "/online").c_str()).starts_with('1');
    }
  }
  ::globfree(&found);
  return truth_of(wanted).value_or(true) == (is_on || !has_mains);
}
bool cgroup_controller(const std::string& wanted) {
  const std::string own = text_of("/sys/fs/cgroup/cgroup.controllers");
  const std::vector<std::string_view> there = base::words(own);
  const std::vector<std::string_view> wishes = base::words(wanted);
  if (wanted == "v2") return !own.empty() || path_exists("/sys/fs/cgroup/cgroup.procs");
  if (wanted == "v1") return !path_exists("/sys/fs/cgroup/cgroup.procs");
  return std::all_of(wishes.begin(), wishes.end(),
                     [&there](std::string_view wish) { return std::find(there.begin(), there.end(), wish) != there.end(); });
}
/// "KEY=value", "KEY >= value": fields of os-release(5).
bool os_release(const std::string& wanted) {
  const std::size_t key_end = wanted.find_first_of("<>=!$");
  if (key_end == std::string::npos) return false;
  const std::string key{base::trim(std::string_view{wanted}.substr(0, key_end))};
  const Comparison wish = comparison_of(std::string_view{wanted}.substr(key_end), "=");
  std::string text = text_of("/etc/os-release");
  if (text.empty()) text = text_of("/usr/lib/os-release");
  for (std::string_view line : base::lines(text)) {
    if (!base::remove_prefix(line, key) || !base::remove_prefix(line, "=")) continue;
    std::string value{line};
    std::erase_if(value, [](char c) { return c == '"' || c == '\''; });
    return wish.op == "=" ? ::fnmatch(wish.value.c_str(), value.c_str(), 0) == 0
                          : compares(compare_versions(value, wish.value), wish.op);
  }
  return false;
}
bool cpu_feature(const std::string& wanted) {
  for (std::string_view line : base::lines(text_of("/proc/cpuinfo"))) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    const std::vector<std::string_view> words = base::words(line.substr(line.find(':') + 1));
    return std::find(words.begin(), words.end(), std::string_view{wanted}) != words.end();
  }
  return false;
}
/// /etc or /var is older than what the system brought along.
bool needs_update(const std::string& wanted) {
  const auto usr = status_of("/usr");
  const auto done = status_of(wanted + "/.updated");
  return path_is_read_write(wanted) && usr && (!done || done->st_mtime < usr->st_mtime);
}
bool first_boot(const std::string& wanted) {
  return truth_of(wanted).value_or(true) == path_exists("/run/systemd/first-boot");
}
bool never(const std::string&) { return false; }

struct Kind {
  std::string_view name;
  bool (*holds)(const std::string&);
};
constexpr Kind kinds[] = {
    {"PathExists", path_exists},
    {"PathExistsGlob", path_exists_glob},
    {"PathIsDirectory", path_is_directory},
    {"PathIsSymbolicLink", path_is_symbolic_link},
    {"PathIsMountPoint", path_is_mount_point},
    {"PathIsReadWrite", path_is_read_write},
    {"PathIsEncrypted", never},  // no device mapper is looked at
    {"DirectoryNotEmpty", directory_not_empty},
    {"FileNotEmpty", file_not_empty},
    {"FileIsExecutable", file_is_executable},
    {"KernelCommandLine", kernel_command_line},
    {"KernelVersion", kernel_version},
    {"Architecture", architecture},
    {"Host", host},
    {"Virtualization", virtualization},
    {"User", user},
    {"Group", group},
    {"Capability", capability},
    {"Security", security},
    {"Environment", environment},
    {"CPUs", cpus},
    {"Memory", memory},
    {"ACPower", ac_power},
    {"ControlGroupController", cgroup_controller},
    {"OSRelease", os_release},
    {"CPUFeature", cpu_feature},
    {"NeedsUpdate", needs_update},
    {"FirstBoot", first_boot},
    {"Credential", never},  // there are none without systemd's credentials
    {"Firmware", never},
};

std::string text_of(const Condition& condition) {
  return std::string{condition.is_assert ? "Assert" : "Condition"} + condition.kind + '=' +
         (condition.is_trigger ? "|" : "") + (condition.is_negated ? "!" : "") + condition.argument;
}

}  // namespace

bool holds(const Condition& condition) {
  const auto kind =
      std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind& k) { return k.name == condition.kind; });
  if (kind == std::end(kinds)) return false;
  return kind->holds(condition.argument) != condition.is_negated;
}

ConditionReport check(std::span<const Condition> conditions) {
  for (const bool is_assert : {false, true}) {
    const Condition* missed = nullptr;
    bool has_trigger = false;
    bool is_triggered = false;
    for (const Condition& condition : conditions) {
      if (condition.is_assert != is_assert) continue;
      const bool is_met = holds(condition);
      if (condition.is_trigger) {
        has_trigger = true;
        is_triggered = is_triggered || is_met;
        if (!is_met && missed == nullptr) missed = &condition;
      } else if (!is_met) {
        return {false, is_assert, text_of(condition) + " is not met"};
      }
    }
    if (has_trigger && !is_triggered)
      return {false, is_assert, text_of(*missed) + " is not met, nor any other of those with \"|\""};
  }
  return {};
}

}  // namespace perdure::supervisor
