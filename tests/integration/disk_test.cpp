// A disk without room and places where nobody may write: the PID file, the log and the health file, each in turn.
#include <sys/stat.h>
#include <unistd.h>

#include "probe.hpp"

namespace probe {
namespace {

/// A file system of its own, in a mount namespace that ends with the command.
struct Disk : Daemon {
  std::string disk = dir / "disk";

  void SetUp() override {
    Daemon::SetUp();
    if (::geteuid() != 0) GTEST_SKIP() << "only root may mount a file system";
    ASSERT_EQ(::mkdir(disk.c_str(), 0700), 0);
    if (!perdure::testing::run({"/usr/bin/unshare", "--mount", "/bin/mount", "-t", "tmpfs", "tmpfs", disk}).status.success())
      GTEST_SKIP() << "file systems cannot be mounted here";
  }
  /// `script` with a small disk at `disk`, where `$@` is the probe; then what is left on it.
  Finished on(const std::string& prepare, const std::string& script, std::vector<std::string> words) {
    std::vector<std::string> all{"/usr/bin/unshare",
                                 "--mount",
                                 "/bin/sh",
                                 "-c",
                                 "mount -t tmpfs -o size=16k,mode=0755 tmpfs \"$0\" && cd \"$0\" || exit 99\n" + prepare +
                                     "\n" + script + "\ncode=$?; echo \"left: $(ls -A)\"; exit $code",
                                 disk,
                                 PROBE,
                                 "--config",
                                 config};
    all.insert(all.end(), words.begin(), words.end());
    return perdure::testing::run(std::move(all), options);
  }
  static constexpr const char* full = "head -c 100000 /dev/zero >filler 2>/dev/null";
  static constexpr const char* read_only = "mount -o remount,ro \"$0\"";
};

TEST_F(Disk, ThatIsFullRefusesThePidFileByItsNameAndKeepsNothing) {
  for (const char* mode : {"--daemon", "--foreground"}) {
    const Finished refused = on(full, "\"$@\"",
                                {mode, "--pid-file", disk + "/p.pid", "--log-file", disk + "/l.log", "--control",
                                 disk + "/c.sock", "--health-file", disk + "/h"});
    EXPECT_EQ(refused.status, perdure::ExitStatus::exited(73)) << refused.output;
    EXPECT_EQ(refused.output, "probe: cannot write " + disk +
                                  "/p.pid: No space left on device (ENOSPC); nothing was started\nleft: filler\n");
  }
}

TEST_F(Disk, ThatIsReadOnlyRefusesAtOnce) {
  const Finished pid = on(read_only, "\"$@\"", {"--daemon", "--pid-file", disk + "/p.pid", "--log-file", log});
  EXPECT_EQ(pid.status, perdure::ExitStatus::exited(73));
  EXPECT_EQ(pid.output,
            "probe: cannot create " + disk + "/p.pid: Read-only file system (EROFS); nothing was started\nleft: \n");
  EXPECT_FALSE(read_file(log).has_value());

  const Finished logged = on(read_only, "\"$@\"", {"--daemon", "--log-file", disk + "/l.log"});
  EXPECT_EQ(logged.status, perdure::ExitStatus::exited(73));
  EXPECT_EQ(logged.output, "probe: cannot open the log file " + disk +
                               "/l.log: Read-only file system (EROFS); nothing was started\nleft: \n");
  EXPECT_FALSE(read_file(pid_file).has_value());
}

TEST_F(Disk, ThatIsFullCostsLogLinesAndTheyAreCounted) {
  const Finished went = on(full, "\"$@\" --daemon && \"$1\" status && \"$1\" stop", {"--log-file", disk + "/l.log"});
  EXPECT_EQ(went.status, perdure::ExitStatus::exited(0)) << went.output;
  EXPECT_THAT(went.output, HasSubstr("running, pid"));
  EXPECT_THAT(went.output, HasSubstr("lost"));
}

TEST_F(Disk, ThatIsFullDoesNotKeepADaemonWithoutAHealthFileFromServing) {
  const Finished went =
      on(full, "\"$@\" --daemon && \"$1\" health && \"$1\" stop", {"--log-file", log, "--health-file", disk + "/h"});
  EXPECT_EQ(went.status, perdure::ExitStatus::exited(0)) << went.output;
  EXPECT_THAT(went.output, HasSubstr("left: filler\n"));
  EXPECT_THAT(log_text(), HasSubstr("cannot write " + disk +
                                    "/h: No space left on device (ENOSPC); nothing was changed; it will be tried again"));
}

TEST_F(Disk, FromWhichItWasStartedCanBeUnmounted) {
  const std::string script = "\"$@\" --daemon && cd / && umount \"$0\" && \"$1\" status && \"$1\" stop && cd \"$0\"";
  const Finished went = on(":", script, {});
  EXPECT_EQ(went.status, perdure::ExitStatus::exited(0)) << went.output;
  EXPECT_THAT(went.output, HasSubstr("running, pid"));

  options.env.emplace_back("PROBE_DIRECTORY", disk);
  const Finished held = on(":", "\"$@\" --daemon && cd / && umount \"$0\"; code=$?; \"$1\" stop; (exit $code)", {});
  EXPECT_NE(held.status, perdure::ExitStatus::exited(0)) << "where it stays, it holds: " << held.output;
}

/// An ordinary user, and a directory of this user's that is closed to writing.
struct Sealed : Daemon {
  std::string sealed = dir / "sealed", own = dir / "own";
  std::vector<std::string> as_user;

