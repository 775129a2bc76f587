// What an administrator reads when a service could not be started, reviewed as an interface: testdata/failure_texts.txt.
// PERDURE_REWRITE_GOLDEN=1 in the environment rewrites the file from what the code says now.
#include "supervisor/failure_text.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::HasSubstr;
using wire::Step;

/// Each kind of file that cannot be executed, and the errno that execve(2) really has for it.
class FailureTextTest : public ::testing::Test {
 protected:
  std::string make(const std::string& name, const std::string& content, mode_t mode = 0755) {
    directory.put(name, content);
    EXPECT_EQ(::chmod((directory / name).c_str(), mode), 0);
    return directory / name;
  }
  /// The text for executing `path`, as the kernel refuses it, with the scratch directory written as "/d".
  std::string text_of(const std::string& path, std::vector<std::string> arguments = {}) {
    std::vector<char*> words{const_cast<char*>(path.c_str())};
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    std::array<char*, 1> environment{nullptr};
    ::execve(path.c_str(), words.data(), environment.data());  // returns: it cannot be executed
    return said(Step::Exec, errno, path);
  }
  std::string said(Step step, int error, const std::string& program) {
    std::string text = setup_failure_text(step, error, program);
    for (std::size_t at = text.find(directory.path()); at != std::string::npos; at = text.find(directory.path())) {
      text.replace(at, directory.path().size(), "/d");
    }
    return text;
  }
  os::testing::ScratchDirectory directory;
};

TEST_F(FailureTextTest, EveryReasonHasWords) {
  std::string texts;
  const auto add = [&texts](const std::string& name, const std::string& text) {
    texts += "> " + name + "\n" + text + "\n\n";
  };
  // Row 12: three causes with one errno.
  add("a file that is missing", text_of(directory / "missing"));
  add("a script whose interpreter is missing", text_of(make("script", "#! /nowhere/sh -e\nx\n")));
  add("the same with a tab", text_of(make("tab", "#!\t/nowhere/sh\t-e\nx\n")));
  add("a script with CRLF", text_of(make("crlf", "#!/bin/sh\r\nx\r\n")));
  // Row 13.
  add("a file without execute permission", text_of(make("closed", "#!/bin/sh\n", 0644)));
  add("a directory", text_of(directory.path()));
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0755), 0);
  add("a FIFO", text_of(directory / "fifo"));
  add("a script whose interpreter has no execute permission",
      text_of(make("of_closed", "#!" + (directory / "closed") + "\n")));
  add("a file that looks right", said(Step::Exec, EACCES, make("fine", "#!/bin/sh\n")));
  // Row 14.
  add("an empty file", text_of(make("empty", "")));
  add("a text without #!", text_of(make("text", "echo x\n")));
  add("a script after a byte order mark", text_of(make("bom", "\xEF\xBB\xBF#!/bin/sh\n")));
  add("a script that names no interpreter", text_of(make("bare", "#! \n")));
  add("a script whose interpreter's name is too long", text_of(make("long", "#!/" + std::string(300, 'x') + "\n")));
  add("a script whose interpreter is a text", text_of(make("of_text", "#!" + (directory / "text") + "\n")));
  add("bytes", text_of(make("bytes", std::string("\0\1\2", 3))));
  add("a truncated ELF file", text_of(make("elf", "\177ELF\2\1\1")));
  // Row 15.
  const std::string busy = make("busy", "\177ELF");
  add("a file that is being written", said(Step::Exec, ETXTBSY, busy));
  ASSERT_EQ(::symlink("loop", (directory / "loop").c_str()), 0);
  add("a link to itself", text_of(directory / "loop"));
  add("a file on the way", text_of(directory / "text/x"));
  add("an argument over 128 KiB", said(Step::Exec, E2BIG, "/bin/true"));
  add("a name that is too long", said(Step::Exec, ENAMETOOLONG, "/d/nnn"));
  // Row 17 and 18.
  add("a directory on a file system that does not answer", said(Step::WorkingDirectory, ETIMEDOUT, "/bin/x"));
  for (std::uint32_t step = static_cast<std::uint32_t>(Step::Clone); step < static_cast<std::uint32_t>(Step::count_);
       ++step) {
    if (static_cast<Step>(step) != Step::Exec)
      add("step " + std::to_string(step), said(static_cast<Step>(step), EPERM, "/bin/x"));
  }
  texts.pop_back();

  const std::string path = std::string{PERDURE_SUPERVISOR_TESTDATA} + "/failure_texts.txt";
  if (std::getenv("PERDURE_REWRITE_GOLDEN") != nullptr) std::ofstream{path, std::ios::binary} << texts;
  std::ostringstream golden;
  golden << std::ifstream{path, std::ios::binary}.rdbuf();
  EXPECT_EQ(texts, golden.str());
}

