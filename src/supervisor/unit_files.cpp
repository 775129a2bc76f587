#include "supervisor/unit_files.hpp"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <climits>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "unit/special_targets.hpp"
#include "unit/unit_file.hpp"

namespace perdure::supervisor {
namespace {

using unit::UnitName;
using unit::UnitType;

constexpr std::string_view mask_target = "/dev/null";

Diagnostic error_about(const std::string& path, std::string message) {
  return {.source = path, .message = std::move(message)};
}
constexpr std::string_view drop_in_suffix = ".conf";

Diagnostic warning_about(const std::string& path, std::string message) {
  return {.source = path, .message = std::move(message), .is_warning = true};
}

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

bool is_missing(int error) noexcept { return error == ENOENT || error == ENOTDIR; }

/// The names in a directory, sorted; none where there is no such directory.
Result<std::vector<std::string>> names_in(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseDirectory> entries{os::sys::opendir(directory.c_str())};
  if (!entries && is_missing(errno)) return names;
  if (!entries) return Error::from_errno(errno, "read the directory", directory);
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(entries.get());
    if (entry == nullptr && errno != 0) return Error::from_errno(errno, "read the directory", directory);
    if (entry == nullptr) break;
    if (names.size() >= directory_entries_max)
      return Error{"cannot use the directory " + base::escape(directory) + ": it has more than " +
                   std::to_string(directory_entries_max) + " entries"};
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> target_of(const std::string& link) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = os::sys::readlink(link.c_str(), target.data(), target.size());
  if (length < 0) return Error::from_errno(errno, "read the link", link);
  target.resize(static_cast<std::size_t>(length));
  return target;
}

std::string_view last_part(std::string_view path) noexcept { return path.substr(path.rfind('/') + 1); }

// Without "." parts, doubled slashes and, since this compares names only, without asking the file system about "..".
std::string simplified(std::string_view path) {
  std::vector<std::string_view> parts;
  for (const std::string_view part : base::split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const std::string_view part : parts) out += (out.empty() && !path.starts_with('/') ? "" : "/") + std::string{part};
  return out;
}

/// What one path of a unit is, before anything is read.
enum class EntryKind : std::uint8_t { Missing, File, Mask, Alias, Refused };
struct Entry {
  EntryKind kind = EntryKind::Missing;
  std::string alias{};  ///< the name that an Alias leads to
  std::string why{};    ///< of Refused, and of Missing where that is worth a word
};

class Search {
 public:
  Search(const std::vector<std::string>& directories, const DirectoryNames& listed)
      : directories_(directories), listed_(listed) {}

  /// Finds the fragment; `found.name` is what is looked for and, at the end, what it turned out to be.
  void locate(FoundUnit& found) {
    names_.push_back(found.name);
    for (int hops = 0; hops <= alias_depth_max; ++hops) {
      const std::optional<UnitName> alias = look_for(found, found.name);
      if (!alias) return;
      found.name = *alias;
      names_.push_back(*alias);
    }
    fail(found, found.fragment_path, "more than " + std::to_string(alias_depth_max) + " aliases lead on from one another");
  }

  /// All names that led to the unit, the one of the file last.
  [[nodiscard]] const std::vector<UnitName>& names() const noexcept { return names_; }

  static void fail(FoundUnit& found, const std::string& path, std::string why) {
    found.state = LoadState::Error;
    found.diagnostics.push_back(error_about(path, std::move(why)));
  }

 private:
  // The name to look for next where `name` is an alias; otherwise `found` says what is known.
  std::optional<UnitName> look_for(FoundUnit& found, const UnitName& name) {
    if (const auto own = look_in_directories(found, name.text()); own || found.state != LoadState::NotFound)
      return own ? checked_alias(found, *own) : std::nullopt;
    if (!name.is_instance()) return std::nullopt;
    const auto of_template = look_in_directories(found, name.template_name().text());
    return of_template ? checked_alias(found, *of_template) : std::nullopt;
  }

