// What a unit may be called is said once, in unit_name.hpp; the log's directory agrees.
#include <string>

#include <gtest/gtest.h>

#include "logbook/log_directory.hpp"
#include "os/scratch_directory.hpp"
#include "unit/unit_name.hpp"

namespace perdure::supervisor {
namespace {

/// Every stem of up to two bytes, and what else stands at a limit.
template <class Visit>
void visit_stems(const Visit& visit) {
  visit("");
  std::string stem;
  for (int first = 0; first < 256; ++first) {
    visit(stem = {static_cast<char>(first)});
    for (int second = 0; second < 256; ++second) visit(stem = {static_cast<char>(first), static_cast<char>(second)});
  }
  for (const char* text : {"...", "..x", "x..", "..@", "a@..", "-.-", R"(\x2e)", "@.@"}) visit(text);
  for (const std::size_t size : {246U, 247U, 248U, 300U}) visit(std::string(size, 'x'));
}

TEST(UnitNames, EveryOneIsALogsNameToo) {
  int names = 0;
  visit_stems([&names](const std::string& stem) {
    const auto name = unit::UnitName::parse(stem + ".service");
    if (!name) return;
    ++names;
    EXPECT_TRUE(logbook::is_log_name(name->text())) << name->text();
  });
  EXPECT_GT(names, 4'000) << "68 bytes are allowed, and two may not stand in front";
}

TEST(UnitNames, ThoseAtTheLimitsHaveADirectory) {
  const os::testing::ScratchDirectory scratch;
  const auto logs = logbook::LogDirectory::open(scratch / "logs");
  ASSERT_TRUE(logs) << logs.error().message();
  for (const std::string& text : {std::string(247, 'x') + ".service", std::string{"-.slice"}, std::string{R"(\.service)"},
                                  std::string{"a@..service"}, std::string{":.service"}}) {
    const auto name = unit::UnitName::parse(text);
    ASSERT_TRUE(name) << name.error().message();
    const auto directory = (*logs)->open_unit(name->text());
    EXPECT_TRUE(directory) << directory.error().message();
  }
}

}  // namespace
}  // namespace perdure::supervisor
