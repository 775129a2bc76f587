#include "phases.hpp"

#include <gtest/gtest.h>

#include "ledger.hpp"

namespace supervisor_test {

using perdure::testing::eventually;
using perdure::testing::read_file;

namespace {

struct Kind {
  const char* name;
  const char* mode;  ///< of the probe; empty: Type=oneshot, which has steps
  const char* life_max_ms;
  const char* settings;
  bool is_restarted = false;
};

constexpr Kind kinds[] = {
    {"exec", "main", "40", "Type=exec\nRestart=always\nRestartSec=0\n"},
    {"pausing", "main", "60", "Type=simple\nRestart=always\nRestartSec=50ms\n"},
    {"notify", "notify", "60", "Type=notify\nRestart=always\nRestartSec=0\nWatchdogSec=20s\n"},
    {"handover", "handover", "60", "Type=notify\nNotifyAccess=all\nRestart=always\nRestartSec=0\n"},
    {"forking", "fork", "60", "Type=forking\nRestart=always\nRestartSec=0\n"},
    {"oneshot", "", "0", "Type=oneshot\nRemainAfterExit=yes\n", true},
    {"wanted", "notify", "0", "Type=notify\nRestart=always\nRestartSec=0\n", true},
    {"steady", "handover", "0", "Type=notify\nNotifyAccess=all\nRestart=always\nRestartSec=0\nWatchdogSec=20s\n"},
    {"still", "fork", "0", "Type=forking\nRestart=always\nRestartSec=0\n"},
};

std::string unit_text(const Kind& kind, const std::string& truth, const std::string& seed) {
  const std::string probe = PHASE_PROBE " ";
  const auto step = [&](const char* phase) { return probe + "step " + truth + ' ' + phase + '\n'; };
  std::string text = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nTimeoutStartSec=20\nTimeoutStopSec=20\n";
  text += kind.settings;
  text += "ExecCondition=" + step("condition") + "ExecStartPre=" + step("start-pre");
  const std::string mode = kind.mode;
  if (mode.empty()) {
    text += "ExecStart=" + step("start-1") + "ExecStart=" + step("start-2");
  } else {
    text += "ExecStart=" + probe + mode + ' ' + truth + ' ' + seed + ' ' + kind.life_max_ms;
    text += mode == "fork" ? ' ' + truth + ".pid\nPIDFile=" + truth + ".pid\n" : "\n";
  }
  return text + "ExecStartPost=" + step("start-post") + "ExecReload=" + step("reload") + "ExecStop=" + step("stop") +
         "ExecStopPost=" + step("stop-post");
}

}  // namespace

Phases::Phases(Instance& instance, unsigned count) : instance_(instance) {
  for (unsigned i = 0; i < count; ++i) {
    const Kind& kind = kinds[i % std::size(kinds)];
    Service& service = instance_.add_written(
        kind.name + std::to_string(i) + ".service",
        [&kind](const std::string& truth, const std::string& seed) { return unit_text(kind, truth, seed); });
    const std::string_view life{kind.life_max_ms};
    members_.push_back({service, *kind.mode != '\0', life == "0" && !kind.is_restarted, kind.is_restarted});
  }
}

bool Phases::is_up(const Member& member) {
  const ShownUnit shown = instance_.show(member.service.name);
  if (!member.has_main) return shown.sub_state == "exited";
  const Truth& truth = *member.service.truth;
  const std::uint32_t lives = truth.lives.load();
  return shown.sub_state == "running" && lives > 0 && shown.main_pid == truth.life[lives - 1].pid;
}

void Phases::begin() {
  for (const Member& member : members_) {
    const bool is_mortal = !member.is_steady && !member.is_restarted;
    ASSERT_TRUE(eventually([&] { return is_mortal ? member.service.truth->lives.load() > 0 : is_up(member); }))
        << member.service.name << '\n'
        << instance_.output();
  }
}

void Phases::look(UnknownEnds) {
  for (Member& member : members_) {
    const char* const verb = member.is_restarted ? "restart" : "reload";
    if (member.is_restarted) ++member.restarts;
    instance_.ask({{"verb", verb}, {"units", {member.service.name}}, {"wait", false}});
  }
}

void Phases::judge(UnknownEnds unknown) {
  for (Member& member : members_) member.service.truth->is_calm = 1;
  for (const Member& member : members_) {
    EXPECT_TRUE(eventually([&] { return is_up(member); }))
        << member.service.name << " is " << instance_.show(member.service.name).sub_state << '\n'
        << instance_.remarks(member.service.name);
    EXPECT_EQ(member.service.truth->duplicates.load(), 0U) << member.service.name << " ran twice at a time";
  }
  EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
  EXPECT_EQ(instance_.leftovers(), "");
  for (const Member& member : members_) {
    const std::string path = instance_.path("truth/" + member.service.name + ".ledger");
    const std::string text = read_file(path).value_or("");
    const LedgerVerdict verdict = check_ledger(text, unknown);
    EXPECT_EQ(verdict.wrong, "") << member.service.name << '\n' << text;
    EXPECT_LE(verdict.asked, member.restarts + 1) << member.service.name << " was told to end though nobody wanted it\n"
                                                  << text;
    if (member.is_steady || member.is_restarted) {
      EXPECT_LE(verdict.runs, member.restarts + 1) << member.service.name << " was restarted\n" << text;
    }
    EXPECT_TRUE(in_order(instance_.log(member.service.name)) == in_order(text))
        << member.service.name << " has said this:\n"
        << instance_.log(member.service.name) << "and this is known:\n"
        << text;
    runs_ += verdict.runs;
    reloads_ += verdict.reloads;
    handovers_ += verdict.handovers;
    asked_ += verdict.asked;
  }
}

std::string Phases::text() const {
  return std::to_string(members_.size()) + " services with all phases, " + std::to_string(runs_) + " runs, " +
         std::to_string(reloads_) + " reloads, " + std::to_string(handovers_) + " handovers, " + std::to_string(asked_) +
         " told to end";
}

}  // namespace supervisor_test