  void SetUp() override {
    Daemon::SetUp();
    constexpr uid_t nobody = 65534;
    const uid_t user = ::geteuid() == 0 ? nobody : ::geteuid();
    if (::geteuid() == 0) as_user = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
    ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
    ASSERT_EQ(::chmod(config.c_str(), 0644), 0);
    for (const std::string& place : {sealed, own}) {
      ASSERT_EQ(::mkdir(place.c_str(), 0755), 0);
      ASSERT_EQ(::chown(place.c_str(), user, user == nobody ? nobody : static_cast<gid_t>(-1)), 0);
    }
    ASSERT_EQ(::chmod(sealed.c_str(), 0555), 0);
    options.env.emplace_back("RUNTIME_DIRECTORY", own);
    options.env.emplace_back("PROBE_DIRECTORY", own);
    if (const Finished version = as({"--version"}); !version.status.success())
      GTEST_SKIP() << "an ordinary user cannot execute the probe where it was built: " << version.output;
  }
  Finished as(std::vector<std::string> words) {
    std::vector<std::string> all{as_user};
    all.push_back(PROBE);
    all.insert(all.end(), words.begin(), words.end());
    all.insert(all.end(), {"--config", config});
    return perdure::testing::run(std::move(all), options);
  }
};

TEST_F(Sealed, ADirectoryNamesTheFileThatCannotBeMadeInIt) {
  const Finished pid = as({"--daemon", "--pid-file", sealed + "/p.pid", "--log-file", own + "/l.log"});
  EXPECT_EQ(pid.status, perdure::ExitStatus::exited(77));
  EXPECT_EQ(pid.output, "probe: cannot create " + sealed + "/p.pid: Permission denied (EACCES); nothing was started\n");

  const Finished logged = as({"--daemon", "--log-file", sealed + "/l.log"});
  EXPECT_EQ(logged.status, perdure::ExitStatus::exited(73));
  EXPECT_EQ(logged.output,
            "probe: cannot open the log file " + sealed + "/l.log: Permission denied (EACCES); nothing was started\n");
  EXPECT_FALSE(read_file(own + "/probe.pid").has_value()) << "nothing is left behind";

  const Finished healthy = as({"--daemon", "--log-file", own + "/l.log", "--health-file", sealed + "/h"});
  EXPECT_TRUE(healthy.status.success()) << healthy.output;
  EXPECT_THAT(read_file(own + "/l.log").value_or(""),
              HasSubstr("cannot create a file beside " + sealed +
                        "/h: Permission denied (EACCES); nothing was changed; it will be tried again"));
  EXPECT_TRUE(as({"stop"}).status.success());
}

}  // namespace
}  // namespace probe
