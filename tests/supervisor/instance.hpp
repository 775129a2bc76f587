// An instance of perdure in directories of its own: unit files, the real programs, questions over the control socket, and a
// judgement at the end that nothing of it is left.
//
// Questions are asked again while the manager is being killed, so what is asked must not mind being asked twice. Waits are for
// events with testing's hang limit. Its destructor kills whatever descends from the test process.
// Left out: what the services do (service_probe.cpp), who kills whom.
// Thread safety: one thread. Fork and signal safety: none.
//
//     Instance instance{Owner::Ourselves, Parent::Test};
//     instance.add("web.service", "log", "", "Restart=always\n");
//     instance.add_unit("other.service", "[Service]\nExecStart=/bin/true\n");
//     instance.start();
//     instance.show("web.service").main_pid;
//     instance.carry_out("start", {"other.service"});
#pragma once

#include <perdure/control.hpp>
#include <perdure/testing/process.hpp>

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "truth.hpp"

namespace supervisor_test {

enum class Owner { Ourselves, Nobody };  ///< Nobody: uid 65534; needs root
enum class Parent {
  Test,       ///< the keeper is a child of the test
  Init,       ///< an init reaps what a dead keeper leaves
  Namespace,  ///< the keeper is process 1 of a namespace of its own; needs root
};

struct InstanceOptions {
  std::vector<std::string> run_options{};  ///< of `perdure run`, besides the directories
  bool is_shown = false;                   ///< what services say may go to the standard output; else --console=off
  std::vector<std::string> under{};        ///< words before the program, which execute what follows them
  std::vector<std::pair<std::string, std::string>> env{};  ///< added to the environment
};
/// As where no cgroup can be written.
inline InstanceOptions best_effort() { return {.run_options = {"--cgroup-root=/nowhere"}}; }
/// As where there is no cgroup v2, and root can make a hierarchy of cgroup v1.
InstanceOptions cgroup_v1();
/// Whether that can be had here.
bool has_cgroup_v1();
/// How many hierarchies of cgroup v1 there are that instances have made.
std::size_t hierarchies();

struct Service {
  std::string name;
  std::uint32_t seed;
  TruthFile truth;
};

/// A unit as the manager shows it.
struct ShownUnit : Shown {
  std::string sub_state{};
  [[nodiscard]] bool is_at_rest() const {
    return sub_state == "dead" || sub_state == "failed" || sub_state == "auto-restart";
  }
};

class Instance {
 public:
  Instance(Owner owner, Parent parent, InstanceOptions options = {});
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// A service that runs the probe in `mode` with its truth, and `words` after that.
  Service& add(const std::string& name, const std::string& mode, const std::string& words = {},
               const std::string& settings = {});
  /// A service whose unit file is written with the path of its truth and its seed.
  Service& add_written(const std::string& name,
                       const std::function<std::string(const std::string& truth, const std::string& seed)>& write);
  /// A unit file, which is not started with the instance: it is loaded by the first start.
  void add_unit(const std::string& name, const std::string& text);
  [[nodiscard]] std::deque<Service>& services() { return services_; }
  [[nodiscard]] std::string path(std::string_view name) const { return dir_ / name; }

  /// Starts everything that was added; returns when the manager answers. Throws where that does not happen.
  /// Requires: something was added, or everything in the directory of units would be started.
  void start();
  /// The same over the directories of one that is gone.
  void restart();
  /// The whole answer's data. Asked again until it is answered; throws at the hang limit.
  nlohmann::json ask(const nlohmann::json& request);
  ShownUnit show(const std::string& unit);
  /// Everything that is shown of it.
  nlohmann::json unit(const std::string& name);
  /// Its Remarks, in lines.
  std::string remarks(const std::string& unit);
  /// Waits for this SubState; false at the hang limit.
  bool wait_for(const std::string& unit, std::string_view sub_state);
  [[nodiscard]] std::int64_t number(const std::string& property);
  [[nodiscard]] std::string property(const std::string& name);
  /// What it says of itself that does not work as it should, in lines.
  [[nodiscard]] std::string degraded();
  /// Does to each unit what the verb says, and waits for it. How the first of the jobs ended ("done", "failed", …).
  std::string carry_out(std::string_view verb, const std::vector<std::string>& units);

  /// As seen from here, also where it is process 1 of a namespace.
  pid_t keeper();
  /// SIGTERM to the keeper, and how the instance ended.
  perdure::ExitStatus stop();
  /// How it ended, once it has.
  perdure::ExitStatus wait_for_end();
  /// What is left of it after a stop: processes, locks, sockets, cgroups; empty: nothing.
  std::string leftovers();
  /// What the unit's segments hold.
  std::string log(const std::string& unit) const;
  /// What it has printed since it was started, restarted.
  std::string output() { return process_ ? process_->output() : ""; }
  bool wait_for_output(std::string_view text) { return process_ && process_->wait_for_output(text); }

 private:
  std::optional<nlohmann::json> ask_once(const std::string& line);

  perdure::testing::TempDir dir_;
  Owner owner_;
  Parent parent_;
  InstanceOptions options_;
  std::deque<Service> services_{};
  std::vector<std::unique_ptr<perdure::testing::Process>> former_{};  ///< an init among them may still be a parent
  std::unique_ptr<perdure::testing::Process> process_{};
  std::optional<perdure::ControlClient> client_{};
  std::string control_group_{};
  std::size_t hierarchies_before_ = hierarchies();
};

/// Every descendant of this process that there is, by looking at /proc.
std::vector<pid_t> descendants();
/// SIGKILL to our descendants, until there are none.
void end_descendants();
/// Sends to a process that is a descendant of ours; false: it is none, or it is gone.
bool signal_descendant(pid_t pid, int number);

/// A child of that process has ended, and is not reaped.
bool has_zombie_child(pid_t parent);

/// Whether nobody of the service lives, nor any process that it has left.
bool has_nobody(const Instance& instance, const Service& service);

}  // namespace supervisor_test
