// Rights that are given up are really gone: looked up in /proc, and by trying what must no longer work. What must work, works.
//
// The whole program lives in a mount and a network namespace of its own, so that ports below 1024 and /etc/resolv.conf are the
// tests'. As an ordinary user, or where that is not allowed, what needs root is skipped.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <perdure/exit_status.hpp>
#include <perdure/pid_file.hpp>
#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::proc_status;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* no_capabilities = "0000000000000000";

/// Why what needs root cannot be tested here; "" where it can.
std::string why_not;

/// Before the first test: namespaces of our own, with a loopback that is up.
struct OwnNamespaces : ::testing::Environment {
  void SetUp() override {
    const auto cannot = [](const std::string& what) { why_not = what + ": " + std::strerror(errno); };
    if (::geteuid() != 0) return void(why_not = "needs root");
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) return cannot("namespaces are refused here");
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return cannot("mounts are refused here");
    const perdure::UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    if (::ioctl(socket.get(), SIOCSIFFLAGS, &loopback) != 0) return cannot("the loopback cannot be started");
    if (::getpwnam("nobody") == nullptr) why_not = "there is no user nobody";
  }
};
[[maybe_unused]] const auto* const namespaces = ::testing::AddGlobalTestEnvironment(new OwnNamespaces);

struct Rights : ::testing::Test {
  perdure::testing::TempDir dir;
  std::string config = dir / "probe.conf";
  std::string own = dir / "own";  ///< a directory that the daemon makes for the user it becomes
  std::string log = own + "/probe.log";
  std::string pid_file = own + "/probe.pid";
  std::string control = own + "/probe.sock";
  perdure::testing::ProcessOptions options{
      .env = {{"NO_COLOR", "1"}},
      .unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"},
      .working_directory = "/"};
  pid_t pid = 0;

  void SetUp() override {
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    perdure::testing::adopt_orphans();
    ::chmod(dir.path().c_str(), 0755);
    write_file(config, "number = 1\n");
  }

  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const {
    words.insert(words.begin(), RIGHTS_PROBE);
    words.insert(words.end(), {"--config", config, "--log-file", log, "--pid-file", pid_file, "--control", control});
    return words;
  }
  Finished run(std::vector<std::string> words) { return perdure::testing::run(command(std::move(words)), options); }
  Finished start(std::vector<std::string> words) {
    words.insert(words.begin(), "--daemon");
    const Finished finished = run(std::move(words));
    pid = perdure::PidFile::holder(pid_file).value_or(0);
    return finished;
  }
  void start_well(std::vector<std::string> words) {
    const Finished started = start(std::move(words));
    ASSERT_TRUE(started.status.success()) << started.output << log_text();
    ASSERT_NE(pid, 0);
  }
  /// What the daemon gets for an answer from the kernel.
  std::string attempt(const std::string& what, const std::string& argument = "") {
    std::string output = run({"try", what, argument}).output;
    if (output.ends_with('\n')) output.pop_back();
    return output;
  }
  std::string of_proc(const std::string& name) const {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/" + name, error);
  }
  static bool holds_a_directory(pid_t process) {
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(process) + "/fd"})
      if (std::filesystem::is_directory(entry)) return true;
    return false;
  }
  std::string log_text() const { return read_file(log).value_or(""); }
  /// As an ordinary user would start it, from setpriv(1).
  Finished run_as_nobody(std::vector<std::string> words) {
    std::vector<std::string> all = command(std::move(words));
    all.insert(all.begin(), {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"});
    return perdure::testing::run(all, options);
  }
};

std::string in_all_columns(const std::string& id) { return id + "\t" + id + "\t" + id + "\t" + id; }

// ── Users and capabilities ────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(Rights, ADaemonOfRootBecomesTheUserInAllFourColumnsAndCannotComeBack) {
  const std::vector<gid_t> of_launcher{4, 24};
  ASSERT_EQ(::setgroups(of_launcher.size(), of_launcher.data()), 0);
  start_well({"--user", "nobody"});
  EXPECT_EQ(proc_status(pid, "Uid"), in_all_columns("65534"));
  EXPECT_EQ(proc_status(pid, "Gid"), in_all_columns(std::to_string(::getpwnam("nobody")->pw_gid)));
  EXPECT_EQ(proc_status(pid, "Groups"), std::to_string(::getpwnam("nobody")->pw_gid)) << "the launcher's are gone";
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(proc_status(pid, set), no_capabilities) << set;
  EXPECT_EQ(proc_status(pid, "NoNewPrivs"), "1");
  EXPECT_EQ(attempt("setuid"), "EPERM");
  EXPECT_EQ(attempt("setgroups"), "EPERM");
  EXPECT_EQ(attempt("read", "/etc/shadow"), "EACCES");
  EXPECT_THAT(run({"status"}).output, HasSubstr("rights: user nobody, group 65534, no capabilities\n"));
  EXPECT_THAT(log_text(), HasSubstr("rights: user nobody"));
}

