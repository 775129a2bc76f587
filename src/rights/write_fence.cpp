#include "rights/write_fence.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>

#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::rights {

namespace sys = os::sys;

namespace {

// Of linux/landlock.h, which older kernel headers have not, or not in full.
constexpr std::uint32_t create_ruleset_version = 1;
constexpr int rule_path_beneath = 1;
struct RulesetAttributes {  // its first member: the size says how much of it is meant
  std::uint64_t handled_access_fs;
};
struct __attribute__((packed)) PathBeneath {
  std::uint64_t allowed_access;
  std::int32_t parent_fd;
};
static_assert(sizeof(PathBeneath) == 12);

constexpr std::uint64_t write_file = 1U << 1;
constexpr std::uint64_t remove_and_make = 0x1FF0;  // REMOVE_DIR 4, REMOVE_FILE 5, MAKE_CHAR 6 … MAKE_SYM 12
constexpr std::uint64_t refer = 1U << 13;          // ABI 2: rename and link into another directory
constexpr std::uint64_t truncate = 1U << 14;       // ABI 3
constexpr std::uint64_t of_files = write_file | truncate;

bool is_absent(int code) noexcept { return code == ENOSYS || code == EOPNOTSUPP; }

}  // namespace

unsigned long long fenced_rights(int abi) noexcept {
  return write_file | remove_and_make | (abi >= 2 ? refer : 0) | (abi >= 3 ? truncate : 0);
}

Result<Fence> fence_writing(const std::vector<std::string>& writable) {
  const int abi = sys::landlock_create_ruleset(nullptr, 0, create_ruleset_version);
  if (abi < 0 && is_absent(errno)) return Fence{.abi = 0, .why = errno};
  if (abi <= 0) return Error::from_errno(abi < 0 ? errno : EINVAL, "ask the kernel for its version of", "Landlock");

  const RulesetAttributes attributes{fenced_rights(abi)};
  const UniqueFd ruleset{sys::landlock_create_ruleset(&attributes, sizeof attributes, 0)};
  if (!ruleset && is_absent(errno)) return Fence{.abi = 0, .why = errno};
  if (!ruleset) return Error::from_errno(errno, "make rules of", "Landlock");
  for (const std::string& path : writable) {
    const UniqueFd place{sys::open(path.c_str(), O_PATH | O_CLOEXEC)};
    struct stat status {};
    if (!place) {
      if (errno == ENOENT || errno == EACCES || errno == ENOTDIR) continue;
      return Error::from_errno(errno, "let be written", path);
    }
    if (sys::fstat(place.get(), &status) != 0) return Error::from_errno(errno, "look at", path);
    const std::uint64_t allowed =
        S_ISDIR(status.st_mode) ? attributes.handled_access_fs : attributes.handled_access_fs & of_files;
    const PathBeneath rule{.allowed_access = allowed, .parent_fd = place.get()};
    if (sys::landlock_add_rule(ruleset.get(), rule_path_beneath, &rule) != 0)
      return Error::from_errno(errno, "let be written", path);
  }
  if (sys::landlock_restrict_self(ruleset.get()) != 0) return Error::from_errno(errno, "fence in with", "Landlock");
  return Fence{.abi = abi, .why = 0};
}

}  // namespace perdure::rights
