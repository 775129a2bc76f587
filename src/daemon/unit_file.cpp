#include "daemon/unit_file.hpp"

#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::daemon {
namespace {

/// A word of a list: `doubled` are the unit file's own, quotes keep blanks (systemd.syntax(7), QUOTING).
std::string word_of_list(std::string_view word, std::string_view doubled) {
  std::string escaped;
  bool needs_quotes = word.empty();
  for (const char c : word) {
    if (doubled.find(c) != std::string_view::npos) escaped += c;
    if (c == '"' || c == '\\') escaped += '\\';
    if (c == ' ' || c == '\t' || c == '\'' || c == '"' || c == ';') needs_quotes = true;
    escaped += c;
  }
  return needs_quotes ? '"' + escaped + '"' : escaped;
}

/// Of ExecStart= (systemd.service(5), COMMAND LINES).
std::string exec_word(std::string_view word) { return word_of_list(word, "%$"); }

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

/// What the init can take away before the daemon does. Not User=: the daemon opens what needs root, and then leaves it by itself.
std::string hardening(const Rights& rights) {
  std::string text;
  const auto limit = [&text](const char* name, const std::optional<std::uint64_t>& value) {
    if (value) text += fmt::format("{}={}\n", name, *value);
  };
  limit("LimitNOFILE", rights.limits.open_files);
  limit("LimitCORE", rights.limits.core_bytes);
  limit("LimitAS", rights.limits.address_space_bytes);
  limit("LimitNPROC", rights.limits.processes);
  if (rights.sandbox == Sandbox::None) return text;
  const Namespaces& n = rights.namespaces;
  const bool makes_namespaces = n.mount || n.network || n.ipc || n.host_name;
  const bool needs_mounts = n.mount || !rights.chroot.empty();  // systemd counts chroot(2) among the mounts
  text += fmt::format("SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap{}\n",
                      needs_mounts ? "" : " @mount");
  text += "SystemCallErrorNumber=EPERM\nSystemCallArchitectures=native\n";
  text += "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n";
  if (!makes_namespaces) text += "RestrictNamespaces=yes\n";
  if (!n.host_name) text += "ProtectHostname=yes\n";
  text += "ProtectClock=yes\nProtectKernelLogs=yes\nRestrictRealtime=yes\nKeyringMode=private\n";
  return text;
}

}  // namespace

std::string unit_file(const Options& options, const CommandLine& line, const Places& places, const std::string& program) {
  std::string command = exec_word(program);
  std::string options_text;
  for (const std::string& option : line.instance_options) options_text += " " + exec_word(option);
  std::string arguments;
  for (const std::string& argument : line.arguments) arguments += " " + exec_word(argument);
  if (!arguments.empty()) arguments = " --" + arguments;

  std::string text = fmt::format("[Unit]\nDescription={}\nAfter=network.target\n\n[Service]\nType=notify\n",
                                 options.description.empty() ? options.name : options.description);
  text += fmt::format("ExecStart={} --foreground{}{}\n", command, options_text, arguments);
  if (options.verbs == Verbs::On) text += fmt::format("ExecReload={} reload{}\n", command, options_text);
  text += "Restart=on-failure\nRestartSec=1\n";
  text += fmt::format("TimeoutStopSec={}\n", std::chrono::ceil<std::chrono::seconds>(options.stop_within).count() + 1);
  if (options.heartbeat.count() > 0) text += fmt::format("WatchdogSec={}ms\n", options.heartbeat.count());

  // No RuntimeDirectory=: the unit's daemon and one that somebody starts by hand must meet at the same lock, or both would run.
  std::set<std::string> writable;
  for (const std::string& path : {places.pid_file, places.control, places.health_file, places.log_file})
    if (!path.empty()) {
      writable.insert(directory_of(path));
      // Where the daemon makes the directory for the user it becomes, it writes above it.
      if (!options.rights.user.empty() && directory_of(path).rfind('/') > 0)
        writable.insert(directory_of(directory_of(path)));
    }
  for (const ListenerOptions& listener : options.listeners) {
    std::string_view path = listener.address;
    base::remove_prefix(path, "unix:");
    if (path.starts_with('/')) writable.insert(directory_of(std::string{path}));
  }
  writable.insert(options.rights.writable.begin(), options.rights.writable.end());
  std::string paths;
  for (const std::string& path : writable) paths += (paths.empty() ? "" : " ") + word_of_list("-" + path, "%");
  if (!paths.empty()) text += fmt::format("ReadWritePaths={}\n", paths);

  text +=
      "NoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=read-only\nPrivateDevices=yes\nProtectKernelTunables=yes\n"
      "ProtectKernelModules=yes\nProtectControlGroups=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes\nUMask=0027\n";
  text += hardening(options.rights);
  text += "\n[Install]\nWantedBy=multi-user.target\n";
  return text;
}

}  // namespace perdure::daemon
