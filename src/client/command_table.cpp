#include "client/command_table.hpp"

#include <array>

namespace perdure::client {
namespace {

constexpr std::uint8_t in_both_ctls = in_systemctl | in_journalctl, in_all = in_perdure | in_both_ctls,
                       in_perdure_and_systemctl = in_perdure | in_systemctl,
                       in_perdure_and_journalctl = in_perdure | in_journalctl;

constexpr std::array verbs{
    VerbRow{"run", Verb::Run, "[UNIT…|FILE…|DIRECTORY…] | -- COMMAND…",
            "run units, or one command, in the foreground; starts the instance that the other verbs talk to", in_perdure},
    VerbRow{"start", Verb::Start, "UNIT…", "start units, and wait until they have started"},
    VerbRow{"stop", Verb::Stop, "UNIT…", "stop units, and wait until nothing of them runs"},
    VerbRow{"restart", Verb::Restart, "UNIT…", "stop units if they run, then start them"},
    VerbRow{"try-restart", Verb::TryRestart, "UNIT…", "restart units that run; leave the others alone"},
    VerbRow{"reload", Verb::Reload, "UNIT…", "let units read their settings again, as they say how"},
    VerbRow{"reload-or-restart", Verb::ReloadOrRestart, "UNIT…", "reload units that can do so, restart the others"},
    VerbRow{"kill", Verb::Kill, "UNIT…", "send a signal to the processes of units"},
    VerbRow{"status", Verb::Status, "[UNIT…]", "tell of units, with the end of their logs; without a unit: of the instance"},
    VerbRow{"show", Verb::Show, "[UNIT…]", "print properties, one NAME=VALUE per line; without a unit: the instance's"},
    VerbRow{"cat", Verb::Cat, "UNIT…", "print the files that make up units"},
    VerbRow{"is-active", Verb::IsActive, "UNIT…", "print the state; exit 0 if one of the units is active, else 3"},
    VerbRow{"is-failed", Verb::IsFailed, "UNIT…", "print the state; exit 0 if one of the units has failed, else 1"},
    VerbRow{"is-system-running", Verb::IsSystemRunning, "", "print the instance's state; exit 0 if it is running, else 1"},
    VerbRow{"list-units", Verb::ListUnits, "[PATTERN…]",
            "list units that are active, failed or changing; all of them with --all"},
    VerbRow{"list-dependencies", Verb::ListDependencies, "[UNIT…]", "print what units want, as a tree"},
    VerbRow{"list-jobs", Verb::ListJobs, "", "list what is being started, stopped or reloaded, and what waits for it"},
    VerbRow{"cancel", Verb::Cancel, "[JOB…]", "cancel jobs; without a number: all"},
    VerbRow{"reset-failed", Verb::ResetFailed, "[UNIT…]",
            "forget the failure of units, and their start limit; without a unit: of all"},
    VerbRow{"daemon-reload", Verb::DaemonReload, "", "read all unit files again"},
    VerbRow{"show-environment", Verb::ShowEnvironment, "", "print the variables that every service gets"},
    VerbRow{"verify", Verb::Verify, "UNIT…|FILE…", "say what is wrong with unit files; exit 1 if a unit could not start",
            in_perdure},
    VerbRow{"logs", Verb::Logs, "[UNIT…]", "print what units have written; it works without the instance, too", in_perdure},
    VerbRow{"import", Verb::Import, "supervisord FILE", "write unit files for the programs of a supervisord.conf",
            in_perdure},
    VerbRow{"exit", Verb::Exit, "[CODE]", "stop everything in order, and the instance"},
    VerbRow{"version", Verb::Version, "", "print the version", in_perdure},
    VerbRow{"help", Verb::Help, "[VERB]", "print this, or about one verb"},
};

constexpr std::array options{
    OptionRow{"runtime-dir", runtime_dir_option, "DIR", "where the instance's socket and lock are", in_all},
    OptionRow{"state-dir", state_dir_option, "DIR", "where it keeps what must outlive it"},
    OptionRow{"log-dir", log_dir_option, "DIR", "where units' output is kept", in_all},
    OptionRow{"system", system_option, nullptr, "the instance of root", in_all},
    OptionRow{"user", user_option, nullptr, "the instance of this user, who is not root", in_all},
    OptionRow{"unit-path", unit_path_option, "DIR", "run: look for unit files here, and nowhere else (repeatable)"},
    OptionRow{"cgroup-root", cgroup_root_option, "DIR", "run: make cgroups below this one"},
    OptionRow{"target", target_option, "NAME", "run: start NAME.target and what it wants"},
    OptionRow{"console", console_option, "WHICH", "run: services' output on ours, too: prefix, json or off"},
    OptionRow{"syslog", syslog_option, "WHERE", "run: where services' syslog(3) is heard: auto, off or a path"},
    OptionRow{"pass-env", pass_env_option, "GLOB", "run: services get our variables; only those of such names (repeatable)",
              in_perdure, 0, true},
    OptionRow{"isolation", isolation_option, "HOW", "run: as-systemd or strict: whether sandboxing may be incomplete"},
    OptionRow{"no-block", no_block_option, nullptr, "start, stop, restart, reload, exit: do not wait",
              in_perdure_and_systemctl},
    OptionRow{"job-mode", job_mode_option, "MODE", "accepted if it is \"replace\", which is what happens", in_systemctl},
    OptionRow{"signal", signal_option, "SIGNAL", "kill: this one instead of SIGTERM", in_perdure_and_systemctl},
    OptionRow{"kill-whom", kill_whom_option, "WHOM", "kill: main, control or all (the default)", in_perdure_and_systemctl},
    OptionRow{"kill-who", kill_whom_option, "WHOM", "the same", in_systemctl},
    OptionRow{"property", property_option, "NAME[,NAME…]", "show: only these", in_perdure_and_systemctl},
    OptionRow{nullptr, property_value_option, "NAME[,NAME…]", "show: only these, without NAME=", in_systemctl},
    OptionRow{"value", value_option, nullptr, "show: without NAME=", in_perdure_and_systemctl},
    OptionRow{"all", all_option, nullptr,
              "list-units, list-dependencies: inactive ones, whole trees, too; show: empty properties, too",
              in_perdure_and_systemctl},
    OptionRow{"failed", failed_option, nullptr, "list-units: as --state=failed", in_perdure_and_systemctl},
    OptionRow{"state", state_option, "STATE[,STATE…]", "list-units: only units in one of these load, active or sub states",
              in_perdure_and_systemctl},
    OptionRow{"type", type_option, "TYPE[,TYPE…]", "list-units: only of these types: service, target, …",
              in_perdure_and_systemctl},
    OptionRow{"plain", plain_option, nullptr, "list-units, list-dependencies: without marks", in_perdure_and_systemctl},
    OptionRow{"no-legend", no_legend_option, nullptr, "list-units, list-jobs: without header and summary",
              in_perdure_and_systemctl},
    OptionRow{"json", json_option, nullptr, "print JSON on one line"},
    OptionRow{"quiet", quiet_option, nullptr, "is-active, is-failed, …: print nothing; logs: no \"-- No entries --\"",
              in_all},
    OptionRow{"unit", unit_option, "UNIT", "logs: of this unit, or of those of such names (repeatable)",
              in_perdure_and_journalctl},
    OptionRow{"identifier", type_option, "NAME", "logs: only lines of this identifier (repeatable)",
              in_perdure_and_journalctl},
    OptionRow{"priority", property_option, "PRIORITY", "logs: only lines as urgent as this, or FROM..TO",
              in_perdure_and_journalctl},
    OptionRow{"since", since_option, "TIME", "logs: from then on", in_perdure_and_journalctl},
    OptionRow{"until", until_option, "TIME", "logs: until then", in_perdure_and_journalctl},
    OptionRow{"boot", boot_option, nullptr, "logs: since the machine was started", in_perdure_and_journalctl, 0, true},
    OptionRow{"lines", lines_option, "N", "status, logs: so many lines from the end (\"all\": all)",
              in_perdure_and_systemctl},
    OptionRow{"lines", lines_option, "N", "so many lines from the end (\"all\": all); 10 without a number", in_journalctl, 0,
              true},
    OptionRow{"no-tail", no_tail_option, nullptr, "with -f: all lines first", in_perdure_and_journalctl},
    OptionRow{"pager-end", pager_end_option, nullptr, "as -n 1000", in_journalctl},
    OptionRow{"follow", follow_option, nullptr, "logs: go on with what comes", in_perdure_and_journalctl},
    OptionRow{"reverse", reverse_option, nullptr, "logs: the newest line first; list-dependencies: who wants the unit",
              in_perdure_and_journalctl},
    OptionRow{"reverse", reverse_tree_option, nullptr, "list-dependencies: who wants the unit", in_systemctl},
    OptionRow{"output", output_option, "FORMAT",
              "logs, status: short, short-iso, short-precise, short-unix, cat, json, export; elsewhere json is --json",
              in_all},
    OptionRow{"utc", utc_option, nullptr, "times in UTC", in_all},
    OptionRow{"no-hostname", no_hostname_option, nullptr, "logs: without the machine's name", in_perdure_and_journalctl},
    OptionRow{"force", force_option, nullptr, "import: replace files that are there"},
    OptionRow{"force", harmless_option, nullptr, "accepted, and without effect", in_systemctl, 'f'},
    OptionRow{"now", harmless_option, nullptr, "accepted, and without effect", in_systemctl},
    OptionRow{"recursive", harmless_option, nullptr, "accepted, and without effect", in_systemctl, 'r'},
    OptionRow{"show-transaction", harmless_option, nullptr, "accepted, and without effect", in_systemctl, 'T'},
    OptionRow{"no-ask-password", harmless_option, nullptr, "accepted, and without effect", in_systemctl},
    OptionRow{"no-wall", harmless_option, nullptr, "accepted, and without effect", in_systemctl},
    OptionRow{"all", harmless_option, nullptr, "accepted, and without effect", in_journalctl, 'a'},
    OptionRow{"catalog", harmless_option, nullptr, "accepted, and without effect", in_journalctl, 'x'},
    OptionRow{"merge", harmless_option, nullptr, "accepted, and without effect", in_journalctl, 'm'},
    OptionRow{"full", harmless_option, nullptr, "accepted, and without effect", in_all, 'l'},
    OptionRow{"no-pager", harmless_option, nullptr, "accepted, and without effect: there is no pager", in_all},
    OptionRow{"help", help_option, nullptr, "print this", in_all},
    OptionRow{"version", version_option, nullptr, "print the version", in_all},
};

}  // namespace

std::uint8_t bit_of(CommandLine line) noexcept {
  switch (line) {
    case CommandLine::Perdure: break;
    case CommandLine::Systemctl: return in_systemctl;
    case CommandLine::Journalctl: return in_journalctl;
  }
  return in_perdure;
}

std::string_view name_of(CommandLine line) noexcept {
  switch (line) {
    case CommandLine::Perdure: break;
    case CommandLine::Systemctl: return "systemctl";
    case CommandLine::Journalctl: return "journalctl";
  }
  return "perdure";
}

std::span<const VerbRow> verb_rows() noexcept { return verbs; }
std::span<const OptionRow> option_rows() noexcept { return options; }

char letter_of(const OptionRow& row) noexcept {
  constexpr int letters_end = 256;
  return row.letter != 0 ? row.letter : row.value < letters_end ? static_cast<char>(row.value) : '\0';
}

}  // namespace perdure::client
