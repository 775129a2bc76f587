#include "core/service_machine.hpp"

#include <csignal>

#include <gtest/gtest.h>

#include "core/print.hpp"

namespace perdure::core {
namespace {

using namespace std::chrono_literals;
constexpr base::Instant now = base::Instant{} + 1000s;

struct Control {
  std::uint32_t spawn = 0;
  bool is_running = false;
};

/// Every record that the machine can be in, as far as the tables tell them apart, with every way to end a run.
template <class Check>
void for_every_turn(Check check) {
  const Notified message{.run = {1, 3}, .is_ready = true, .is_stopping = true, .is_alive = true, .extend_timeout = 5s};
  for (std::size_t state = 0; state < state_count - 1; ++state)  // without that of a target
    for (const int main : {0, 1, 2, 3})                          // none, not seen, running, ended
      for (const Control control : {Control{}, Control{2, false}, Control{2, true}})
        for (const bool retry : {false, true})
          for (const int job : {-1, 0, 1, 2, 3})
            for (const bool emptied : {false, true})
              for (const auto evidence : {Evidence::Told, Evidence::Pending, Evidence::Missing})
                for (int mode = 0; mode < 4; ++mode)
                  for (const ServiceType type : {ServiceType::Simple, ServiceType::Forking, ServiceType::Oneshot})
                    for (std::size_t trigger = 0; trigger < trigger_count; ++trigger) {
                      if (retry && (main > 1 && control.spawn == 0)) continue;  // what is tried again was never seen
                      const bool is_alternate = (state + trigger + static_cast<std::size_t>(main)) % 2 == 0;
                      Unit unit{.record = {.unit = 1,
                                           .state = static_cast<ServiceState>(state),
                                           .run = 3,
                                           .spawn = main == 0 ? 0U : 1U,
                                           .last_spawn = 3,
                                           .former = main == 1 && is_alternate ? 3U : 0U,
                                           .control = control.spawn,
                                           .phase = CommandPhase::StopPost,
                                           .main_running = main == 2,
                                           .control_running = control.is_running && !retry,
                                           .job_type = job < 0 ? JobType::Start : static_cast<JobType>(job),
                                           .job = job < 0 ? no_job : 7,
                                           .state_since = now - 1s,
                                           .deadline = now,
                                           .main_ended = main == 3,
                                           .is_populated = main > 1 || control.is_running || is_alternate,
                                           .retry_spawn = retry && main < 2,
                                           .was_up = is_alternate},
                                .settings = {.type = type,
                                             .restart = RestartWhen::Always,
                                             .restart_sec = 0s,
                                             .kill_mode = static_cast<KillMode>(mode),
                                             .send_sigkill = is_alternate},
                                .emptied = emptied,
                                .evidence = evidence,
                                .control_evidence = evidence};
                      if (is_alternate) unit.settings.commands = {{{1}, {1}, {1}, {1}, {1}, {1}, {1}}};
                      const Unit before = unit;
                      Orders orders;
                      const char* rule = take_turn(
                          static_cast<Trigger>(trigger),
                          {.unit = unit, .now = now, .orders = orders, .exit = {ExitKind::Exited, 1}, .message = &message});
                      check(before, static_cast<Trigger>(trigger), unit, orders, rule);
                    }
}

TEST(ServiceMachine, AnswersEveryTriggerInEveryState) {
  std::size_t turns = 0;
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit& after, const Orders& orders, const char* rule) {
    ++turns;
    const auto what = [&] { return to_text(before.record) + " trigger " + std::to_string(static_cast<int>(trigger)); };
    ASSERT_LT(static_cast<std::size_t>(after.record.state), state_count) << what();
    ASSERT_EQ(after.record.unit, before.record.unit) << what();
    ASSERT_GE(after.record.run, before.record.run) << what();
    if (rule == nullptr) return;
    EXPECT_EQ(after.record, before.record) << "ignored (" << rule << "), and something has changed: " << what();
    EXPECT_TRUE(orders.answers.empty() && orders.announcements.empty()) << what();
  });
  EXPECT_GT(turns, 500'000U);
}

TEST(ServiceMachine, OrdersOneProcessAtATimeUnderANumberOfItsOwnAndReleasesOnlyWhatIsOver) {
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit& after, const Orders& orders, const char*) {
    const auto what = [&] { return to_text(before.record) + " trigger " + std::to_string(static_cast<int>(trigger)); };
    int spawns = 0;
    for (const Action& action : orders.processes) {
      const auto* spawn = std::get_if<SpawnProcess>(&action);
      if (spawn == nullptr) continue;
      ++spawns;
      const std::uint32_t expected = spawn->is_main ? after.record.spawn : after.record.control;
      EXPECT_EQ(spawn->key, (SpawnKey{1, after.record.run, expected})) << what();
      const bool is_new = after.record.run != before.record.run || after.record.last_spawn > before.record.last_spawn;
      EXPECT_TRUE(is_new || trigger == Trigger::Recovered) << "a number twice: " << what();
    }
    EXPECT_LE(spawns, 1) << what();
    for (const Action& action : orders.releases) {
      if (const auto* run = std::get_if<ReleaseRun>(&action)) {
        EXPECT_EQ(run->run, (RunKey{1, before.record.run})) << what();
      } else {
        EXPECT_EQ(std::get<ReleaseProcess>(action).key.spawn, before.record.control) << what();
      }
    }
  });
}

TEST(ServiceMachine, SignalsOnlyWhatKillModeAllows) {
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit&, const Orders& orders, const char*) {
    const auto what = [&] { return to_text(before.record) + " trigger " + std::to_string(static_cast<int>(trigger)); };
    for (const Action& action : orders.processes) {
      const auto* send = std::get_if<SendSignal>(&action);
      const bool hits_all =
          std::holds_alternative<KillRun>(action) || (send != nullptr && send->target == SignalTarget::All);
      const KillMode mode = before.settings.kill_mode;
      if (mode == KillMode::Process) {
        EXPECT_FALSE(hits_all) << what();
      }
      // A reload that hangs is ended alone; the service is not.
      const bool is_hung_reload = before.record.state == ServiceState::Reload && trigger == Trigger::DeadlinePassed;
      if (send != nullptr && send->target == SignalTarget::Process && !is_hung_reload) {
        EXPECT_NE(mode, KillMode::ControlGroup) << what();
      }
    }
  });
}

// A unit is never left in a state that only time ends, without a time.
TEST(ServiceMachine, ArmsADeadlineWhereverItWaitsForSomethingThatMayNotCome) {
  for_every_turn([&](const Unit& before, Trigger trigger, const Unit& after, const Orders&, const char*) {
    const ServiceState state = after.record.state;
    const bool waits = !is_inactive(state) && !is_up(state);
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
  EXPECT_LE(sizeof(Unit) + map_node + deadline_node, 1'200U);
}

}  // namespace
}  // namespace perdure::core
