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

/// What the processes of a unit may do; chances are per mille.
struct Temper {
  Duration life_max{};              ///< a main process ends by itself within this; 0: never
  std::uint64_t ignores_term = 0;   ///< of the processes
  std::uint64_t leaves_behind = 0;  ///< of the main processes fork
  std::uint64_t hangs_early = 0;    ///< never execute their program, or never say that they are ready
  std::uint64_t fails_setup = 0;
  std::uint64_t unkillable = 0;        ///< are in uninterruptible sleep for a while when killed
  std::uint64_t no_resources = 0;      ///< of the spawns fail for want of them
  std::uint64_t impossible = 0;        ///< of the spawns fail for good
  std::uint64_t commands_fail = 0;     ///< of the control processes, and of those of a oneshot
  std::uint64_t commands_hang = 0;     ///< likewise
  std::uint64_t commands_fork = 0;     ///< leave a process behind
  std::uint64_t no_daemon = 0;         ///< of the forking starts leave no main process behind
  std::uint64_t no_pid_file = 0;       ///< or do not say which one it is
  std::uint64_t daemons_doubled = 0;   ///< or leave two behind
  std::uint64_t keeps_watchdog = 900;  ///< of the heartbeats come in time
};

enum class Role : std::uint8_t { Main, Control, Child };

struct Process {
  Role role = Role::Child;
  std::uint32_t spawn = 0;  ///< under which number it is in the table; 0: it is not
  bool is_daemon = false;   ///< left behind by a forking start
  bool is_alive = true;
  bool ignores_term = false;
  bool is_unkillable = false;
};

struct Run {
  std::uint64_t serial = 0;  ///< keys are used again after a journal was lost
  std::vector<Process> processes{};
  std::optional<std::size_t> main{};       ///< which of them
  std::optional<std::size_t> candidate{};  ///< which is to be tracked; the manager's knowledge
  bool has_pid_file = false;
  bool was_stopped = false;  ///< a signal was sent to all of it, or to its main process
  bool has_trouble = false;  ///< a process of it has ended, or could not be started
  bool was_ready = false;    ///< READY=1
  [[nodiscard]] bool is_empty() const;
  [[nodiscard]] bool is_main_alive() const { return main && processes[*main].is_alive; }
};

/// The keeper's entry for a process.
struct Entry {
  Role role = Role::Main;
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
  std::function<void(const core::Notified&)> notified{};
  /// Asks to be called after a while.
  std::function<void(Duration, std::function<void()>)> later{};
};

class Machine {
 public:
  Machine(Random& random, News news) : random_(random), news_(std::move(news)) {}

  void spawn(const core::SpawnProcess& order, const core::ServiceSettings& settings, const Temper& temper);
  void signal_one(const core::SpawnKey& key, int number);
  void signal_all(const core::RunKey& run, int number);
  /// Looks for the main process that a forking start left behind; it is the candidate then.
  bool choose_daemon(const core::RunKey& run, bool by_file);
  /// Any process of the run but the main one, as MAINPID= may name.
  bool choose_any(const core::RunKey& run);
  /// Under this key from now on: the candidate.
  void track(const core::SpawnKey& key, bool is_possible);
  void note_ready(const core::RunKey& run) { runs_.at(run).was_ready = true; }
  /// The manager's knowledge dies with it.
  void forget_candidates();
  /// Acknowledges one that has ended; one that lives stays.
  void release(const core::SpawnKey& key);
  /// Acknowledges its processes; forgets a run that is empty.
  void release(const core::RunKey& run);
  /// The keeper is lost: of a process that has ended, what it knew is gone; one that lives has no key any more.
  void forget(const core::SpawnKey& key);

  [[nodiscard]] const std::map<core::SpawnKey, Entry>& table() const { return table_; }
  [[nodiscard]] const std::map<core::RunKey, Run>& runs() const { return runs_; }
  [[nodiscard]] const Run* run(const core::RunKey& key) const;
  [[nodiscard]] bool is_empty(const core::RunKey& key) const;
  [[nodiscard]] bool is_alive(const core::SpawnKey& key) const;

 private:
  /// Which process of which run.
  struct Body {
    core::RunKey run{};
    std::uint64_t serial = 0;
    std::size_t index = 0;
  };
  Body add(const core::RunKey& key, Process process, const Temper& temper);
  void live_as_main(const Body& body, const core::ServiceSettings& settings, const Temper& temper);
  void live_as_command(const Body& body, bool is_forking_start, const Temper& temper);
  void beat(const Body& body, Duration span, const Temper& temper);
  void notify_later(Duration delay, const Body& body, core::Notified message);
  void die(const Body& body, const core::Exit& exit, bool setup_failed = false);
  void hit(const Body& body, int number);
  [[nodiscard]] Process* find(const Body& body);

  Random& random_;
  News news_;
  std::map<core::SpawnKey, Entry> table_{};
  std::map<core::RunKey, Run> runs_{};
  std::uint64_t serial_ = 0;
};

}  // namespace perdure::simulation
