#include "services.hpp"

#include <cstdio>
#include <cstdlib>
#include <numeric>

#include <gtest/gtest.h>

namespace supervisor_test {

using perdure::testing::eventually;

std::mt19937 seeded() {
  const char* const given = std::getenv("PERDURE_SEED");
  const auto seed = given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
  std::printf("PERDURE_SEED=%u\n", seed);
  return std::mt19937{seed};
}

Services::Services(Instance& instance, unsigned count) : instance_(instance) {
  for (unsigned i = 0; i < count; ++i) {
    const std::string name = std::to_string(i) + ".service";
    switch (i % 10) {
      case 0:
      case 1:
      case 2:
      case 3:
        members_.push_back({instance_.add("log" + name, "log", "", "Restart=always\nRestartSec=0\n"), Kind::Log});
        break;
      case 4:
      case 5:
        members_.push_back({instance_.add("crash" + name, "crash", "40", "Restart=always\nRestartSec=0\n"), Kind::Crash});
        break;
      case 6:
        members_.push_back(
            {instance_.add("crash" + name, "crash", "60", "Restart=always\nRestartSec=100ms\n"), Kind::Crash});
        break;
      case 7:
      case 8: members_.push_back({instance_.add("once" + name, "crash", "150", "Restart=no\n"), Kind::Once}); break;
      default:
        members_.push_back({instance_.add("idle" + name, "idle", "", "Restart=always\nRestartSec=0\n"), Kind::Idle});
        break;
    }
  }
}

void Services::begin() {
  for (Member& member : members_) {
    ASSERT_TRUE(eventually([&] { return member.service.truth->lives.load() > 0; })) << member.service.name << "\n"
                                                                                    << instance_.output();
    member.pid = member.service.truth->life[0].pid;
  }
}

void Services::judge_end(const Member& member, const ShownUnit& shown, std::uint64_t life, UnknownEnds unknown) {
  EXPECT_EQ(check_end(*member.service.truth, life, shown, unknown), "") << member.service.name;
  ++(shown.is_known ? ends_right_ : ends_unknown_);
}

void Services::look(UnknownEnds unknown) {
  std::vector<std::string> to_start;
  for (Member& member : members_) {
    const ShownUnit shown = instance_.show(member.service.name);
    if (!shown.is_at_rest()) continue;
    const bool is_once = member.kind == Kind::Once;
    judge_end(member, shown, is_once ? member.service.truth->lives.load() - 1 : shown.restarts, unknown);
    if (is_once) to_start.push_back(member.service.name);
  }
  if (!to_start.empty()) instance_.carry_out("start", to_start);
}

void Services::judge(UnknownEnds unknown) {
  for (Member& member : members_) {
    if (member.kind != Kind::Once) member.service.truth->is_calm = 1;
  }
  for (Member& member : members_) {
    const TruthFile& truth = member.service.truth;
    ShownUnit shown;
    const bool has_settled = eventually([&] {
      shown = instance_.show(member.service.name);
      if (member.kind == Kind::Once) return shown.is_at_rest();
      return shown.main_pid != 0 && check_lives(*truth, shown).empty();
    });
    EXPECT_EQ(truth->duplicates.load(), 0U) << member.service.name << " ran twice at a time";
    if (member.kind == Kind::Once) {
      EXPECT_TRUE(has_settled) << member.service.name << " is " << shown.sub_state;
      judge_end(member, shown, truth->lives.load() - 1, unknown);
      continue;
    }
    EXPECT_EQ(check_lives(*truth, shown), "") << member.service.name;
    EXPECT_TRUE(has_settled) << member.service.name << " is " << shown.sub_state;
    restarts_ += truth->lives.load() - 1;
    if (member.kind == Kind::Crash) continue;
    EXPECT_EQ(truth->lives.load(), 1U) << member.service.name << " was restarted";
    EXPECT_EQ(shown.main_pid, member.pid);
  }
  EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
  EXPECT_EQ(instance_.leftovers(), "");
  for (const Member& member : members_) {
    const Service& service = member.service;
    const LogVerdict verdict = check_log(instance_.log(service.name), service.seed, service.truth->bytes_written);
    EXPECT_TRUE(verdict.is_right()) << service.name << ": " << verdict.text();
    lines_ += verdict.lines;
    bytes_ += service.truth->bytes_written;
  }
}

std::string Services::text() const {
  return std::to_string(members_.size()) + " services, " + std::to_string(restarts_) + " restarts of their own making, " +
         std::to_string(ends_right_) + " ends told rightly, " + std::to_string(ends_unknown_) + " as unknown, " +
         std::to_string(lines_) + " lines (" + std::to_string(bytes_ >> 20) + " MiB)";
}

}  // namespace supervisor_test
