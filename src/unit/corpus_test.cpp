// Do we read the unit files that people really have, and do we read in them what systemd 252 reads?
//
// The files and systemd's own dump of them (`systemd --test`) are not part of this project: without them the tests are skipped.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "perdure/settings.hpp"
#include "perdure/testing/process.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::unit {
namespace {

namespace fs = std::filesystem;

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
  const auto tar = testing::run({"tar", "-I", "zstd", "-xf", archive, "-C", directory});
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
    .hostname = "vm",  // of the machine where systemd was recorded
    .short_hostname = "vm",
    .log_directory = "/var/log",
    .machine_id = std::string(32, 'a'),
    .os_id = "debian",
    .shell = "/bin/sh",
    .state_directory = "/var/lib",
    .runtime_directory = "/run",
    .temporary_directory = "/tmp",
    .user_name = "root",
    .uid = "0",
    .kernel_release = "6.1.0",
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
  const testing::TempDir directory;
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

/// A unit in the dump: its lines "Key: value" and the commands under "-> ExecStart:".
struct Recorded {
  std::multimap<std::string, std::string> lines{};
  std::vector<std::string> exec_start{};
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
    } else if (unit != nullptr && block == "ExecStart:" && base::remove_prefix(text, "Command Line: ")) {
      unit->exec_start.emplace_back(text);
    } else if (unit != nullptr && !line.starts_with("\t\t\t")) {
      const std::size_t colon = text.find(": ");
      if (colon != std::string_view::npos) unit->lines.emplace(text.substr(0, colon), text.substr(colon + 2));
    }
  }
  return units;
}

// How systemd prints an argument in its dump (shell_maybe_quote).
std::string quoted(const std::string& argument) {
  if (!argument.empty() && argument.find_first_of(" \t\n\r\"\\`$*?['()<>|&;!") == std::string::npos) return argument;
  std::string out = "\"";
  for (const char c : argument) {
    if (std::string_view{"\"\\`$"}.find(c) != std::string_view::npos) out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string command_line(const ExecCommand& command) {
  std::string out;
  for (const std::string& argument : command.argv) out += (out.empty() ? "" : " ") + quoted(argument);
  return out;
}

std::string span_text(const std::optional<base::Duration>& span) {
  return !span || *span == span_max ? "infinity" : *span == span->zero() ? "0" : detail::print_duration(*span);
}

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string octal(std::uint32_t mode) {
  std::ostringstream out;
  out << std::oct << mode;
  return std::string(4 - std::min<std::size_t>(out.str().size(), 4), '0') + out.str();
}

// What we would print in the dump's words.
std::map<std::string, std::string> properties(const UnitSpec& unit) {
  const ServiceSpec& s = unit.service;
  std::map<std::string, std::string> all{
      {"Restart", std::string{word_of(s.restart)}},
      {"RestartSec", span_text(s.restart_sec)},
      {"TimeoutStopSec", span_text(s.timeout_stop)},
      {"KillMode", std::string{word_of(s.kill_mode)}},
      {"SendSIGKILL", yes_no(s.send_sigkill)},
      {"IgnoreSIGPIPE", yes_no(s.ignore_sigpipe)},
      {"UMask", octal(s.umask)},
  };
  if (!unit.description.empty()) all["Description"] = unit.description;
  if (s.type == ServiceType::Simple || s.type == ServiceType::Exec) {
    all["Type"] = word_of(s.type);
    all["TimeoutStartSec"] = span_text(s.timeout_start);
  }
  if (!s.user.empty()) all["User"] = s.user;
  if (!s.group.empty()) all["Group"] = s.group;
  if (s.nice) all["Nice"] = std::to_string(*s.nice);
  if (s.oom_score_adjust) all["OOMScoreAdjust"] = std::to_string(*s.oom_score_adjust);
  if (const auto& files = s.limits[static_cast<std::size_t>(Limit::OpenFiles)]; files) {
    all["LimitNOFILE"] = std::to_string(files->hard);
    all["LimitNOFILESoft"] = std::to_string(files->soft);
  }
  if (!s.working_directory.path.empty()) all["WorkingDirectory"] = s.working_directory.path;
  return all;
}

TEST(Corpus, IsReadAsSystemd252ReadsIt) {
  const testing::TempDir units, dumps;
  if (!unpack(PERDURE_UNIT_CORPUS, units.path()) || !unpack(PERDURE_SYSTEMD_DUMP, dumps.path()))
    GTEST_SKIP() << "the unit files and systemd's dump of them are not beside this source tree";
  int compared = 0, values = 0;
  std::vector<std::string> differences;
  for (const fs::path& path : unit_files(units.path())) {
    if (path.extension() != ".service" || path.parent_path().filename() != "system") continue;
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
    std::string commands, expected_commands;
    for (const ExecCommand& command : unit.service.exec_start) commands += command_line(command) + '\n';
    for (const std::string& line : theirs.exec_start) expected_commands += line + '\n';
    differ("ExecStart", commands, expected_commands);
    for (const auto& [key, value] : properties(unit)) {
      const auto line = theirs.lines.find(key);
      differ(key, value, line == theirs.lines.end() ? "(nothing)" : line->second);
    }
    std::vector<std::string> environment;
    const auto [first, last] = theirs.lines.equal_range("Environment");
    for (auto line = first; line != last; ++line) environment.push_back(line->second);
    std::vector<std::string> ours = unit.service.environment;
    std::sort(ours.begin(), ours.end());
    std::sort(environment.begin(), environment.end());
    differ("Environment", ::testing::PrintToString(ours), ::testing::PrintToString(environment));
  }
  std::cout << "  " << compared << " services, " << values << " values, " << differences.size() << " differ\n";
  EXPECT_GT(compared, 700);
  for (const std::string& difference : differences) ADD_FAILURE() << difference;
}

}  // namespace
}  // namespace perdure::unit