TEST_F(Rights, AGroupOfItsOwnAndNumbersAreTaken) {
  start_well({"--user", "65534", "--group", "daemon"});
  EXPECT_EQ(proc_status(pid, "Uid"), in_all_columns("65534"));
  EXPECT_EQ(proc_status(pid, "Gid"), in_all_columns("1"));
  ASSERT_TRUE(run({"stop"}).status.success());
  start_well({"--user", "61234", "--group", "61235"});
  EXPECT_EQ(proc_status(pid, "Uid"), in_all_columns("61234")) << "no entry is needed";
  EXPECT_EQ(proc_status(pid, "Groups"), "61235");
}

TEST_F(Rights, CapabilitiesThatAreKeptAreTheOnlyOnes) {
  start_well({"--user", "nobody", "--keep", "net_bind_service"});
  for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) EXPECT_EQ(proc_status(pid, set), "0000000000000400") << set;
  for (const char* set : {"CapInh", "CapAmb"}) EXPECT_EQ(proc_status(pid, set), no_capabilities) << set;
  EXPECT_THAT(attempt("command"), HasSubstr("CapEff:\t0000000000000000")) << "programs it starts have none";
  EXPECT_EQ(attempt("setuid"), "EPERM");
  ASSERT_TRUE(run({"stop"}).status.success());

  start_well({"--user", "nobody", "--ambient", "CAP_NET_BIND_SERVICE"});
  EXPECT_EQ(proc_status(pid, "CapAmb"), "0000000000000400");
  EXPECT_THAT(attempt("command"), HasSubstr("CapEff:\t0000000000000400"));
}

TEST_F(Rights, RootWithoutCapabilitiesIsPossible) {
  ::mkdir(own.c_str(), 0755);
  start_well({"--sandbox", "NetworkServer"});
  EXPECT_EQ(proc_status(pid, "Uid"), in_all_columns("0"));
  EXPECT_EQ(proc_status(pid, "CapEff"), no_capabilities);
  EXPECT_EQ(proc_status(pid, "CapBnd"), no_capabilities);
}

TEST_F(Rights, WithoutAWordAboutRightsEverythingStays) {
  ::mkdir(own.c_str(), 0755);
  start_well({});
  EXPECT_EQ(proc_status(pid, "CapEff"), proc_status(::getpid(), "CapEff"));
  EXPECT_EQ(proc_status(pid, "NoNewPrivs"), "0");
  EXPECT_EQ(proc_status(pid, "Seccomp"), "0");
  EXPECT_THAT(run({"status"}).output, Not(HasSubstr("rights: ")));
  const std::string maps = read_file("/proc/" + std::to_string(pid) + "/maps").value_or("");
  EXPECT_THAT(maps, AllOf(HasSubstr("libc"), Not(HasSubstr("libseccomp")), Not(HasSubstr("libcap"))));
}

