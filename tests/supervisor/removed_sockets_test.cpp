// The files of the instance's sockets are removed, or replaced, while it runs: it can be reached again, and nothing else changes.
#include <perdure/control.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

namespace fs = std::filesystem;
using perdure::testing::eventually;
using ::testing::HasSubstr;

perdure::UniqueFd listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(socket.get(), 1), 0);
  return socket;
}

class RemovedSockets : public ::testing::Test {
 protected:
  RemovedSockets() {
    instance.add("idler.service", "idle");
    const std::string teller = instance.path("units/teller.py");
    perdure::testing::write_file(teller,
                                 "import os, socket, time\n"
                                 "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                                 "s.connect(os.environ['NOTIFY_SOCKET'])\n"
                                 "s.send(b'READY=1')\n"
                                 "time.sleep(1000)\n");
    instance.add_unit("telling.service", "[Service]\nType=notify\nExecStart=/usr/bin/python3 " + teller + "\n");
    instance.start();
    keeper = instance.keeper();
    manager = static_cast<pid_t>(instance.number("ManagerPID"));
  }
  void SetUp() override {
    if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "the service that tells is written in Python";
  }
  void TearDown() override {
    EXPECT_EQ(instance.keeper(), keeper);
    EXPECT_EQ(instance.services().front().truth->lives, 1U);
    EXPECT_EQ(instance.show("idler.service").restarts, 0U);
    EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
    EXPECT_EQ(instance.leftovers(), is_anothers ? "control.sock; " : "");
    EXPECT_FALSE(fs::exists(notify));
  }
  /// By somebody who comes now.
  [[nodiscard]] bool is_reached() const {
    auto client = perdure::ControlClient::connect(control);
    return client && client->request("ping", "", perdure::testing::hang_limit).has_value();
  }
  bool replace_manager() {
    return signal_descendant(manager, SIGKILL) &&
           eventually([&] { return is_reached() && instance.number("ManagerPID") != manager; });
  }
  bool hears_services() { return instance.carry_out("restart", {"telling.service"}) == "done"; }
  std::size_t told(std::string_view text) {
    std::size_t count = 0;
    const std::string output = instance.output();
    for (std::size_t at = 0; (at = output.find(text, at)) != std::string::npos; ++at) ++count;
    return count;
  }

  Instance instance{Owner::Ourselves, Parent::Test};
  std::string control = instance.path("run/control.sock");
  std::string notify = instance.path("run/notify");
  pid_t keeper = 0;
  pid_t manager = 0;
  bool is_anothers = false;  ///< what stands at `control` in the end
};

TEST_F(RemovedSockets, TheControlSocketIsBoundAgainAndWhoIsConnectedStays) {
  auto client = perdure::ControlClient::connect(control);
  ASSERT_TRUE(client);
  struct stat before {};
  ASSERT_EQ(::stat(control.c_str(), &before), 0);
  ASSERT_EQ(::unlink(control.c_str()), 0);
  EXPECT_TRUE(eventually([&] { return is_reached(); })) << instance.output();
  struct stat after {};
  ASSERT_EQ(::stat(control.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_TRUE(client->request("ping", "", perdure::testing::hang_limit));
  EXPECT_TRUE(
      instance.wait_for_output("perdure: " + control + " was removed, and is bound again; nothing else has changed\n"))
      << instance.output();
  EXPECT_EQ(told("bound again"), 1U) << instance.output();
  EXPECT_EQ(instance.number("ManagerPID"), manager);
  EXPECT_TRUE(replace_manager()) << "the new one is in the keeper's hands\n" << instance.output();
  EXPECT_EQ(told("bound again"), 1U) << instance.output();
}

TEST_F(RemovedSockets, TheSocketForMessagesIsBoundAgain) {
  ASSERT_TRUE(hears_services());
  ASSERT_EQ(::unlink(notify.c_str()), 0);
  EXPECT_TRUE(
      instance.wait_for_output("perdure: " + notify + " was removed, and is bound again; nothing else has changed\n"));
  EXPECT_TRUE(hears_services());
  EXPECT_TRUE(replace_manager());
  EXPECT_TRUE(hears_services());
  EXPECT_EQ(told("bound again"), 1U) << instance.output();
}

TEST_F(RemovedSockets, TheDirectoryIsMadeAgainWithThem) {
  const fs::path directory = fs::path{control}.parent_path();
  struct stat before {};
  ASSERT_EQ(::stat(directory.c_str(), &before), 0);
  fs::rename(directory, instance.path("gone"));
  EXPECT_TRUE(eventually([&] { return is_reached(); })) << instance.output();
  EXPECT_TRUE(instance.wait_for_output(notify + " was removed, and is bound again")) << instance.output();
  struct stat after {};
  ASSERT_EQ(::stat(directory.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_TRUE(hears_services());
  ASSERT_EQ(::unlink(control.c_str()), 0);
  EXPECT_TRUE(eventually([&] { return is_reached(); })) << "the new directory is watched\n" << instance.output();
  fs::remove_all(directory);
  EXPECT_TRUE(eventually([&] { return is_reached(); })) << instance.output();
}

TEST_F(RemovedSockets, WhatIsRemovedWhileThereIsNoManagerIsBoundByTheNext) {
  ASSERT_TRUE(signal_descendant(keeper, SIGSTOP));
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(keeper, "State").starts_with("T"); }));
  ASSERT_TRUE(signal_descendant(manager, SIGKILL));
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(manager, "State").starts_with("Z"); }));
  for (const std::string& path : {control, notify}) ASSERT_EQ(::unlink(path.c_str()), 0);
  ASSERT_TRUE(signal_descendant(keeper, SIGCONT));
  EXPECT_TRUE(eventually([&] { return is_reached(); })) << instance.output();
  EXPECT_TRUE(hears_services());
  EXPECT_EQ(told("bound again"), 2U) << instance.output();
}

TEST_F(RemovedSockets, ASocketOfSomebodyElseIsLeftAloneUntilItGoes) {
  const perdure::UniqueFd other = listen_at(instance.path("run/other"));
  fs::rename(instance.path("run/other"), control);
  const std::string line =
      "perdure: " + control +
      " is not ours any more; it was left alone, and nobody can ask this instance until it is removed\n";
  EXPECT_TRUE(instance.wait_for_output(line)) << instance.output();
  fs::remove(notify);  // it looks again
  EXPECT_TRUE(instance.wait_for_output(notify + " was removed, and is bound again"));
  EXPECT_EQ(told("is not ours any more"), 1U) << instance.output();
  EXPECT_TRUE(fs::is_socket(control));
  fs::remove(control);
  EXPECT_TRUE(eventually([&] { return is_reached(); })) << instance.output();
}

TEST_F(RemovedSockets, ASocketOfSomebodyElseOutlivesTheInstance) {
  const perdure::UniqueFd other = listen_at(instance.path("run/other"));
  fs::rename(instance.path("run/other"), control);
  EXPECT_TRUE(instance.wait_for_output(control + " is not ours any more")) << instance.output();
  is_anothers = true;
}

}  // namespace
}  // namespace supervisor_test