TEST_F(FailureTextTest, WhatIsClosedIsClosedToTheServicesUserAndNotToOurs) {
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  const std::string program = make("x", "#!/bin/sh\n", 0744);
  const Rights somebody{::geteuid() + 1, {::getegid() + 1}};
  EXPECT_THAT(setup_failure_text(Step::Exec, EACCES, program, somebody), HasSubstr("do not let uid"));
  EXPECT_THAT(setup_failure_text(Step::Exec, EACCES, program, our_rights()), HasSubstr("look right"));
}

TEST_F(FailureTextTest, AFileThatWasReplacedMeanwhileIsNeverWaitedFor) {
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0755), 0);
  EXPECT_THAT(said(Step::Exec, ENOENT, directory / "fifo"), HasSubstr("/d/fifo"));
  EXPECT_THAT(said(Step::Exec, ENOEXEC, directory / "fifo"), HasSubstr("(ENOEXEC)"));
  EXPECT_THAT(said(Step::Exec, ENOEXEC, directory / "gone"), HasSubstr("(ENOEXEC)"));
}

TEST_F(FailureTextTest, AFirstLineWithoutAnEndIsNoTrap) {
  EXPECT_THAT(said(Step::Exec, ENOENT, make("long", "#!/" + std::string(10'000, 'x'))),
              HasSubstr("of its first line does not exist"));
  EXPECT_THAT(said(Step::Exec, ENOENT, make("bare", "#!")), HasSubstr("(ENOENT)"));
}

TEST(CrashText, ASignalThatSaysThatSomethingIsWrongWithTheManagerIsACrash) {
  const std::chrono::system_clock::time_point when{std::chrono::seconds{1'000'000'000}};
  EXPECT_EQ(crash_text(CLD_KILLED, SIGSEGV, when, 2), "the manager crashed (SIGSEGV) at 2001-09-09T01:46:40Z, generation 2");
  EXPECT_THAT(crash_text(CLD_DUMPED, SIGABRT, when, 3), HasSubstr("(SIGABRT)"));
  EXPECT_EQ(crash_text(CLD_KILLED, SIGKILL, when, 2), "") << "somebody wanted it, or memory ran out";
  EXPECT_EQ(crash_text(CLD_EXITED, SIGSEGV, when, 2), "") << "an exit code";
  EXPECT_EQ(crash_text(0, 0, when, 0), "") << "nobody saw it";
}

TEST(CrashText, WhatIsQuarantinedIsToldWithTheWayOut) {
  EXPECT_EQ(quarantine_text(Input::Unit, "web.service"),
            "\"web.service\" is quarantined: the manager crashed 3 times while loading it; change its file and \"perdure "
            "start\" it");
  EXPECT_EQ(quarantine_text(Input::Request, "show \n"),
            "the request \"show \\n\" is quarantined: the manager crashed 3 times while carrying it out; \"perdure "
            "reset-failed\" lifts that");
}

}  // namespace
}  // namespace perdure::supervisor
