// Everything that can change about units' files counts after the next daemon-reload, and what has not changed is as it was:
// a manager that reads only what is new must not be told from one that reads everything.
#include <fcntl.h>
#include <sys/stat.h>

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
using ::testing::Not;

const std::string sleeper = "[Service]\nExecStart=/bin/sleep 1000\n";

class Reload : public ::testing::Test {
 protected:
  Reload() {
    fs::create_directory(elsewhere_ / "units");
    instance_.add("idler.service", "idle");
    instance_.start();
    fs::remove(elsewhere_ / "units");
    instance_.add_unit("web.service", "[Unit]\nDescription=one\nWants=other.service\n" + sleeper);
    EXPECT_EQ(instance_.carry_out("start", {"web.service"}), "done");
    reload();  // once with nothing new, so that the next has something to compare with
  }
  void reload() { instance_.ask({{"verb", "daemon-reload"}}); }
  std::string description() { return instance_.unit("web.service").at("Description"); }
  std::string dependencies() {
    return instance_.ask({{"verb", "list-dependencies"}, {"units", {"web.service"}}, {"all", true}}).dump();
  }
  void write(const std::string& name, const std::string& text) {
    const fs::path path = instance_.path("units/" + name);
    fs::create_directories(path.parent_path());
    perdure::testing::write_file(path, text);
  }
  void link(const std::string& target, const std::string& name) {
    const fs::path path = instance_.path("units/" + name);
    fs::create_directories(path.parent_path());
    fs::create_symlink(target, path);
  }
  perdure::testing::TempDir elsewhere_;
  Instance instance_{Owner::Ourselves, Parent::Test, {.run_options = {"--unit-path=" + elsewhere_ / "units"}}};
};

TEST_F(Reload, AFileThatLooksAsBeforeAndSaysSomethingElseCounts) {
  const std::string path = instance_.path("units/web.service");
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::pwrite(file, "two", 3, std::string{"[Unit]\nDescription="}.size()), 3);
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::futimens(file, times), 0);
  ::close(file);
  EXPECT_EQ(description(), "one") << "not yet";
  reload();
  EXPECT_EQ(description(), "two");
}

TEST_F(Reload, ADropInCountsWhenItComesChangesAndGoes) {
  for (const char* const place : {"web.service.d/a.conf", "service.d/a.conf"}) {
    SCOPED_TRACE(place);
    write(place, "[Unit]\nDescription=dropped in\n");
    reload();
    EXPECT_EQ(description(), "dropped in");
    write(place, "[Unit]\nDescription=dropped IN\n");
    reload();
    EXPECT_EQ(description(), "dropped IN");
    fs::remove(instance_.path("units/") + place);
    reload();
    EXPECT_EQ(description(), "one");
  }
}

TEST_F(Reload, ALinkInADirectoryOfWantsCountsWhenItComesAndGoes) {
  write("linked.service", sleeper);
  link("../linked.service", "web.service.wants/linked.service");
  reload();
  EXPECT_THAT(dependencies(), HasSubstr("linked.service"));
  fs::remove_all(instance_.path("units/web.service.wants"));
  reload();
  EXPECT_THAT(dependencies(), Not(HasSubstr("linked.service")));
}

TEST_F(Reload, ADirectoryOfUnitsThatAppearsCounts) {
  fs::create_directories(elsewhere_ / "units/web.service.d");
  perdure::testing::write_file(elsewhere_ / "units/web.service.d/a.conf", "[Unit]\nDescription=from elsewhere\n");
  reload();
  EXPECT_EQ(description(), "from elsewhere");
  fs::remove_all(elsewhere_ / "units");
  reload();
  EXPECT_EQ(description(), "one");
}

TEST_F(Reload, AUnitThatComesIsWantedByAFileThatHasNotChanged) {
  EXPECT_THAT(dependencies(), Not(HasSubstr("other.service")));
  write("other.service", sleeper);
  reload();
  EXPECT_THAT(dependencies(), HasSubstr("other.service"));
}

