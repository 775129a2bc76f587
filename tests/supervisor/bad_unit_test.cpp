// Unit files and directories of them that nobody should have written: what is wrong is said with its place, and costs nobody else
// anything.
#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::proc_status;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string sleeper = "[Service]\nExecStart=/bin/sleep 1000\n";

std::uint64_t private_kib(pid_t pid) {
  const std::string text = proc_status(pid, "RssAnon");
  std::uint64_t kib = 0;
  std::from_chars(text.data(), text.data() + text.size(), kib);
  return kib;
}

class BadUnit : public ::testing::Test {
 protected:
  BadUnit() {
    instance_.add("bystander.service", "idle");
    instance_.start();
    (void)eventually([this] { return instance_.services().front().truth->lives > 0; });
    manager_ = instance_.number("ManagerPID");
  }
  void TearDown() override {
    EXPECT_EQ(instance_.number("ManagerPID"), manager_);
    EXPECT_EQ(instance_.services().front().truth->lives, 1U);
    EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
    EXPECT_EQ(instance_.leftovers(), "");
  }
  Instance instance_{Owner::Ourselves, Parent::Test};
  std::int64_t manager_ = 0;
};

struct BadText {
  const char* name;
  std::string text;
  const char* why;
};
const BadText bad_texts[] = {
    {"utf16.service", std::string{"\xFF\xFE[\0S\0e\0r\0v\0i\0c\0e\0]\0\n\0", 22}, "UTF-16"},
    {"nul.service", sleeper + std::string{"Nice=\0\n", 7}, "NUL"},
    {"half.service", "[Unit]\nDescription=half saved\n[Serv", "does not end in \"]\""},
    {"long.service", sleeper + "Environment=A=" + std::string(70'000, 'a') + "\n", "longer than 65536 bytes"},
    {"noise.service", "\x01\x02\x03\xFE\xC0\x80\n", "ExecStart= is missing"},
};

TEST_F(BadUnit, WhatCannotBeReadIsRefusedWithItsPlace) {
  for (const BadText& bad : bad_texts) {
    SCOPED_TRACE(bad.name);
    instance_.add_unit(bad.name, bad.text);
    const std::string answer = instance_.carry_out("start", {bad.name});
    EXPECT_THAT(answer, HasSubstr(std::string{bad.name} + " cannot be started: "));
    EXPECT_THAT(answer, HasSubstr(instance_.path("units/") + bad.name));
    EXPECT_THAT(answer, HasSubstr(bad.why));
    EXPECT_EQ(answer.find('\n'), std::string::npos) << "one line";
  }
}

TEST_F(BadUnit, AFileOfAGigabyteIsRefusedAndNotRead) {
  instance_.add_unit("big.service", sleeper);
  ASSERT_EQ(::truncate(instance_.path("units/big.service").c_str(), 1 << 30), 0);
  const std::uint64_t before = private_kib(static_cast<pid_t>(manager_));
  const std::string answer = instance_.carry_out("start", {"big.service"});
  EXPECT_THAT(answer, HasSubstr("big.service cannot be started: "));
  EXPECT_THAT(answer, HasSubstr("1048576"));
  EXPECT_LT(private_kib(static_cast<pid_t>(manager_)), before + 4 * 1024);
}

TEST_F(BadUnit, AFileThatWasHalfSavedLeavesARunningServiceAsItIs) {
  instance_.add_unit("web.service", sleeper);
  ASSERT_EQ(instance_.carry_out("start", {"web.service"}), "done");
  const auto pid = instance_.show("web.service").main_pid;
  instance_.add_unit("web.service", "[Service]\nExecStart=/bin/sleep 1000\n[Insta");
  instance_.ask({{"verb", "daemon-reload"}});
  EXPECT_EQ(instance_.show("web.service").main_pid, pid);
  EXPECT_EQ(instance_.show("web.service").sub_state, "running");
  EXPECT_EQ(instance_.carry_out("stop", {"web.service"}), "done");
  instance_.add_unit("web.service", sleeper);
  instance_.ask({{"verb", "daemon-reload"}});
  EXPECT_EQ(instance_.carry_out("start", {"web.service"}), "done") << "and the mended one counts";
}

TEST_F(BadUnit, WhatIsMaskedIsStartedByNobodyWhoWantsItAndHasNotFailed) {
  instance_.add_unit("masked.service", "");
  instance_.add_unit("broken.service", "[Servi");
  instance_.add_unit("other.service", sleeper);
  instance_.add_unit("one.service", "[Unit]\nWants=masked.service broken.service other.service\n" + sleeper);
  ASSERT_EQ(instance_.carry_out("start", {"one.service"}), "done");
  ASSERT_TRUE(eventually([&] { return instance_.show("other.service").sub_state == "running"; }));
  for (const char* const name : {"masked.service", "broken.service"})
    EXPECT_EQ(instance_.show(name).sub_state, "dead") << name;
  // The same when it is masked later.
  ASSERT_EQ(instance_.carry_out("stop", {"one.service"}), "done");
  ASSERT_EQ(instance_.carry_out("stop", {"other.service"}), "done");
  instance_.add_unit("other.service", "");
  instance_.ask({{"verb", "daemon-reload"}});
  ASSERT_EQ(instance_.carry_out("start", {"one.service"}), "done");
  EXPECT_EQ(instance_.show("other.service").sub_state, "dead");
  instance_.add_unit("other.service", sleeper);
  instance_.ask({{"verb", "daemon-reload"}});
  ASSERT_EQ(instance_.carry_out("restart", {"one.service"}), "done");
  EXPECT_TRUE(eventually([&] { return instance_.show("other.service").sub_state == "running"; })) << "mended";
}

TEST_F(BadUnit, WhatIsMaskedStaysMaskedForTheNextManager) {
  instance_.add_unit("other.service", sleeper);
  instance_.add_unit("one.service", "[Unit]\nWants=other.service\n" + sleeper);
  ASSERT_EQ(instance_.carry_out("start", {"one.service"}), "done");
  ASSERT_EQ(instance_.carry_out("stop", {"one.service", "other.service"}), "done");
  instance_.add_unit("other.service", "");
  instance_.ask({{"verb", "daemon-reload"}});
  EXPECT_EQ(instance_.unit("other.service").at("LoadState"), "masked");
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(manager_), SIGKILL));
  ASSERT_TRUE(eventually([&] { return instance_.number("ManagerPID") != manager_; }));
  manager_ = instance_.number("ManagerPID");
  EXPECT_EQ(instance_.unit("other.service").at("LoadState"), "masked");
  ASSERT_EQ(instance_.carry_out("start", {"one.service"}), "done");
  EXPECT_EQ(instance_.show("other.service").sub_state, "dead");
}

