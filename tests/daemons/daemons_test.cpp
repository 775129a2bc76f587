// Real daemons of Debian 12, from their own unit files: do they start, answer, come back after SIGKILL, reload, stop and log as under
// systemd 252?
#include "daemons.hpp"

#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "room.hpp"

namespace daemons_test {
namespace {

std::string text_of(const State& state) {
  return state.active + '/' + state.sub + ", result " + state.result +
         (state.main_pid > 0 ? ", a main process" : ", no main process") + ", restarts " + std::to_string(state.restarts);
}

/// One daemon's way through the steps, compared with what systemd 252 showed.
class Comparison {
 public:
  Comparison(const Daemon& daemon, Process1 process_1)
      : daemon_(daemon), unit_(daemon.unit), room_({unit_}, {.process_1 = process_1, .setup = std::string{daemon.setup}}) {}

  void run() {
    if (!expect_state(Step::Start, "active/running, result success, a main process, restarts 0")) {
      note_gaps();
      if (!::testing::Test::HasFailure()) GTEST_SKIP() << "it does not start, as the table expects";
      return;
    }
    answers(Step::Answer, daemon_.question);
    const std::string missing = room_
                                    .shell("perdure status -n 0 " + unit_ +
                                           " | sed -n 's/.*: warning: \\(.*=\\) is not carried out yet.*/\\1/p' | xargs")
                                    .output;
    if (missing.size() > 1) std::printf("%s: not carried out yet: %s", unit_.c_str(), missing.c_str());
    const std::string user = room_.user_of(room_.show(unit_).main_pid);
    judge(Step::User, user == daemon_.user, user, std::string{daemon_.user});
    if (daemon_.can_reload) reload();
    kill_main_process();
    stop();
    log();
    const perdure::ExitStatus end = room_.end();
    EXPECT_EQ(end, perdure::ExitStatus::exited(0)) << room_.output();
    EXPECT_EQ(room_.leftovers(), "");
    note_gaps();
  }

 private:
  /// Judges what a step led to. True: as under systemd.
  bool judge(Step step, bool is_right, const std::string& seen, const std::string& wanted) {
    if (is_right) return true;
    for (const Difference& difference : daemon_.differences) {
      if (difference.step != step || seen.find(difference.ours) == std::string::npos) continue;
      differs_.insert(&difference);
      return false;
    }
    ADD_FAILURE() << daemon_.unit << ", " << word_of(step) << "\n  systemd 252: " << wanted << "\n  perdure: " << seen
                  << '\n'
                  << room_.shell("perdure status -n 20 " + unit_).output << room_.output();
    return false;
  }

  bool expect_state(Step step, const std::string& wanted) {
    const State seen = room_.wait_for(unit_, [&](const State& state) {
      return text_of(state) == wanted || (state.active != "activating" && state.active != "deactivating" &&
                                          state.active != "active" && text_of(state) != before_);
    });
    return judge(step, text_of(seen) == wanted, text_of(seen) + '\n' + remarks(), wanted);
  }

  std::string remarks() { return room_.shell("perdure status -n 0 " + unit_ + " | grep -E 'Remark|Error|Loaded'").output; }

  void answers(Step step, std::string_view question) {
    std::string said;
    const bool does = room_.answers(question, &said);
    judge(step, does, "no answer: " + said, "answers");
  }

  void reload() {
    const int main_pid = room_.show(unit_).main_pid;
    room_.shell(std::string{daemon_.change});
    const auto reply = room_.shell("perdure reload " + unit_);
    if (!judge(Step::Reload, reply.status.success(), reply.output, "reload: exit code 0")) return;
    // A daemon that says RELOADING=1 itself may still be at it.
    const State seen = room_.wait_for(unit_, [](const State& state) { return state.active != "reloading"; });
    judge(Step::Reload, seen.sub == "running" && seen.main_pid == main_pid, text_of(seen), "the same main process runs on");
    answers(Step::Reload, daemon_.changed.empty() ? daemon_.question : daemon_.changed);
  }

