// Settings: what daemon.conf says, and what it means for the process that serves.
#pragma once

#include "perdure/run.hpp"
#include "perdure/settings.hpp"

struct Settings {
  // The document's four.
  std::uint16_t port = 8080;
  perdure::Level log_level = perdure::Level::Info;
  unsigned max_connections = 100;
  std::string pid_file = "/var/run/mydaemon.pid";

  std::string address = "127.0.0.1";
  unsigned open_files = 4096, workers = 2;
  std::chrono::milliseconds report_every{10'000};
  std::uint16_t upstream_port = 0;
  unsigned upstream_connections = 4;
  std::string user, chroot;
  bool namespaces = false, sandbox = true;
};

inline void describe(perdure::Fields& f, Settings& s) {
  using perdure::Level;
  using namespace std::chrono_literals;
  f("port", s.port).help("0: any free one, which the log tells").flag("--port").restart_only();
  f("log_level", s.log_level,
    {{"DEBUG", Level::Debug}, {"INFO", Level::Info}, {"WARNING", Level::Warning}, {"ERROR", Level::Error}})
      .help("connections at DEBUG, changes and figures at INFO, refused clients at WARNING, failures at ERROR");
  f("max_connections", s.max_connections).range(1, 100'000).help("clients at once").flag("--max-connections");
  f("pid_file", s.pid_file).help("where the pid is; --pid-file comes before it").restart_only();
  f("address", s.address).help("where to listen; 0.0.0.0: everywhere").flag("--address").restart_only();
  f("open_files", s.open_files).range(128, 200'000).help("limit of descriptors").flag("--open-files").restart_only();
  f("workers", s.workers).range(1, 256).help("threads for what takes time").flag("--workers").restart_only();
  f("report_every", s.report_every).range(10ms, 24h).help("time between figures").flag("--report-every");
  f("upstream_port", s.upstream_port).help("for /ask; 0: there is none").flag("--upstream-port").restart_only();
  f("upstream_connections", s.upstream_connections).range(1, 32).help("to it, at once").restart_only();
  f("user", s.user).help("who to become once the port is open; --user comes before it").restart_only();
  f("chroot", s.chroot).help("directory that becomes /").flag("--chroot").restart_only();
  f("namespaces", s.namespaces).help("own mounts, IPC and host name").flag("--namespaces").restart_only();
  f("sandbox", s.sandbox).help("give up what no network server needs").flag("--sandbox").restart_only();
}

/// What no setting alone can be blamed for.
inline perdure::Result<void> check(const Settings& s) {
  constexpr unsigned others = 64;  // descriptors of the daemon itself, and some to spare
  const unsigned needed = s.max_connections + s.upstream_connections + others;
  if (needed <= s.open_files) return {};
  return perdure::Error{
      fmt::format("max_connections: {} need open_files={}, it is {}", s.max_connections, needed, s.open_files)};
}

/// What run() does with them: where it listens, what it logs, who it becomes.
inline void apply(const Settings& s, perdure::Options& options) {
  options.listeners = {{.name = "clients", .address = fmt::format("{}:{}", s.address, s.port)}};
  options.pid_file = s.pid_file;
  options.log.level = s.log_level;
  options.rights = {.user = s.user,
                    .chroot = s.chroot,
                    .sandbox = s.sandbox ? perdure::Sandbox::NetworkServer : perdure::Sandbox::None,
                    .limits = {.open_files = s.open_files, .core_bytes = 0},
                    .namespaces = {.mount = s.namespaces, .ipc = s.namespaces, .host_name = s.namespaces}};
}
