// Manager: the shell around the core. It waits, collects facts, lets the core decide, and carries out what it orders.
//
// Everything it needs after its own death is in three places: the keeper's table (processes, statuses, pipes, parked
// descriptors), the journal (one record per unit), and the file of loaded units. Starting and recovering are the same path. It
// never forks, never waits for a disk or a name service longer than a read takes, and wakes for nothing while nothing happens.
// Left out: policy. An `if` about what should happen belongs into core/.
// Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(auto manager, Manager::start(std::move(options), UniqueFd{wire::keeper::channel_fd}));
//     return manager->run();
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/engine.hpp"
#include "logbook/log_directory.hpp"
#include "loop/poller.hpp"
#include "loop/timers.hpp"
#include "perdure/control.hpp"
#include "perdure/result.hpp"
#include "supervisor/console.hpp"
#include "supervisor/crash_file.hpp"
#include "supervisor/denial_pacing.hpp"
#include "supervisor/instance_view.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/keeper_channel.hpp"
#include "supervisor/launch.hpp"
#include "supervisor/message_socket.hpp"
#include "supervisor/named_dependencies.hpp"
#include "supervisor/process_tracking.hpp"
#include "supervisor/saved_units.hpp"
#include "supervisor/socket_file.hpp"
#include "supervisor/stop_file.hpp"
#include "supervisor/supervised_unit.hpp"
#include "supervisor/unit_files.hpp"
#include "supervisor/verbs.hpp"

namespace perdure::supervisor {

struct ManagerOptions {
  std::string runtime_dir{};
  std::string state_dir{};
  std::string log_dir{};
  std::string cgroup_root{};             ///< empty: below our own cgroup
  std::vector<std::string> unit_path{};  ///< empty: the system's or the user's
  std::vector<std::string> units{};      ///< UNIT or FILE
  UnitFiles::Links links = UnitFiles::Links::All;
  std::string syslog = "auto";  ///< "auto", "off" or the path of a socket for syslog(3)
  ConsoleFormat console = ConsoleFormat::Default;
  std::vector<std::string> pass_env{};  ///< patterns of names that services get from our environment
  unit::Isolation isolation = unit::Isolation::AsSystemd;
  /// --stop-timeout=; not set: what is usual for our place. An inner none: infinity.
  std::optional<std::optional<base::Duration>> stop_within{};
  std::span<char*> arguments{};  ///< as they came, for a keeper that has to be started again
};

/// On failure: one line about the argument that is wrong. Requires: `arguments` stay as they are, as those of main() do.
Result<ManagerOptions> parse_manager_arguments(int count, char** arguments);

/// Whose log has what was said with syslog(3) by nobody of ours, or by a service whose output is not logged.
inline constexpr const char* syslog_unit = "syslog.socket";

/// What the manager parks in the keeper, by label.
inline constexpr const char* control_label = "control";  ///< the listening control socket
inline constexpr const char* journal_label = "journal";
inline constexpr const char* units_label = "units";
inline constexpr const char* notify_label = "notify";              ///< the socket that services send READY=1 to
inline constexpr const char* syslog_label = "syslog";              ///< the socket of syslog(3)
inline constexpr const char* control_file_label = "control-file";  ///< what stands at its path, to know it again
inline constexpr const char* notify_file_label = "notify-file";    ///< likewise
inline constexpr const char* syslog_file_label = "syslog-file";    ///< what stands at its path, to know it again
inline constexpr const char* syslog_pipe_label = "syslog-pipe";    ///< what nobody of ours has said, on its way to the log
inline constexpr const char* stopping_label = "stopping";          ///< everything is to stop, whoever is manager: StopFile
inline constexpr const char* crashes_label = "crashes";            ///< what is in hand, and was at crashes: CrashFile
inline constexpr const char* by_procs_label =
    "by-procs";  ///< any descriptor: children cannot be born into their cgroup here

class Manager : private InstanceView {
 public:
  static Result<std::unique_ptr<Manager>> start(ManagerOptions options, UniqueFd channel);
  ~Manager() override;
  /// Until everything has stopped; returns the instance's exit code.
  int run();

 private:
  /// A unit that the core has not been told of yet.
  struct NewUnit {
    core::UnitId id = core::no_unit;
    std::vector<NamedDependency> named{};
    core::ServiceSettings settings{};  ///< without the units that `named` names
  };

  Manager(ManagerOptions options, UniqueFd channel, loop::Poller poller);

