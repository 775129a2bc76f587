// Do we read the unit files that people really have, and do we read in them what systemd 252 reads?
//
// The files and systemd's own dump of them (`systemd --test`) are not part of this project: without them the tests are skipped.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "perdure/testing/process.hpp"
#include "unit/dump_words_testing.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::unit {
namespace {

namespace fs = std::filesystem;
using perdure::testing::TempDir;
using testing::absent;
using testing::command_line;
using testing::conditions;
using testing::lists;
using testing::properties;
using testing::sorted_words;

// The recording was made for instances of this name.
constexpr std::string_view instance = "a-b";

std::string read_text(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// The archive's files below `directory`; false where there is no archive.
bool unpack(const std::string& archive, const std::string& directory) {
  if (!fs::exists(archive)) return false;
  const auto tar = perdure::testing::run({"tar", "-I", "zstd", "-xf", archive, "-C", directory});
  EXPECT_TRUE(tar.status.success()) << tar.output;
  return tar.status.success();
}

const Specifiers machine{
    .architecture = "x86-64",
    .boot_id = std::string(32, 'b'),
    .cache_directory = "/var/cache",
    .configuration_directory = "/etc",
    .group_name = "root",
    .gid = "0",
    .home = "/root",
    .hostname = "vm",  // this, the machine id and the kernel are those of the machine where systemd was recorded
    .short_hostname = "vm",
    .log_directory = "/var/log",
    .machine_id = "3d1219c7c4c5404aaa1f6d2a48adfda4",
    .os_id = "debian",
    .shell = "/bin/sh",
    .state_directory = "/var/lib",
    .runtime_directory = "/run",
    .temporary_directory = "/tmp",
    .user_name = "root",
    .uid = "0",
    .kernel_release = "6.18.44-fc-v657",
    .large_temporary_directory = "/var/tmp",
    .os_version_id = "12",
};

config::Parsed<UnitSpec> load(const fs::path& path) {
  UnitName name = UnitName::parse(path.filename().string()).value();
  if (name.is_template()) name = name.with_instance(instance).value();
  std::vector<UnitSource> sources{{.path = path.string(), .text = read_text(path)}};
  std::vector<fs::path> drop_ins;
  if (const fs::path directory = path.string() + ".d"; fs::is_directory(directory))
    for (const auto& entry : fs::directory_iterator{directory})
      if (entry.path().extension() == ".conf") drop_ins.push_back(entry.path());
  std::sort(drop_ins.begin(), drop_ins.end());
  for (const fs::path& drop_in : drop_ins) sources.push_back({.path = drop_in.string(), .text = read_text(drop_in)});
  return load_unit(name, sources, machine);
}

// Regular files below `root` whose names are those of units.
std::vector<fs::path> unit_files(const std::string& root) {
  std::vector<fs::path> all;
  for (const auto& entry : fs::recursive_directory_iterator{root})
    if (entry.is_regular_file() && !entry.is_symlink() && UnitName::parse(entry.path().filename().string()))
      all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  return all;
}

TEST(Corpus, EveryUnitFileOfDebian12IsReadAndEveryRefusalHasAReason) {
  const TempDir directory;
  if (!unpack(PERDURE_UNIT_CORPUS, directory.path())) GTEST_SKIP() << "the unit files are not beside this source tree";
  std::map<std::string, int> outcomes;
  std::map<Outcome, int> uses;
  int services = 0;
  for (const fs::path& path : unit_files(directory.path())) {
    const auto loaded = load(path);
    const UnitName& name = loaded.value.name;
    for (const Diagnostic& d : loaded.diagnostics) {
      EXPECT_THAT(d.message, ::testing::Not(::testing::HasSubstr("nothing of this file is used"))) << d.text();
      EXPECT_EQ(base::escape(d.text()), d.text());
    }
    ++outcomes[std::string{suffix_of(name.type())} + (loaded.value.is_startable ? ": starts" : ": refused")];
    if (name.type() != UnitType::Service) continue;
    ++services;
    for (const DirectiveUse& use : loaded.value.directives) ++uses[use.outcome];
  }
  EXPECT_GT(services, 800);
  for (const auto& [outcome, count] : outcomes) std::cout << "  " << outcome << ' ' << count << '\n';
  for (const auto& [outcome, count] : uses) std::cout << "  directives " << text_of(outcome) << ": " << count << '\n';
}

// ---- the same as systemd -----------------------------------------------------------------------------------------------------

/// A unit in the dump: its lines "Key: value" and, by "ExecStart" and so on, the commands.
struct Recorded {
  std::multimap<std::string, std::string> lines{};
  std::map<std::string, std::vector<std::string>> commands{};
};

std::map<std::string, Recorded> read_dump(const fs::path& path) {
  std::map<std::string, Recorded> units;
  Recorded* unit = nullptr;
  std::string block;
  std::ifstream in{path};
  for (std::string line; std::getline(in, line);) {
    std::string_view text = base::trim(line);
    if (base::remove_prefix(text, "-> Unit ")) {
      unit = &units[std::string{text.substr(0, text.rfind(':'))}];
      block.clear();
    } else if (base::remove_prefix(text, "-> ")) {
      block = text;
    } else if (unit != nullptr && block.starts_with("Exec") && base::remove_prefix(text, "Command Line: ")) {
      unit->commands[block.substr(0, block.size() - 1)].emplace_back(text);
    } else if (unit != nullptr && !line.starts_with("\t\t\t")) {
      const std::size_t colon = text.find(':');
      if (colon != std::string_view::npos) unit->lines.emplace(text.substr(0, colon), base::trim(text.substr(colon + 1)));
    }
  }
  return units;
}

std::string sorted(std::vector<std::string> all) {
  std::sort(all.begin(), all.end());
  return ::testing::PrintToString(all);
}

std::vector<std::string> conditions(const Recorded& recorded) {
  std::vector<std::string> all;
  for (const auto& [key, value] : recorded.lines)
    if (key.starts_with("Condition") || key.starts_with("Assert"))
      all.push_back(key + ": " + value.substr(0, value.rfind(' ')));  // "untested"
  return all;
}

struct DependencyList {
  std::string key;
  std::vector<UnitName> UnitSpec::*ours;
};
const DependencyList dependency_lists[] = {
    {"Requires", &UnitSpec::requires_},
    {"Requisite", &UnitSpec::requisite},
    {"Wants", &UnitSpec::wants},
    {"BindsTo", &UnitSpec::binds_to},
    {"PartOf", &UnitSpec::part_of},
    {"Upholds", &UnitSpec::upholds},
    {"Conflicts", &UnitSpec::conflicts},
    {"Before", &UnitSpec::before},
    {"After", &UnitSpec::after},
    {"OnFailure", &UnitSpec::on_failure},
    {"OnSuccess", &UnitSpec::on_success},
    {"PropagatesReloadTo", &UnitSpec::propagates_reload_to},
    {"ReloadPropagatedFrom", &UnitSpec::reload_propagated_from},
};

const std::pair<std::string, std::vector<ExecCommand> ServiceSpec::*> command_lists[] = {
    {"ExecCondition", &ServiceSpec::exec_condition}, {"ExecStartPre", &ServiceSpec::exec_start_pre},
    {"ExecStart", &ServiceSpec::exec_start},         {"ExecStartPost", &ServiceSpec::exec_start_post},
    {"ExecReload", &ServiceSpec::exec_reload},       {"ExecStop", &ServiceSpec::exec_stop},
    {"ExecStopPost", &ServiceSpec::exec_stop_post},
};

// ---- the differences that have a reason -----------------------------------------------------------------------------------

bool has(const UnitSpec& unit, std::string_view directive) {
  return std::any_of(unit.directives.begin(), unit.directives.end(),
                     [&](const DirectiveUse& use) { return use.name == directive; });
}

bool is_refused_or_emulated(const UnitSpec& unit, std::string_view directive) {
  return std::any_of(unit.directives.begin(), unit.directives.end(), [&](const DirectiveUse& use) {
    return use.name == directive && (use.outcome == Outcome::NotYet || use.outcome == Outcome::Emulated);
  });
}

// Values that are meant to be others, each with its reason.
bool is_explained(const UnitSpec& unit, const std::string& key, const std::string& ours) {
  // DynamicUser= is refused; systemd makes the user's name from the unit's.
  if ((key == "User" || key == "Group") && ours == absent && has(unit, "DynamicUser")) return true;
  // Where a stream is a terminal, a socket or the console, the unit is refused or the log is given instead, and that is said.
  for (const char* stream : {"StandardInput", "StandardOutput", "StandardError"})
    if (key.starts_with("Standard") && is_refused_or_emulated(unit, stream)) return true;
  // These take capabilities away, and are not carried out yet.
  for (const char* sandbox : {"PrivateDevices", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock"})
    if (key == "CapabilityBoundingSet" && has(unit, sandbox)) return true;
  return false;
}

// Units that systemd adds by itself because of what it is: slices, its journal, mounts and what comes before they are there,
// the bus, its own sockets. Here nobody has to wait for them.
bool is_systemd_s_own(std::string_view name) {
  static constexpr std::string_view names[] = {
      "systemd-journald.socket",       "systemd-remount-fs.service",      "systemd-tmpfiles-setup.service", "dbus.socket",
      "systemd-journald-audit.socket", "systemd-journald-dev-log.socket", "systemd-journald@a-b.socket"};
  return name.ends_with(".slice") || name.ends_with(".mount") ||
         std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// What a generator, a program of the package, adds to the unit where it is installed.
bool is_generated(const UnitSpec& unit, std::string_view name) {
  return unit.name.text() == "postgresql.service" && name == "postgresql@15-main.service";
}

// Names that are links to others in the package's own directory or on the machine of the recording: systemd resolves them when
// it loads, we when the unit is found.
std::string resolved_alias(const std::string& name) {
  static const std::map<std::string, std::string> aliases{
      {"default.target", "graphical.target"},    {"runlevel1.target", "rescue.target"},
      {"runlevel2.target", "multi-user.target"}, {"runlevel3.target", "multi-user.target"},
      {"runlevel4.target", "multi-user.target"}, {"runlevel5.target", "graphical.target"}};
  const auto alias = aliases.find(name);
  return alias == aliases.end() ? name : alias->second;
}

// The name in "a.service (origin-file)", where the unit itself is the reason: not another unit's file.
std::optional<std::string> own_dependency(std::string_view value) {
  const std::size_t space = std::min(value.find(' '), value.size());
  const std::string_view name = value.substr(0, space), why = value.substr(space);
  if (why.find("origin-file") == std::string_view::npos && why.find("origin-default") == std::string_view::npos)
    return std::nullopt;
  return std::string{name};
}

bool is_one_of(const std::vector<UnitName>& names, const UnitName& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Differ>
void compare_dependencies(const UnitSpec& unit, const Recorded& theirs, const Differ& differ) {
  for (const DependencyList& list : dependency_lists) {
    std::set<std::string> ours, expected;
    const auto [first, last] = theirs.lines.equal_range(list.key);
    for (auto line = first; line != last; ++line)
      if (const auto name = own_dependency(line->second); name && !is_systemd_s_own(*name) && !is_generated(unit, *name))
        expected.insert(*name);
    // The links in NAME.wants, which are no part of the file, brought more to the targets of the recording.
    const bool has_links = unit.name.type() == UnitType::Target && (list.key == "Wants" || list.key == "After");
    for (const UnitName& name : unit.*list.ours) {
      const std::string resolved = resolved_alias(name.text());
      // A target comes after what it pulls in as far as that is loaded, which in the recording not everything was.
      const bool may_be_missing = list.ours == &UnitSpec::after && is_one_of(unit.default_after, name);
      if (!is_systemd_s_own(resolved) && !(may_be_missing && !expected.contains(resolved))) ours.insert(resolved);
    }
    if (has_links) std::erase_if(expected, [&](const std::string& name) { return !ours.contains(name); });
    differ(list.key, ::testing::PrintToString(ours), ::testing::PrintToString(expected));
  }
}

TEST(Corpus, IsReadAsSystemd252ReadsIt) {
  const TempDir units, dumps;
  if (!unpack(PERDURE_UNIT_CORPUS, units.path()) || !unpack(PERDURE_SYSTEMD_DUMP, dumps.path()))
    GTEST_SKIP() << "the unit files and systemd's dump of them are not beside this source tree";
  int compared = 0, services = 0, values = 0;
  std::vector<std::string> differences;
  for (const fs::path& path : unit_files(units.path())) {
    if ((path.extension() != ".service" && path.extension() != ".target") || path.parent_path().filename() != "system")
      continue;
    const std::string package = path.parent_path().parent_path().filename();
    const auto loaded = load(path);
    const UnitSpec& unit = loaded.value;
    const auto dump = read_dump(dumps.path() + "/open/" + package + ".txt");
    const auto recorded = dump.find(unit.name.text());
    if (recorded == dump.end()) continue;
    const Recorded& theirs = recorded->second;
    const auto state = theirs.lines.find("Unit Load State");
    if (state == theirs.lines.end() || state->second != "loaded") continue;
    ++compared;

    const auto differ = [&](const std::string& what, const std::string& ours, const std::string& expected) {
      ++values;
      if (ours != expected)
        differences.push_back(package + '/' + unit.name.text() + ' ' + what + "\n    ours:    " + ours +
                              "\n    systemd: " + expected);
    };
    compare_dependencies(unit, theirs, differ);
    differ("conditions", sorted(conditions(unit)), sorted(conditions(theirs)));
    if (unit.name.type() == UnitType::Target) continue;
    ++services;
    for (const auto& [key, list] : command_lists) {
      std::vector<std::string> commands;
      for (const ExecCommand& command : unit.service.*list) commands.push_back(command_line(command));
      const auto found = theirs.commands.find(key);
      differ(key, ::testing::PrintToString(commands),
             ::testing::PrintToString(found == theirs.commands.end() ? std::vector<std::string>{} : found->second));
    }
    for (const auto& [key, value] : properties(unit)) {
      const auto line = theirs.lines.find(key);
      std::string expected = line == theirs.lines.end() ? absent : line->second;
      if (key == "SystemCallFilter") expected = sorted_words(expected);
      if (value != expected && is_explained(unit, key, value)) continue;
      differ(key, value, expected);
    }
    for (const auto& [key, entries] : lists(unit)) {
      std::vector<std::string> expected;
      const auto [first, last] = theirs.lines.equal_range(key);
      for (auto line = first; line != last; ++line) expected.push_back(line->second);
      differ(key, sorted(entries), sorted(expected));
    }
  }
  std::cout << "  " << compared << " units, " << services << " services among them, " << values << " values, "
            << differences.size() << " differ\n";
  EXPECT_GT(services, 700);
  for (const std::string& difference : differences) ADD_FAILURE() << difference;
}

}  // namespace
}  // namespace perdure::unit
