#include "room.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace daemons_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::read_file;
namespace fs = std::filesystem;

const char* daemon_root() { return std::getenv("PERDURE_DAEMONS"); }

int number(const std::string& text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Where cgroup v2 is mounted with its root, and our own directory below it; empty: nowhere.
std::string own_cgroup() {
  std::string point;
  std::ifstream mounts{"/proc/self/mountinfo"};
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words{line};
    std::string ignored, root, where;
    words >> ignored >> ignored >> ignored >> root >> where;
    if (line.find(" - cgroup2 ") != std::string::npos && root == "/") point = where;
  }
  std::ifstream own{"/proc/self/cgroup"};
  for (std::string line; !point.empty() && std::getline(own, line);) {
    if (line.starts_with("0::/")) return point + (line == "0::/" ? "" : line.substr(3));
  }
  return "";
}

bool remove_cgroup(const std::string& path) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator{path, error}) {
    if (entry.is_directory(error) && !remove_cgroup(entry.path())) return false;
  }
  return ::rmdir(path.c_str()) == 0 || !fs::exists(path);
}

}  // namespace

Cgroup::Cgroup() {
  static int count = 0;
  const std::string own = own_cgroup();
  if (own.empty()) return;
  const std::string path = own + "/perdure-daemons-" + std::to_string(::getpid()) + '-' + std::to_string(++count);
  std::error_code error;
  if (fs::create_directory(path, error) && !error) path_ = path;
}

Cgroup::~Cgroup() { static_cast<void>(remove()); }

bool Cgroup::remove() const {
  return path_.empty() || eventually([&] { return remove_cgroup(path_); }, std::chrono::seconds{5});
}

std::string why_no_room() {
  if (daemon_root() == nullptr) return "real daemons are run by ./dev test --daemons";
  if (::geteuid() != 0) return "making a room (mounts, namespaces) needs root";
  const auto tried = perdure::testing::run({"/usr/bin/unshare", "--mount", "--pid", "--net", "--fork", "/bin/true"});
  return tried.status.success() ? "" : "namespaces cannot be made here: " + tried.output;
}

Room::Room(std::vector<std::string> units, RoomOptions options) {
  if (!fs::exists(std::string{daemon_root()} + "/etc/passwd"))
    throw std::runtime_error{"there are no daemons in PERDURE_DAEMONS=" + std::string{daemon_root()} +
                             "; run tests/daemons/root"};
  std::vector<std::string> words{
      ROOM_PROGRAM,     scratch_.path(), cgroup_.path().empty() ? "-" : cgroup_.path(),
      PERDURE_PROGRAMS, daemon_root(),   options.process_1 == Process1::Perdure ? "init" : "shell"};
  words.insert(words.end(), units.begin(), units.end());
  process_ = std::make_unique<perdure::testing::Process>(
      std::move(words), perdure::testing::ProcessOptions{.env = {{"ROOM_SETUP", options.setup}}});
  const std::string children =
      "/proc/" + std::to_string(process_->pid()) + "/task/" + std::to_string(process_->pid()) + "/children";
  const bool answers = eventually([&] {
    if (process_->poll()) return true;
    if (process_1_ <= 0) process_1_ = number(read_file(children).value_or(""));
    return process_1_ > 0 && shell("perdure show -p KeeperPID").status.success();
  });
  if (!answers || process_->poll()) throw std::runtime_error{"the room does not come up: " + process_->output()};
}

Room::~Room() = default;  // process 1 goes with its parent, and everything inside with it

perdure::testing::Finished Room::inside(std::vector<std::string> words) {
  std::vector<std::string> all{"/usr/bin/nsenter",
                               "--target=" + std::to_string(process_1_),
                               "--mount",
                               "--pid",
                               "--net",
                               "--uts",
                               "--ipc",
                               "/usr/bin/env",
                               "-i",
                               "ROOM_COMMAND=yes",
                               "PATH=/opt/perdure:/usr/sbin:/usr/bin:/sbin:/bin"};
  all.insert(all.end(), words.begin(), words.end());
  return perdure::testing::run(std::move(all));
}

perdure::testing::Finished Room::shell(const std::string& command) { return inside({"bash", "-c", command}); }

bool Room::answers(std::string_view question, std::string* said) {
  return eventually([&] {
    auto reply = inside({"timeout", "3", "bash", "-c", std::string{question}});
    if (said != nullptr) *said = std::move(reply.output);
    return reply.status.success();
  });
}

State Room::show(const std::string& unit) {
  const auto shown = shell("perdure show -a -p ActiveState,SubState,Result,MainPID,NRestarts " + unit);
  std::map<std::string, std::string> properties;
  std::istringstream lines{shown.output};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find('=');
    if (end != std::string::npos) properties[line.substr(0, end)] = line.substr(end + 1);
  }
  return {.active = properties["ActiveState"],
          .sub = properties["SubState"],
          .result = properties["Result"],
          .main_pid = number(properties["MainPID"]),
          .restarts = number(properties["NRestarts"])};
}

State Room::wait_for(const std::string& unit, const std::function<bool(const State&)>& is_right) {
  State seen;
  static_cast<void>(eventually([&] { return is_right(seen = show(unit)); }));
  return seen;
}

std::string Room::user_of(int pid) {
  std::string user = shell("stat -c %U /proc/" + std::to_string(pid)).output;
  return user.substr(0, user.find('\n'));
}

void Room::end_by_force(int pid) {
  if (pid <= 1) throw std::invalid_argument{"process " + std::to_string(pid) + " is not to be killed"};
  shell("kill -KILL " + std::to_string(pid));
}

std::string Room::others() {
  return shell(R"sh(
    for process in /proc/[0-9]*; do
      pid=${process#/proc/}
      command=$(tr '\0' ' ' <$process/cmdline 2>/dev/null) || continue
      [ -n "$command" ] && [ $pid != $$ ] || continue
      [[ $(readlink $process/exe) == /opt/perdure/* ]] && continue
      [ $pid = 1 ] && continue
      tr '\0' '\n' <$process/environ 2>/dev/null | grep -q '^ROOM_' && continue
      echo "$pid $command"
    done)sh")
      .output;
}

std::string Room::cgroups_in_use() {
  if (cgroup_.path().empty()) return "";
  return shell(R"sh(
    find /sys/fs/cgroup -mindepth 2 -name cgroup.procs ! -path '*/supervisor.*' |
      while read -r file; do [ -z "$(cat $file)" ] || echo $file; done)sh")
      .output;
}

perdure::ExitStatus Room::end() {
  shell("perdure exit");  // it goes with process 1, so how it ends says nothing
  return process_->wait();
}

std::string Room::leftovers() { return cgroup_.remove() ? "" : cgroup_.path(); }

}  // namespace daemons_test