  void kill_main_process() {
    const State before = room_.show(unit_);
    before_ = text_of(before);
    room_.end_by_force(before.main_pid);
    if (daemon_.after_kill == AfterKill::Failed) {
      expect_state(Step::Kill,
                   "failed/failed, result " + std::string{daemon_.result_of_kill} + ", no main process, restarts 0");
      stop_what_has_failed();
      return;
    }
    const State seen = room_.wait_for(unit_, [&](const State& state) {
      return state.sub == "running" && state.restarts == 1 && state.main_pid != before.main_pid;
    });
    judge(Step::Kill, seen.sub == "running" && seen.restarts == 1, text_of(seen),
          "active/running, another main process, restarts 1");
    answers(Step::Kill, daemon_.question);
  }

  /// A stop changes nothing about a failure, and the unit can be started again.
  void stop_what_has_failed() {
    const auto reply = room_.shell("perdure stop " + unit_);
    const State seen = room_.show(unit_);
    judge(Step::Stop, reply.status.success() && seen.sub == "failed" && seen.result == daemon_.result_of_kill,
          reply.output + text_of(seen), "failed/failed, result " + std::string{daemon_.result_of_kill});
    nobody_is_left();
    const auto started = room_.shell("perdure start " + unit_);
    if (judge(Step::StartAgain, started.status.success(), started.output, "start: exit code 0"))
      answers(Step::StartAgain, daemon_.question);
  }

  void stop() {
    const auto reply = room_.shell("perdure stop " + unit_);
    const State seen = room_.show(unit_);
    judge(Step::Stop, reply.status.success() && seen.active == "inactive" && seen.sub == "dead" && seen.result == "success",
          reply.output + text_of(seen), "inactive/dead, result success");
    nobody_is_left();
  }

  void nobody_is_left() {
    EXPECT_EQ(room_.others(), "") << "after the stop of " << unit_;
    EXPECT_EQ(room_.cgroups_in_use(), "");
  }

  void log() {
    const auto reply = room_.shell("perdure logs -u " + unit_);
    judge(Step::Log, reply.status.success() && reply.output.find(daemon_.says) != std::string::npos, reply.output,
          "contains " + std::string{daemon_.says});
  }

  /// Prints where perdure differs; a row that no longer holds is to be taken out of the table.
  void note_gaps() {
    for (const Difference& difference : daemon_.differences) {
      if (difference.step == Step::Recover) continue;  // machine_test.cpp
      std::printf("%s: %.*s: %.*s\n", unit_.c_str(), static_cast<int>(word_of(difference.step).size()),
                  word_of(difference.step).data(), static_cast<int>(difference.reason.size()), difference.reason.data());
      if (!differs_.contains(&difference)) std::printf("   no longer so: take the row out of tests/daemons/daemons.cpp\n");
    }
  }

  const Daemon& daemon_;
  std::string unit_;
  Room room_;
  std::string before_{};
  std::set<const Difference*> differs_{};
};

class Unit : public ::testing::TestWithParam<Daemon> {};

TEST_P(Unit, DoesAsUnderSystemd) {
  if (const std::string why = why_no_room(); !why.empty()) GTEST_SKIP() << why;
  Comparison{GetParam(), Process1::Perdure}.run();
}

/// One of each: a simple service, one that notifies and has many restrictions, one that forks.
class UnitBelowAShell : public ::testing::TestWithParam<Daemon> {};

TEST_P(UnitBelowAShell, DoesAsUnderSystemd) {
  if (const std::string why = why_no_room(); !why.empty()) GTEST_SKIP() << why;
  Comparison{GetParam(), Process1::Shell}.run();
}

constexpr auto name_of = [](const ::testing::TestParamInfo<Daemon>& row) { return std::string{row.param.name}; };
INSTANTIATE_TEST_SUITE_P(Debian12, Unit, ::testing::ValuesIn(daemons().begin(), daemons().end()), name_of);
INSTANTIATE_TEST_SUITE_P(Debian12, UnitBelowAShell, ::testing::ValuesIn(daemons().begin(), daemons().begin() + 3), name_of);

}  // namespace
}  // namespace daemons_test