TEST_F(Rights, APortOfRootIsOpenedBeforeAndServedAfter) {
  start_well({"--user", "nobody", "--port", "81", "--sandbox", "NetworkServer"});
  EXPECT_EQ(proc_status(pid, "Uid"), in_all_columns("65534"));
  const perdure::UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(81);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
  ASSERT_EQ(::send(client.get(), "hello", 5, MSG_NOSIGNAL), 5);
  std::array<char, 5> answer{};
  ASSERT_EQ(::recv(client.get(), answer.data(), answer.size(), MSG_WAITALL), 5);
  EXPECT_EQ((std::string{answer.data(), answer.size()}), "hello");
}

// ── Refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(Rights, AnUnknownUserOrGroupIsSaidBeforeAnythingIsTaken) {
  const Finished user = start({"--user", "nosuchuser"});
  EXPECT_EQ(user.status, ExitStatus::exited(78));
  EXPECT_EQ(user.output, "rights_probe: there is no user \"nosuchuser\"; nothing was started\n");
  const Finished group = start({"--user", "nobody", "--group", "nosuchgroup"});
  EXPECT_EQ(group.status, ExitStatus::exited(78));
  EXPECT_EQ(group.output, "rights_probe: there is no group \"nosuchgroup\"; nothing was started\n");
  EXPECT_EQ(start({"--user", "61234"}).output,
            "rights_probe: there is no user \"61234\", so that a group has to be named, too; nothing was started\n");
  EXPECT_FALSE(std::filesystem::exists(own));
}

TEST_F(Rights, AnOrdinaryUserMayNameItselfAndNobodyElse) {
  ::mkdir(own.c_str(), 0755);
  ASSERT_EQ(::chown(own.c_str(), 65534, 65534), 0);
  const Finished other = run_as_nobody({"--daemon", "--user", "daemon"});
  EXPECT_EQ(other.status, ExitStatus::exited(77));
  EXPECT_EQ(other.output,
            "rights_probe: cannot become the user daemon: this process is uid 65534 and has no CAP_SETUID (EPERM); start it "
            "as root; nothing was started\n");
  const Finished jail = run_as_nobody({"--daemon", "--chroot", dir.path()});
  EXPECT_EQ(jail.status, ExitStatus::exited(77));
  EXPECT_THAT(jail.output, HasSubstr("has no CAP_SYS_CHROOT"));
  EXPECT_THAT(run_as_nobody({"--daemon", "--keep", "net_raw"}).output, HasSubstr("cannot keep CAP_NET_RAW"));
  EXPECT_THAT(run_as_nobody({"--daemon", "--namespace", "network"}).output, HasSubstr("cannot make namespaces"));

  const Finished itself = run_as_nobody({"--daemon", "--user", "nobody", "--sandbox", "NetworkServer"});
  EXPECT_TRUE(itself.status.success()) << itself.output;
  pid = perdure::PidFile::holder(pid_file).value_or(0);
  EXPECT_EQ(proc_status(pid, "NoNewPrivs"), "1");
  EXPECT_EQ(proc_status(pid, "Seccomp"), "2");
}

TEST_F(Rights, AHookThatFailsEndsTheStartAndLeavesNothing) {
  const Finished failed = start({"--user", "nobody", "--hook-fails"});
  EXPECT_EQ(failed.status, ExitStatus::exited(73));
  EXPECT_EQ(failed.output,
            "rights_probe: cannot bind 127.0.0.1:81: Address already in use (EADDRINUSE); nothing was started\n");
  EXPECT_FALSE(std::filesystem::exists(own)) << "the directory was made for this start";
}

