#include "control/listening_socket.hpp"

#include <fcntl.h>
#include <sys/wait.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_test_support.hpp"

namespace perdure::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode : 0;
}

ino_t inode_of(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

std::string error_at(const std::string& path) {
  const auto listening = ListeningSocket::at(path);
  return listening ? "listens" : listening.error().message();
}

TEST(ListeningSocket, IsPrivateWhateverTheUmask) {
  const TemporaryDirectory directory;
  for (const mode_t umask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
    const std::string path = directory.file("s");
    const mode_t before = ::umask(umask);
    {
      const auto first = ListeningSocket::at(path);
      ASSERT_TRUE(first) << first.error().message();
      EXPECT_EQ(mode_of(path), mode_t{S_IFSOCK | 0600});
      const auto replacement = ListeningSocket::at(path);
      ASSERT_TRUE(replacement) << replacement.error().message();
      EXPECT_EQ(mode_of(path), mode_t{S_IFSOCK | 0600});
    }
    ::umask(before);
  }
}

TEST(ListeningSocket, AUmaskThatLocksUsOutIsNamedAndNothingIsLeft) {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(0777);
  const std::string error = error_at(directory.file("s"));
  ::umask(before);
  EXPECT_THAT(error, HasSubstr("the umask takes the owner's rights to it away"));
  EXPECT_THAT(directory.names(), ElementsAre());
}

TEST(ListeningSocket, AStaleSocketIsReplacedAndNothingElseIsLeftBehind) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  const UniqueFd dead{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const auto address = socket_address(path, "listen on");
  ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address), 0);

  const auto listening = ListeningSocket::at(path);
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_THAT(directory.names(), ElementsAre("s"));
  EXPECT_TRUE(RawClient{path}.is_connected());
}

TEST(ListeningSocket, AReplacedOneLeavesItsSuccessorsSocketAlone) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  auto predecessor = std::make_optional(ListeningSocket::at(path));
  ASSERT_TRUE(*predecessor);
  const auto successor = ListeningSocket::at(path);
  ASSERT_TRUE(successor);
  const ino_t inode = inode_of(path);

  predecessor.reset();
  EXPECT_EQ(inode_of(path), inode);
  EXPECT_TRUE(RawClient{path}.is_connected());
}

TEST(ListeningSocket, APathWithoutRoomForATemporaryNameIsReplacedToo) {
  const TemporaryDirectory directory;
  const std::string path = directory.file(std::string(socket_path_max - directory.path().size() - 1, 'x'));
  ASSERT_EQ(path.size(), socket_path_max);
  const auto first = ListeningSocket::at(path);
  ASSERT_TRUE(first) << first.error().message();
  const ino_t inode = inode_of(path);
  const auto second = ListeningSocket::at(path);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_NE(inode_of(path), inode);
  EXPECT_EQ(directory.names().size(), 1U);
}

TEST(ListeningSocket, WhatIsNoSocketIsLeftAlone) {
  const TemporaryDirectory directory;
  std::ofstream{directory.file("file")} << "precious";
  ::mkdir(directory.file("directory").c_str(), 0700);
  ::mkfifo(directory.file("fifo").c_str(), 0600);
  ::symlink("nowhere", directory.file("dangling").c_str());
  const auto live = ListeningSocket::at(directory.file("live"));
  ASSERT_TRUE(live);
  ::symlink("live", directory.file("link").c_str());

  const auto refused = [&](std::string_view name, std::string_view kind) {
    EXPECT_EQ(error_at(directory.file(name)), "cannot listen on " + directory.file(name) + ": what stands there is " +
                                                  std::string{kind} + ", not a socket; it was left alone");
  };
  refused("file", "a regular file");
  refused("directory", "a directory");
  refused("fifo", "a FIFO");
  refused("dangling", "a symbolic link");
  refused("link", "a symbolic link");
  EXPECT_EQ(std::filesystem::file_size(directory.file("file")), 8U);
  EXPECT_THAT(directory.names(), ElementsAre("dangling", "directory", "fifo", "file", "link", "live"));
}

TEST(ListeningSocket, PathsThatCannotBeAreRefusedByName) {
  const TemporaryDirectory directory;
  const std::string too_long = "/tmp/" + std::string(103, 'x');
  EXPECT_THAT(error_at(too_long), HasSubstr("the path has 108 bytes, a Unix socket's at most 107; choose a shorter one"));
  EXPECT_EQ(error_at(""), "cannot listen on \"\": the path of the socket is empty");
  EXPECT_EQ(error_at(std::string("/tmp/a\0b", 8)), "cannot listen on \"/tmp/a\\x00b\": the path has a NUL byte");
  EXPECT_EQ(error_at(directory.file("missing/s")), "cannot listen on " + directory.file("missing/s") +
                                                       ": No such file or directory (ENOENT); make its directory first");
}

TEST(ListeningSocket, IsUnlinkedByItsMakerOnlyAndOnlyIfItIsStillThere) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  {
    auto listening = ListeningSocket::at(path);
    ASSERT_TRUE(listening);
    const pid_t child = ::fork();
    if (child == 0) {
      { const ListeningSocket copy = std::move(*listening); }
      ::_exit(0);
    }
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_THAT(directory.names(), ElementsAre("s"));
  }
  EXPECT_THAT(directory.names(), ElementsAre());
  {
    const auto listening = ListeningSocket::at(path);
    ASSERT_TRUE(listening);
    ::unlink(path.c_str());
    std::ofstream{path} << "somebody else's";
  }
  EXPECT_THAT(directory.names(), ElementsAre("s"));
}

TEST(ListeningSocket, AnAdoptedOneMustListen) {
  const auto refused = [](int fd) { return ListeningSocket::adopt(fd).error().message(); };
  EXPECT_EQ(refused(1'000'000), "cannot listen on descriptor 1000000: it is not open; it was left alone");
  const UniqueFd file{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  EXPECT_THAT(refused(file.get()), HasSubstr("it is not a socket; it was left alone"));
  const UniqueFd inet{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  EXPECT_THAT(refused(inet.get()), HasSubstr("it is not a Unix stream socket"));
  const UniqueFd datagram{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  EXPECT_THAT(refused(datagram.get()), HasSubstr("it is not a Unix stream socket"));
  const UniqueFd idle{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  EXPECT_THAT(refused(idle.get()), HasSubstr("it is a socket that does not listen"));
  EXPECT_GE(::fcntl(idle.get(), F_GETFD), 0) << "a refused descriptor is still the caller's";
}

TEST(ListeningSocket, AnAdoptedOneIsMadeNonBlockingAndItsPathStays) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const auto address = socket_address(path, "listen on");
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address), 0);
  ASSERT_EQ(::listen(fd, 5), 0);
  {
    const auto listening = ListeningSocket::adopt(fd);
    ASSERT_TRUE(listening) << listening.error().message();
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_THAT(directory.names(), ElementsAre("s"));
}

}  // namespace
}  // namespace perdure::control
