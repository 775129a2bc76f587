#include "supervisor/socket_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"
#include "supervisor/message_socket.hpp"

namespace perdure::supervisor {
namespace {

class SocketFileTest : public ::testing::Test {
 protected:
  [[nodiscard]] UniqueFd bind() const {
    auto socket = bind_message_socket(path);
    EXPECT_TRUE(socket) << (socket ? "" : socket.error().message());
    return socket ? *std::move(socket) : UniqueFd{};
  }
  [[nodiscard]] bool is_there() const { return ::access(path.c_str(), F_OK) == 0; }

  os::testing::ScratchDirectory directory{};
  std::string path = directory / "socket";
};

TEST_F(SocketFileTest, WhatStoodThereAtFirstIsOurs) {
  const UniqueFd socket = bind();
  const SocketFile file = SocketFile::at(path);
  EXPECT_EQ(file.look(), Standing::Ours);
  file.remove();
  EXPECT_FALSE(is_there());
  EXPECT_EQ(file.look(), Standing::Free);
}

TEST_F(SocketFileTest, AnothersSocketIsToldFromOursAndNotRemoved) {
  const UniqueFd socket = bind();
  const SocketFile file = SocketFile::at(path);
  const UniqueFd other = bind();
  EXPECT_EQ(file.look(), Standing::Anothers);
  file.remove();
  EXPECT_TRUE(is_there());
}

TEST_F(SocketFileTest, ASocketThatNobodyListensAtIsInNobodysWay) {
  const UniqueFd socket = bind();
  const SocketFile file = SocketFile::at(path);
  bind().reset();
  EXPECT_EQ(file.look(), Standing::Free);
  file.remove();
  EXPECT_TRUE(is_there()) << "and is not ours either";
}

TEST_F(SocketFileTest, WhatIsNoSocketIsAnothers) {
  const UniqueFd socket = bind();
  const SocketFile file = SocketFile::at(path);
  ::unlink(path.c_str());
  std::ofstream{path} << "precious";
  EXPECT_EQ(file.look(), Standing::Anothers);
  file.remove();
  EXPECT_TRUE(is_there());
}

TEST_F(SocketFileTest, WithoutAFileNothingIsOurs) {
  const UniqueFd socket = bind();
  EXPECT_EQ((SocketFile{path, {}}).look(), Standing::Anothers);
  SocketFile{}.remove();
  EXPECT_TRUE(is_there());
}

}  // namespace
}  // namespace perdure::supervisor