TEST_F(BadUnit, WhatWaitsToBeStartedWhileItsFileIsBrokenIsStartedAsItWasLoaded) {
  const std::string go = instance_.path("truth/go");
  const std::string marks = instance_.path("truth/marks");
  ASSERT_EQ(::mkfifo(go.c_str(), 0600), 0);
  instance_.add_unit("slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'read line < " + go + "'\n");
  instance_.add_unit("late.service", "[Unit]\nAfter=slow.service\n[Service]\nExecStartPre=/bin/sh -c 'echo pre > " + marks +
                                         "'\nExecStart=/bin/sleep 1000\n");
  instance_.ask({{"verb", "start"}, {"units", {"slow.service", "late.service"}}, {"wait", false}});
  ASSERT_TRUE(eventually([&] { return instance_.show("slow.service").sub_state == "start"; }));
  instance_.add_unit("late.service", "[Servi");
  instance_.ask({{"verb", "daemon-reload"}});
  EXPECT_EQ(instance_.show("late.service").sub_state, "dead") << "it goes on waiting";
  perdure::testing::write_file(go, "go\n");
  ASSERT_TRUE(eventually([&] { return instance_.show("late.service").sub_state == "running"; }));
  EXPECT_EQ(perdure::testing::read_file(marks), "pre\n") << "with all that it asked for";
}

TEST_F(BadUnit, AnotherNameOfWhatAUnitRequiresIsStillKnownToTheNextManager) {
  instance_.add_unit("maria.service", sleeper);
  std::filesystem::create_symlink("maria.service", instance_.path("units/mysql.service"));
  instance_.add_unit("app.service", "[Unit]\nRequires=mysql.service\nAfter=mysql.service\n" + sleeper);
  ASSERT_EQ(instance_.carry_out("start", {"app.service"}), "done");
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(manager_), SIGKILL));
  ASSERT_TRUE(eventually([&] { return instance_.number("ManagerPID") != manager_; }));
  manager_ = instance_.number("ManagerPID");
  EXPECT_EQ(instance_.carry_out("restart", {"app.service"}), "done");
  EXPECT_EQ(instance_.remarks("app.service"), "");
  EXPECT_EQ(instance_.carry_out("stop", {"maria.service"}), "done");
  EXPECT_EQ(instance_.show("app.service").sub_state, "dead") << "it is stopped with what it requires";
}

