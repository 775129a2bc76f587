#include "supervisor/named_dependencies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using unit::UnitName;

/// "3 b.target": the kind's number and the name.
std::vector<std::string> words(const std::vector<NamedDependency>& all, const NameTable& names) {
  std::vector<std::string> words;
  for (const NamedDependency dependency : all)
    words.push_back(std::to_string(static_cast<int>(dependency.kind)) + ' ' + names[dependency.name].text());
  return words;
}

TEST(NamedDependencies, AreKindAfterKindInTheOrderOfTheFiles) {
  NameTable names;
  const UnitName a = UnitName::parse("a.service").value(), b = UnitName::parse("b.target").value();
  const unit::UnitSpec spec{
      .name = a, .wants = {b, a}, .after = {a, b}, .default_after = {b}, .reload_propagated_from = {a}};
  EXPECT_THAT(words(named_dependencies(spec, names), names),
              ElementsAre("0 b.target", "0 a.service", "7 a.service", "7 b.target", "12 b.target", "13 a.service"));
}

TEST(NamedDependencies, KeepANameOnceForAllUnits) {
  NameTable names;
  const UnitName target = UnitName::parse("a-name-that-is-longer-than-a-short-string.target").value();
  const NamedDependency first = names.add(DependencyKind::Wants, target);
  for (int i = 0; i < 1000; ++i) names.add(DependencyKind::After, UnitName::parse(std::to_string(i) + ".service").value());
  EXPECT_EQ(names.add(DependencyKind::Wants, target), first);
  EXPECT_EQ(names[first.name], target);
}

TEST(NamedDependencies, HaveAListInTheCoreUnlessTheyAreAboutOtherUnitsLists) {
  core::ServiceSettings settings;
  for (int kind = 0; kind <= static_cast<int>(DependencyKind::ReloadFrom); ++kind)
    if (const auto list = list_of(static_cast<DependencyKind>(kind))) (settings.*list).push_back(7);
  EXPECT_THAT(settings.wants, ElementsAre(7));
  EXPECT_THAT(settings.reload_to, ElementsAre(7));
  EXPECT_EQ(list_of(DependencyKind::DefaultAfter), nullptr);
  EXPECT_EQ(list_of(DependencyKind::ReloadFrom), nullptr);
  clear_lists(settings);
  EXPECT_THAT(settings.wants, IsEmpty());
  EXPECT_THAT(settings.reload_to, IsEmpty());
}

}  // namespace
}  // namespace perdure::supervisor