  // manager_start.cpp: how it begins
  Result<void> open();
  Result<void> recover();
  Result<std::map<std::string, UniqueFd>> list_parked();
  Result<void> list_processes(std::vector<core::Event>& found);
  void take_entry(const keeper::Entry& entry, std::vector<UniqueFd>& fds, std::size_t& next_fd,
                  std::vector<core::Event>& found);
  [[nodiscard]] const core::UnitRecord* recorded(core::UnitId id) const;
  void park(const std::string& label, int fd);
  void test_births();
  void note_births();
  void remove_unknown_leaves();
  Result<void> ask_keeper_facts();
  void adopt_survivors(const std::vector<JournalEntry>& entries, std::vector<core::Event>& found, bool keeper_lost);
  void take_crashes(UniqueFd parked);
  void open_messages();
  void pass_environment();

  // manager_units.cpp: what is known of units
  void load_units(UniqueFd saved);
  void load_arguments();
  SupervisedUnit& add_unit(const FoundUnit& found, core::UnitId id);
  SupervisedUnit* load_named(std::string_view name);
  SupervisedUnit* resolve(std::string_view name) const;
  std::uint64_t suspected_hash(const FoundUnit& found) const;
  bool refuse_quarantined(SupervisedUnit& unit, std::uint64_t hash) const;
  void read_sources(SupervisedUnit& unit, const FoundUnit& found);
  void reload_file(SupervisedUnit& unit);
  [[nodiscard]] bool is_as_loaded(const SupervisedUnit& unit, const FoundUnit& found) const;
  void introduce_again(SupervisedUnit& unit);
  void load_pulled_in(std::size_t first);
  void introduce_who_names_them();
  bool objects_to_default_order(const NewUnit& target, NamedDependency dependency) const;
  void introduce();

  // manager.cpp: the loop
  void collect();
  void dispatch(const loop::Readiness& fact);
  void take_keeper_messages();
  void take_spawned(const keeper::Header& header, const keeper::Entry& entry, std::vector<UniqueFd>& fds);
  void take_exit(const keeper::Entry& entry);
  bool was_out_of_memory(SupervisedUnit& unit, Run& run);
  void take_tracking_events();
  void take_due();
  void find_dumping();
  void take_control();
  void handle_requests();
  void note_denial(const Request& request);
  void handle(const Request& request);
  void decide();
  [[nodiscard]] std::optional<base::Instant> next_deadline() const;
  void say(std::string_view line);
  void flush_said();
  void find_unanswered(const SupervisedUnit& unit, Run& run);
  void drain_last_output();
  void show_last_output();
  void sign_locks() const;
  [[noreturn]] void become_keeper();

  // manager_actions.cpp
  void carry_out(const core::Action& action);
  ProcessMark mark_of(const core::UnitRecord& record);
  void record(const core::ActionList& actions);
  void spawn(const core::SpawnProcess& order);
  bool is_told_again(const Run& run, const core::SpawnProcess& order);
  void order_spawn(SupervisedUnit& unit, Run& run, const core::SpawnProcess& order);
  void acknowledge(const core::SpawnKey& key);
  void release_process(const core::SpawnKey& key);
  void note_entry(const SupervisedUnit& unit, Run& run, std::uint32_t spawn);
  static logbook::RunIdentity identity_of(const Run& run);
  void announce(const core::AnnounceCycle& cycle);
  void announce(const core::AnnounceCutShort& cut);

