#include "supervisor/unit_files.hpp"

#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "perdure/testing/process.hpp"
#include "unit/unit_file.hpp"

namespace perdure::supervisor {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using unit::UnitName;

constexpr std::string_view service = "[Service]\nExecStart=/bin/x\n";

/// Two directories of units, the first one counting more.
class UnitFilesTest : public ::testing::Test {
 protected:
  UnitFilesTest() {
    fs::create_directories(etc);
    fs::create_directories(lib);
  }
  static void write(const std::string& path, std::string_view text = service) {
    fs::create_directories(fs::path{path}.parent_path());
    perdure::testing::write_file(path, text);
  }
  static void link(const std::string& target, const std::string& path) {
    fs::create_directories(fs::path{path}.parent_path());
    fs::create_symlink(target, path);
  }
  [[nodiscard]] FoundUnit find(const std::string& name) const { return files.find(UnitName::parse(name).value()); }
  [[nodiscard]] std::vector<std::string> paths(const FoundUnit& found) const {
    std::vector<std::string> all;
    for (const unit::UnitSource& source : found.sources) all.push_back(source.path.substr(directory.path().size() + 1));
    return all;
  }
  static std::vector<std::string> texts(const std::vector<Diagnostic>& diagnostics) {
    std::vector<std::string> all;
    for (const Diagnostic& d : diagnostics) all.push_back(d.text());
    return all;
  }
  static std::vector<std::string> names(const std::vector<UnitName>& units) {
    std::vector<std::string> all;
    for (const UnitName& name : units) all.push_back(name.text());
    return all;
  }
  static std::vector<std::string> names(const UnitNames& units) { return names(units.names); }