  std::optional<std::string> look_in_directories(FoundUnit& found, const std::string& file_name) {
    for (const std::string& directory : directories_) {
      if (!listed_.may_have(directory, file_name)) continue;
      const std::string path = directory + '/' + file_name;
      Entry entry = look_at(path, directory);
      if (entry.kind == EntryKind::Missing && entry.why.empty()) continue;
      if (entry.kind == EntryKind::Missing) {
        found.diagnostics.push_back(warning_about(path, std::move(entry.why)));
        continue;
      }
      found.fragment_path = path;
      if (entry.kind == EntryKind::Alias) return std::move(entry.alias);
      if (entry.kind == EntryKind::Refused) fail(found, path, std::move(entry.why));
      if (entry.kind == EntryKind::Mask) found.state = LoadState::Masked;
      if (entry.kind == EntryKind::File) found.state = LoadState::Loaded;
      return std::nullopt;
    }
    return std::nullopt;
  }

  [[nodiscard]] Entry look_at(const std::string& path, const std::string& directory) const {
    struct stat status {};
    if (os::sys::lstat(path.c_str(), &status) != 0) {
      if (is_missing(errno)) return {};
      return {.why = Error::from_errno(errno, "look at it").message() + "; it is skipped"};
    }
    if (S_ISLNK(status.st_mode)) {
      const auto target = target_of(path);
      if (!target) return {.why = target.error().message() + "; it is skipped"};
      if (*target == mask_target) return {.kind = EntryKind::Mask};
      if (auto alias = alias_in(*target, directory); alias && *alias != last_part(path))
        return {.kind = EntryKind::Alias, .alias = *std::move(alias)};
      if (os::sys::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT)
          return {.why = "the link leads to " + base::escape(*target) + ", which is not there; it is skipped"};
        return {.why = Error::from_errno(errno, "follow the link").message() + "; it is skipped"};
      }
    }
    if (!S_ISREG(status.st_mode))
      return {.kind = EntryKind::Refused, .why = "it is no regular file; nothing is read from it"};
    return {.kind = status.st_size == 0 ? EntryKind::Mask : EntryKind::File};
  }

  // A link within the unit path is another name of its target; one that leads out of it brings a file in under its own name.
  [[nodiscard]] std::optional<std::string> alias_in(const std::string& target, const std::string& directory) const {
    const std::string full = simplified(target.starts_with('/') ? target : directory + '/' + target);
    const std::string_view place = std::string_view{full}.substr(0, full.size() - last_part(full).size());
    const bool is_within = std::any_of(directories_.begin(), directories_.end(),
                                       [&](const std::string& d) { return place == simplified(d) + '/'; });
    return is_within ? std::optional{std::string{last_part(full)}} : std::nullopt;
  }

  static std::optional<UnitName> checked_alias(FoundUnit& found, const std::string& alias) {
    const auto refuse = [&](const std::string& why) {
      fail(found, found.fragment_path, "the link cannot be an alias: " + why);
      return std::nullopt;
    };
    auto target = UnitName::parse(alias);
    if (!target) return refuse(target.error().message());
    if (target->type() != found.name.type()) return refuse(target->text() + " is of another type than " + found.name.text());
    if (!target->is_template()) return *target;
    if (!found.name.is_instance())
      return refuse(target->text() + " is a template, and " + found.name.text() + " has no instance");
    auto instance = target->with_instance(found.name.instance());
    if (!instance) return refuse(instance.error().message());
    return *instance;
  }

  const std::vector<std::string>& directories_;
  const DirectoryNames& listed_;
  std::vector<UnitName> names_;
};

// ---- drop-ins ----------------------------------------------------------------------------------------------------------

void add_once(std::vector<std::string>& all, std::string text) {
  if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(std::move(text));
}

// "foo-.service" for "foo-bar.service" and "foo-bar-.service", and with the instance where there is one.
std::optional<UnitName> wider_name(const UnitName& name) {
  std::string_view prefix = name.prefix();
  if (prefix.ends_with('-')) prefix.remove_suffix(1);
  const std::size_t dash = prefix.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::string wider{prefix.substr(0, dash + 1)};
  if (name.is_instance()) wider += '@' + std::string{name.instance()};
  auto parsed = UnitName::parse(wider + '.' + std::string{suffix_of(name.type())});
  return parsed ? std::optional{*std::move(parsed)} : std::nullopt;
}

// Whose drop-ins count for `name`, the nearest first.
void add_drop_in_names(const UnitName& name, std::vector<std::string>& names) {
  add_once(names, name.text());
  if (name.is_instance()) add_drop_in_names(name.template_name(), names);
  if (const auto wider = wider_name(name)) add_drop_in_names(*wider, names);
}

/// Paths of drop-ins by their file names, in which order they count.
using DropIns = std::map<std::string, std::string>;

class DropInSearch {
 public:
  DropInSearch(const std::vector<std::string>& directories, const DirectoryNames& listed, FoundUnit& found)
      : directories_(directories), listed_(listed), found_(found) {}

