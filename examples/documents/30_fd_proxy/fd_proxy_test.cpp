// Opener and worker as processes, and what a client gets that asks for this and that.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/pass_fd.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Process;
using perdure::testing::read_file;
using testing::EndsWith;
using testing::HasSubstr;

constexpr const char* secret = "Proxy-served secret content!\n";

struct FdProxy : testing::Test {
  perdure::testing::TempDir dir;
  std::string socket = dir / "proxy.sock", shared = dir / "tmp", test_file = shared + "/test.txt";

  FdProxy() {
    // As the document's place is: anybody may put something there. And nobody must get to it, for the worker is that user.
    EXPECT_EQ(mkdir(shared.c_str(), 0700), 0);
    EXPECT_EQ(chmod(shared.c_str(), 01777), 0);
    EXPECT_EQ(chmod(dir.path().c_str(), 0711), 0);
  }
  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--socket=" + socket, "--test-file=" + test_file,
                                   "--pid-file=" + dir.path() + "/pid", "--control=none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Process serve() const {
    Process opener{command({"--serve"})};
    if (!perdure::testing::eventually([&] { return trial::exists(socket); })) throw std::runtime_error{opener.output()};
    return opener;
  }
  /// What a client gets: the bytes, and the descriptor that came with them, if one did.
  struct Answer {
    std::string bytes;
    perdure::UniqueFd file;
  };
  Answer ask(const std::string& request) const {
    const auto client = trial::connect_to(socket);
    trial::say(client, request);
    std::array<char, 64> bytes;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control;
    iovec data{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = recvmsg(client.get(), &message, MSG_CMSG_CLOEXEC);
    Answer answer{std::string(bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0), perdure::UniqueFd{}};
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) answer.file.reset(*reinterpret_cast<const int*>(CMSG_DATA(header)));
    EXPECT_EQ(trial::hear(client), "") << "and then it is closed";
    return answer;
  }
};

TEST_F(FdProxy, TheWorkerGetsTheContentOfAFileThatItMayNotOpen) {
  Process opener{command({})};
  EXPECT_EQ(opener.wait().text(), "exited with 0") << opener.output();
  const std::string output = opener.output(), own = "cannot open it itself: cannot open " + test_file + ": ";
  EXPECT_THAT(output, HasSubstr("[opener] request for: " + test_file + "\n"));
  EXPECT_THAT(output, HasSubstr("[opener] fd sent for: " + test_file + "\n"));
  EXPECT_THAT(output, HasSubstr("[worker] got: Proxy-served secret content!\n"));
  EXPECT_THAT(output, HasSubstr(own + "Operation not permitted (EPERM)\n"));
  EXPECT_THAT(output, HasSubstr("[worker] uid " + std::to_string(geteuid() == 0 ? 65534 : geteuid()) + ", "));
  EXPECT_FALSE(trial::exists(socket));
  EXPECT_EQ(read_file(test_file), secret);
}

TEST_F(FdProxy, AWorkerThatAsksForSomethingElseIsDenied) {
  Process opener{command({"--request=/etc/passwd"})};
  EXPECT_EQ(opener.wait().text(), "exited with 1");
  EXPECT_THAT(opener.output(), HasSubstr("[opener] request for: /etc/passwd\n"));
  EXPECT_THAT(opener.output(), HasSubstr("[opener] denied: /etc/passwd\n"));
  EXPECT_THAT(opener.output(), HasSubstr("[worker] denied or error\n"));
  EXPECT_FALSE(trial::exists(socket));
}

TEST_F(FdProxy, WhatIsAllowedIsTheSameFileForReadingOnly) {
  Process opener = serve();
  for (const std::string& path :
       {test_file, std::string{"/etc/hostname"}, std::string{"/etc/os-release"}, std::string{"/proc/version"}}) {
    struct stat expected {
    }, found{};
    if (stat(path.c_str(), &expected) != 0) continue;  // not every system has all of them
    for (const std::string& request : {path, path + "\n"}) {
      const Answer answer = ask(request);
      EXPECT_EQ(answer.bytes, "F") << path;
      ASSERT_TRUE(answer.file) << path;
      EXPECT_EQ(fstat(answer.file.get(), &found), 0);
      EXPECT_EQ(found.st_ino, expected.st_ino) << path;
      EXPECT_EQ(found.st_dev, expected.st_dev) << path;
      EXPECT_EQ(fcntl(answer.file.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    }
  }
}

TEST_F(FdProxy, EverythingElseIsDeniedInOneWordWithoutADescriptor) {
  Process opener = serve();
  const std::string requests[] = {"/etc/passwd",
                                  "/etc/../etc/hostname",
                                  "../etc/hostname",
                                  "/etc/hostname/",
                                  test_file + "/",
                                  "/etc/hostname\n\n",
                                  std::string{"/etc/hostname\0", 14},
                                  "\n",
                                  std::string(256, '/')};
  for (const std::string& request : requests) {
    const Answer answer = ask(request);
    EXPECT_EQ(answer.bytes, "DENIED") << request;
    EXPECT_FALSE(answer.file) << request;
  }
}

TEST_F(FdProxy, ALinkInTheTestFilesPlaceOpensNothing) {
  Process opener = serve();
  std::filesystem::remove(test_file);
  EXPECT_EQ(ask(test_file).bytes, "open failed");
  std::filesystem::create_symlink("/etc/passwd", test_file);
  const Answer planted = ask(test_file);
  EXPECT_EQ(planted.bytes, "open failed");
  EXPECT_FALSE(planted.file);
  EXPECT_TRUE(opener.wait_for_output("it is a link that others could have put there\n"));
}

TEST_F(FdProxy, ARequestCannotForgeALine) {
  Process opener = serve();
  EXPECT_EQ(ask("x\n[opener] fd sent for: /etc/shadow").bytes, "DENIED");
  EXPECT_TRUE(opener.wait_for_output("[opener] request for: x?[opener] fd sent for: /etc/shadow\n"));
}

TEST_F(FdProxy, ASilentClientIsClosedAndOneThatLeavesHarmsNobody) {
  Process opener = serve();
  const auto silent = trial::connect_to(socket);
  trial::connect_to(socket).reset();
  EXPECT_EQ(ask(test_file).bytes, "F");
  EXPECT_EQ(trial::hear(silent), "");
}

TEST_F(FdProxy, StopsWhenAskedToAndTakesItsSocketAlong) {
  Process opener = serve();
  const auto silent = trial::connect_to(socket);
  opener.signal(SIGTERM);
  EXPECT_EQ(opener.wait().text(), "exited with 0");
  EXPECT_FALSE(trial::exists(socket));
}

TEST_F(FdProxy, TheWorkerAloneFailsWhereNobodyListens) {
  const auto worker = perdure::testing::run({EXAMPLE_PROGRAM, "--worker", socket, test_file});
  EXPECT_EQ(worker.status.text(), "exited with 1");
  EXPECT_THAT(worker.output, HasSubstr("cannot connect to " + socket));
  EXPECT_THAT(worker.output, EndsWith("[worker] denied or error\n"));
}

TEST_F(FdProxy, HasTheDocumentsPathsByDefault) {
  const std::string printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"}).output;
  EXPECT_THAT(printed, HasSubstr("socket = /tmp/zig_fdproxy.sock\n"));
  EXPECT_THAT(printed, HasSubstr("test_file = /tmp/zig_fdproxy_test.txt\n"));
}

}  // namespace