TEST_F(BadUnit, WhatIsNoUnitFileInADirectoryOfUnitsIsPassedOver) {
  const std::string units = instance_.path("units/");
  instance_.add_unit("good.service", sleeper);
  for (const char* const junk : {"good.service~", ".good.service.swp", "#good.service#", ".#good.service", "4913",
                                 "good.service.dpkg-new", "good.service.rpmsave", "README", "good.service.bak"})
    perdure::testing::write_file(units + junk, "[Service]\nExecStart=/bin/false\n");
  ASSERT_EQ(::mkfifo((units + "pipe.service").c_str(), 0644), 0);
  fs::create_directory(units + "directory.service");
  fs::create_symlink("nowhere", units + "dangling.service");
  fs::create_symlink("circle.service", units + "circle.service");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string place = units + "s.service";
  std::copy(place.begin(), place.end(), address.sun_path);
  const perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);

  EXPECT_EQ(instance_.carry_out("start", {"good.service"}), "done");
  instance_.ask({{"verb", "daemon-reload"}});
  for (const char* const bad : {"pipe.service", "directory.service", "s.service"})
    EXPECT_THAT(instance_.carry_out("start", {bad}), HasSubstr("no regular file; nothing is read from it")) << bad;
  EXPECT_THAT(instance_.carry_out("start", {"circle.service"}), HasSubstr("circle.service")) << "and no endless search";
  EXPECT_THAT(instance_.carry_out("start", {"dangling.service"}), HasSubstr("dangling.service"));
  EXPECT_EQ(instance_.show("good.service").sub_state, "running");
}

TEST_F(BadUnit, ACircleIsToldWithItsNamesAndOthersStart) {
  const auto add = [&](const char* name, const char* after) {
    instance_.add_unit(name, std::string{"[Unit]\nAfter="} + after + "\nWants=" + after + '\n' + sleeper);
  };
  add("a.service", "b.service");
  add("b.service", "c.service");
  add("c.service", "a.service");
  instance_.add_unit("self.service", "[Unit]\nAfter=self.service\nRequires=self.service\n" + sleeper);
  EXPECT_EQ(instance_.carry_out("start", {"self.service"}), "done") << "nobody waits for himself";
  instance_.carry_out("start", {"a.service", "b.service", "c.service"});
  EXPECT_TRUE(instance_.wait_for_output("ordering cycle: ")) << instance_.output();
  EXPECT_THAT(instance_.output(), HasSubstr("a.service → b.service → c.service → a.service"));
  for (const char* const name : {"a.service", "b.service", "c.service"}) EXPECT_EQ(instance_.show(name).main_pid, 0) << name;
}

TEST_F(BadUnit, AChainOfAThousandUnitsIsStartedInItsOrder) {
  constexpr int length = 1000;
  const auto name = [](int number) { return "n" + std::to_string(number) + ".service"; };
  for (int number = 0; number < length; ++number) {
    const std::string next = name(number + 1);
    const std::string needs = number + 1 < length ? "[Unit]\nRequires=" + next + "\nAfter=" + next + '\n' : "";
    instance_.add_unit(name(number), needs + "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n");
  }
  EXPECT_EQ(instance_.carry_out("start", {name(0)}), "done");
  EXPECT_EQ(instance_.show(name(0)).sub_state, "exited");
  EXPECT_EQ(instance_.show(name(length - 1)).sub_state, "exited");
}

TEST_F(BadUnit, AStormOfHangupsChangesNothing) {
  const pid_t keeper = instance_.keeper();
  const perdure::UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, keeper, 0))};
  ASSERT_TRUE(pidfd);
  for (int i = 0; i < 100'000; ++i)
    ASSERT_EQ(::syscall(SYS_pidfd_send_signal, pidfd.get(), i % 2 == 0 ? SIGHUP : SIGCHLD, nullptr, 0), 0);
  instance_.add_unit("after.service", sleeper);
  EXPECT_EQ(instance_.carry_out("start", {"after.service"}), "done");
  EXPECT_EQ(instance_.keeper(), keeper);
  EXPECT_LT(instance_.output().size(), 64 * 1024U);
}

}  // namespace
}  // namespace supervisor_test
