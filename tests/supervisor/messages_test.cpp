// Messages that are not the service's, or too many: whoever sends them changes nothing for others.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::has_ended;
using perdure::testing::proc_status;
using ::testing::HasSubstr;

/// A program in the instance's directory that sends a message as $NOTIFY_SOCKET says.
constexpr const char* send_in_python = R"(
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
def notify(text): s.send(text.encode())
)";

/// Of ours, who is no service of the instance.
ssize_t send_as_stranger(const std::string& path, const std::string& text, int sent_along = -1) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  const perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof sent_along)]{};
  if (sent_along >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof sent_along);
    std::memcpy(CMSG_DATA(header), &sent_along, sizeof sent_along);
  }
  return ::sendmsg(socket.get(), &message, MSG_DONTWAIT);
}

/// How much of the processor's time another process takes, a window at a time.
class Spent {
 public:
  explicit Spent(pid_t pid) : clock_(clock_of(pid)) {}
  /// True: the last whole window is one in which it took less than a tenth.
  bool is_little() {
    constexpr std::chrono::milliseconds window{300};
    const auto now = std::chrono::steady_clock::now();
    if (now - since_ < window) return false;
    const auto used = used_so_far();
    const bool is_calm = (used - used_) * 10 < now - since_;
    since_ = now;
    used_ = used;
    return is_calm;
  }

 private:
  [[nodiscard]] std::chrono::nanoseconds used_so_far() const {
    timespec time{};
    ::clock_gettime(clock_, &time);
    return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
  }
  static clockid_t clock_of(pid_t pid) {
    clockid_t clock = CLOCK_REALTIME;
    EXPECT_EQ(::clock_getcpuclockid(pid, &clock), 0);
    return clock;
  }
  clockid_t clock_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::chrono::nanoseconds used_ = used_so_far();
};

class Messages : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "the services under test are written in Python";
    instance_.add("bystander.service", "idle");
    instance_.start();
    ASSERT_TRUE(eventually([this] { return instance_.services().front().truth->lives > 0; }));
  }
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EQ(instance_.show("bystander.service").restarts, 0U);
    EXPECT_EQ(instance_.services().front().truth->lives, 1U);
    EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
    EXPECT_EQ(instance_.leftovers(), "");
  }
  void add_python(const std::string& unit, const std::string& program, const std::string& settings) {
    const std::string path = instance_.path("units/" + unit + ".py");
    perdure::testing::write_file(path, std::string{send_in_python} + program);
    instance_.add_unit(unit, "[Service]\n" + settings + "ExecStart=/usr/bin/python3 " + path + "\n");
  }
  ssize_t send_as_stranger(const std::string& text, int sent_along = -1) const {
    return supervisor_test::send_as_stranger(instance_.path("run/notify"), text, sent_along);
  }
  Instance instance_{Owner::Ourselves, Parent::Test};
};

