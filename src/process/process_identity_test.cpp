#include "perdure/process_identity.hpp"

#include <csignal>

#include "base/portable_testing.hpp"
#include "perdure/command.hpp"
#include "process/test_program.hpp"

namespace perdure {
namespace {

using namespace process::test;

int wait_for_eof(const Arguments&) {
  char byte;
  return ::read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}
const RoleEntry wait_role{"wait-for-eof", &wait_for_eof};

TEST(ProcessIdentity, KnowsTheLivingFromTheDead) {
  EXPECT_TRUE(is_alive(::getpid()));
  for (const pid_t none : {0, -1, -5, 0x7ffffffe}) EXPECT_FALSE(is_alive(none)) << none;
  const pid_t child = in_child([] { return 0; });
  EXPECT_TRUE(eventually([&] { return !is_alive(child); })) << "a zombie counted as alive";
  wait_for(child);
  EXPECT_FALSE(is_alive(child));
}

TEST(ProcessIdentity, AThreadIsNoProcess) {
  PERDURE_SKIP_IF_PORTABLE("only Linux has threads with numbers like those of processes");
  pid_t tid = 0;
  std::thread{[&] {
    tid = ::gettid();
    EXPECT_FALSE(is_alive(tid));
  }}.join();
}

TEST(ProcessIdentity, TellsThisProgramFromOthers) {
  PERDURE_SKIP_IF_PORTABLE("POSIX has no way to ask which file a process runs");
  EXPECT_TRUE(is_same_executable(::getpid()));
  auto same = Command::self({"--role", "wait-for-eof"}).stdio(Stdio::Pipe, Stdio::Null, Stdio::Null).spawn();
  auto other = Command{"cat"}.stdio(Stdio::Pipe, Stdio::Null, Stdio::Null).spawn();
  ASSERT_TRUE(same && other);
  EXPECT_TRUE(is_same_executable(same->pid()));
  EXPECT_FALSE(is_same_executable(other->pid()));
  EXPECT_FALSE(is_same_executable(0));
}

TEST(ProcessIdentity, OneThatMayNotBeLookedIntoIsAliveAndCouldBeOurs) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  auto other = Command{"cat"}.stdio(Stdio::Pipe, Stdio::Null, Stdio::Null).spawn();
  ASSERT_TRUE(other);
  EXPECT_EQ(wait_for(in_child([&] {
              constexpr uid_t nobody = 65534;
              if (::setresuid(nobody, nobody, nobody) != 0) return 1;
              if (!is_alive(other->pid())) return 2;
              return is_same_executable(other->pid()) ? 0 : 3;
            })).text(),
            "exited with 0");
#ifndef PERDURE_TESTS_OF_PORTABLE  // there, nobody may look into anything
  EXPECT_FALSE(is_same_executable(other->pid())) << "who may look sees that it is not";
#endif
}

int replaced(const Arguments& arguments) {
  // arguments: the pid of an instance whose file was replaced by the one that this process
  // runs
  return is_same_executable(std::stoi(arguments.at(0))) ? 0 : 1;
}
const RoleEntry replaced_role{"replaced", &replaced};

TEST(ProcessIdentity, RecognisesAnInstanceWhoseFileWasReplaced) {
  const TempDir dir;
  const std::string program = dir / "program";
  std::filesystem::copy_file("/proc/self/exe", program);
  auto old = Command{program}.arg("--role").arg("wait-for-eof").stdio(Stdio::Pipe, Stdio::Null, Stdio::Null).spawn();
  ASSERT_TRUE(old) << old.error().message();
  std::filesystem::copy_file("/proc/self/exe", dir / "newer");
  std::filesystem::rename(dir / "newer", program);
  auto answer = Command{program}.args({"--role", "replaced", std::to_string(old->pid())}).output();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status.text(), "exited with 0");
}

}  // namespace
}  // namespace perdure