TEST_F(Rights, EveryStepThatFailsIsNamedAndNothingIsStarted) {
  const std::vector<std::string> everything{"--user",        "nobody",      "--keep", "net_bind_service", "--sandbox",
                                            "NetworkServer", "--namespace", "mount",  "--files",          "64"};
  struct Step {
    const char* call;
    unsigned nth;
    std::string said;
  };
  const std::vector<Step> steps{
      {"prlimit", 1, "cannot set RLIMIT_NOFILE to 64: "},
      {"unshare", 1, "cannot make namespaces for this process: "},
      {"mount", 1, "cannot keep mounts of this process from others: "},
      {"setgroups", 1, "cannot take on the groups of nobody: "},
      {"setresgid", 1, "cannot become the group 65534: "},
      {"setresuid", 1, "cannot become the user nobody: "},
      {"capset", 1, "cannot reduce the capabilities to CAP_NET_BIND_SERVICE: "},
      {"capget", 2, "cannot read the capabilities of this process: "},
      {"landlock_create_ruleset", 1, "cannot ask the kernel for its version of Landlock: "},
      {"landlock_create_ruleset", 2, "cannot make rules of Landlock: "},
      {"landlock_add_rule", 1, "cannot let be written "},
      {"landlock_restrict_self", 1, "cannot fence in with Landlock: "},
      {"seccomp", 1, "cannot install the filter of system calls: "},
  };
  for (const std::string mode : {"--foreground", "--daemon"}) {
    for (const Step& step : steps) {
      SCOPED_TRACE(mode + " " + step.call);
      const auto before = options.env;
      options.env.insert(
          options.env.end(),
          {{"FAULT_CALL", step.call}, {"FAULT_NTH", std::to_string(step.nth)}, {"FAULT_ERRNO", std::to_string(EACCES)}});
      auto words = everything;
      words.insert(words.begin(), mode);
      const Finished failed = run(words);
      options.env = before;
      EXPECT_EQ(failed.status, ExitStatus::exited(77)) << failed.output;
      EXPECT_THAT(failed.output, AllOf(HasSubstr(step.said), HasSubstr("(EACCES)"), HasSubstr("; nothing was started\n")));
      EXPECT_FALSE(perdure::PidFile::is_locked(pid_file));
      EXPECT_FALSE(read_file(pid_file)) << "the user may remove it";
    }
  }
}

// ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(Rights, WhatItMadeBelongsToTheUserAndIsRemovedAtTheEnd) {
  start_well({"--user", "nobody"});
  struct stat status {};
  ASSERT_EQ(::stat(own.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534U);
  EXPECT_EQ(status.st_mode & 07777U, 0755U);
  ASSERT_EQ(::stat(log.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534U);
  ASSERT_EQ(::stat(control.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534U);
  ASSERT_EQ(::stat(pid_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0U) << "who may write it could make scripts signal anybody";

  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_FALSE(std::filesystem::exists(pid_file));
  EXPECT_FALSE(std::filesystem::exists(control));
  start_well({"--user", "nobody"});
}

TEST_F(Rights, WithoutRootsRightsALogInItsOwnDirectoryIsRotated) {
  std::vector<std::string> words = command({"--foreground", "--user", "nobody"});
  Process daemon{words, options};
  ASSERT_TRUE(eventually([&] { return log_text().find("serving") != std::string::npos; })) << daemon.output();
  daemon.signal(SIGUSR1);
  ASSERT_TRUE(eventually([&] { return read_file(log + ".1").value_or("").find("serving") != std::string::npos; }))
      << log_text();
  struct stat status {};
  ASSERT_TRUE(eventually([&] { return ::stat(log.c_str(), &status) == 0; }));
  EXPECT_EQ(status.st_uid, 65534U) << "made afresh, as nobody";
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), ExitStatus::exited(0));
}

TEST_F(Rights, ALogInRootsDirectoryGoesOnInTheOldFile) {
  log = dir / "probe.log";
  Process daemon{command({"--foreground", "--user", "nobody"}), options};
  ASSERT_TRUE(eventually([&] { return log_text().find("serving") != std::string::npos; })) << daemon.output();
  daemon.signal(SIGUSR1);
  ASSERT_TRUE(eventually([&] { return log_text().find("logging goes on as before") != std::string::npos; })) << log_text();
  EXPECT_THAT(log_text(), HasSubstr("EACCES"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), ExitStatus::exited(0));
  EXPECT_FALSE(std::filesystem::exists(pid_file));
}

TEST_F(Rights, APidFileThatCannotBeRemovedIsLeftUnlockedAndTheNextStartTakesIt) {
  pid_file = dir / "probe.pid";
  for (int round = 0; round < 2; ++round) {
    start_well({"--user", "nobody"});
    ASSERT_TRUE(run({"stop"}).status.success());
    EXPECT_TRUE(read_file(pid_file).has_value()) << "its directory is root's";
    EXPECT_FALSE(perdure::PidFile::is_locked(pid_file));
  }
}

TEST_F(Rights, AFileThatTheUserLeftBehindDoesNotBlockTheNextStart) {
  ::mkdir(own.c_str(), 0755);
  write_file(pid_file, "1\n");
  ASSERT_EQ(::chown(pid_file.c_str(), 65534, 65534), 0);
  EXPECT_EQ(start({}).status, ExitStatus::exited(77)) << "somebody else's, for a daemon that stays root";
  start_well({"--user", "nobody"});
}

TEST_F(Rights, AHardLinkInTheLogsPlaceIsNotGivenAway) {
  ::mkdir(own.c_str(), 0755);
  const std::string precious = dir / "precious";
  write_file(precious, "secret\n");
  ASSERT_EQ(::link(precious.c_str(), log.c_str()), 0);
  start_well({"--user", "nobody"});
  struct stat status {};
  ASSERT_EQ(::stat(precious.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0U);
}

TEST_F(Rights, AReloadOfWhatItCanNoLongerReadKeepsTheOldSelfAndSaysSo) {
  ::chmod(config.c_str(), 0600);
  start_well({"--user", "nobody"});
  write_file(config, "number = 2\n");
  const Finished refused = run({"reload"});
  EXPECT_EQ(refused.status, ExitStatus::exited(1));
  EXPECT_THAT(refused.output, AllOf(HasSubstr("Permission denied (EACCES)"), HasSubstr("the settings stay as they were")));
  EXPECT_EQ(run({"number"}).output, "1\n");
  ::chmod(config.c_str(), 0644);
  EXPECT_EQ(run({"reload"}).output, "OK\n");
  EXPECT_EQ(run({"number"}).output, "2\n");
}

// ── chroot, namespaces, limits ────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(Rights, AChrootIsTheRootAndHasNoWayOut) {
  const std::string jail = dir / "jail";
  ::mkdir(jail.c_str(), 0755);
  const perdure::UniqueFd inherited{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  options.pass_fds = {{inherited.get(), 9}};
  start_well({"--user", "nobody", "--chroot", jail});
  EXPECT_EQ(of_proc("root"), jail);
  EXPECT_EQ(of_proc("cwd"), jail);
  EXPECT_EQ(attempt("escape"), "ENOENT");
  EXPECT_EQ(attempt("read", "/etc/passwd"), "ENOENT");
  EXPECT_FALSE(holds_a_directory(pid));
  write_file(config, "number = 2\n");
  EXPECT_THAT(run({"reload"}).output, HasSubstr("Config file not found"));
  EXPECT_EQ(run({"number"}).output, "1\n") << "not the defaults";
  EXPECT_TRUE(run({"stop"}).status.success());
}

TEST_F(Rights, AConfigurationThatIsOutOfSightIsNotTakenForOneThatWasDeleted) {
  // At its default place, where a missing file means the defaults: so /etc is one of our own.
  const std::string jail = dir / "jail", etc = dir / "etc";
  ::mkdir(jail.c_str(), 0755);
  ::mkdir(etc.c_str(), 0755);
  for (const char* name : {"passwd", "group", "nsswitch.conf"})
    write_file(etc + "/" + name, read_file(std::string{"/etc/"} + name).value_or(""));
  write_file(etc + "/rights_probe.conf", "number = 7\n");
  ASSERT_EQ(::mount(etc.c_str(), "/etc", nullptr, MS_BIND, nullptr), 0);
  const auto ask = [&](std::vector<std::string> words) {
    words.insert(words.begin(), RIGHTS_PROBE);
    words.insert(words.end(), {"--log-file", log, "--pid-file", pid_file, "--control", control});
    return perdure::testing::run(words, options);
  };
  const Finished started = ask({"--daemon", "--user", "nobody", "--chroot", jail});
  EXPECT_TRUE(started.status.success()) << started.output;
  EXPECT_EQ(ask({"number"}).output, "7\n");
  EXPECT_THAT(ask({"reload"}).output, HasSubstr("Config file not found: /etc/rights_probe.conf"));
  EXPECT_EQ(ask({"number"}).output, "7\n");
  EXPECT_TRUE(ask({"stop"}).status.success());
  ::umount2("/etc", MNT_DETACH);
}

TEST_F(Rights, InTheForegroundAnInheritedDirectoryIsNoWayOutEither) {
  const std::string jail = dir / "jail";
  ::mkdir(jail.c_str(), 0755);
  const perdure::UniqueFd inherited{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  options.pass_fds = {{inherited.get(), 9}};
  Process daemon{command({"--foreground", "--user", "nobody", "--chroot", jail}), options};
  ASSERT_TRUE(eventually([&] { return log_text().find("serving") != std::string::npos; })) << daemon.output();
  EXPECT_FALSE(holds_a_directory(daemon.pid()));
}

TEST_F(Rights, AProgramThatKeepsADirectoryOpenIsRefusedItsChroot) {
  const std::string jail = dir / "jail";
  ::mkdir(jail.c_str(), 0755);
  const Finished refused = start({"--user", "nobody", "--chroot", jail, "--hold", "/usr"});
  EXPECT_EQ(refused.status, ExitStatus::exited(77));
  EXPECT_THAT(refused.output, AllOf(HasSubstr("is the open directory /usr, a way out of it; close it first"),
                                    HasSubstr("nothing was started")));
  EXPECT_FALSE(std::filesystem::exists(own));
}

TEST_F(Rights, AnInitIsToldFromWithinAChroot) {
  const std::string jail = dir / "jail", address = dir / "notify";
  ::mkdir(jail.c_str(), 0755);
  const perdure::UniqueFd init{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strcpy(name.sun_path, address.c_str());
  ASSERT_EQ(::bind(init.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  std::erase(options.unset_env, "NOTIFY_SOCKET");
  options.env.emplace_back("NOTIFY_SOCKET", address);
  Process daemon{command({"--foreground", "--user", "nobody", "--chroot", jail}), options};
  pollfd wait{init.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, 30'000), 1) << daemon.output();
  std::array<char, 256> message{};
  ASSERT_GT(::recv(init.get(), message.data(), message.size() - 1, 0), 0);
  EXPECT_THAT(message.data(), StartsWith("READY=1"));
}

TEST_F(Rights, NamespacesAreItsOwn) {
  ::mkdir(own.c_str(), 0755);
  start_well({"--namespace", "mount", "--namespace", "network", "--namespace", "ipc", "--namespace", "host_name"});
  for (const char* kind : {"mnt", "net", "ipc", "uts"}) {
    const std::string theirs = of_proc(std::string{"ns/"} + kind);
    EXPECT_THAT(theirs, HasSubstr(kind));
    EXPECT_NE(theirs, std::filesystem::read_symlink(std::string{"/proc/self/ns/"} + kind).string()) << kind;
  }
  EXPECT_EQ(of_proc("ns/pid"), std::filesystem::read_symlink("/proc/self/ns/pid").string());
}

TEST_F(Rights, LimitsHoldForSoftAndHard) {
  start_well({"--user", "nobody", "--files", "64", "--processes", "500"});
  const std::string limits = read_file("/proc/" + std::to_string(pid) + "/limits").value_or("");
  EXPECT_THAT(limits, ::testing::ContainsRegex("Max open files +64 +64 "));
  EXPECT_THAT(limits, ::testing::ContainsRegex("Max processes +500 +500 "));
  EXPECT_THAT(limits, ::testing::ContainsRegex("Max core file size +0 +0 "));
}

TEST_F(Rights, ALimitThatMayNotBeRaisedIsNamedWithTheOneThatHolds) {
  ::mkdir(own.c_str(), 0755);
  ASSERT_EQ(::chown(own.c_str(), 65534, 65534), 0);
  const Finished refused = run_as_nobody({"--daemon", "--files", "1999999999"});
  EXPECT_EQ(refused.status, ExitStatus::exited(77));
  EXPECT_THAT(refused.output, AllOf(HasSubstr("cannot set RLIMIT_NOFILE to 1999999999: "), HasSubstr("at most")));
}

// ── Sandboxes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(Rights, WhatANetworkServerDoesNotDoIsRefused) {
  start_well({"--user", "nobody", "--sandbox", "NetworkServer"});
  EXPECT_EQ(proc_status(pid, "Seccomp"), "2");
  EXPECT_EQ(proc_status(pid, "NoNewPrivs"), "1");
  for (const char* call :
       {"ptrace", "mount", "unshare", "setns", "kexec", "bpf", "io_uring", "keyctl", "new-user", "af-alg", "tiocsti"})
    EXPECT_EQ(attempt(call), "EPERM") << call;
  EXPECT_EQ(attempt("clone3"), "ENOSYS");
#if defined(__x86_64__)
  EXPECT_EQ(attempt("x32"), "EPERM");
  EXPECT_EQ(attempt("32-bit"), "EPERM");
#endif
  EXPECT_THAT(run({"status"}).output, HasSubstr("sandbox NetworkServer, Landlock ABI "));
  EXPECT_THAT(run({"status"}).output, HasSubstr(", seccomp\n"));
}

TEST_F(Rights, WithoutASandboxTheSameCallsAnswerOtherwise) {
  start_well({"--user", "nobody"});
  for (const char* call : {"ptrace", "mount", "unshare", "setns", "io_uring", "new-user", "tiocsti"})
    EXPECT_NE(attempt(call), "EPERM") << call << ": the test above would show nothing";
  EXPECT_NE(attempt("clone3"), "ENOSYS");
}

TEST_F(Rights, WritingIsForTheDaemonsOwnPlaces) {
  const std::string open_to_all = dir / "open", other = dir / "other", file = other + "/file";
  for (const std::string& place : {open_to_all, other}) {
    ::mkdir(place.c_str(), 0777);
    ::chmod(place.c_str(), 0777);
  }
  write_file(file, "content\n");
  ::chmod(file.c_str(), 0666);
  start_well({"--user", "nobody", "--sandbox", "NetworkServer", "--writable", open_to_all});
  EXPECT_EQ(attempt("write", open_to_all + "/new"), "done");
  EXPECT_EQ(attempt("write", own + "/new"), "done");
  EXPECT_EQ(attempt("write", "/dev/null"), "done");
  for (const char* what : {"write", "truncate", "unlink"}) EXPECT_EQ(attempt(what, file), "EACCES") << what;
  EXPECT_EQ(attempt("write", other + "/new"), "EACCES");
  EXPECT_EQ(attempt("read", file), "done") << "reading is not fenced";
  EXPECT_EQ(read_file(file), "content\n");
  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_FALSE(std::filesystem::exists(pid_file));
}

TEST_F(Rights, WhatANetworkServerNeedsWorks) {
  const std::string resolver = dir / "resolv.conf";
  write_file(resolver, "nameserver 127.0.0.1\n");
  if (!std::filesystem::exists("/etc/resolv.conf") ||
      ::mount(resolver.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0)
    GTEST_SKIP() << "/etc/resolv.conf cannot be replaced here";
  start_well({"--user", "nobody", "--sandbox", "NetworkServer", "--dns", "53"});
  EXPECT_EQ(attempt("dns", "name.example"), "192.0.2.7");
  EXPECT_EQ(attempt("thread"), "42");
  EXPECT_THAT(attempt("command"), AllOf(HasSubstr("from a program"), HasSubstr("Seccomp:\t2"), HasSubstr("NoNewPrivs:\t1")));
  if (std::filesystem::exists("/usr/share/zoneinfo/Asia/Kolkata")) {
    EXPECT_EQ(attempt("zone"), "05:30");
  }
  EXPECT_EQ(attempt("af-inet"), "done");
  EXPECT_TRUE(run({"stop"}).status.success());
  ::umount2("/etc/resolv.conf", MNT_DETACH);
}

TEST_F(Rights, ASelfContainedDaemonStartsNoPrograms) {
  start_well({"--user", "nobody", "--sandbox", "SelfContained"});
  EXPECT_THAT(attempt("command"), AllOf(HasSubstr("EPERM"), Not(HasSubstr("from a program"))));
  EXPECT_EQ(attempt("thread"), "42");
}

TEST_F(Rights, WhoAsksForItIsKilledInsteadOfRefused) {
  Process daemon{command({"--foreground", "--user", "nobody", "--sandbox", "NetworkServer", "--kills"}), options};
  ASSERT_TRUE(eventually([&] { return log_text().find("serving") != std::string::npos; })) << daemon.output();
  (void)run({"try", "unshare"});
  EXPECT_EQ(daemon.wait().text(), ExitStatus::killed(SIGSYS).text());
}

TEST_F(Rights, AKernelThatCannotIsToldOfAndTheDaemonGoesOn) {
  options.env.insert(
      options.env.end(),
      {{"FAULT_CALL", "landlock_create_ruleset"}, {"FAULT_NTH", "1"}, {"FAULT_ERRNO", std::to_string(ENOSYS)}});
  start_well({"--user", "nobody", "--sandbox", "NetworkServer"});
  EXPECT_THAT(run({"status"}).output, HasSubstr("reduced: this kernel has no Landlock (ENOSYS): writing is not fenced\n"));
  EXPECT_THAT(log_text(), HasSubstr("rights are reduced: this kernel has no Landlock (ENOSYS)"));
  EXPECT_EQ(proc_status(pid, "Seccomp"), "2");
  ASSERT_TRUE(run({"stop"}).status.success());

  options.env.insert(options.env.end(), {{"FAULT_CALL", "seccomp"}});
  start_well({"--user", "nobody", "--sandbox", "NetworkServer"});
  EXPECT_THAT(run({"status"}).output,
              HasSubstr("reduced: this kernel filters no system calls (ENOSYS): none is forbidden\n"));
  EXPECT_EQ(proc_status(pid, "Seccomp"), "0");
  EXPECT_EQ(proc_status(pid, "NoNewPrivs"), "1");
}

// ── The unit file ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TEST_F(Rights, TheUnitFileHasTheHardeningOfThePreset) {
  const std::string plain = run({"--print-unit"}).output;
  EXPECT_THAT(plain, AllOf(Not(HasSubstr("SystemCallFilter=")), Not(HasSubstr("LimitNOFILE="))));
  const std::string unit = run({"--print-unit", "--user", "nobody", "--sandbox", "NetworkServer", "--files", "64"}).output;
  for (const char* line : {"SystemCallFilter=~", "SystemCallErrorNumber=EPERM", "SystemCallArchitectures=native",
                           "RestrictNamespaces=yes", "LimitNOFILE=64", "LimitCORE=0", "--user=nobody"})
    EXPECT_THAT(unit, HasSubstr(line));
  EXPECT_THAT(run({"--print-unit", "--writable", "/var/lib/with blank/100%"}).output,
              HasSubstr("\"-/var/lib/with blank/100%%\""));
  write_file(dir / "rights_probe.service", unit);
  const auto verify = [&](const std::string& file) {
    return perdure::testing::run({"/usr/bin/systemd-analyze", "verify", "--man=no", file}, options);
  };
  write_file(dir / "good.service", "[Service]\nExecStart=/bin/true\n");
  if (!verify(dir / "good.service").status.success())
    GTEST_SKIP() << "systemd-analyze is not installed, or cannot verify here";
  const Finished verified = verify(dir / "rights_probe.service");
  EXPECT_TRUE(verified.status.success()) << verified.output;
  EXPECT_THAT(verified.output, Not(HasSubstr("rights_probe.service"))) << unit;
}

}  // namespace