TEST_F(Reload, AnotherNameThatMovesIsFollowedByAFileThatHasNotChanged) {
  write("first.service", sleeper);
  write("second.service", sleeper);
  link("first.service", "other.service");
  reload();
  EXPECT_THAT(dependencies(), HasSubstr("first.service"));
  fs::remove(instance_.path("units/other.service"));
  link("second.service", "other.service");
  reload();
  EXPECT_THAT(dependencies(), HasSubstr("second.service"));
  EXPECT_THAT(dependencies(), Not(HasSubstr("first.service")));
}

TEST_F(Reload, WhatIsMaskedAndUnmaskedIsFollowedByWhoRequiresIt) {
  write("needed.service", sleeper);
  write("needy.service", "[Unit]\nRequires=needed.service\n" + sleeper);
  ASSERT_EQ(instance_.carry_out("start", {"needy.service"}), "done");
  ASSERT_EQ(instance_.carry_out("stop", {"needed.service"}), "done");
  fs::remove(instance_.path("units/needed.service"));
  link("/dev/null", "needed.service");
  reload();
  EXPECT_THAT(instance_.remarks("needy.service"), HasSubstr("it requires needed.service, which cannot be loaded"));
  EXPECT_NE(instance_.carry_out("start", {"needy.service"}), "done");
  fs::remove(instance_.path("units/needed.service"));
  write("needed.service", sleeper);
  reload();
  EXPECT_EQ(instance_.remarks("needy.service"), "") << "said no longer, though its own file is the same";
  EXPECT_EQ(instance_.carry_out("start", {"needy.service"}), "done");
}

TEST_F(Reload, AnEnvironmentFileThatGoesIsNoticedThoughTheUnitIsTheSame) {
  write("words", "A=1\n");
  write("reader.service", sleeper + "EnvironmentFile=" + instance_.path("units/words") + "\n");
  ASSERT_EQ(instance_.carry_out("start", {"reader.service"}), "done");
  ASSERT_EQ(instance_.carry_out("stop", {"reader.service"}), "done");
  fs::remove(instance_.path("units/words"));
  reload();
  EXPECT_EQ(instance_.unit("reader.service").at("LoadState"), "bad-setting");
}

TEST_F(Reload, TheSecondOfTwoInOneBreathTakesNothingBack) {
  write("web.service.d/a.conf", "[Unit]\nWants=late.service\n[Service]\nExecReload=/bin/true\n");
  write("late.service", sleeper);
  auto client = perdure::ControlClient::connect(instance_.path("run/control.sock"));
  ASSERT_TRUE(client.has_value());
  const std::string both = "{\"verb\":\"daemon-reload\"}\n{\"verb\":\"daemon-reload\"}";
  ASSERT_TRUE(client->request_object(both, perdure::testing::hang_limit).has_value());
  instance_.ask({{"verb", "ping"}});
  EXPECT_TRUE(instance_.unit("web.service").at("CanReload"));
  EXPECT_THAT(dependencies(), HasSubstr("late.service"));
}

TEST_F(Reload, WhatHasNotChangedIsNotSavedAgainAndKnownToTheNextManager) {
  const auto saved = fs::file_size(instance_.path("state/units"));
  for (int i = 0; i < 3; ++i) reload();
  EXPECT_EQ(fs::file_size(instance_.path("state/units")), saved);
  const auto manager = static_cast<pid_t>(instance_.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(manager, SIGKILL));
  ASSERT_TRUE(eventually([&] { return instance_.number("ManagerPID") != manager; }));
  reload();
  EXPECT_EQ(fs::file_size(instance_.path("state/units")), saved) << "what the next one knows is what is there";
  write("other.service", sleeper);
  write("web.service.d/a.conf", "[Unit]\nDescription=dropped in\n");
  reload();
  EXPECT_EQ(description(), "dropped in");
  EXPECT_THAT(dependencies(), HasSubstr("other.service"));
  const auto saved_again = fs::file_size(instance_.path("state/units"));
  EXPECT_GT(saved_again, saved);
  reload();
  EXPECT_EQ(fs::file_size(instance_.path("state/units")), saved_again);
  EXPECT_EQ(instance_.carry_out("restart", {"web.service"}), "done");
  EXPECT_EQ(instance_.show("web.service").sub_state, "running");
}

}  // namespace
}  // namespace supervisor_test
