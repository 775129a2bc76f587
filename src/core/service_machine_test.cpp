#include "core/service_machine.hpp"

#include <csignal>

#include <gtest/gtest.h>

#include "core/print.hpp"

namespace perdure::core {
namespace {

using namespace std::chrono_literals;
constexpr base::Instant now = base::Instant{} + 1000s;

/// Every record that the machine can be in, as far as the table tells them apart, with every way to end a run.
template <class Check>
void for_every_turn(Check check) {
  for (std::size_t state = 0; state < state_count; ++state)
    for (const int main : {0, 1, 2})  // not seen, running, ended
      for (const bool retry : {false, true})
        for (const int job : {-1, 0, 1, 2})
          for (const bool emptied : {false, true})
            for (const auto evidence : {Evidence::Told, Evidence::Pending, Evidence::Missing})
              for (int mode = 0; mode < 4; ++mode)
                for (const bool send_sigkill : {true, false})
                  for (std::size_t trigger = 0; trigger < job_and_time_triggers + fact_triggers; ++trigger) {
                    Unit unit{.record = {.unit = 1,
                                         .state = static_cast<ServiceState>(state),
                                         .run = 3,
                                         .spawn = 1,
                                         .main_running = main == 1,
                                         .job_type = job < 0 ? JobType::Start : static_cast<JobType>(job),
                                         .job = job < 0 ? no_job : 7,
                                         .state_since = now - 1s,
                                         .deadline = now,
                                         .main_ended = main == 2,
                                         .retry_spawn = retry && main == 0},
                              .settings = {.restart = RestartWhen::Always,
                                           .restart_sec = 0s,
                                           .kill_mode = static_cast<KillMode>(mode),
                                           .send_sigkill = send_sigkill},
                              .emptied = emptied,
                              .evidence = evidence};
                    const Unit before = unit;
                    Orders orders;
                    const char* rule =
                        take_turn(static_cast<Trigger>(trigger), {.unit = unit, .now = now, .orders = orders});
                    check(before, static_cast<Trigger>(trigger), unit, orders, rule);
                  }
}

TEST(ServiceMachine, AnswersEveryTriggerInEveryState) {
  std::size_t turns = 0;
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit& after, const Orders& orders, const char* rule) {
    ++turns;
    const std::string what = to_text(before.record) + " trigger " + std::to_string(static_cast<int>(trigger));
    ASSERT_LT(static_cast<std::size_t>(after.record.state), state_count) << what;
    ASSERT_EQ(after.record.unit, before.record.unit) << what;
    ASSERT_GE(after.record.run, before.record.run) << what;
    if (rule == nullptr) return;
    EXPECT_EQ(after.record, before.record) << "ignored, and something has changed: " << what;
    EXPECT_TRUE(orders.answers.empty() && orders.announcements.empty()) << what;
  });
  EXPECT_EQ(turns, 9u * 3 * 2 * 4 * 2 * 3 * 4 * 2 * 10);
}

TEST(ServiceMachine, NeverOrdersTwoStartsNorAnythingButAReleaseOfWhatItHasJustReplaced) {
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit& after, const Orders& orders, const char*) {
    const std::string what = to_text(before.record) + " trigger " + std::to_string(static_cast<int>(trigger));
    int spawns = 0;
    for (const Action& action : orders.processes) {
      const auto* spawn = std::get_if<SpawnProcess>(&action);
      if (spawn == nullptr) continue;
      ++spawns;
      EXPECT_EQ(spawn->key, (SpawnKey{1, after.record.run, after.record.spawn})) << what;
      EXPECT_EQ(after.record.state, ServiceState::Start) << what;
    }
    EXPECT_LE(spawns, 1) << what;
    for (const Action& action : orders.releases)
      EXPECT_EQ(std::get<ReleaseRun>(action).run, (RunKey{1, before.record.run})) << what;
  });
}

TEST(ServiceMachine, SignalsOnlyWhatKillModeAllows) {
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit&, const Orders& orders, const char*) {
    const std::string what = to_text(before.record) + " trigger " + std::to_string(static_cast<int>(trigger));
    for (const Action& action : orders.processes) {
      const auto* send = std::get_if<SendSignal>(&action);
      const bool hits_all =
          std::holds_alternative<KillRun>(action) || (send != nullptr && send->target == SignalTarget::All);
      const KillMode mode = before.settings.kill_mode;
      if (mode == KillMode::Process) {
        EXPECT_FALSE(hits_all) << what;
      }
      if (send != nullptr && send->target == SignalTarget::Main) {
        EXPECT_NE(mode, KillMode::ControlGroup) << what;
      }
    }
  });
}

// A unit is never left in a state that only time ends, without a time.
TEST(ServiceMachine, ArmsADeadlineWhereverItWaitsForSomethingThatMayNotCome) {
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit& after, const Orders&, const char*) {
    const ServiceState state = after.record.state;
    const bool waits = state != ServiceState::Dead && state != ServiceState::Failed && state != ServiceState::Running;
    if (!waits || (state == before.record.state && after.record.run == before.record.run)) return;
    if (state == ServiceState::AutoRestart || state != before.record.state) {
      EXPECT_NE(after.record.deadline, base::Instant{})
          << to_text(before.record) << " trigger " << static_cast<int>(trigger) << ": " << to_text(after.record);
    }
  });
}

TEST(ServiceMachine, AUnitIsSmallEnoughForThousandsOfThem) {
  constexpr std::size_t map_node = 5 * sizeof(void*);
  constexpr std::size_t deadline_node = 4 * sizeof(void*) + sizeof(std::pair<base::Instant, UnitId>);
  EXPECT_LE(sizeof(Unit) + map_node + deadline_node, 600u);
}

}  // namespace
}  // namespace perdure::core
