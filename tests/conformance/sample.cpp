#include "sample.hpp"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include <gtest/gtest.h>

namespace conformance {
namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;

// $1: the test's directory. The devices are bound before the directory takes the place of /dev.
constexpr const char* make_private = R"(set -e
dir=$1; shift
for device in null zero random urandom tty; do mount --bind /dev/$device "$dir/dev/$device"; done
mount --rbind "$dir/dev" /dev
mount --bind "$dir/run" /run
mount --bind "$dir/spool" /var/spool
exec "$@")";

std::vector<std::string> unshare_command() {
  return {"unshare", ::geteuid() == 0 ? "--mount" : "--map-root-user", "--mount"};
}

perdure::testing::Finished compile(const std::string& compiler, const std::vector<std::string>& more) {
  std::vector<std::string> command{compiler, "-I", CONFORMANCE_INCLUDE, "-I", CONFORMANCE_INCLUDE "/perdure/compat"};
  command.insert(command.end(), more.begin(), more.end());
  return perdure::testing::run(command, {.env = {{"LC_ALL", "C"}}});
}

std::vector<std::string> libraries() {
  std::vector<std::string> all;
  std::string list = CONFORMANCE_LIBRARIES;
  for (std::size_t bar; (bar = list.find('|')) != std::string::npos; list.erase(0, bar + 1))
    all.push_back(list.substr(0, bar));
  all.push_back(list);
  all.insert(all.end(), {"-Wl,-rpath," CONFORMANCE_LIBRARY_DIR, "-pthread"});
  return all;
}

}  // namespace

Workshop::Workshop() {
  perdure::testing::adopt_orphans();
  for (const char* name : {"dev", "run", "spool"}) std::filesystem::create_directory(dir_ / name);
  for (const char* name : {"null", "zero", "random", "urandom", "tty"})
    perdure::testing::write_file(dir_ / "dev" + "/" + name, "");

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (dir_ / "dev") + "/log";
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("the temporary directory's path is too long");
  std::copy(path.begin(), path.end(), address.sun_path);
  log_socket_ = perdure::UniqueFd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (::bind(log_socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot bind " + path + ": " + std::strerror(errno));
}

std::string Workshop::build(const std::string& name, const std::string& code, const BuildOptions& options) {
  const std::string source = dir_ / (name + ".cpp"), program = dir_ / name;
  perdure::testing::write_file(source, code);
  std::vector<std::string> command{"-std=" + options.standard};
  command.insert(command.end(), options.flags.begin(), options.flags.end());

  if (const std::string other = CONFORMANCE_OTHER_COMPILER; other.find("NOTFOUND") == std::string::npos) {
    auto check = command;
    check.insert(check.end(), {"-fsyntax-only", source});
    const auto finished = compile(other, check);
    if (finished.status != ExitStatus::exited(0)) {
      ADD_FAILURE() << other << " refuses " << name << ":\n" << finished.output;
      return {};
    }
  }
  if (std::strlen(CONFORMANCE_SANITIZE) != 0) command.emplace_back(CONFORMANCE_SANITIZE);
  command.insert(command.end(), {"-g", source, "-o", program});
  const auto linked = libraries();
  command.insert(command.end(), linked.begin(), linked.end());
  command.insert(command.end(), options.libraries.begin(), options.libraries.end());
  const auto finished = compile(CONFORMANCE_COMPILER, command);
  if (finished.status == ExitStatus::exited(0)) return program;
  ADD_FAILURE() << CONFORMANCE_COMPILER << " refuses " << name << ":\n" << finished.output;
  return {};
}

std::optional<std::string> Workshop::refusal(const std::string& code, const BuildOptions& options) {
  perdure::testing::write_file(dir_ / "refused.cpp", code);
  std::vector<std::string> command{"-std=" + options.standard, "-fsyntax-only", dir_ / "refused.cpp"};
  command.insert(command.end(), options.flags.begin(), options.flags.end());
  auto finished = compile(CONFORMANCE_COMPILER, command);
  if (finished.status == ExitStatus::exited(0)) return std::nullopt;
  return finished.output;
}

std::string Workshop::obstacle() {
  auto command = unshare_command();
  command.emplace_back("true");
  const auto finished = perdure::testing::run(command);
  return finished.status == ExitStatus::exited(0) ? "" : "no private mount namespace can be made here: " + finished.output;
}

std::vector<std::string> Workshop::in_private(const std::string& program, const std::vector<std::string>& arguments) const {
  auto command = unshare_command();
  command.insert(command.end(), {"sh", "-c", make_private, "sh", dir_.path(), program});
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

perdure::testing::Finished Workshop::run(const std::string& program, const std::vector<std::string>& arguments) const {
  return perdure::testing::run(in_private(program, arguments));
}

bool Workshop::logged(const std::string& text) {
  return eventually([&] {
    std::array<char, 4096> message{};
    for (ssize_t size; (size = ::recv(log_socket_.get(), message.data(), message.size(), 0)) > 0;)
      log_.append(message.data(), static_cast<std::size_t>(size)).append("\n");
    return log_.find(text) != std::string::npos;
  });
}

std::vector<pid_t> Running::pids() const {
  std::vector<pid_t> found;
  struct stat wanted {};
  if (::stat(program_.c_str(), &wanted) != 0) return found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    struct stat present {};
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    // A path would be told from the other namespace's point of view; device and inode are the same in both.
    if (pid > 0 && ::stat((entry.path() / "exe").c_str(), &present) == 0 && present.st_ino == wanted.st_ino &&
        present.st_dev == wanted.st_dev)
      found.push_back(pid);
  }
  return found;
}

pid_t Running::worker(pid_t other) const {
  pid_t worker = 0;
  static_cast<void>(eventually([&] {
    const auto all = pids();
    for (const pid_t pid : all) {
      const pid_t parent = std::atoi(perdure::testing::proc_status(pid, "PPid").c_str());
      if (pid != other && std::find(all.begin(), all.end(), parent) != all.end()) worker = pid;
    }
    return worker != 0;
  }));
  return worker;
}

bool Running::is_gone() const {
  return eventually([&] { return pids().empty(); });
}

}  // namespace conformance
