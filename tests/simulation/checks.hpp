// Checks: what must hold whatever happens, told apart from the core and from the machine.
//
// Sees the same orders as the shell would carry out, and the machine's truth. The names I1 … I15 are those of
// docs/internals/core.md. A check that fails is said once, in one line; the world stops there.
// Thread safety: none, one owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/engine.hpp"
#include "machine.hpp"

namespace perdure::simulation {

class Checks {
 public:
  Checks(const Machine& machine, const std::map<core::UnitId, core::ServiceSettings>& settings)
      : machine_(machine), settings_(settings) {}

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
  void exited(const core::SpawnKey& key, const core::Exit& exit);
  void exit_forgotten(const core::SpawnKey& key);
  void manager_died() { is_restored_ = true; }
  void journal_lost(core::UnitId unit);

  /// Before the order is carried out.
  void order(Instant now, const core::Action& action, const core::Engine& engine);
  /// The deadlines that the records name are the ones that the engine asks for.
  void deadlines(const core::Engine& engine);
  /// Nothing is to change any more.
  void at_rest(const core::Engine& engine);

 private:
  struct Window {
    Instant began{};
    std::uint32_t starts = 0;
  };
  /// What somebody wants of a unit, as far as it is sure that the manager has heard it.
  struct Wish {
    Instant last_asked{};       ///< for an end, be it followed by a start
    bool may_be_down = true;    ///< a stop was asked for since the last run began, or there was no run
    bool must_be_down = false;  ///< one was recorded
  };
  [[nodiscard]] const core::ServiceSettings& settings(core::UnitId unit) const { return settings_.at(unit); }
  void recorded(Instant now, const core::UnitRecord& record);
  void spawning(const core::SpawnKey& key);
  void signalling(Instant now, const core::RunKey& key, core::SignalTarget target, int number, const core::Engine& engine);
  void released(const core::RunKey& run);
  void all_stopped(const core::Engine& engine);

  const Machine& machine_;
  const std::map<core::UnitId, core::ServiceSettings>& settings_;
  std::string complaint_{};
  std::map<core::UnitId, core::UnitRecord> journal_{};
  std::map<core::RunKey, core::Exit> exits_{};
  std::map<core::RunKey, core::Exit> recorded_exits_{};
  std::set<core::UnitId>
      forgotten_{};  ///< units whose journal was lost at some time: what is recorded of them is incomplete
  std::map<core::RunKey, Instant> grace_began_{};
  std::map<core::UnitId, std::uint64_t> newest_run_{};
  std::map<core::UnitId, Window> windows_{};
  std::map<core::UnitId, Wish> wishes_{};
  std::set<core::JobId> open_jobs_{};
  std::map<core::JobId, core::JobRequested> all_jobs_{};
  int shutdowns_ = 0;
  bool is_restored_ = false;  ///< a manager died: answers may have been lost with it
};

}  // namespace perdure::simulation
