#include "systemd_room.hpp"

#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace daemons_test {
namespace {

using nlohmann::json;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::Process;
using perdure::testing::read_file;
namespace fs = std::filesystem;

constexpr const char* systemd = "/lib/systemd/systemd";

int number(const std::string& text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string children_of(int pid) {
  return read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children").value_or("");
}

std::string first_line(std::string text) { return text.substr(0, text.find('\n')); }

}  // namespace

std::string why_no_systemd_room() {
  if (std::getenv("PERDURE_DAEMONS") == nullptr) return "the real systemd is run by ./dev test --daemons";
  if (::geteuid() != 0) return "making a room (mounts, namespaces) needs root";
  if (!fs::exists(systemd))
    return std::string{"there is no "} + systemd + ": apt-get install --no-install-recommends systemd";
  const std::string version = first_line(perdure::testing::run({systemd, "--version"}).output);
  if (!version.starts_with("systemd 252 ")) return "the tests are of systemd 252, and this is " + version;
  const perdure::testing::TempDir scratch;
  const auto tried = perdure::testing::run(
      {"/usr/bin/unshare", "--mount", "--pid", "--net", "--cgroup", "--fork", "/bin/sh", "-euc",
       "mount -t tmpfs t $1; mkdir $1/u $1/w $1/m; mount -t overlay -o lowerdir=/,upperdir=$1/u,workdir=$1/w o $1/m", "try",
       scratch.path()});
  return tried.status.success() ? "" : "namespaces or an overlay cannot be made here: " + tried.output;
}

SystemdRoom::SystemdRoom() {
  static int count = 0;
  name_ = "perdure-systemd-" + std::to_string(::getpid()) + '-' + std::to_string(++count);
  process_ =
      std::make_unique<Process>(std::vector<std::string>{SYSTEMD_ROOM_PROGRAM, scratch_.path(), name_, BUILD_DIRECTORY});
  const bool answers = eventually([&] {
    if (process_->poll()) return true;
    const int outer = number(read_file(scratch_ / "outer").value_or(""));
    if (process_1_ <= 0 && outer > 0) process_1_ = number(children_of(outer));
    return process_1_ > 0 && fs::exists(outside("/run/systemd/private")) &&
           fs::exists(outside("/run/systemd/journal/stdout")) && property("room.target", "ActiveState") == "active";
  });
  if (!answers || process_->poll()) throw std::runtime_error{"systemd does not come up: " + process_->output()};
}

SystemdRoom::~SystemdRoom() {
  if (process_) static_cast<void>(end());
}

std::string SystemdRoom::end() {
  process_->close_input();
  process_->wait();
  process_.reset();
  std::string left;
  std::error_code error;
  for (fs::recursive_directory_iterator entry{"/sys/fs/cgroup", error}, last; entry != last; entry.increment(error)) {
    if (entry->path().filename() == name_) left += entry->path().string() + '\n';
  }
  return left;
}

std::vector<std::string> SystemdRoom::inside(const std::string& command) const {
  return {"/usr/bin/nsenter",
          "--target=" + std::to_string(process_1_),
          "--mount",
          "--pid",
          "--net",
          "--uts",
          "--ipc",
          "--cgroup",
          "/usr/bin/env",
          "-i",
          "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
          "SYSTEMD_COLORS=0",
          "bash",
          "-c",
          command};
}

Finished SystemdRoom::shell(const std::string& command) { return perdure::testing::run(inside(command)); }

Process SystemdRoom::start(const std::string& command) { return Process{inside(command)}; }

void SystemdRoom::add_unit(const std::string& name, const std::string& text) {
  const fs::path path = outside("/units/" + name);
  fs::create_directories(path.parent_path());
  perdure::testing::write_file(path, text);
  if (const Finished done = shell("systemctl daemon-reload"); !done.status.success()) throw std::runtime_error{done.output};
}

std::string SystemdRoom::property(const std::string& unit, const std::string& name) {
  return first_line(shell("systemctl show --value -p " + name + ' ' + unit).output);
}

int SystemdRoom::main_pid(const std::string& unit) { return number(property(unit, "MainPID")); }

bool SystemdRoom::wait_for(const std::string& unit, const std::string& name, std::string_view value) {
  return eventually([&] { return property(unit, name) == value; });
}

std::vector<json> SystemdRoom::journal(const std::string& unit) {
  std::vector<json> entries;
  std::istringstream lines{shell("journalctl --sync; journalctl -q -o json -u " + unit).output};
  for (std::string line; std::getline(lines, line);) {
    json entry = json::parse(line, nullptr, false);
    if (entry.is_object()) entries.push_back(std::move(entry));
  }
  return entries;
}

json SystemdRoom::wait_for_entry(const std::string& unit, std::string_view words) {
  json found;
  static_cast<void>(eventually([&] {
    for (json& entry : journal(unit)) {
      if (!entry.contains("MESSAGE") || !entry["MESSAGE"].is_string() ||
          entry["MESSAGE"].get_ref<const std::string&>().find(words) == std::string::npos)
        continue;
      found = std::move(entry);
      return true;
    }
    return false;
  }));
  return found;
}

std::string SystemdRoom::log() { return shell("journalctl --sync; journalctl -q --no-pager -o short-monotonic").output; }

std::string SystemdRoom::outside(const std::string& path) const {
  return "/proc/" + std::to_string(process_1_) + "/root" + path;
}

void SystemdRoom::enter_network() const {
  const perdure::UniqueFd net{::open(("/proc/" + std::to_string(process_1_) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC)};
  if (!net || ::setns(net.get(), CLONE_NEWNET) != 0)
    throw std::system_error{errno, std::generic_category(), "the room's network"};
}

}  // namespace daemons_test
