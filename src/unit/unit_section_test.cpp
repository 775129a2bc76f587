#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/load_unit_testing.hpp"
#include "unit/special_targets.hpp"

namespace perdure::unit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;

UnitSpec unit(const std::string& lines, std::string_view name = "web.service") {
  return load_lines(lines + '\n', name).value;
}

TEST(UnitSection, KeepsEachKindOfDependencyByItself) {
  const UnitSpec u = unit(
      "DefaultDependencies=no\nWants=a.service\nRequires=b.service\nRequisite=c.service\nBindsTo=d.service\nPartOf=e."
      "service\n"
      "Upholds=f.service\nConflicts=g.service\nAfter=h.service\nBefore=i.service\nOnFailure=j.service\nOnSuccess=k.service\n"
      "PropagatesReloadTo=l.service\nReloadPropagatedFrom=m.service\n");
  EXPECT_THAT(names(u.wants), ElementsAre("a.service"));
  EXPECT_THAT(names(u.requires_), ElementsAre("b.service"));
  EXPECT_THAT(names(u.requisite), ElementsAre("c.service"));
  EXPECT_THAT(names(u.binds_to), ElementsAre("d.service"));
  EXPECT_THAT(names(u.part_of), ElementsAre("e.service"));
  EXPECT_THAT(names(u.upholds), ElementsAre("f.service"));
  EXPECT_THAT(names(u.conflicts), ElementsAre("g.service"));
  EXPECT_THAT(names(u.after), ElementsAre("h.service"));
  EXPECT_THAT(names(u.before), ElementsAre("i.service"));
  EXPECT_THAT(names(u.on_failure), ElementsAre("j.service"));
  EXPECT_THAT(names(u.on_success), ElementsAre("k.service"));
  EXPECT_THAT(names(u.propagates_reload_to), ElementsAre("l.service"));
  EXPECT_THAT(names(u.reload_propagated_from), ElementsAre("m.service"));
}

TEST(UnitSection, TakesOldNamesForWhatTheyAreCalledNow) {
  const UnitSpec u = unit(
      "DefaultDependencies=no\nRequiresOverridable=b.service\nRequisiteOverridable=c.service\nBindTo=d.service\n"
      "PropagateReloadTo=l.service\nPropagateReloadFrom=m.service\n");
  EXPECT_THAT(names(u.requires_), ElementsAre("b.service"));
  EXPECT_THAT(names(u.requisite), ElementsAre("c.service"));
  EXPECT_THAT(names(u.binds_to), ElementsAre("d.service"));
  EXPECT_THAT(names(u.propagates_reload_to), ElementsAre("l.service"));
  EXPECT_THAT(names(u.reload_propagated_from), ElementsAre("m.service"));
}

TEST(UnitSection, MakesAnInstanceOfATemplateThatADependencyNames) {
  EXPECT_THAT(names(unit("OnFailure=mail@.service").on_failure), ElementsAre("mail@web.service"));
  EXPECT_THAT(names(unit("OnFailure=mail@.service", "web@a.service").on_failure), ElementsAre("mail@a.service"));
}

TEST(UnitSection, NeverDependsOnItself) { EXPECT_THAT(unit("Wants=web.service").wants, IsEmpty()); }

TEST(UnitSection, AddsWhatEveryServiceNeeds) {
  const UnitSpec u = unit("");
  EXPECT_THAT(names(u.requires_), ElementsAre("sysinit.target"));
  EXPECT_THAT(names(u.after), ElementsAre("sysinit.target", "basic.target"));
  EXPECT_THAT(names(u.before), ElementsAre("shutdown.target"));
  EXPECT_THAT(names(u.conflicts), ElementsAre("shutdown.target"));
  EXPECT_TRUE(u.default_dependencies);
  const UnitSpec none = unit("DefaultDependencies=no\n");
  EXPECT_FALSE(none.default_dependencies);
  EXPECT_THAT(none.requires_, IsEmpty());
  EXPECT_THAT(none.after, IsEmpty());
  EXPECT_THAT(none.conflicts, IsEmpty());
}