TEST_F(Messages, AStrangerIsNotHeard) {
  add_python("slow.service", "import time\ntime.sleep(1000)\n", "Type=notify\n");
  instance_.ask({{"verb", "start"}, {"units", {"slow.service"}}, {"wait", false}});
  ASSERT_TRUE(eventually([&] { return instance_.show("slow.service").main_pid > 1; }));
  const auto pid = instance_.show("slow.service").main_pid;
  ASSERT_GT(send_as_stranger("READY=1\nMAINPID=" + std::to_string(::getpid()) + "\nSTATUS=forged"), 0);
  ASSERT_GT(send_as_stranger(std::string(60'000, 'x')), 0) << "longer than a message may be";
  // What is sent later is read later: this one was taken, or the instance would not know.
  add_python("later.service", "notify('READY=1')\nimport time\ntime.sleep(1000)\n", "Type=notify\n");
  ASSERT_EQ(instance_.carry_out("start", {"later.service"}), "done");
  EXPECT_EQ(instance_.show("slow.service").sub_state, "start");
  EXPECT_EQ(instance_.show("slow.service").main_pid, pid);
  EXPECT_EQ(instance_.unit("slow.service").at("StatusText"), "");
}

TEST_F(Messages, AMainProcessOfSomebodyElseIsNotTaken) {
  const auto victim = instance_.show("bystander.service").main_pid;
  add_python("thief.service",
             "import time\nfor pid in (" + std::to_string(victim) +
                 ", 1, 0, -1, 1 << 40): notify('MAINPID=%d' % pid)\nnotify('READY=1')\ntime.sleep(1000)\n",
             "Type=notify\n");
  ASSERT_EQ(instance_.carry_out("start", {"thief.service"}), "done");
  EXPECT_NE(instance_.show("thief.service").main_pid, victim);
  EXPECT_TRUE(instance_.wait_for_output("thief.service: MAINPID=" + std::to_string(victim) + " is none of its processes"))
      << instance_.output();
  EXPECT_EQ(instance_.carry_out("stop", {"thief.service"}), "done");
  EXPECT_FALSE(has_ended(static_cast<pid_t>(victim)));
}

TEST_F(Messages, APidFileThatNamesSomebodyElseIsRefusedWithItsReason) {
  const auto victim = instance_.show("bystander.service").main_pid;
  const std::string file = instance_.path("truth/stolen.pid");
  instance_.add_unit("stolen.service", "[Service]\nType=forking\nTimeoutStartSec=300ms\nPIDFile=" + file +
                                           "\nExecStart=/bin/sh -c 'sleep 1000 & echo " + std::to_string(victim) + " > " +
                                           file + "'\n");
  EXPECT_EQ(instance_.carry_out("start", {"stolen.service"}), "timeout");
  EXPECT_THAT(instance_.remarks("stolen.service"),
              HasSubstr(file + " names process " + std::to_string(victim) + ", which is none of the service's"));
  EXPECT_FALSE(has_ended(static_cast<pid_t>(victim)));
  EXPECT_EQ(instance_.show("bystander.service").sub_state, "running");
}

// Without cgroups whoever is not known yet may be the one that is being started.
TEST(MessagesWithoutCgroups, WhileTheAnswerToAStartIsOwedNothingSpins) {
  Instance instance{Owner::Ourselves, Parent::Test, best_effort()};
  Service& idler = instance.add("idler.service", "idle");
  instance.add_unit("later.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  instance.start();
  ASSERT_TRUE(instance.wait_for(idler.name, "running"));
  const pid_t keeper = instance.keeper();
  const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(keeper, SIGSTOP));
  ASSERT_TRUE(eventually([&] { return proc_status(keeper, "State").starts_with("T"); }));
  instance.ask({{"verb", "start"}, {"units", {"later.service"}}, {"wait", false}});
  ASSERT_GT(send_as_stranger(instance.path("run/notify"), "READY=1"), 0);
  EXPECT_TRUE(eventually([spent = Spent{manager}]() mutable { return spent.is_little(); })) << "it waits for the keeper";
  ASSERT_TRUE(signal_descendant(keeper, SIGCONT));
  EXPECT_TRUE(instance.wait_for("later.service", "running"));
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
}

// Whoever closes the last descriptor of such a socket waits for as long as its owner has chosen.
TEST_F(Messages, WhatIsSentAlongCannotHoldUpTheInstance) {
  const auto manager = instance_.number("ManagerPID");
  const perdure::UniqueFd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  perdure::UniqueFd lingering{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  ::connect(lingering.get(), reinterpret_cast<const sockaddr*>(&address), size);
  const perdure::UniqueFd mute{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  ASSERT_TRUE(mute);
  const linger long_time{1, 1000};
  ASSERT_EQ(::setsockopt(lingering.get(), SOL_SOCKET, SO_LINGER, &long_time, sizeof long_time), 0);
  const std::string block(64 * 1024, 'x');
  while (::send(lingering.get(), block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
  // Held up until then: whoever closes the last one waits, and that is not to be this test.
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(manager), SIGSTOP));
  ASSERT_TRUE(eventually([&] { return proc_status(static_cast<pid_t>(manager), "State").starts_with("T"); }));
  ASSERT_GT(send_as_stranger("READY=1", lingering.get()), 0);
  lingering.reset();  // in the instance's notify socket is the last one
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(manager), SIGCONT));
  add_python("after.service", "notify('READY=1')\nimport time\ntime.sleep(1000)\n", "Type=notify\n");
  EXPECT_EQ(instance_.carry_out("start", {"after.service"}), "done");
  EXPECT_EQ(instance_.number("ManagerPID"), manager) << instance_.output();
}

TEST_F(Messages, AFloodKeepsNobodyFromBeingHeard) {
  add_python("flood.service",
             "import os\nos.fork()\nos.fork()\nnotify('READY=1')\nwhile True: notify('STATUS=' + 'x' * 4000)\n",
             "Type=notify\nNotifyAccess=all\n");
  ASSERT_EQ(instance_.carry_out("start", {"flood.service"}), "done");
  for (const char* const name : {"heard.service", "again.service"}) {
    add_python(name, "import time\nnotify('READY=1\\nSTATUS=heard')\ntime.sleep(1000)\n", "Type=notify\n");
    EXPECT_EQ(instance_.carry_out("start", {name}), "done") << "while messages come without end";
    EXPECT_EQ(instance_.unit(name).at("StatusText"), "heard");
  }
  EXPECT_LT(instance_.output().size(), 64 * 1024U) << "a flood is not passed on";
  EXPECT_EQ(instance_.carry_out("stop", {"flood.service"}), "done");
}

TEST_F(Messages, AReloadThatTheServiceSpeaksOfEndsWhenItIsReady) {
  add_python("self.service",
             "import signal, time\n"
             "def hup(*_):\n  notify('RELOADING=1')\n  notify('READY=1\\nSTATUS=reloaded')\n"
             "signal.signal(signal.SIGHUP, hup)\nnotify('READY=1')\nwhile True: time.sleep(1000)\n",
             "Type=notify\nNotifyAccess=all\nExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n");
  ASSERT_EQ(instance_.carry_out("start", {"self.service"}), "done");
  const auto pid = instance_.show("self.service").main_pid;
  EXPECT_EQ(instance_.carry_out("reload", {"self.service"}), "done");
  EXPECT_TRUE(eventually([&] { return instance_.unit("self.service").at("StatusText") == "reloaded"; }));
  EXPECT_TRUE(instance_.wait_for("self.service", "running"));
  EXPECT_EQ(instance_.show("self.service").main_pid, pid);
}

}  // namespace
}  // namespace supervisor_test
