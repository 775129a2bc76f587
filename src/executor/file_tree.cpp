#include "executor/file_tree.hpp"

#include "executor/report.hpp"
#include "raw/system_call.hpp"

namespace perdure::executor {
namespace {

constexpr int at_cwd = -100;
constexpr int open_path = 010000000;  // O_PATH
#if defined(__aarch64__)
constexpr int open_directory = 040000;  // O_DIRECTORY
#else
constexpr int open_directory = 0200000;
#endif
constexpr unsigned new_mounts = 0x00020000;           // CLONE_NEWNS
constexpr unsigned follow_parent = 0x4000 | 0x80000;  // MS_REC | MS_SLAVE
constexpr unsigned tree_clone = 1;                    // OPEN_TREE_CLONE
constexpr unsigned recursive = 0x8000;                // AT_RECURSIVE
constexpr unsigned move_to_empty_path = 0x40 | 0x4;   // MOVE_MOUNT_T_EMPTY_PATH | MOVE_MOUNT_F_EMPTY_PATH
constexpr std::uint64_t resolve_in_root = 0x10;       // RESOLVE_IN_ROOT
constexpr std::uint64_t attribute_read_only = 1;      // MOUNT_ATTR_RDONLY
constexpr std::uint32_t type_mask = 0170000;
constexpr std::uint32_t type_directory = 0040000;
constexpr std::uint32_t type_file = 0100000;
constexpr unsigned statx_type = 1;

long open_in(int root, const char* path, int flags) noexcept {
  struct {
    std::uint64_t flags, mode, resolve;
  } const how{static_cast<std::uint64_t>(flags | open_path | raw::close_on_exec), 0, resolve_in_root};
  return raw::call(__NR_openat2, root, raw::address(path), raw::address(&how), sizeof how);
}

bool is_directory(long tree) noexcept {
  struct {
    std::uint32_t mask, block_size;
    std::uint64_t attributes;
    std::uint32_t links, user, group;
    std::uint16_t mode;
    unsigned char rest[256 - 30];
  } status{};
  require(Step::Namespace,
          raw::call(__NR_statx, tree, raw::address(""), raw::at_empty_path, statx_type, raw::address(&status)));
  return (status.mode & type_mask) == type_directory;
}

/// Makes what is missing of `path`, with directories on the way; its last part a directory or an empty file.
void make_mount_point(int root, char* path, bool as_directory) noexcept {
  constexpr std::uint32_t directory_mode = 0755;
  constexpr std::uint32_t file_mode = 0444;
  raw::call(__NR_umask, 022);
  long parent = open_in(root, "/", open_directory);
  require(Step::Namespace, parent);
  for (char* part = path; *part != '\0';) {
    while (*part == '/') ++part;
    char* end = part;
    while (*end != '/' && *end != '\0') ++end;
    if (end == part) break;
    const char after = *end;
    *end = '\0';
    const bool is_last = after == '\0';
    long next = open_in(root, path, is_last ? 0 : open_directory);
    if (next == -raw::e_noent) {
      const long made = is_last && !as_directory
                            ? raw::call(__NR_mknodat, parent, raw::address(part), type_file | file_mode, 0)
                            : raw::call(__NR_mkdirat, parent, raw::address(part), directory_mode);
      if (made != -raw::e_exist) require(Step::Namespace, made);
      next = open_in(root, path, is_last ? 0 : open_directory);
    }
    require(Step::Namespace, next);
    *end = after;
    raw::close(static_cast<int>(parent));
    parent = next;
    part = end;
  }
  raw::close(static_cast<int>(parent));
}

void bind(SpecView spec, const wire::SpecMount& mount, int root) noexcept {
  const unsigned depth = (mount.flags & wire::mount_recursive) != 0 ? recursive : 0;
  const long tree = raw::call(__NR_open_tree, at_cwd, raw::address(spec.text(mount.source)),
                              static_cast<long>(tree_clone | depth | static_cast<unsigned>(raw::close_on_exec)));
  if (tree == -raw::e_noent && (mount.flags & wire::mount_may_be_missing) != 0) return;
  require(Step::Namespace, tree);
  if ((mount.flags & wire::mount_read_only) != 0) {
    struct {
      std::uint64_t set, clear, propagation, user_namespace;
    } const attributes{attribute_read_only, 0, 0, 0};
    require(Step::Namespace,
            raw::call(__NR_mount_setattr, tree, raw::address(""), raw::at_empty_path | static_cast<long>(depth),
                      raw::address(&attributes), sizeof attributes));
  }
  char* const path = spec.text(mount.destination);
  long place = open_in(root, path, 0);
  if (place == -raw::e_noent) {
    make_mount_point(root, path, is_directory(tree));
    place = open_in(root, path, 0);
  }
  require(Step::Namespace, place);
  require(Step::Namespace, raw::call(__NR_move_mount, tree, raw::address(""), place, raw::address(""),
                                     static_cast<long>(move_to_empty_path)));
  raw::close(static_cast<int>(place));
  raw::close(static_cast<int>(tree));
}

}  // namespace

void mount_paths(SpecView spec) noexcept {
  if (spec->mount_count == 0) return;
  begin_deadline(Step::Namespace);
  require(Step::Namespace, raw::call(__NR_unshare, new_mounts));
  // What the service mounts stays here; what the machine mounts later comes in.
  require(Step::Namespace, raw::call(__NR_mount, 0, raw::address("/"), 0, follow_parent, 0));
  const char* const root_path = spec->root_directory == 0 ? "/" : spec.text(spec->root_directory);
  const long root = raw::call(__NR_openat, at_cwd, raw::address(root_path), open_path | open_directory | raw::close_on_exec);
  require(Step::Namespace, root);
  const auto* const mounts = spec.list<wire::SpecMount>(spec->mounts);
  for (std::uint32_t i = 0; i < spec->mount_count; ++i) bind(spec, mounts[i], static_cast<int>(root));
  raw::close(static_cast<int>(root));
  end_deadline();
}

void enter_root_directory(SpecView spec) noexcept {
  if (spec->root_directory == 0) return;
  begin_deadline(Step::RootDirectory);
  require(Step::RootDirectory, raw::call(__NR_chroot, raw::address(spec.text(spec->root_directory))));
  require(Step::RootDirectory, raw::call(__NR_chdir, raw::address("/")));  // no way out through the old one
  end_deadline();
}

void change_directory(SpecView spec) noexcept {
  if (spec->working_directory == 0) {
    require(Step::WorkingDirectory, raw::call(__NR_chdir, raw::address("/")));
    return;
  }
  begin_deadline(Step::WorkingDirectory);
  long result = raw::call(__NR_chdir, raw::address(spec.text(spec->working_directory)));
  if (result < 0 && spec.has(wire::spec_cwd_may_fail)) result = raw::call(__NR_chdir, raw::address("/"));
  require(Step::WorkingDirectory, result);
  end_deadline();
}

}  // namespace perdure::executor
