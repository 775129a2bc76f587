// Machine: an imaginary computer with a keeper, as far as a supervisor can tell.
//
// Processes live, fork, crash, ignore signals and hang as chance wants; the keeper's table holds what was started until it is
// released. This is the truth that the checks compare the core's decisions with; nothing here knows the core's rules.
// Left out: time's passing and the order in which news arrive (world.hpp).
// Thread safety: none, one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/action.hpp"
#include "random.hpp"

namespace perdure::simulation {

using base::Duration;
using base::Instant;

/// What the processes of a unit may do.
struct Temper {
  Duration life_max{};              ///< a main process ends by itself within this; 0: never
  std::uint64_t ignores_term = 0;   ///< per mille of the processes
  std::uint64_t leaves_behind = 0;  ///< per mille of the runs fork
  std::uint64_t hangs_early = 0;    ///< per mille never execute their program
  std::uint64_t fails_setup = 0;
  std::uint64_t unkillable = 0;    ///< per mille are in uninterruptible sleep for a while when killed
  std::uint64_t no_resources = 0;  ///< per mille of the spawns fail for want of them
  std::uint64_t impossible = 0;    ///< per mille of the spawns fail for good
};

struct Process {
  bool is_main = false;
  bool is_alive = true;
  bool ignores_term = false;
  bool is_unkillable = false;
};

struct Run {
  std::uint64_t serial = 0;  ///< keys are used again after a journal was lost
  std::vector<Process> processes{};
  bool was_stopped = false;  ///< a signal was sent to it
  Instant first_signal{};
  Instant began{};
  [[nodiscard]] bool is_empty() const;
  [[nodiscard]] bool is_main_alive() const;
};

/// The keeper's entry for a main process.
struct Entry {
  bool is_executed = false;
  bool has_ended = false;
  bool setup_failed = false;
  core::Exit exit{};
};

/// What the machine tells whoever listens. It happens now; when it is heard is another matter.
struct News {
  std::function<void(const core::SpawnKey&)> started{};
  std::function<void(const core::SpawnKey&, core::SpawnProblem)> not_started{};
  std::function<void(const core::SpawnKey&)> executed{};
  std::function<void(const core::SpawnKey&)> exited{};
  std::function<void(const core::RunKey&)> emptied{};
  /// Asks to be called after a while.
  std::function<void(Duration, std::function<void()>)> later{};
};

class Machine {
 public:
  Machine(Random& random, News news) : random_(random), news_(std::move(news)) {}

  void spawn(Instant now, const core::SpawnKey& key, core::ServiceType type, const Temper& temper);
  void signal_main(Instant now, const core::SpawnKey& key, int number);
  void signal_all(Instant now, const core::RunKey& run, int number);
  /// Acknowledges its processes; forgets a run that is empty.
  void release(const core::RunKey& run);
  /// The keeper is lost together with what it knew of a process that had ended.
  void forget(const core::SpawnKey& key);
  /// Main processes that have ended and are in the table no more, though their run has processes left.
  [[nodiscard]] std::vector<core::SpawnKey> forgotten() const;

  [[nodiscard]] const std::map<core::SpawnKey, Entry>& table() const { return table_; }
  [[nodiscard]] const std::map<core::RunKey, Run>& runs() const { return runs_; }
  [[nodiscard]] const Run* run(const core::RunKey& key) const;
  [[nodiscard]] bool is_empty(const core::RunKey& key) const;

 private:
  /// Which process of which run.
  struct Body {
    core::RunKey run{};
    std::uint64_t serial = 0;
    std::size_t index = 0;
  };
  void die(const Body& body, const core::Exit& exit, bool setup_failed = false);
  void hit(Instant now, const Body& body, int number);

  Random& random_;
  News news_;
  std::map<core::SpawnKey, Entry> table_{};
  std::map<core::RunKey, Run> runs_{};
  std::map<core::RunKey, core::SpawnKey> main_keys_{};
  std::uint64_t serial_ = 0;
};

}  // namespace perdure::simulation
