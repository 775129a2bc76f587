#include "supervisor/refused_program.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <climits>
#include <fmt/format.h>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// What the kernel reads of a file to see what it is: BINPRM_BUF_SIZE.
constexpr std::size_t head_bytes = 256;
/// Symbolic links on the way to a file: the kernel's own limit, path_resolution(7).
constexpr int links_max = 40;

/// Whether the file itself is looked at, or the interpreter that it names: one more is looked at, and no third.
enum class Which { Program, Interpreter };

struct Head {
  std::string bytes{};
  std::uint64_t file_size = 0;
};

/// The first bytes of a regular file; nothing where it cannot be read. Never waits: a FIFO may have taken its place.
Head head_of(const std::string& path) {
  const UniqueFd file{sys::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (!file || sys::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  std::array<char, head_bytes> bytes{};
  const ssize_t count = sys::read(file.get(), bytes.data(), bytes.size());
  return {std::string(bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0),
          static_cast<std::uint64_t>(status.st_size)};
}

std::string interpreter_in(std::string_view head) {
  std::string_view line = head.substr(2, head.find('\n') - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::string{line.substr(0, line.find_first_of(" \t"))};
}

std::string of_interpreter(const std::string& interpreter, const std::string& why) {
  return why.empty() ? why : fmt::format("the interpreter \"{}\" of its first line: {}", base::escape(interpreter), why);
}

// ---- ENOENT ------------------------------------------------------------------------------------------------------------------

std::string why_not_found(const std::string& program) {
  struct stat status {};
  if (sys::stat(program.c_str(), &status) != 0) return "there is no such file";
  const Head head = head_of(program);
  if (head.bytes.starts_with("#!")) {
    const std::string interpreter = interpreter_in(head.bytes);
    if (interpreter.ends_with('\r'))
      return "its first line ends in CRLF, so the kernel looks for an interpreter with a carriage return in its name; save "
             "the script with LF";
    return fmt::format("the interpreter \"{}\" of its first line does not exist", base::escape(interpreter));
  }
  return "the file is there; what is missing is the interpreter or dynamic loader that it names";
}

// ---- EACCES ------------------------------------------------------------------------------------------------------------------

/// The execute bit, which is the search bit of directories, as generic_permission() of the kernel weighs it. Root needs any one of
/// a file's, and none of a directory's.
bool may_execute(const struct stat& status, const Rights& rights) {
  if (rights.user == 0) return S_ISDIR(status.st_mode) || (status.st_mode & 0111U) != 0;
  if (status.st_uid == rights.user) return (status.st_mode & S_IXUSR) != 0;
  const bool is_member = std::find(rights.groups.begin(), rights.groups.end(), status.st_gid) != rights.groups.end();
  return (status.st_mode & (is_member ? S_IXGRP : S_IXOTH)) != 0;
}

std::string whose(const struct stat& status) {
  return fmt::format("mode {:o}, uid {}, gid {}", status.st_mode & 07777U, status.st_uid, status.st_gid);
}

/// The directory on the way to `path` that lets `rights` not through, in words; empty: none. Links are followed by hand, because
/// the directory that is closed may lie behind one.
std::string closed_directory(const std::string& path, const Rights& rights) {
  std::string at;  // without links and without "/" at its end
  std::string left = path;
  for (int links = 0; links < links_max;) {
    left.erase(0, left.find_first_not_of('/'));
    if (left.empty()) return {};
    struct stat status {};
    const std::string directory = at.empty() ? "/" : at;
    if (sys::stat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return {};
    if (!may_execute(status, rights)) {
      return fmt::format("the directory {} ({}) does not let uid {} through", base::escape(directory), whose(status),
                         rights.user);
    }
    const std::string name = left.substr(0, left.find('/'));
    left.erase(0, name.size());
    if (name == ".") continue;
    if (name == "..") {
      at.erase(at.empty() ? 0 : at.rfind('/'));
      continue;
    }
    const std::string next = at + '/' + name;
    if (sys::lstat(next.c_str(), &status) != 0) return {};
    if (!S_ISLNK(status.st_mode)) {
      at = next;
      continue;
    }
    std::array<char, PATH_MAX> target{};
    const ssize_t size = sys::readlink(next.c_str(), target.data(), target.size());
    if (size <= 0 || static_cast<std::size_t>(size) == target.size()) return {};
    ++links;
    if (target.front() == '/') at.clear();
    left.insert(0, target.data(), static_cast<std::size_t>(size));
  }
  return {};
}

std::string_view kind_of(mode_t mode) noexcept {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::string access_fault(const std::string& path, const Rights& rights, Which which) {
  if (std::string closed = closed_directory(path, rights); !closed.empty()) return closed;
  struct stat status {};
  if (sys::stat(path.c_str(), &status) != 0) return {};
  if (!S_ISREG(status.st_mode)) return fmt::format("it is {}, not a regular file", kind_of(status.st_mode));
  if ((status.st_mode & 0111U) == 0) return "it has no execute permission; chmod +x it";
  if (!may_execute(status, rights))
    return fmt::format("its permissions ({}) do not let uid {} execute it", whose(status), rights.user);
  struct statvfs place {};
  if (sys::statvfs(path.c_str(), &place) == 0 && (place.f_flag & ST_NOEXEC) != 0) return "its file system is mounted noexec";
  if (which == Which::Interpreter) return {};
  const Head head = head_of(path);
  if (!head.bytes.starts_with("#!")) return {};
  const std::string interpreter = interpreter_in(head.bytes);
  return of_interpreter(interpreter, access_fault(interpreter, rights, Which::Interpreter));
}

std::string why_no_access(const std::string& program, const Rights& rights) {
  std::string fault = access_fault(program, rights, Which::Program);
  if (!fault.empty()) return fault;
  return "its permissions and those of the directories above it look right; an access control list or a security module may "
         "forbid it";
}

// ---- ENOEXEC -----------------------------------------------------------------------------------------------------------------

constexpr auto machines = std::to_array<std::pair<std::uint64_t, std::string_view>>({
    {EM_386, "x86"},
    {EM_X86_64, "x86-64"},
    {EM_ARM, "ARM"},
    {EM_AARCH64, "AArch64"},
    {EM_RISCV, "RISC-V"},
    {EM_PPC, "PowerPC"},
    {EM_PPC64, "POWER"},
    {EM_S390, "s390"},
    {EM_MIPS, "MIPS"},
    {EM_SPARC, "SPARC"},
    {EM_SPARCV9, "SPARC"},
    {EM_68K, "m68k"},
    {EM_SH, "SuperH"},
    {EM_PARISC, "PA-RISC"},
    {EM_ALPHA, "Alpha"},
    {EM_IA_64, "Itanium"},
    {258, "LoongArch"},
    {EM_BPF, "BPF"},
});

/// The header of an ELF file, elf(5), whichever class and byte order it has.
class ElfHeader {
 public:
  explicit ElfHeader(const std::string& bytes) : bytes_(bytes) {}

  [[nodiscard]] bool is_64_bit() const noexcept { return bytes_.size() > EI_CLASS && bytes_[EI_CLASS] == ELFCLASS64; }
  [[nodiscard]] bool is_big_endian() const noexcept { return bytes_.size() > EI_DATA && bytes_[EI_DATA] == ELFDATA2MSB; }
  [[nodiscard]] std::size_t size() const noexcept { return is_64_bit() ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr); }
  [[nodiscard]] bool is_whole() const noexcept { return bytes_.starts_with(ELFMAG) && bytes_.size() >= size(); }
  // Requires of all below: is_whole().
  [[nodiscard]] std::uint64_t type() const noexcept { return number(offsetof(Elf64_Ehdr, e_type), 2); }
  [[nodiscard]] std::uint64_t machine() const noexcept { return number(offsetof(Elf64_Ehdr, e_machine), 2); }
  [[nodiscard]] std::uint64_t programs_at() const noexcept {
    return is_64_bit() ? number(offsetof(Elf64_Ehdr, e_phoff), 8) : number(offsetof(Elf32_Ehdr, e_phoff), 4);
  }
  [[nodiscard]] std::uint64_t programs_size() const noexcept {
    return is_64_bit() ? number(offsetof(Elf64_Ehdr, e_phentsize), 2) * number(offsetof(Elf64_Ehdr, e_phnum), 2)
                       : number(offsetof(Elf32_Ehdr, e_phentsize), 2) * number(offsetof(Elf32_Ehdr, e_phnum), 2);
  }
  /// "AArch64 (64 bit)".
  [[nodiscard]] std::string machine_words() const {
    const auto* const row =
        std::find_if(machines.begin(), machines.end(), [this](const auto& m) { return m.first == machine(); });
    const std::string name = row == machines.end() ? fmt::format("machine number {}", machine()) : std::string{row->second};
    return fmt::format("{} ({} bit{})", name, is_64_bit() ? 64 : 32, is_big_endian() ? ", big-endian" : "");
  }

 private:
  [[nodiscard]] std::uint64_t number(std::size_t offset, std::size_t width) const noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      value = value << 8U | static_cast<unsigned char>(bytes_[offset + (is_big_endian() ? i : width - 1 - i)]);
    }
    return value;
  }

  const std::string& bytes_;
};

std::string elf_fault(const Head& head) {
  const ElfHeader file{head.bytes};
  if (!file.is_whole()) return fmt::format("the ELF file is cut short: {} bytes are less than its header", head.file_size);
  const Head own = head_of("/proc/self/exe");
  const ElfHeader ours{own.bytes};
  if (ours.is_whole() && file.machine_words() != ours.machine_words())
    return fmt::format("the ELF file is made for {}, and this machine runs {}", file.machine_words(), ours.machine_words());
  if (file.type() == ET_REL) return "it is an object file that has not been linked";
  if (file.type() == ET_CORE) return "it is a core dump";
  if (file.programs_at() > head.file_size || file.programs_size() > head.file_size - file.programs_at())
    return fmt::format("the ELF file is cut short: its program headers lie behind its {} bytes", head.file_size);
  return fmt::format("the ELF file is damaged, or of a kind that this kernel does not run: {}", file.machine_words());
}

std::string format_fault(const std::string& path, Which which) {
  struct stat status {};
  if (sys::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0) return "the file is empty";
  const Head head = head_of(path);
  const std::string_view bytes = head.bytes;
  if (bytes.empty()) return {};
  if (bytes.starts_with(ELFMAG)) return elf_fault(head);
  if (bytes.starts_with("\xEF\xBB\xBF#!"))
    return "a byte order mark stands before the #! of its first line; save the script without";
  if (bytes.starts_with("#!")) {
    const std::string interpreter = interpreter_in(bytes);
    if (base::trim(interpreter).empty()) return "its first line names no interpreter after #!";
    if (bytes.size() == head_bytes && 2 + interpreter.size() >= bytes.size())
      return fmt::format("its first line is too long: the kernel reads {} bytes of it, and the interpreter's name goes on",
                         head_bytes);
    if (which == Which::Interpreter) return {};
    return of_interpreter(interpreter, format_fault(interpreter, Which::Interpreter));
  }
  if (bytes.find('\0') == std::string_view::npos)
    return "it is a text whose first line does not begin with #!, so nothing says which program is to run it";
  return "it is neither an ELF program nor a script";
}

}  // namespace

Rights our_rights() {
  Rights rights{::geteuid(), {::getegid()}};
  std::array<gid_t, 1024> groups{};
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  rights.groups.insert(rights.groups.end(), groups.data(), groups.data() + std::max(count, 0));
  return rights;
}

Rights rights_in_spec(int specs, SpecPlace place) {
  wire::SpawnSpec spec;
  if (place.size < sizeof spec ||
      sys::pread(specs, &spec, sizeof spec, static_cast<off_t>(place.offset)) != static_cast<ssize_t>(sizeof spec) ||
      spec.magic != wire::spec_magic || spec.group_count > wire::spec_groups_max)
    return our_rights();
  const bool sees_other_files = spec.root_directory != 0 || spec.mount_count != 0;
  if ((spec.flags & wire::spec_set_ids) == 0) {
    Rights ours = our_rights();
    ours.sees_other_files = sees_other_files;
    return ours;
  }
  std::vector<std::uint32_t> groups(spec.group_count);
  const auto size = static_cast<ssize_t>(groups.size() * sizeof(std::uint32_t));
  if (sys::pread(specs, groups.data(), groups.size() * sizeof(std::uint32_t),
                 static_cast<off_t>(place.offset + spec.groups)) != size)
    return our_rights();
  Rights rights{spec.user, {spec.group}, sees_other_files};
  rights.groups.insert(rights.groups.end(), groups.begin(), groups.end());
  return rights;
}

std::string why_not_executed(int error, const std::string& program, const Rights& rights) {
  if (rights.sees_other_files && error != ETXTBSY && error != E2BIG)
    return "it is looked up among the files that RootDirectory= and BindPaths= leave to the service; look there, for its "
           "interpreter "
           "and libraries too";
  switch (error) {
    case ENOENT: return why_not_found(program);
    case EACCES: return why_no_access(program, rights);
    case ENOEXEC: return format_fault(program, Which::Program);
    case ETXTBSY: return "somebody still has it open for writing";
    case E2BIG: return "the arguments and the environment are too large; one of them may be over 128 KiB";
    default: return {};
  }
}

}  // namespace perdure::supervisor