  void find(const std::vector<UnitName>& names) {
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
      std::vector<std::string> candidates;
      add_drop_in_names(*name, candidates);
      for (const std::string& directory : directories_)
        for (const std::string& candidate : candidates) look_in(directory, candidate + ".d");
    }
    for (const std::string& directory : directories_) look_in(directory, std::string{suffix_of(found_.name.type())} + ".d");
  }

  void read() {
    for (const auto& [name, path] : drop_ins_) read(path);
  }

 private:
  void look_in(const std::string& parent, const std::string& last) {
    if (!listed_.may_have(parent, last)) return;
    const std::string directory = parent + '/' + last;
    auto names = names_in(directory);
    if (!names)
      return Search::fail(found_, directory, names.error().message() + "; the unit does not start without its drop-ins");
    for (std::string& name : *names) {
      if (!name.ends_with(drop_in_suffix)) continue;
      if (drop_ins_.size() >= drop_ins_max)
        return Search::fail(found_, directory, "the unit has more than " + std::to_string(drop_ins_max) + " drop-ins");
      const std::string path = directory + '/' + name;
      drop_ins_.try_emplace(std::move(name), path);
    }
  }

  void read(const std::string& path) {
    auto text = os::read_file(path, unit::unit_file_bytes_max);
    if (text) {
      found_.sources.push_back({.path = path, .text = *std::move(text)});
      return;
    }
    struct stat status {};
    if (os::sys::stat(path.c_str(), &status) != 0 && errno == ENOENT) {
      found_.diagnostics.push_back(warning_about(path, "the drop-in is a link to a file that is not there; it is skipped"));
      return;
    }
    if (S_ISCHR(status.st_mode)) {
      const auto target = target_of(path);
      if (target && *target == mask_target) return;  // it hides drop-ins of the same name, and says nothing itself
    }
    Search::fail(found_, path, text.error().message() + "; the unit does not start without its drop-ins");
  }

  const std::vector<std::string>& directories_;
  const DirectoryNames& listed_;
  FoundUnit& found_;
  DropIns drop_ins_;
};

// ---- NAME.wants --------------------------------------------------------------------------------------------------------

// The links in NAME.wants as a text, so that they are merged and remembered like everything else that is known of the unit.
void add_links(const std::vector<std::string>& directories, const DirectoryNames& listed, std::string_view suffix,
               std::string_view directive, FoundUnit& found) {
  std::set<std::string> seen;
  const std::string last = found.name.text() + std::string{suffix};
  for (const std::string& directory : directories) {
    if (!listed.may_have(directory, last)) continue;
    const std::string links = directory + '/' + last;
    const auto names = names_in(links);
    if (!names) {
      found.diagnostics.push_back(warning_about(links, names.error().message() + "; it is skipped"));
      continue;
    }
    std::string text;
    for (const std::string& name : *names) {
      if (!seen.insert(name).second) continue;
      if (const auto parsed = UnitName::parse(name); !parsed) {
        found.diagnostics.push_back(warning_about(links, parsed.error().message() + "; it is skipped"));
        continue;
      }
      const auto target = target_of(links + '/' + name);
      if (!target || *target != mask_target) text += std::string{directive} + "=" + name + '\n';
    }
    if (!text.empty()) found.sources.push_back({.path = links, .text = "[Unit]\n" + text});
  }
}

void sort_once(std::vector<UnitName>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

bool has_install_section(const FoundUnit& found) {
  if (found.sources.empty()) return false;
  const auto file = unit::parse_unit_file(found.sources.front().text, found.sources.front().path);
  const auto& sections = file.value.sections;
  return std::any_of(sections.begin(), sections.end(), [](const unit::SectionHeader& s) { return s.name == "Install"; });
}

}  // namespace

