// perdure as a contender: its units, its directories, its cgroups, and a connection to its control socket.
//
// Only what every user has is used: the command line, unit files and the control socket. A build without the command leaves
// perdure out of the tables (PERDURE_COMMAND in the environment names another one), so that the others can be measured without it.
// Cgroups are made below one directory of this run, which supervised() removes whatever happened.
// One thread. What cannot go on throws std::runtime_error.
//
//     bench::PerdureUnits units{fleet};
//     bench::Running running{units.contender(), fleet};
//     bench::ControlConnection control{units.socket()};
//     control.ask(R"({"verb":"is-active","units":["s0000.service"]})");
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fleet.hpp"

namespace bench {

// ---- cgroups -----------------------------------------------------------------------------------------------------------------

/// Our own cgroup in the cgroup v2 hierarchy; empty where there is none.
inline std::string own_cgroup() {
  std::istringstream mounts{read_all("/proc/self/mountinfo")};
  std::string mount;
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream fields{line};
    std::string skipped;
    fields >> skipped >> skipped >> skipped >> skipped >> mount;  // id, parent, device, root, mount point
  }
  std::istringstream memberships{read_all("/proc/self/cgroup")};
  for (std::string line; !mount.empty() && std::getline(memberships, line);) {
    if (line.rfind("0::", 0) == 0) return mount + (line.substr(3) == "/" ? "" : line.substr(3));
  }
  return {};
}

/// Where this run's cgroups are; empty where none can be made.
inline std::string cgroup_root() {
  const std::string own = own_cgroup();
  const std::string root = own + "/" + scratch_prefix + "cgroup";
  if (own.empty() || (::mkdir(root.c_str(), 0755) != 0 && errno != EEXIST)) return {};
  return root;
}

/// Removes this run's cgroups. Requires: their processes have ended.
inline void remove_cgroups() {
  const std::string own = own_cgroup();
  const std::string root = own + "/" + scratch_prefix + "cgroup";
  std::error_code error;
  if (own.empty() || !std::filesystem::exists(root, error)) return;
  std::vector<std::string> all{root};
  for (std::filesystem::recursive_directory_iterator entry{root, error}, end; entry != end; entry.increment(error)) {
    if (entry->is_directory(error)) all.push_back(entry->path());
  }
  std::for_each(all.rbegin(), all.rend(), [](const std::string& leaf) { (void)::rmdir(leaf.c_str()); });
  if (std::filesystem::exists(root, error)) fmt::print(stderr, "cannot remove the cgroup {}: it is in use\n", root);
}

/// guarded(), and the cgroups are removed as well. For main().
template <class Measure>
int supervised(int argc, char** argv, Measure measure) {
  const int code = guarded(argc, argv, measure);
  remove_cgroups();
  return code;
}

// ---- perdure -----------------------------------------------------------------------------------------------------------------

/// The command of this build.
inline std::optional<std::string> perdure_command() {
  const char* const other = std::getenv("PERDURE_COMMAND");
  const std::string command = other != nullptr ? other : sibling("../../apps/perdure");
  if (::access(command.c_str(), X_OK) == 0) return command;
  if (other != nullptr) throw std::runtime_error(fmt::format("PERDURE_COMMAND: {} cannot be executed", command));
  return std::nullopt;
}

/// What a row says instead of figures.
inline constexpr const char* not_built = "NOT MEASURED: perdure is not built";

enum class Tracking { Leaves, None };

/// A fleet's unit files, and the directories of an instance.
class PerdureUnits {
 public:
  explicit PerdureUnits(const Fleet& fleet, Tracking tracking = Tracking::Leaves) : units_(fleet.place("units")) {
    for (std::size_t i = 0; i < fleet.size(); ++i) {
      const std::string name = Fleet::name_of(i) + ".service";
      names_.push_back(name);
      add(name, fmt::format("{} {}", Fleet::program(), fleet.word_of(i)),
          "Restart=always\nRestartSec=0\nStandardOutput=null\n");
    }
    options_ = {"--runtime-dir", fleet.place("run"), "--state-dir", fleet.place("state"), "--log-dir", fleet.place("log")};
    errors_ = fleet.place("errors") + "/perdure";
    // Below a directory that does not exist no cgroup can be made, and perdure tracks as well as it can without.
    const std::string root = tracking == Tracking::Leaves ? cgroup_root() : fleet.place("no-cgroups") + "/missing";
    if (!root.empty()) cgroups_ = {"--cgroup-root", root};
  }