  perdure::testing::TempDir directory;
  std::string etc = directory / "etc";
  std::string lib = directory / "lib";
  UnitFiles files{{etc, lib, directory / "nowhere"}};
};

TEST_F(UnitFilesTest, TheFirstDirectoryWins) {
  write(lib + "/web.service", "[Service]\nExecStart=/bin/lib\n");
  EXPECT_THAT(paths(find("web.service")), ElementsAre("lib/web.service"));
  write(etc + "/web.service");
  const FoundUnit found = find("web.service");
  EXPECT_EQ(found.state, LoadState::Loaded);
  EXPECT_EQ(found.fragment_path, etc + "/web.service");
  EXPECT_EQ(found.sources.at(0).text, service);
  EXPECT_EQ(find("other.service").state, LoadState::NotFound);
}

TEST_F(UnitFilesTest, ALinkToNullAndAnEmptyFileMask) {
  write(lib + "/a.service");
  write(lib + "/b.service");
  write(lib + "/c@.service");
  link("/dev/null", etc + "/a.service");
  write(etc + "/b.service", "");
  link("/dev/null", etc + "/c@.service");
  for (const char* name : {"a.service", "b.service", "c@x.service"}) {
    EXPECT_EQ(find(name).state, LoadState::Masked) << name;
    EXPECT_THAT(find(name).sources, IsEmpty());
  }
}

TEST_F(UnitFilesTest, AnInstanceFallsBackToItsTemplate) {
  write(lib + "/foo@.service");
  const FoundUnit found = find("foo@x.service");
  EXPECT_EQ(found.name.text(), "foo@x.service");
  EXPECT_THAT(paths(found), ElementsAre("lib/foo@.service"));
  write(lib + "/foo@x.service");
  EXPECT_THAT(paths(find("foo@x.service")), ElementsAre("lib/foo@x.service"));
}

TEST_F(UnitFilesTest, ALinkWithinThePathIsAnAlias) {
  write(lib + "/ssh.service");
  link("ssh.service", lib + "/sshd.service");
  link(lib + "/ssh.service", etc + "/login.service");
  write(etc + "/login.service.d/1.conf", "");
  write(etc + "/ssh.service.d/2.conf", "");
  for (const char* name : {"sshd.service", "login.service"}) EXPECT_EQ(find(name).name.text(), "ssh.service");
  EXPECT_THAT(paths(find("login.service")),
              ElementsAre("lib/ssh.service", "etc/login.service.d/1.conf", "etc/ssh.service.d/2.conf"));

  write(lib + "/bar@.service");
  link("bar@.service", lib + "/foo@.service");
  EXPECT_EQ(find("foo@x.service").name.text(), "bar@x.service");
}

TEST_F(UnitFilesTest, ALinkOutOfThePathBringsAFileIn) {
  write(directory / "home/mine.service");
  link(directory / "home/mine.service", etc + "/web.service");
  const FoundUnit found = find("web.service");
  EXPECT_EQ(found.state, LoadState::Loaded);
  EXPECT_EQ(found.name.text(), "web.service");
}

TEST_F(UnitFilesTest, ALinkThatCannotBeAnAliasIsRefused) {
  write(lib + "/a.target", "");
  link("a.target", lib + "/a.service");
  EXPECT_THAT(texts(find("a.service").diagnostics), ElementsAre(HasSubstr("a.target is of another type than a.service")));
  EXPECT_EQ(find("a.service").state, LoadState::Error);
  link("b.service", lib + "/c.service");
  link("c.service", lib + "/b.service");
  EXPECT_THAT(texts(find("b.service").diagnostics), ElementsAre(HasSubstr("more than 8 aliases")));
}

TEST_F(UnitFilesTest, OnlyRegularFilesAreReadAndNothingIsWaitedFor) {
  ASSERT_EQ(::mkfifo((etc + "/fifo.service").c_str(), 0600), 0);
  fs::create_directories(etc + "/dir.service");
  link("/dev/zero", etc + "/zero.service");
  for (const char* name : {"fifo.service", "dir.service", "zero.service"}) {
    EXPECT_EQ(find(name).state, LoadState::Error) << name;
    EXPECT_THAT(texts(find(name).diagnostics), ElementsAre(HasSubstr("it is no regular file")));
  }
}

TEST_F(UnitFilesTest, AFileThatIsTooLargeIsRefused) {
  write(etc + "/big.service", std::string(unit::unit_file_bytes_max + 1, '\n'));
  EXPECT_EQ(find("big.service").state, LoadState::Error);
  EXPECT_THAT(texts(find("big.service").diagnostics), ElementsAre(HasSubstr("EFBIG")));
}

TEST_F(UnitFilesTest, ADanglingLinkIsSkippedWithAWord) {
  link(directory / "gone", etc + "/web.service");
  const FoundUnit missing = find("web.service");
  EXPECT_EQ(missing.state, LoadState::NotFound);
  EXPECT_THAT(texts(missing.diagnostics), ElementsAre(HasSubstr("which is not there; it is skipped")));
  write(lib + "/web.service");
  EXPECT_THAT(paths(find("web.service")), ElementsAre("lib/web.service"));
}

TEST_F(UnitFilesTest, DropInsCountInTheOrderOfTheirNames) {
  write(lib + "/foo-bar@.service");
  write(etc + "/foo-bar@x.service.d/50.conf", "");
  write(lib + "/foo-bar@.service.d/40.conf", "");
  write(lib + "/foo-@.service.d/30.conf", "");
  write(lib + "/foo-.service.d/20.conf", "");
  write(lib + "/service.d/10.conf", "");
  write(lib + "/foo-bar@x.service.d/README", "");
  write(lib + "/foo-bar@x.service.d/.hidden.conf", "");
  EXPECT_THAT(
      paths(find("foo-bar@x.service")),
      ElementsAre("lib/foo-bar@.service", "lib/service.d/10.conf", "lib/foo-.service.d/20.conf",
                  "lib/foo-@.service.d/30.conf", "lib/foo-bar@.service.d/40.conf", "etc/foo-bar@x.service.d/50.conf"));
  link("../b.service", etc + "/foo-bar@x.service.wants/b.service");
  const std::vector<std::string> drop_ins = find("foo-bar@x.service").drop_ins();
  EXPECT_EQ(drop_ins.size(), 5U);
  EXPECT_EQ(drop_ins.front(), lib + "/service.d/10.conf");
  EXPECT_EQ(drop_ins.back(), etc + "/foo-bar@x.service.d/50.conf");
}

TEST_F(UnitFilesTest, OfDropInsWithOneNameTheNearestWins) {
  write(lib + "/foo-bar.service");
  write(etc + "/service.d/a.conf", "");
  EXPECT_THAT(paths(find("foo-bar.service")), Contains("etc/service.d/a.conf"));
  write(lib + "/foo-.service.d/a.conf", "");
  EXPECT_THAT(paths(find("foo-bar.service")), ElementsAre("lib/foo-bar.service", "lib/foo-.service.d/a.conf"));
  write(lib + "/foo-bar.service.d/a.conf", "");
  EXPECT_THAT(paths(find("foo-bar.service")), ElementsAre("lib/foo-bar.service", "lib/foo-bar.service.d/a.conf"));
  link("/dev/null", etc + "/foo-bar.service.d/a.conf");
  EXPECT_THAT(paths(find("foo-bar.service")), ElementsAre("lib/foo-bar.service"));
}

TEST_F(UnitFilesTest, ADropInThatCannotBeReadKeepsTheUnitFromStarting) {
  write(lib + "/web.service");
  link(directory / "gone", etc + "/web.service.d/a.conf");
  EXPECT_EQ(find("web.service").state, LoadState::Loaded);
  EXPECT_THAT(texts(find("web.service").diagnostics), ElementsAre(HasSubstr("it is skipped")));
  ASSERT_EQ(::mkfifo((etc + "/web.service.d/b.conf").c_str(), 0600), 0);
  const FoundUnit found = find("web.service");
  EXPECT_EQ(found.state, LoadState::Error);
  EXPECT_THAT(found.sources, IsEmpty());
  EXPECT_THAT(texts(found.diagnostics), Contains(HasSubstr("a FIFO")));
}

TEST_F(UnitFilesTest, TooManyDropInsAreRefused) {
  write(lib + "/web.service");
  for (std::size_t i = 0; i <= drop_ins_max; ++i) write(etc + "/web.service.d/" + std::to_string(i) + ".conf", "");
  const FoundUnit found = find("web.service");
  EXPECT_EQ(found.state, LoadState::Error);
  EXPECT_THAT(texts(found.diagnostics), ElementsAre(HasSubstr("web.service.d: the unit has more than 256 drop-ins")));
}

TEST_F(UnitFilesTest, LinksInWantsAndRequiresCountAsDependencies) {
  write(lib + "/m.target", "[Unit]\nWants=c.service\n");
  link("../a.service", etc + "/m.target.wants/a.service");
  link("/dev/null", etc + "/m.target.wants/b.service");
  link("../b.service", lib + "/m.target.wants/b.service");
  link("../d@.service", lib + "/m.target.requires/d@x.service");
  write(lib + "/m.target.wants/README", "");
  const FoundUnit found = find("m.target");
  const auto spec = unit::load_unit(found.name, found.sources, {});
  EXPECT_THAT(names(spec.value.wants), ElementsAre("c.service", "a.service"));
  EXPECT_THAT(names(spec.value.requires_), ElementsAre("d@x.service"));
  EXPECT_THAT(texts(found.diagnostics), ElementsAre(HasSubstr("\"README\" is no unit name")));
}

TEST_F(UnitFilesTest, ASpecialTargetIsThereWithoutAFile) {
  const FoundUnit found = find("network-online.target");
  EXPECT_EQ(found.state, LoadState::Loaded);
  EXPECT_TRUE(found.is_built_in);
  EXPECT_EQ(found.fragment_path, "");
  const auto spec = unit::load_unit(found.name, found.sources, {});
  EXPECT_TRUE(spec.value.is_startable);
  EXPECT_EQ(spec.value.description, "Network is Online");
  EXPECT_EQ(spec.value.source_path, "");
  EXPECT_THAT(spec.value.wants, IsEmpty());
  EXPECT_THAT(spec.value.requires_, IsEmpty());
  EXPECT_EQ(find("our-own.target").state, LoadState::NotFound);
  EXPECT_EQ(find("network-online.service").state, LoadState::NotFound);
}

TEST_F(UnitFilesTest, ASpecialTargetCanBeMaskedExtendedAndReplaced) {
  link("/dev/null", etc + "/sleep.target");
  EXPECT_EQ(find("sleep.target").state, LoadState::Masked);
  link("../a.service", etc + "/multi-user.target.wants/a.service");
  write(etc + "/multi-user.target.d/x.conf", "[Unit]\nDescription=Ours\n");
  const FoundUnit extended = find("multi-user.target");
  EXPECT_TRUE(extended.is_built_in);
  const auto spec = unit::load_unit(extended.name, extended.sources, {});
  EXPECT_EQ(spec.value.description, "Ours");
  EXPECT_THAT(names(spec.value.wants), ElementsAre("a.service"));
  write(lib + "/multi-user.target", "[Unit]\nDescription=Theirs\n");
  EXPECT_FALSE(find("multi-user.target").is_built_in);
}

TEST_F(UnitFilesTest, LinksOfVendorsAddToTheirOwnTargetsAndNotToSpecialOnes) {
  const UnitFiles with_vendor{{etc, lib + "/"}, {lib}};
  for (const std::string target : {"multi-user.target", "ours.target"}) {
    write(lib + '/' + target, "[Unit]\n");
    link("../a.service", etc + '/' + target + ".wants/a.service");
    link("../b.service", lib + '/' + target + ".wants/b.service");
    link("../c.service", lib + '/' + target + ".requires/c.service");
  }
  const auto wants = [](const FoundUnit& found) {
    const auto spec = unit::load_unit(found.name, found.sources, {});
    std::vector<UnitName> all = spec.value.wants;
    all.insert(all.end(), spec.value.requires_.begin(), spec.value.requires_.end());
    return names(all);
  };
  EXPECT_THAT(wants(with_vendor.find(UnitName::parse("multi-user.target").value())), ElementsAre("a.service"));
  EXPECT_THAT(wants(with_vendor.find(UnitName::parse("ours.target").value())),
              ElementsAre("a.service", "b.service", "c.service"));
  EXPECT_THAT(wants(find("multi-user.target")), ElementsAre("a.service", "b.service", "c.service"));
  EXPECT_THAT(vendor_directories(),
              ::testing::IsSupersetOf({"/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system"}));
}

TEST_F(UnitFilesTest, AFileOnTheCommandLineBringsItsDirectory) {
  write(directory / "home/web.service");
  write(directory / "home/web.service.d/a.conf", "");
  write(etc + "/web.service");
  write(etc + "/web.service.d/b.conf", "");
  const auto found = files.find_argument(directory / "home/web.service");
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_THAT(paths(*found), ElementsAre("home/web.service", "home/web.service.d/a.conf", "etc/web.service.d/b.conf"));
  EXPECT_THAT(paths(files.find_argument("web.service").value()), ElementsAre("etc/web.service", "etc/web.service.d/b.conf"));
  EXPECT_THAT(files.find_argument(directory / "home/gone.service").error().message(), HasSubstr("(ENOENT)"));
  EXPECT_THAT(files.find_argument(directory / "home/web").error().message(), HasSubstr("the suffix is missing"));
  EXPECT_FALSE(files.find_argument("web"));
}

TEST_F(UnitFilesTest, ListsEachUnitOnceUnderItsOwnName) {
  write(lib + "/a.service");
  write(etc + "/a.service");
  write(lib + "/b@.service");
  write(lib + "/c.service");
  link("c.service", lib + "/d.service");
  link("/dev/null", lib + "/e.service");
  link(directory / "gone", lib + "/f.service");
  write(lib + "/g.service~");
  write(lib + "/.h.service.swp");
  const UnitNames all = files.list();
  EXPECT_THAT(names(all), ElementsAre("a.service", "b@.service", "c.service"));
  EXPECT_THAT(texts(all.diagnostics), ElementsAre(HasSubstr("it is skipped")));
}

TEST_F(UnitFilesTest, BesideTheInitOfAMachineNothingIsPulledInThatIsEnabled) {
  write(lib + "/a.service");
  write(lib + "/ours.target", "[Unit]\n");
  for (const char* target : {"sysinit.target", "ours.target"}) link("../a.service", etc + "/" + target + ".wants/a.service");
  const UnitFiles beside{{etc, lib}, {lib}, UnitFiles::Links::None};
  const auto links = [](const UnitFiles& where, const char* name) {
    return where.find(*unit::UnitName::parse(name)).sources.size() - 1;
  };
  EXPECT_EQ(links(beside, "sysinit.target"), 0U);
  EXPECT_EQ(links(beside, "ours.target"), 1U) << "no standard target";
  EXPECT_EQ(links(files, "sysinit.target"), 1U);
}

TEST_F(UnitFilesTest, AMachineStartsWhatIsEnabledAndNothingElse) {
  const UnitFiles machine{{etc, lib}, {lib}, UnitFiles::Links::Enabled};
  const auto enabled = [&machine] { return names(machine.default_units()); };
  write(lib + "/a.service", "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n");
  write(lib + "/b.service");
  EXPECT_THAT(enabled(), ElementsAre("multi-user.target"));
  link("../b.service", etc + "/multi-user.target.wants/b.service");
  EXPECT_THAT(enabled(), ElementsAre("b.service", "multi-user.target"));
  write(etc + "/default.target", "[Unit]\nWants=a.service\n");
  EXPECT_THAT(enabled(), ElementsAre("a.service", "default.target"));
}

TEST_F(UnitFilesTest, WhereTheDefaultTargetIsMaskedOrBrokenNothingIsStartedAndTheReasonTold) {
  const UnitFiles machine{{etc, lib}, {lib}, UnitFiles::Links::Enabled};
  write(lib + "/a.service", "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n");
  for (const std::string name : {"/multi-user.target", "/default.target"}) {
    link("/dev/null", etc + name);
    for (const UnitFiles* const where : {&machine, static_cast<const UnitFiles*>(&files)}) {
      if (where == &files && name == "/multi-user.target") continue;  // it is looked at by nobody there
      const UnitNames found = where->default_units();
      EXPECT_THAT(names(found), IsEmpty());
      EXPECT_THAT(texts(found.diagnostics), ElementsAre(HasSubstr("is masked; nothing is started by default")));
    }
  }
  fs::remove(etc + "/default.target");
  link(etc + "/default.target", etc + "/default.target");
  EXPECT_THAT(names(machine.default_units()), IsEmpty());
}

TEST_F(UnitFilesTest, StartsByDefaultWhatDefaultTargetWantsElseWhatIsInstallableElseEveryService) {
  write(lib + "/a.service");
  write(lib + "/b@.service");
  write(lib + "/c.target", "");
  EXPECT_THAT(names(files.default_units()), ElementsAre("a.service"));
  write(lib + "/i.service", "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n");
  write(lib + "/j@.service", "[Install]\nWantedBy=multi-user.target\n");
  EXPECT_THAT(names(files.default_units()), ElementsAre("i.service"));
  write(lib + "/multi-user.target", "[Unit]\nRequires=basic.target default.target\n");
  write(lib + "/basic.target", "[Unit]\nWants=x.service multi-user.target\n");
  link("../a.service", etc + "/multi-user.target.wants/a.service");
  link(lib + "/multi-user.target", etc + "/default.target");
  EXPECT_THAT(names(files.default_units()), ElementsAre("a.service", "x.service"));
  fs::remove(etc + "/default.target");
  link("../i.service", etc + "/default.target.requires/i.service");
  EXPECT_THAT(names(files.default_units()), ElementsAre("i.service"));
}

TEST_F(UnitFilesTest, WhatIsNotToBeReadWantsNothingAndCountsAsToBeStarted) {
  const auto but = [](std::string_view name) {
    return [name](const FoundUnit& found, const std::function<void()>& read) {
      if (found.name.text() != name) read();
    };
  };
  write(lib + "/a.service");
  write(lib + "/b.service");
  EXPECT_THAT(names(files.default_units({}, but("b.service"))), ElementsAre("b.service"));
  write(lib + "/default.target", "[Unit]\nWants=a.service\n");
  EXPECT_THAT(names(files.default_units({}, but("b.service"))), ElementsAre("a.service"));
  EXPECT_THAT(names(files.default_units({}, but("default.target"))), IsEmpty());
}

TEST_F(UnitFilesTest, APassFindsWhatWasThereWhenItBeganAndIsToldOfWhatGoes) {
  write(lib + "/web.service");
  write(etc + "/web.service.d/a.conf", "[Service]\nNice=1\n");
  link("../x.service", lib + "/web.service.wants/x.service");
  link("web.service", etc + "/www.service");
  write(lib + "/gone.service");
  {
    const UnitFiles::Pass pass{files};
    EXPECT_THAT(paths(find("www.service")),
                ElementsAre("lib/web.service", "etc/web.service.d/a.conf", "lib/web.service.wants"));
    EXPECT_EQ(find("foo@bar.service").state, LoadState::NotFound);
    write(etc + "/web.service.d/b.conf", "[Service]\nNice=2\n");
    EXPECT_THAT(paths(find("web.service")), Contains("etc/web.service.d/b.conf")) << "what is within a directory is read";
    write(etc + "/new.service");
    write(lib + "/web.service.requires/y.service", "");
    EXPECT_EQ(find("new.service").state, LoadState::NotFound);
    EXPECT_THAT(paths(find("web.service")), Not(Contains("lib/web.service.requires")));
    fs::remove(lib + "/gone.service");
    EXPECT_EQ(find("gone.service").state, LoadState::NotFound);
  }
  EXPECT_EQ(find("new.service").state, LoadState::Loaded);
  EXPECT_THAT(paths(find("web.service")), Contains("lib/web.service.requires"));
}

TEST_F(UnitFilesTest, APassAsksByNameWhereADirectoryCannotBeListed) {
  write(etc + "/web.service");
  const os::testing::FaultPlan plan{{.call = os::Call::opendir, .nth = 1, .error = EMFILE}};
  const UnitFiles::Pass pass{files};
  EXPECT_TRUE(plan.fired());
  EXPECT_EQ(find("web.service").state, LoadState::Loaded);
}

TEST_F(UnitFilesTest, ADirectoryThatCannotBeReadIsSaid) {
  write(lib + "/web.service");
  fs::create_directories(etc + "/web.service.d");
  const os::testing::FaultPlan plan{{.call = os::Call::opendir, .nth = 1, .error = EACCES}};
  EXPECT_THAT(texts(find("web.service").diagnostics), Contains(HasSubstr("(EACCES)")));
}

TEST(UnitPath, IsTheMachinesOrTheUsers) {
  EXPECT_EQ(system_unit_path().front(), "/etc/perdure/system");
  EXPECT_THAT(user_unit_path({.home = "/home/me", .runtime_dir = "/run/user/1000"}),
              ElementsAre("/home/me/.config/systemd/user", "/etc/systemd/user", "/run/user/1000/systemd/user",
                          "/home/me/.local/share/systemd/user", "/usr/lib/systemd/user"));
  EXPECT_THAT(user_unit_path({.config_home = "relative"}), ElementsAre("/etc/systemd/user", "/usr/lib/systemd/user"));
}

}  // namespace
}  // namespace perdure::supervisor