TEST(UnitSection, OrdersATargetAfterWhatItPullsInUnlessAFileSaysOtherwise) {
  const std::string lines =
      "[Unit]\nWants=a.service b.service\nRequires=c.service\nRequisite=d.service\nBindsTo=e.service\nUpholds=f.service\n"
      "PartOf=g.service\nConflicts=h.service\nBefore=b.service\nAfter=c.service\n";
  const UnitSpec target = load({lines}, "x.target").value;
  EXPECT_THAT(names(target.after), ElementsAre("c.service", "d.service", "a.service", "e.service", "f.service"));
  EXPECT_THAT(names(target.default_after), ElementsAre("d.service", "a.service", "e.service", "f.service"));
  EXPECT_THAT(names(target.before), ElementsAre("b.service", "shutdown.target"));
  EXPECT_THAT(load({lines + "DefaultDependencies=no\n"}, "x.target").value.default_after, IsEmpty());
  EXPECT_THAT(load({"[Unit]\n"}, "shutdown.target").value.before, IsEmpty());
}

TEST(UnitSection, TakesTheOrderOfATargetBackWhereItsMemberSaysOtherwise) {
  UnitSpec target = load({"[Unit]\nWants=a.service b.service c.service\nAfter=d.service\n"}, "x.target").value;
  settle_default_order(target, unit("", "a.service"));
  settle_default_order(target, unit("After=x.target\n", "b.service"));
  settle_default_order(target, unit("DefaultDependencies=no\n", "c.service"));
  settle_default_order(target, unit("After=x.target\n", "d.service"));  // a cycle of the user's own, to be reported as one
  EXPECT_THAT(names(target.after), ElementsAre("d.service", "a.service"));
  EXPECT_THAT(names(target.default_after), ElementsAre("a.service"));
}

TEST(UnitSection, KeepsConditionsAsQuestions) {
  const UnitSpec u = unit(
      "ConditionPathExists=/x/%p\nConditionPathExistsGlob=| ! /y//*\nConditionVirtualization=!container\nAssertUser=root\n");
  EXPECT_THAT(u.conditions,
              ElementsAre(Condition{.kind = "PathExists", .argument = "/x/web"},
                          Condition{.kind = "PathExistsGlob", .argument = "/y/*", .is_negated = true, .is_trigger = true},
                          Condition{.kind = "Virtualization", .argument = "container", .is_negated = true},
                          Condition{.kind = "User", .argument = "root", .is_assert = true}));
}

// As systemd 252 does it: whichever of them is empty.
TEST(UnitSection, TakesAllConditionsBackWithAnyEmptyOneAndLeavesAssertions) {
  const UnitSpec u = unit("ConditionPathExists=/x\nAssertPathExists=/y\nConditionHost=\nConditionUser=root\n");
  EXPECT_THAT(u.conditions, ElementsAre(Condition{.kind = "PathExists", .argument = "/y", .is_assert = true},
                                        Condition{.kind = "User", .argument = "root"}));
}

TEST(UnitSection, LeavesOutAConditionWhosePathIsNone) {
  const Loaded loaded = load_lines("ConditionPathExists=!x\nConditionHost=x\n");
  EXPECT_EQ(loaded.value.conditions.size(), 1U);
  EXPECT_THAT(texts(loaded),
              ElementsAre(HasSubstr("ConditionPathExists=: \"x\" is no absolute path; the line is left out")));
}

TEST(UnitSection, ReadsTheSwitchesOfAUnit) {
  const UnitSpec u = unit("RefuseManualStart=yes\nRefuseManualStop=on\n");
  EXPECT_TRUE(u.refuses_manual_start);
  EXPECT_TRUE(u.refuses_manual_stop);
  EXPECT_FALSE(unit("").refuses_manual_start);
  EXPECT_TRUE(load_service("[X-Perdure]\nEssential=yes\n").value.is_essential);
  EXPECT_FALSE(load_service("").value.is_essential);
}

