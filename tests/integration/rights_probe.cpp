// A daemon that gives up rights as its settings say, and tries on request what it should no longer be able to do: `try WHAT [ARGUMENT]`
// answers with an errno's name, or "done". FAULT_CALL, FAULT_NTH, FAULT_ERRNO make a system call fail.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <perdure/command.hpp>
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>
#include <perdure/unique_fd.hpp>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <climits>
#include <fmt/core.h>

#include "os/fault_plan.hpp"

namespace {

struct Settings {
  int number = 1;
  std::string sandbox = "None", chroot, writable, hold;
  std::vector<std::string> keep, ambient, namespaces;
  int files = 0, processes = 0, port = 0, dns = 0;
  bool kills = false, hook_fails = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("number", s.number);
  f("sandbox", s.sandbox).flag("--sandbox");
  f("chroot", s.chroot).flag("--chroot");
  f("writable", s.writable).flag("--writable");
  f("hold", s.hold).flag("--hold").help("keep this directory open");
  f("keep", s.keep).flag("--keep");
  f("ambient", s.ambient).flag("--ambient");
  f("namespaces", s.namespaces).flag("--namespace");
  f("files", s.files).flag("--files");
  f("processes", s.processes).flag("--processes");
  f("port", s.port).flag("--port").help("echo on 127.0.0.1");
  f("dns", s.dns).flag("--dns").help("answer every question with 192.0.2.7");
  f("kills", s.kills).flag("--kills");
  f("hook_fails", s.hook_fails).flag("--hook-fails");
}

perdure::UniqueFd echo_listener, dns_socket, held;

perdure::Result<perdure::UniqueFd> bound(int type, int port) {
  perdure::UniqueFd fd{::socket(AF_INET, type | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      (type == SOCK_STREAM && ::listen(fd.get(), 8) != 0))
    return perdure::Error::from_errno(errno, "bind", fmt::format("127.0.0.1:{}", port));
  return fd;
}

/// A name server of one answer: the question comes back with an A record, or with none where another type was asked for.
void answer_one_question() {
  unsigned char message[512];
  sockaddr_in peer{};
  socklen_t peer_size = sizeof peer;
  const ssize_t size =
      ::recvfrom(dns_socket.get(), message, sizeof message - 16, 0, reinterpret_cast<sockaddr*>(&peer), &peer_size);
  if (size < 17) return;
  std::size_t end = 12;  // the question begins after the header: labels, a zero, type and class
  while (end < static_cast<std::size_t>(size) && message[end] != 0) end += message[end] + 1U;
  end += 5;
  const bool asks_for_a = message[end - 3] == 1;
  message[2] = 0x81, message[3] = 0x80;
  message[7] = asks_for_a ? 1 : 0, message[9] = message[11] = 0;
  const unsigned char record[] = {0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
  std::memcpy(message + end, record, sizeof record);
  const std::size_t length = end + (asks_for_a ? sizeof record : 0);
  (void)::sendto(dns_socket.get(), message, length, 0, reinterpret_cast<sockaddr*>(&peer), peer_size);
}

std::string outcome(long result) {
  if (result >= 0) return "done";
  const char* name = ::strerrorname_np(errno);
  return name == nullptr ? "?" : name;
}

#if defined(__x86_64__)
/// getpid(2) by the 32-bit entry.
long call_of_32_bits() {
  long result = 20;
  asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  return result < 0 ? (errno = static_cast<int>(-result), -1) : 0;
}
#endif

using Attempt = std::function<long(const std::string&)>;
const std::map<std::string, Attempt>& attempts() {
  static const std::map<std::string, Attempt> all {
    {"setuid", [](auto&) { return ::setuid(0); }}, {"setgroups", [](auto&) { return ::setgroups(0, nullptr); }},
        {"write", [](auto& path) { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644); }},
        {"read", [](auto& path) { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }},
        {"truncate", [](auto& path) { return ::truncate(path.c_str(), 0); }},
        {"unlink", [](auto& path) { return ::unlink(path.c_str()); }},
        {"escape", [](auto&) { return ::chdir("..") != 0 || ::access("etc/passwd", F_OK) != 0 ? -1 : 0; }},
        // Arguments that get another answer than EPERM where no filter stands in between.
        {"ptrace", [](auto&) { return ::ptrace(PTRACE_ATTACH, INT_MAX, nullptr, nullptr); }},
        {"mount", [](auto&) { return ::mount(nullptr, nullptr, nullptr, 0, nullptr); }},
        {"unshare", [](auto&) { return ::unshare(0); }}, {"setns", [](auto&) { return ::setns(-1, 0); }},
        {"kexec", [](auto&) { return ::syscall(SYS_kexec_load, 0, 0, nullptr, 0); }},
        {"bpf", [](auto&) { return ::syscall(SYS_bpf, 9999, nullptr, 0); }},
        {"io_uring", [](auto&) { return ::syscall(SYS_io_uring_setup, 0, nullptr); }},
        {"keyctl", [](auto&) { return ::syscall(SYS_keyctl, 9999, 0, 0, 0, 0); }},
        {"clone3", [](auto&) { return ::syscall(435, nullptr, 0); }},
        {"new-user", [](auto&) { return ::syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0, 0, 0, 0); }},
        {"af-alg", [](auto&) { return ::socket(AF_ALG, SOCK_SEQPACKET, 9999); }},
        {"af-inet", [](auto&) { return ::socket(AF_INET, SOCK_STREAM, 0); }},
        {"tiocsti", [](auto&) { return ::ioctl(-1, 0x5412, "x"); }},
#if defined(__x86_64__)
        {"x32", [](auto&) { return ::syscall(0x40000000L + SYS_getpid); }},
        {"32-bit", [](auto&) { return call_of_32_bits(); }},
#endif
  };
  return all;
}

perdure::Reply try_it(const std::string& text) {
  std::istringstream words{text};
  std::string what, argument;
  words >> what >> argument;
  if (what == "command") {
    const auto ran = perdure::Command{"/bin/sh"}
                         .arg("-c")
                         .arg("echo from a program; grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status")
                         .output();
    return perdure::Reply::text(ran ? ran->out : ran.error().message());
  }
  if (what == "thread") {
    int sum = 0;
    std::thread{[&] { sum = 42; }}.join();
    return perdure::Reply::text(std::to_string(sum));
  }
  if (what == "dns") {
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = AF_INET;
    if (const int code = ::getaddrinfo(argument.c_str(), nullptr, &hints, &found); code != 0)
      return perdure::Reply::text(::gai_strerror(code));
    char address[INET_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr, address, sizeof address);
    ::freeaddrinfo(found);
    return perdure::Reply::text(address);
  }
  if (what == "zone") {
    ::setenv("TZ", "Asia/Kolkata", 1);
    ::tzset();
    const time_t epoch = 0;
    tm local{};
    ::localtime_r(&epoch, &local);
    return perdure::Reply::text(fmt::format("{:02}:{:02}", local.tm_hour, local.tm_min));
  }
  const auto attempt = attempts().find(what);
  return perdure::Reply::text(attempt == attempts().end() ? "unknown" : outcome(attempt->second(argument)));
}

int serve(perdure::Context& ctx) {
  ctx.log().info("serving");
  for (;;) {
    pollfd set[] = {{echo_listener.get(), POLLIN, 0}, {dns_socket.get(), POLLIN, 0}};
    if (ctx.wait_fds(set, std::chrono::hours{1}) < 0) return 0;
    if (set[1].revents != 0) answer_one_question();
    if (set[0].revents == 0) continue;
    const perdure::UniqueFd client{::accept4(echo_listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    char buffer[64];
    const ssize_t size = ::read(client.get(), buffer, sizeof buffer);
    if (size > 0) (void)!::write(client.get(), buffer, static_cast<std::size_t>(size));
  }
}

unsigned number(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : static_cast<unsigned>(std::atoi(text));
}

perdure::os::testing::Fault planned_fault() {
  perdure::os::testing::Fault fault{.nth = number("FAULT_NTH"), .error = static_cast<int>(number("FAULT_ERRNO"))};
  const char* name = std::getenv("FAULT_CALL");
  using perdure::os::Call;
  for (int i = 0; name != nullptr && i < static_cast<int>(Call::count_); ++i)
    if (std::strcmp(perdure::os::call_name(static_cast<Call>(i)), name) == 0) fault.call = static_cast<Call>(i);
  return fault;
}

void take_settings(perdure::Options& o, const Settings& s) {
  perdure::Rights& rights = o.rights;
  rights.chroot = s.chroot;
  for (const auto sandbox : {perdure::Sandbox::NetworkServer, perdure::Sandbox::SelfContained})
    if (s.sandbox == perdure::sandbox_name(sandbox)) rights.sandbox = sandbox;
  if (s.kills) rights.forbidden_calls = perdure::ForbiddenCall::Kills;
  for (const std::string& name : s.keep) rights.keep_caps.push_back(perdure::parse_capability(name).value());
  for (const std::string& name : s.ambient) rights.ambient_caps.push_back(perdure::parse_capability(name).value());
  for (const std::string& name : s.namespaces) {
    rights.namespaces.mount |= name == "mount";
    rights.namespaces.network |= name == "network";
    rights.namespaces.ipc |= name == "ipc";
    rights.namespaces.host_name |= name == "host_name";
  }
  if (!s.writable.empty()) rights.writable.push_back(s.writable);
  if (s.files > 0) rights.limits.open_files = static_cast<std::uint64_t>(s.files);
  if (s.processes > 0) rights.limits.processes = static_cast<std::uint64_t>(s.processes);
  if (s.files > 0) rights.limits.core_bytes = 0;
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const auto open_ports = [&]() -> perdure::Result<void> {
    if (config->hook_fails) return perdure::Error::from_errno(EADDRINUSE, "bind", "127.0.0.1:81");
    if (!config->hold.empty()) held.reset(::open(config->hold.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (config->port > 0) {
      PERDURE_TRY(echo_listener, bound(SOCK_STREAM, config->port));
    }
    if (config->dns > 0) {
      PERDURE_TRY(dns_socket, bound(SOCK_DGRAM, config->dns));
    }
    return {};
  };
  const perdure::Options options{
      .name = "rights_probe",
      .config = config,
      .commands = {{.name = "try",
                    .help = "try what is forbidden",
                    .answer = [](const perdure::Request& request) { return try_it(request.text); }},
                   {.name = "number",
                    .help = "show the number",
                    .answer =
                        [&](const perdure::Request&) { return perdure::Reply::text(std::to_string(config->number)); }}},
      .configure = [&](perdure::Options& o) { take_settings(o, *config.get()); },
      .before_drop = {open_ports},
  };
  const perdure::os::testing::FaultPlan plan{planned_fault()};
  return perdure::run(argc, argv, options, serve);
}