std::vector<std::string> FoundUnit::drop_ins() const {
  std::vector<std::string> paths;
  for (const unit::UnitSource& source : sources) {
    if (&source != &sources.front() && source.path.ends_with(drop_in_suffix)) paths.push_back(source.path);
  }
  return paths;
}

std::string_view word_of(LoadState state) noexcept {
  switch (state) {
    case LoadState::Loaded: return "loaded";
    case LoadState::NotFound: return "not-found";
    case LoadState::Masked: return "masked";
    case LoadState::Error: break;
  }
  return "error";
}

void DirectoryNames::add(const std::string& directory) {
  if (auto names = names_in(directory)) known_.emplace_back(directory, *std::move(names));
}

bool DirectoryNames::may_have(std::string_view directory, std::string_view name) const noexcept {
  if (name.starts_with('.')) return true;  // they are in no list
  for (const auto& [known, names] : known_)
    if (known == directory) return std::binary_search(names.begin(), names.end(), name, std::less<>{});
  return true;
}

UnitFiles::Pass::Pass(UnitFiles& files) : files_(files) {
  for (const std::string& directory : files_.directories_) files_.listed_.add(directory);
}

FoundUnit UnitFiles::find(const UnitName& name) const {
  FoundUnit found{.name = name};
  Search search{directories_, listed_};
  search.locate(found);
  found.is_built_in = found.state == LoadState::NotFound && unit::find_special_target(found.name.text()) != nullptr;
  if (found.is_built_in) found.state = LoadState::Loaded;
  if (found.state != LoadState::Loaded) return found;

  auto text =
      found.is_built_in ? Result<std::string>{std::string{}} : os::read_file(found.fragment_path, unit::unit_file_bytes_max);
  if (text) {
    found.sources.push_back({.path = found.fragment_path, .text = *std::move(text)});
  } else {
    Search::fail(found, found.fragment_path, text.error().message());
  }
  DropInSearch drop_ins{directories_, listed_, found};
  drop_ins.find(search.names());
  drop_ins.read();
  const std::vector<std::string> linking = link_directories(found.name);
  add_links(linking, listed_, ".wants", "Wants", found);
  add_links(linking, listed_, ".requires", "Requires", found);
  if (found.state != LoadState::Loaded) found.sources.clear();
  return found;
}

// The links that packages bring for special targets are systemd's choice of what a whole machine needs to boot. What an
// administrator enabled stands in /etc.
std::vector<std::string> UnitFiles::link_directories(const UnitName& name) const {
  std::vector<std::string> directories = directories_;
  if (unit::find_special_target(name.text()) == nullptr) return directories;
  if (links_ == Links::None) return {};
  std::erase_if(directories, [&](const std::string& directory) {
    return std::any_of(vendor_directories_.begin(), vendor_directories_.end(),
                       [&](const std::string& vendor) { return simplified(vendor) == simplified(directory); });
  });
  return directories;
}

UnitName UnitFiles::name_of(const UnitName& name) const {
  FoundUnit found{.name = name};
  Search{directories_, listed_}.locate(found);
  return found.name;
}

Result<FoundUnit> UnitFiles::find_file(const std::string& path) const {
  PERDURE_TRY(const UnitName name, UnitName::parse(last_part(path)));
  PERDURE_TRY(const std::string full, os::absolute_path(path));
  const std::string directory = simplified(os::directory_of(full));
  struct stat status {};
  if (os::sys::lstat(full.c_str(), &status) != 0) {
    const int error = errno;
    const std::string of_template = name.is_instance() ? directory + '/' + name.template_name().text() : full;
    if (os::sys::lstat(of_template.c_str(), &status) != 0) return Error::from_errno(error, "read the unit file", path);
  }
  std::vector<std::string> directories{directory.empty() ? "/" : directory};
  for (const std::string& other : directories_)
    if (simplified(other) != directory) directories.push_back(other);
  return UnitFiles{std::move(directories), vendor_directories_}.find(name);
}

Result<FoundUnit> UnitFiles::find_argument(const std::string& word) const {
  if (word.find('/') != std::string::npos) return find_file(word);
  PERDURE_TRY(const UnitName name, UnitName::parse(word));
  return find(name);
}