  // manager_services.cpp: what services of the richer types need
  Result<const Launch*> launch_for(SupervisedUnit& unit, Run& run, const core::SpawnProcess& order, Launch& fresh,
                                   UniqueFd& fresh_spec);
  struct Executed {
    std::string program{};
    std::string directive{};  ///< "ExecStop= "; empty: the service's own
    bool has_our_rights = false;
  };
  static Executed executed_by(const SupervisedUnit& unit, core::CommandPhase phase, std::size_t command);
  void check_conditions(core::UnitId id);
  void remove_directories(const SupervisedUnit& unit);
  void find_main(const core::RunKey& key);
  void look_for_main(SupervisedUnit& unit, Run& run);
  void look_for_successor(SupervisedUnit& unit, Run& run);
  bool take_candidate(SupervisedUnit& unit, Run& run, pid_t pid);
  void track_main(const core::SpawnKey& key);
  void end_instance(const core::EndInstance& order);
  void note_stop(std::optional<int> code = std::nullopt);
  [[nodiscard]] std::optional<base::Duration> stop_within() const;
  void send_signal(const core::SendSignal& order);
  void kill_run(const core::RunKey& key);
  void watch(const core::RunKey& key);
  void release(const core::RunKey& key);
  void finish_release(SupervisedUnit& unit, Run& run);
  void announce(const core::AnnounceState& change);
  void check_empty(SupervisedUnit& unit, Run& run);
  void look_again_later(SupervisedUnit& unit, Run& run);
  void do_deferred();
  void give_memory_back();
  void take_log(SupervisedUnit& unit, Run& run);
  bool drain_earlier_logs(SupervisedUnit& unit, const Run& run);
  bool drain_log(SupervisedUnit& unit, Run& run);
  void flush_console();
  [[nodiscard]] static bool has_levels(const SupervisedUnit& unit) {
    return unit.spec == nullptr || unit.spec->service.syslog_level_prefix;
  }
  void note_log(SupervisedUnit& unit, const logbook::Taken& taken);
  void forget_log(Run& run);
  static std::uint64_t inode_of(const UniqueFd& fd);  ///< 0: none
  void take_gate(SupervisedUnit& unit, Run& run);
  static bool is_through(const Run& run);
  void remove_leaf(std::string leaf);
  [[nodiscard]] RunProcesses processes(const Run& run, const std::string& leaf) const;
  logbook::UnitLog& log_of(SupervisedUnit& unit);

  // manager_messages.cpp: sd_notify(3) and syslog(3)
  bool is_being_started(const ReceivedMessage& message);
  void take_notifications();
  void take_notifications_again();
  void take_notification(const ReceivedMessage& received);
  SupervisedUnit* unit_of_process(const ReceivedMessage& message);
  SupervisedUnit* heard_by(const ReceivedMessage& message);
  [[nodiscard]] std::string syslog_path() const;
  void open_syslog(UniqueFd parked, UniqueFd file, UniqueFd pipe);
  void take_syslog();
  void take_syslog_again();
  static std::string syslog_line(const ReceivedMessage& received, const SupervisedUnit* unit);

  // manager_sockets.cpp: the sockets in the runtime directory, bound and bound again
  struct OurSocket {
    SocketFile file{};
    bool told = false;  ///< that it is not bound at its path
  };
  [[nodiscard]] std::string control_path() const;
  Result<void> open_control(UniqueFd parked, UniqueFd file);
  [[nodiscard]] std::string notify_path() const;
  Result<void> open_notify(UniqueFd parked, UniqueFd file);
  SocketFile park_file(const char* label, const std::string& path);
  void note_unwatched();
  void watch_sockets();
  Result<void> watch_runtime_directory();
  void take_removals();
  void look_at_sockets();
  bool keep_bound(OurSocket& socket, Result<bool> (Manager::*bind_again)(), std::string_view loss);
  Result<bool> bind_control_again();
  Result<bool> bind_notify_again();

  // manager_view.cpp: InstanceView
  [[nodiscard]] std::optional<UnitStatus> unit(std::string_view name, Detail detail) const override;
  void visit_units(std::string_view after, const std::function<bool(const UnitStatus&)>& visit) const override;
  [[nodiscard]] InstanceFacts facts() const override;
  std::variant<core::JobId, Refusal> request_job(core::JobType type, std::string_view unit) override;
  [[nodiscard]] bool is_in_flight(core::JobId job) const override;
  std::optional<Refusal> reset_failed(std::string_view unit) override;
  std::variant<std::size_t, Refusal> send_signal(std::string_view unit, int signal, KillWhom whom) override;
  [[nodiscard]] std::vector<UnitText> texts(std::string_view unit) const override;
  [[nodiscard]] std::vector<Finding> verify(std::string_view unit_or_path) const override;
  [[nodiscard]] std::vector<std::string_view> dependencies(std::string_view unit, bool is_reverse) const override;
  void reload_files() override;
  bool cancel(core::JobId job) override;
  [[nodiscard]] std::vector<std::string> environment() const override { return surroundings_.environment; }
  void shut_down() override;
  void exit_with(int code) override;
  [[nodiscard]] UnitStatus status_of(const SupervisedUnit& unit) const;
  void remark_on_process(const Run& run, UnitStatus& status) const;
  std::string_view hold(std::string text) const;

  [[nodiscard]] SupervisedUnit* find(core::UnitId id) const;
  [[nodiscard]] SupervisedUnit* find(std::string_view name) const;
  [[nodiscard]] Timestamp stamp(base::Instant instant) const;