  /// Writes one more unit.
  void add(const std::string& name, const std::string& command, const std::string& settings) const {
    write_file(units_ + "/" + name,
               fmt::format("[Unit]\nStartLimitIntervalSec=0\n\n[Service]\nExecStart={}\n{}", command, settings));
  }

  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] std::string socket() const { return options_[1] + "/control.sock"; }

  /// `perdure run` of all of the fleet's units, or of others.
  [[nodiscard]] Contender contender() const { return contender(names_); }
  [[nodiscard]] Contender contender(const std::vector<std::string>& names) const {
    std::vector<std::string> words{"run"};
    words.insert(words.end(), options_.begin(), options_.end());
    words.insert(words.end(), {"--unit-path", units_});
    words.insert(words.end(), cgroups_.begin(), cgroups_.end());
    words.insert(words.end(), names.begin(), names.end());
    words.insert(words.begin(), *perdure_command());
    return {
        .name = "perdure", .program = {.command = words, .errors = errors_}, .query = client({"is-active", names.front()})};
  }
  /// A command of the client.
  [[nodiscard]] std::vector<std::string> client(const std::vector<std::string>& verb) const {
    std::vector<std::string> words{*perdure_command()};
    words.insert(words.end(), verb.begin(), verb.end());
    words.insert(words.end(), options_.begin(), options_.end());
    return words;
  }

 private:
  std::string units_;
  std::string errors_;
  std::vector<std::string> names_;
  std::vector<std::string> options_;
  std::vector<std::string> cgroups_;
};

/// One connection to a control socket; requests and answers are lines.
class ControlConnection {
 public:
  explicit ControlConnection(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("the control socket's path is too long: " + path);
    std::copy(path.begin(), path.end(), address.sun_path);
    const timeval limit{.tv_sec = hang_limit_ms / 1'000, .tv_usec = 0};
    if (!socket_ || ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      fail("connect to " + path);
  }
  /// A connection to somebody else, who is there already.
  explicit ControlConnection(perdure::UniqueFd socket) : socket_(std::move(socket)) {}

  /// The answer without its newline; none: the other side is gone.
  [[nodiscard]] std::optional<std::string> try_ask(std::string_view request) {
    std::string line{request};
    line += '\n';
    for (std::size_t sent = 0; sent < line.size();) {
      const ssize_t count = ::send(socket_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return std::nullopt;
      sent += static_cast<std::size_t>(count);
    }
    std::string answer;
    char bytes[65'536];
    while (answer.empty() || answer.back() != '\n') {
      const ssize_t count = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (count < 0 && errno == EAGAIN) throw std::runtime_error("nobody answers at the control socket");
      if (count <= 0) return std::nullopt;
      answer.append(bytes, static_cast<std::size_t>(count));
    }
    answer.pop_back();
    return answer;
  }
  [[nodiscard]] std::string ask(std::string_view request) {
    auto answer = try_ask(request);
    if (!answer) fail("talk to the control socket");
    return *std::move(answer);
  }

 private:
  perdure::UniqueFd socket_;
};

/// {"verb":"is-active","units":[…]}
inline std::string is_active_request(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += fmt::format("{}\"{}\"", text.empty() ? "" : ",", name);
  return R"({"verb":"is-active","units":[)" + text + "]}";
}

/// How many units such an answer calls active: its text has a line for each.
inline std::size_t count_active(std::string_view answer) {
  constexpr std::string_view begin = R"("text":")", newline = "\\n", active = "active";
  const auto at = answer.find(begin);
  if (answer.find(R"("ok":true)") == std::string_view::npos || at == std::string_view::npos) return 0;
  std::string_view text = answer.substr(at + begin.size());
  text = text.substr(0, text.find('"'));
  std::size_t count = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find(newline), text.size());
    count += text.substr(0, end) == active ? 1 : 0;
    text.remove_prefix(std::min(end + newline.size(), text.size()));
  }
  return count;
}

}  // namespace bench
