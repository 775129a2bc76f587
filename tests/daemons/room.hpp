// A room: a throw-away Debian 12 with real daemons and namespaces of its own, in which perdure runs their units (tests/daemons/room).
//
// Commands are run inside with nsenter(1). Nothing inside is seen outside; the destructor ends everything in it.
// Left out: what the daemons should do (daemons.cpp), how the root came about (tests/daemons/root).
// Needs root. Thread safety: one thread. Fork and signal safety: none.
//
//     Room room{{"cron.service"}};
//     room.wait_for("cron.service", [](const State& state) { return state.sub == "running"; });
//     EXPECT_TRUE(room.shell("redis-cli ping").status.success());
//     EXPECT_EQ(room.end(), perdure::ExitStatus::exited(0));
#pragma once

#include <perdure/testing/process.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace daemons_test {

/// A unit as `perdure show` shows it.
struct State {
  std::string active{};
  std::string sub{};
  std::string result{};
  int main_pid = 0;
  int restarts = 0;
};

enum class Process1 {
  Perdure,
  Shell,  ///< perdure is a child of a shell that reaps
};

struct RoomOptions {
  Process1 process_1 = Process1::Perdure;
  std::string setup{};  ///< shell commands before perdure starts
};

/// Why no rooms are wanted or can be made here, for GTEST_SKIP; empty: there can.
std::string why_no_room();

/// A directory of cgroup v2 below our own, removed at the end; none where there can be none.
class Cgroup {
 public:
  Cgroup();
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }  ///< empty: none
  /// False: somebody is in it.
  [[nodiscard]] bool remove() const;

 private:
  std::string path_{};
};

class Room {
 public:
  /// Starts it, and returns when the instance answers. Throws where that does not happen, or the root is missing.
  explicit Room(std::vector<std::string> units, RoomOptions options = {});
  ~Room();
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  /// Runs a shell command inside, to its end.
  perdure::testing::Finished shell(const std::string& command);
  /// Whether the shell command succeeds sooner or later; it is asked again until then, and given up each time after 3 s. What it said
  /// last stands in `said`.
  bool answers(std::string_view question, std::string* said = nullptr);
  State show(const std::string& unit);
  /// Looks until `is_right`; what was seen last.
  State wait_for(const std::string& unit, const std::function<bool(const State&)>& is_right);
  /// Whose a process inside is; empty: it is gone.
  std::string user_of(int pid);
  /// SIGKILL to a process inside. Requires: `pid` is not that of process 1.
  void end_by_force(int pid);
  /// Who lives inside and is neither of perdure nor of the room, a line each.
  std::string others();
  /// Cgroups of the room in which processes live, perdure's own left out, a line each.
  std::string cgroups_in_use();
  /// Asks the instance to stop everything; how it ended.
  perdure::ExitStatus end();
  /// What is left of it on the machine after that; empty: nothing.
  std::string leftovers();
  std::string output() { return process_->output(); }

 private:
  perdure::testing::Finished inside(std::vector<std::string> words);

  perdure::testing::TempDir scratch_{};
  Cgroup cgroup_{};
  std::unique_ptr<perdure::testing::Process> process_{};
  int process_1_ = 0;  ///< seen from outside
};

}  // namespace daemons_test