TEST(UnitSection, EndsTheInstanceAndNeverTheMachineAtTheStartLimit) {
  EXPECT_EQ(unit("StartLimitAction=exit\n").service.start_limit_action, EmergencyAction::Exit);
  EXPECT_EQ(unit("StartLimitAction=exit-force\n").service.start_limit_action, EmergencyAction::ExitForce);
  EXPECT_EQ(service("StartLimitAction=exit\nStartLimitAction=none\n").start_limit_action, EmergencyAction::None);
  const Loaded reboot = load_lines("StartLimitAction=reboot-force\n");
  EXPECT_EQ(reboot.value.service.start_limit_action, EmergencyAction::None);
  EXPECT_TRUE(reboot.value.is_startable);
  EXPECT_THAT(texts(reboot), ElementsAre(HasSubstr("reboot-force is not carried out yet")));
  EXPECT_EQ(reboot.value.directives.front().outcome, Outcome::NotYet);
}

TEST(UnitSection, TakesOnlyDocumentationThatIsSomewhere) {
  const Loaded loaded = load_lines("Documentation=man:web(8) /usr/share/doc man: info:web file:/x http://x https://\n");
  EXPECT_THAT(loaded.value.documentation, ElementsAre("man:web(8)", "info:web", "file:/x", "http://x"));
  EXPECT_EQ(loaded.diagnostics.size(), 3U);
}

TEST(InstallSection, IsReadIntoLists) {
  const UnitSpec u = load_service(
                         "[Install]\nWantedBy=multi-user.target x@.target\nRequiredBy=a.target\nAlso=b.socket\n"
                         "Alias=c.service %p-d.service\n")
                         .value;
  EXPECT_THAT(names(u.wanted_by), ElementsAre("multi-user.target", "x@.target"));
  EXPECT_THAT(names(u.required_by), ElementsAre("a.target"));
  EXPECT_THAT(names(u.also), ElementsAre("b.socket"));
  EXPECT_THAT(names(u.aliases), ElementsAre("c.service", "web-d.service"));
}

TEST(InstallSection, IsTakenBackByDropInsButForAlso) {
  const UnitSpec u = load({"[Install]\nWantedBy=a.target\nAlias=b.service\nAlso=c.service\n",
                           "[Install]\nWantedBy=\nWantedBy=d.target\nAlias=\nAlso=\n"})
                         .value;
  EXPECT_THAT(names(u.wanted_by), ElementsAre("d.target"));
  EXPECT_THAT(u.aliases, IsEmpty());
  EXPECT_THAT(names(u.also), ElementsAre("c.service"));
}

TEST(SpecialTargets, AreFoundByName) {
  for (const SpecialTarget& target : special_targets()) {
    EXPECT_EQ(find_special_target(target.name), &target);
    EXPECT_TRUE(UnitName::parse(target.name)) << target.name;
    EXPECT_FALSE(target.description.empty()) << target.name;
  }
  for (const char* name : {"multi-user.target", "sysinit.target", "basic.target", "shutdown.target", "default.target",
                           "network-online.target", "graphical-session.target", "blockdev@dev-sda.target"})
    EXPECT_NE(find_special_target(name), nullptr) << name;
  for (const char* name : {"ours.target", "multi-user.service", "", "multi-user", "zzz.target", "blockdev@x.service"})
    EXPECT_EQ(find_special_target(name), nullptr) << name;
}

TEST(SpecialTargets, HaveADescriptionWithoutAFile) {
  EXPECT_EQ(load({}, "multi-user.target").value.description, "Multi-User System");
  EXPECT_EQ(load({"[Unit]\nDescription=Ours\n"}, "multi-user.target").value.description, "Ours");
  EXPECT_TRUE(load({}, "multi-user.target").value.is_startable);
}

}  // namespace
}  // namespace perdure::unit