  ManagerOptions options_;
  KeeperChannel keeper_;
  keeper::Header keeper_facts_{};
  pid_t keeper_pid_ = 0;
  loop::Poller poller_;
  loop::Timers timers_{};
  core::Engine engine_{};
  core::ActionList actions_{};
  std::vector<core::Event> events_{};  ///< facts that the core has not been told yet
  ProcessTracking tracking_;
  std::optional<Journal> journal_{};
  std::vector<JournalEntry> entries_{};
  std::map<core::UnitId, core::UnitRecord> records_{};  ///< what the journal knows, during a recovery
  std::optional<SavedUnits> saved_{};
  std::optional<SpecFile> specs_{};
  std::optional<Accounts> accounts_{};
  std::uint64_t compiled_with_ = 0;  ///< Accounts::generation() at the last reload
  LaunchSurroundings surroundings_{};
  unit::Specifiers machine_{};
  UnitFiles files_;
  std::unique_ptr<logbook::LogDirectory> logs_{};
  std::optional<ControlServer> control_{};
  UniqueFd notify_{};
  OurSocket control_socket_{};
  OurSocket notify_socket_{};
  UniqueFd removals_{};  ///< inotify, of the runtime directory
  int runtime_watch_ = -1;
  std::optional<std::uint64_t> oom_kills_{};  ///< of the whole machine, when it was last looked
  bool notify_waits_ = false;                 ///< its next message, for the keeper's answer to a start
  base::Duration sockets_pause_{};            ///< before they are looked at again
  base::Instant sockets_bound_{};             ///< when one was bound again
  UniqueFd syslog_{};                         ///< none: it is not for us to receive
  UniqueFd syslog_pipe_{};
  std::unique_ptr<logbook::UnitLog> syslog_log_{};  ///< of what nobody of ours has said
  SocketFile syslog_file_{};
  std::size_t syslog_written_ = 0;  ///< of the message that comes next
  core::RunKey syslog_goes_to_{};   ///< where that much of it was written to; none: to syslog_pipe_
  Verbs verbs_{*this};
  Verbs::Answers answers_{};
  DenialPacing denials_{};
  Console console_;
  std::vector<Request> requests_{};
  std::vector<std::unique_ptr<SupervisedUnit>> units_{};  ///< by number; a hole where none is
  std::map<std::string_view, SupervisedUnit*> by_name_{};
  mutable std::map<std::string, core::UnitId, std::less<>> aliases_{};  ///< other names that were asked for
  std::unordered_map<std::uint64_t, core::SpawnProcess> spawns_{};      ///< ordered, by sequence number, not answered yet
  std::unordered_map<int, core::RunKey> watches_{};
  std::map<std::string, UniqueFd> locks_{};  ///< of our directories; the keeper holds them, and we in case we become it
  std::vector<std::string> old_leaves_{};    ///< to remove when they let us
  std::vector<std::string> notes_{};         ///< what is not as it should be
  CrashFile crashes_{};
  std::string last_crash_{};  ///< how the manager before this one crashed, one line
  base::Instant now_{};
  base::Instant started_{};
  Timestamp instance_start_{};
  core::JobId last_job_ = 0;
  std::string said_{};
  std::uint64_t unsaid_ = 0;  ///< lines that nobody took in time
  bool is_torn_ = false;      ///< of what was written, the last line is not whole
  NameTable names_{};         ///< of units that others depend on
  std::vector<NewUnit> new_units_{};
  std::vector<core::UnitId> named_{};       ///< to be started by the first manager
  mutable std::deque<std::string> held_{};  ///< texts that statuses refer to, until the next round
  bool console_is_polled_ = false;
  bool is_first_start_ = false;
  bool is_recovering_ = false;
  bool owes_sign_of_life_ = false;
  bool owes_seen_ = false;  ///< a Signalled was acted on, and the keeper does not know it yet
  bool has_stopping_parked_ = false;
  bool is_swollen_ = true;                ///< a burst, as starting is one, may have left holes in the heap
  std::vector<core::RunKey> deferred_{};  ///< runs whose release waits for the keeper's answer to a start
  UniqueFd messages_{};                   ///< where say() goes without waiting; none: to stderr itself
  std::uint32_t signals_taken_ = 0;       ///< the number of the last Signalled that was acted on
  StopFile stop_{};                       ///< of the stop of everything, where there is one
  bool is_shutting_down_ = false;
  bool inherits_stop_ = false;  ///< it was begun under a former manager
  bool finished_ = false;
};

}  // namespace perdure::supervisor
