// Checks: what must hold whatever happens, told apart from the core and from the machine.
//
// Sees the same orders as the shell would carry out, and the machine's truth. The names I1 … I24 are those of
// docs/internals/core.md. A check that fails is said once, in one line; the world stops there.
// Thread safety: none, one owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/engine.hpp"
#include "machine.hpp"

namespace perdure::simulation {

class Checks {
 public:
  using AllSettings = std::map<core::UnitId, core::ServiceSettings>;
  Checks(const Machine& machine, const AllSettings& settings) : machine_(machine), settings_(settings) {}

  /// The first thing that was wrong, and when; empty: nothing.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  void complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }

  // What was asked for.
  void job_requested(Instant now, const core::JobRequested& job);
  void shutdown_told() { ++shutdowns_; }
  void failure_reset(core::UnitId unit) { wishes_[unit].may_be_down = true; }
  // What happened.
  void exited(Instant now, const core::SpawnKey& key, const core::Exit& exit);
  void exit_forgotten(const core::SpawnKey& key);
  void spawn_failed(Instant now, const core::SpawnKey& key);
  void process_untracked(const core::SpawnKey& key) { untracked_.insert(key); }
  void notified(const core::Notified& message);
  void manager_died() { is_restored_ = true; }
  void journal_lost(core::UnitId unit);

  /// Before the order is carried out.
  void order(Instant now, const core::Action& action, const core::Engine& engine);
  /// The deadlines that the records name are the ones that the engine asks for; nobody waits for what has failed.
  void between_steps(const core::Engine& engine);
  /// Nothing is to change any more.
  void at_rest(const core::Engine& engine);

 private:
  struct Window {
    Instant began{};
    std::uint32_t starts = 0;
  };
  /// What somebody wants of a unit, as far as it is sure that the manager has heard it.
  struct Wish {
    Instant last_asked{};                 ///< for an end, be it followed by a start, of it or of a unit that it depends on
    bool may_be_down = true;              ///< a stop was asked for since the last run began, or there was no run
    bool must_be_down = false;            ///< one was recorded
    std::optional<std::uint64_t> held{};  ///< when a person asked for the stop that was done, counted in requests
    std::uint64_t pulled = 0;             ///< the last request that may have brought it up, counted likewise
  };
  /// What was recorded of a process before it was started.
  struct Intent {
    core::CommandPhase phase = core::CommandPhase::Start;
    std::uint8_t command = 0;
    bool is_main = false;
  };
  /// What is known of a run.
  struct Life {
    bool was_up = false;
    bool started_anything = false;
    bool had_stop_post = false;
    std::uint32_t main = 0;  ///< the last one that was recorded
    std::uint32_t mains_ended = 0;
  };
  [[nodiscard]] const core::ServiceSettings& settings(core::UnitId unit) const { return settings_.at(unit); }
  [[nodiscard]] bool has(core::UnitId unit, core::CommandPhase phase) const {
    return settings(unit).commands[static_cast<std::size_t>(phase)].count > 0;
  }
  [[nodiscard]] const std::set<core::UnitId>& related_to(core::UnitId unit);
  [[nodiscard]] std::set<core::UnitId> pulled_in_by(core::UnitId unit) const;
  [[nodiscard]] bool is_by_itself(core::UnitId unit) { return related_to(unit).size() == 1; }
  void concerns(Instant now, core::UnitId unit);
  void recorded(Instant now, const core::UnitRecord& record);
  void run_began(Instant now, const core::UnitRecord& before, const core::UnitRecord& record);
  void run_ended(const core::UnitRecord& record, std::uint64_t run);
  void spawning(const core::SpawnProcess& order, const core::Engine& engine);
  void starting_main(const core::SpawnKey& key);
  void starting_control(const core::SpawnProcess& order);
  void requirements(const core::UnitRecord& record, const core::Engine& engine);
  void signalling(Instant now, const core::SpawnKey& key, core::SignalTarget target, int number, const core::Engine& engine);
  void released(const core::RunKey& run);
  void released(const core::SpawnKey& key);
  void all_stopped(const core::Engine& engine);
  void relations_at_rest(const core::Engine& engine);

  const Machine& machine_;
  const AllSettings& settings_;
  std::string complaint_{};
  std::map<core::UnitId, core::UnitRecord> journal_{};
  std::map<core::SpawnKey, core::Exit> exits_{};
  std::set<core::SpawnKey> recorded_exits_{};
  std::map<core::SpawnKey, Intent> intents_{};
  std::map<core::RunKey, Life> lives_{};
  std::set<core::SpawnKey> untracked_{};  ///< live, and the keeper that knew them is lost
  std::set<core::UnitId>
      forgotten_{};  ///< units whose journal was lost at some time: what is recorded of them is incomplete
  std::map<core::RunKey, Instant> grace_began_{};
  std::map<core::RunKey, Instant> troubled_{};  ///< a process ended, or could not be started
  std::set<core::RunKey> asked_to_end_{};       ///< by themselves: WATCHDOG=trigger, WATCHDOG_USEC=
  std::map<core::UnitId, std::uint64_t> newest_run_{};
  std::map<core::UnitId, Window> windows_{};
  std::map<core::UnitId, Wish> wishes_{};
  std::map<core::UnitId, std::set<core::UnitId>> related_{};
  std::set<core::JobId> open_jobs_{};
  struct Asked {
    core::JobRequested job{};
    std::uint64_t number = 0;
  };
  std::map<core::JobId, Asked> all_jobs_{};
  std::map<core::UnitId, Instant> recorded_at_{};
  std::uint64_t requests_ = 0;
  int shutdowns_ = 0;
  bool is_restored_ = false;  ///< a manager died: answers may have been lost with it
};

}  // namespace perdure::simulation