UnitNames UnitFiles::list() const {
  UnitNames all;
  std::set<std::string> seen;
  std::set<UnitName> names;
  for (const std::string& directory : directories_) {
    const auto entries = names_in(directory);
    if (!entries) {
      all.diagnostics.push_back(warning_about(directory, entries.error().message() + "; it is skipped"));
      continue;
    }
    for (const std::string& text : *entries) {
      const auto name = UnitName::parse(text);
      if (!name || !seen.insert(text).second) continue;
      FoundUnit found{.name = *name};
      Search{directories_, listed_}.locate(found);
      if (found.state == LoadState::Loaded) names.insert(found.name);
      for (Diagnostic& diagnostic : found.diagnostics)
        if (all.diagnostics.size() < config::diagnostics_max) all.diagnostics.push_back(std::move(diagnostic));
    }
  }
  all.names.assign(names.begin(), names.end());
  return all;
}

UnitNames UnitFiles::default_units(const unit::Specifiers& machine, const Reading& reading) const {
  UnitNames all;
  const UnitName default_target = *UnitName::parse("default.target");
  std::vector<FoundUnit> targets{find(default_target)};
  // Nobody wrote it, and nothing adds to it.
  const bool is_empty = targets.front().is_built_in && targets.front().sources.size() == 1;
  if (is_empty && links_ == Links::Enabled) targets.front() = find(*UnitName::parse("multi-user.target"));
  if (targets.front().state != LoadState::Loaded) {
    // Masked, or not to be read: what is to be started is known to nobody, and "everything" is the worst guess.
    all.diagnostics = std::move(targets.front().diagnostics);
    all.diagnostics.push_back(
        warning_about(targets.front().name.text(),
                      "is " + std::string{word_of(targets.front().state)} + "; nothing is started by default"));
    return all;
  }
  if (!is_empty || links_ == Links::Enabled) {
    // Each target is looked at once: they may name one another in a circle.
    std::set<UnitName> seen{default_target, targets.front().name};
    if (links_ == Links::Enabled) all.names.push_back(targets.front().name);
    while (!targets.empty()) {
      const FoundUnit target = std::move(targets.back());
      targets.pop_back();
      std::vector<UnitName> wants;
      reading(target, [&] {
        auto spec = unit::load_unit(target.name, target.sources, machine);
        all.diagnostics.insert(all.diagnostics.end(), spec.diagnostics.begin(), spec.diagnostics.end());
        wants = std::move(spec.value.wants);
        for (auto* names : {&spec.value.requires_, &spec.value.binds_to, &spec.value.upholds})
          wants.insert(wants.end(), names->begin(), names->end());
      });
      for (const UnitName& name : wants) {
        if (!seen.insert(name).second) continue;
        if (name.type() == UnitType::Target) {
          if (FoundUnit next = find(name); next.state == LoadState::Loaded) targets.push_back(std::move(next));
        } else {
          all.names.push_back(name);
        }
      }
    }
    sort_once(all.names);
    return all;
  }

  all = list();
  std::vector<UnitName> installed, services;
  for (const UnitName& name : all.names) {
    if (name.is_template()) continue;
    if (name.type() == UnitType::Service) services.push_back(name);
    const FoundUnit found = find(name);
    bool is_installed = true;
    reading(found, [&] { is_installed = has_install_section(found); });
    if (is_installed) installed.push_back(name);
  }
  all.names = installed.empty() ? std::move(services) : std::move(installed);
  return all;
}

std::vector<std::string> system_unit_path() {
  return {"/etc/perdure/system",           "/etc/systemd/system",     "/run/systemd/system",
          "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"};
}

std::vector<std::string> vendor_directories() {
  return {"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/user"};
}

std::vector<std::string> user_unit_path(const UserDirectories& user) {
  std::vector<std::string> path;
  const auto add = [&](const std::string& xdg, const std::string& below_home) {
    if (xdg.starts_with('/')) {
      path.push_back(xdg + "/systemd/user");
    } else if (!below_home.empty() && user.home.starts_with('/')) {
      path.push_back(user.home + below_home + "/systemd/user");
    }
  };
  add(user.config_home, "/.config");
  path.emplace_back("/etc/systemd/user");
  add(user.runtime_dir, {});
  add(user.data_home, "/.local/share");
  path.emplace_back("/usr/lib/systemd/user");
  return path;
}

}  // namespace perdure::supervisor
