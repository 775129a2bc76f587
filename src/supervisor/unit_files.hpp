// UnitFiles: where the texts of units are: the directories of the unit path, aliases, masks, templates, drop-ins.
//
// As systemd.unit(5) "Unit File Load Path": of files with one name the first directory's counts; a link to /dev/null and an empty
// file mask the unit; a link to another name within the unit path is an alias; foo@x.service falls back to foo@.service.
// A special target of systemd.special(7) is there without a file, too; the links in its .wants and .requires do not count where
// they stand in a vendor's directory, such as /usr/lib/systemd/system: those are systemd's own boot, and not for us.
// Drop-ins are *.conf in foo-bar.service.d, foo-.service.d and service.d, the nearer name before the wider one and, of one
// name, the earlier directory; they count in the order of their file names.
// Only regular files are read, at most unit_file_bytes_max of each, and nothing is waited for: a FIFO, device or socket is
// refused with a reason. A drop-in that is there and cannot be read is an error for the unit, because it may be what restricts
// it; a link to nowhere is skipped with a warning.
// Left out: what the texts mean (unit/unit_spec.hpp).
// Thread safety: as a plain value; the directories are read anew at each call, unless a Pass says otherwise. Fork: nothing is
// kept. Signal safety: none.
//
//     const UnitFiles files{{"/etc/systemd/system", "/usr/lib/systemd/system"}};
//     const FoundUnit found = files.find(name);
//     if (found.state == LoadState::Loaded) spec = unit::load_unit(found.name, found.sources, machine);
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/settings.hpp"
#include "unit/unit_name.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

inline constexpr int alias_depth_max = 8;
inline constexpr std::size_t drop_ins_max = 256;                 // of one unit
inline constexpr std::size_t directory_entries_max = 1'000'000;  // of one directory; at more, none of it is used

/// "loaded", "not-found", "masked", "error": systemctl's words for LoadState=.
enum class LoadState : std::uint8_t { Loaded, NotFound, Masked, Error };
std::string_view word_of(LoadState state) noexcept;

struct FoundUnit {
  unit::UnitName name;  ///< after aliases: the name of the file that counts
  LoadState state = LoadState::NotFound;
  std::string fragment_path{};  ///< of the file, or of what masks it; empty where there is none
  /// The fragment, then the drop-ins, then one text of ours for each directory NAME.wants and NAME.requires that has links, which
  /// count as if they stood in Wants= and Requires=. Empty unless Loaded.
  std::vector<unit::UnitSource> sources{};
  std::vector<Diagnostic> diagnostics{};  ///< with an error among them, state is Error
  /// A special target that has no file (unit/special_targets.hpp): its fragment is an empty text without a path.
  bool is_built_in = false;

  /// The paths of its drop-ins, in the order in which they count.
  [[nodiscard]] std::vector<std::string> drop_ins() const;
};

/// Names of units, sorted, each once, with what could not be used.
struct UnitNames {
  std::vector<unit::UnitName> names{};
  std::vector<Diagnostic> diagnostics{};
};

/// What is in directories, asked once for all that is looked for there: most units have none of the files that they could have.
class DirectoryNames {
 public:
  /// Where `directory` cannot be read, nothing is known of it.
  void add(const std::string& directory);
  void clear() noexcept { known_.clear(); }
  /// False only where it was not there when the directory was added.
  [[nodiscard]] bool may_have(std::string_view directory, std::string_view name) const noexcept;

 private:
  std::vector<std::pair<std::string, std::vector<std::string>>> known_{};  ///< names sorted
};

/// Where packages put the units that they bring.
std::vector<std::string> vendor_directories();

class UnitFiles {
 public:
  /// `directories`: the ones that count most first; those that are not there are skipped. In those that are among `vendors`, too,
  /// links that add to special targets do not count.
  /// Which of the others do: all, as in directories that somebody has named; all, on a machine that starts what is enabled; none,
  /// where units of a machine are run that is started by somebody else.
  enum class Links { All, Enabled, None };
  explicit UnitFiles(std::vector<std::string> directories, std::vector<std::string> vendors = vendor_directories(),
                     Links links = Links::All)
      : directories_(std::move(directories)), vendor_directories_(std::move(vendors)), links_(links) {}

  [[nodiscard]] const std::vector<std::string>& directories() const noexcept { return directories_; }

  /// For who looks for many units in a row: while it lives, files that were not there when it was made are not looked for. Those
  /// that were there are read as always.
  class [[nodiscard]] Pass {
   public:
    explicit Pass(UnitFiles& files);
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() { files_.listed_.clear(); }

   private:
    UnitFiles& files_;
  };

  [[nodiscard]] FoundUnit find(const unit::UnitName& name) const;
  /// The name of the file that counts for it, after aliases; itself where there is none. No file is read.
  [[nodiscard]] unit::UnitName name_of(const unit::UnitName& name) const;
  /// The unit in the file at `path`, with the drop-ins beside it and in the directories. Fails where the last part of the path is
  /// no unit's name, or there is no such file.
  [[nodiscard]] Result<FoundUnit> find_file(const std::string& path) const;
  /// UNIT or FILE as a command line has it: a word with "/" is a path.
  [[nodiscard]] Result<FoundUnit> find_argument(const std::string& word) const;

  /// All units in the directories, templates included; aliases under their unit's name; masked ones not.
  [[nodiscard]] UnitNames list() const;
  /// What `run --unit-path DIR` starts when it is given no UNIT: what default.target wants, through the targets it names; where
  /// there is no default.target, every unit with an [Install] section; where there is none, every service that is no template.
  /// On a machine that starts what is enabled: what default.target wants, or where there is none multi-user.target, and that
  /// target itself.
  /// `reading` is called for each unit whose texts are parsed for that, and calls what it is given, or does not: then the unit
  /// wants nothing, and counts as one that is to be started.
  using Reading = std::function<void(const FoundUnit& found, const std::function<void()>& read)>;
  [[nodiscard]] UnitNames default_units(const unit::Specifiers& machine = {}, const Reading& reading = read_all) const;
  static void read_all(const FoundUnit& /*found*/, const std::function<void()>& read) { read(); }

 private:
  [[nodiscard]] std::vector<std::string> link_directories(const unit::UnitName& name) const;

  std::vector<std::string> directories_;
  std::vector<std::string> vendor_directories_;
  Links links_ = Links::All;
  DirectoryNames listed_{};  ///< during a Pass
};

/// The directories that count where --unit-path is not given: the machine's.
std::vector<std::string> system_unit_path();

/// What the environment says about a user's directories; empty: not set.
struct UserDirectories {
  std::string home{};
  std::string config_home{};  ///< XDG_CONFIG_HOME, else HOME/.config
  std::string runtime_dir{};  ///< XDG_RUNTIME_DIR
  std::string data_home{};    ///< XDG_DATA_HOME, else HOME/.local/share
};
std::vector<std::string> user_unit_path(const UserDirectories& user);

}  // namespace perdure::supervisor
