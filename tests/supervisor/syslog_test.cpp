// What services say with syslog(3) stands in their log, whoever is killed; what nobody of ours says has a log of its own.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

InstanceOptions with_socket(const std::string& path) { return {.run_options = {"--syslog=" + path}}; }

/// An instance that hears at a path of its own, and a speaker: a service that says each line that it is given with syslog(3).
class Syslog : public ::testing::Test {
 protected:
  Syslog() {
    if (::access("/usr/bin/logger", X_OK) != 0) return;
    instance.add("bystander.service", "idle");
    if (::mkfifo(lines.c_str(), 0600) != 0) throw std::runtime_error{lines};
    instance.start();
    // Opened for both, so that it goes on when the test has closed its end.
    instance.add_unit("speaker.service", "[Service]\nExecStart=/bin/sh -c 'exec logger --socket " + path +
                                             " -t speaker -p daemon.warning <> " + lines + "'\n");
    instance.carry_out("start", {"speaker.service"});
  }
  void SetUp() override {
    if (::access("/usr/bin/logger", X_OK) != 0) GTEST_SKIP() << "no logger(1) here";
  }
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
    EXPECT_EQ(instance.leftovers(), "");
    EXPECT_EQ(::access(path.c_str(), F_OK) == 0, is_anothers) << "its own socket is gone with it";
  }
  void say(const std::string& line) const { perdure::testing::write_file(lines, line + '\n'); }
  /// As a process that is none of ours.
  void send(const std::string& datagram) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    const perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    EXPECT_EQ(::sendto(socket.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                       sizeof address),
              static_cast<ssize_t>(datagram.size()));
  }
  bool is_logged(const std::string& unit, const std::string& line) {
    return eventually([&] { return instance.log(unit).find(line) != std::string::npos; });
  }

  perdure::testing::TempDir directory{};
  std::string path = directory / "log";
  std::string lines = directory / "lines";
  bool is_anothers = false;  ///< what stands at `path`
  Instance instance{Owner::Ourselves, Parent::Init, with_socket(path)};
};

TEST_F(Syslog, IsInTheLogOfTheServiceWithItsPriority) {
  say("first");
  EXPECT_TRUE(is_logged("speaker.service", "<4>first\n")) << instance.log("speaker.service");
  EXPECT_THAT(instance.log("syslog.socket"), Not(HasSubstr("first")));
}

TEST_F(Syslog, NothingIsLostWhileThereIsNoManager) {
  constexpr int kills = 6;
  for (int i = 0; i < kills; ++i) {
    const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
    say("before " + std::to_string(i) + '.');
    ASSERT_TRUE(signal_descendant(manager, SIGKILL));
    say("after " + std::to_string(i) + '.');
    ASSERT_TRUE(eventually([&] { return instance.number("ManagerPID") != manager; })) << instance.output();
  }
  say("end.");
  ASSERT_TRUE(is_logged("speaker.service", "<4>end.\n"));
  const std::string log = instance.log("speaker.service");
  for (int i = 0; i < kills; ++i) {
    EXPECT_THAT(log, HasSubstr("<4>before " + std::to_string(i) + ".\n"));
    EXPECT_THAT(log, HasSubstr("<4>after " + std::to_string(i) + ".\n"));
  }
}

TEST_F(Syslog, GoesOnWhenTheKeeperIsLost) {
  const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(instance.number("KeeperPID")), SIGKILL));
  say("without.");
  ASSERT_TRUE(eventually([&] { return instance.number("KeeperPID") == manager; })) << instance.output();
  EXPECT_TRUE(is_logged("speaker.service", "<4>without.\n"));
}

TEST_F(Syslog, WhoHasEndedIsStillKnown) {
  instance.add_unit("brief.service", "[Service]\nType=oneshot\nExecStart=logger --socket " + path + " -t other hello\n");
  EXPECT_EQ(instance.carry_out("start", {"brief.service"}), "done");
  ASSERT_TRUE(eventually([&] {
    return (instance.log("brief.service") + instance.log("syslog.socket")).find("<5>other: hello\n") != std::string::npos;
  }));
  if (instance.log("brief.service").empty()) GTEST_SKIP() << "only Linux 6.15 and later tell it of a process that has ended";
}

TEST_F(Syslog, AStrangerAndAServiceWithoutALogHaveTheirLinesInALogApart) {
  send("<3>Nov 21 04:40:10 stranger[7]: hello");
  EXPECT_TRUE(is_logged("syslog.socket", "<3>stranger[7]: hello\n")) << instance.log("syslog.socket");
  instance.add_unit("mute.service", "[Service]\nType=oneshot\nStandardOutput=null\nExecStart=logger --socket " + path +
                                        " -t mute something\n");
  EXPECT_EQ(instance.carry_out("start", {"mute.service"}), "done");
  EXPECT_TRUE(is_logged("syslog.socket", "mute: something\n")) << instance.log("syslog.socket");
}

TEST_F(Syslog, WhatIsTooLongIsCutAndWhatIsNoMessageIsText) {
  send("<3>long: " + std::string(20'000, 'x'));
  send("");
  send(std::string{"\0\0", 2});
  send("\xff<9999>: [");
  ASSERT_TRUE(is_logged("syslog.socket", "\xff<9999>: ["));
  const std::string log = instance.log("syslog.socket");
  EXPECT_THAT(log, HasSubstr("xxx […]\n"));
  EXPECT_LT(log.size(), 9'000U);
}

TEST_F(Syslog, AServiceThatHasClosedItsOutputIsHeardAllTheSame) {
  const std::string more = directory / "more";
  ASSERT_EQ(::mkfifo(more.c_str(), 0600), 0);
  instance.add_unit("closed.service", "[Service]\nExecStart=/bin/sh -c 'exec >/dev/null 2>&1 logger --socket " + path +
                                          " -t closed <> " + more + "'\n");
  EXPECT_EQ(instance.carry_out("start", {"closed.service"}), "done");
  for (const char* const line : {"one.", "two."}) {
    perdure::testing::write_file(more, std::string{line} + '\n');
    EXPECT_TRUE(is_logged("closed.service", std::string{line} + '\n')) << instance.log("closed.service");
  }
}

TEST_F(Syslog, WhoPutsHisOwnSocketInThePlaceOfOursKeepsIt) {
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const perdure::UniqueFd other{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(::bind(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(manager, SIGKILL));  // the next one knows ours, too
  ASSERT_TRUE(eventually([&] { return instance.number("ManagerPID") != manager; })) << instance.output();
  is_anothers = true;
}

TEST_F(Syslog, AFloodHoldsUpNobodyElse) {
  instance.add_unit("flood.service",
                    "[Service]\nExecStart=/bin/sh -c 'yes 0123456789 | exec logger --socket " + path + " -t flood'\n");
  EXPECT_EQ(instance.carry_out("start", {"flood.service"}), "done");
  ASSERT_TRUE(eventually([&] { return instance.log("flood.service").size() > 100'000; }));
  say("heard.");
  EXPECT_TRUE(is_logged("speaker.service", "<4>heard.\n"));
  EXPECT_EQ(instance.carry_out("stop", {"flood.service"}), "done");
  EXPECT_THAT(instance.log("flood.service"), EndsWith("\n"));
}

}  // namespace
}  // namespace supervisor_test
