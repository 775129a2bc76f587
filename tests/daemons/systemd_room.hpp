// A room with the real systemd as process 1: a throw-away machine over this one's root, in which it runs the units that a test
// writes, and their log is in a journal (tests/daemons/systemd-room). Nothing done inside is seen outside.
//
// It takes a third of a second to boot, so every test has one of its own. It ends with the object, and with the test program
// however that ends.
// Left out: what the units should do (systemd_test.cpp). Needs root and systemd 252 on this machine.
// Thread safety: one thread, but for outside() and enter_network(). Fork and signal safety: none.
//
//     SystemdRoom room;
//     room.add_unit("greeter.service", "[Service]\nType=notify\nExecStart=/opt/greeter --foreground\n");
//     EXPECT_TRUE(room.shell("systemctl start greeter").status.success());
//     EXPECT_EQ(room.property("greeter.service", "ActiveState"), "active");
#pragma once

#include <perdure/testing/process.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace daemons_test {

/// Why no such rooms are wanted or can be made here, for GTEST_SKIP; empty: there can.
std::string why_no_systemd_room();

class SystemdRoom {
 public:
  /// Returns when systemd and its journal answer. Throws where that does not happen.
  SystemdRoom();
  ~SystemdRoom();
  SystemdRoom(const SystemdRoom&) = delete;
  SystemdRoom& operator=(const SystemdRoom&) = delete;

  /// Writes a file of units, "x.service" or "x.service.d/y.conf", and has systemd read it.
  void add_unit(const std::string& name, const std::string& text);
  /// Runs a shell command inside, to its end.
  perdure::testing::Finished shell(const std::string& command);
  /// The same, while the test goes on.
  perdure::testing::Process start(const std::string& command);

  /// What `systemctl show` says of the unit.
  std::string property(const std::string& unit, const std::string& name);
  int main_pid(const std::string& unit);
  /// Waits until the property is so; false at the hang limit.
  bool wait_for(const std::string& unit, const std::string& name, std::string_view value);
  /// What the unit has said so far, an object each, in order.
  std::vector<nlohmann::json> journal(const std::string& unit);
  /// Waits for an entry of the unit whose message contains `words`; null at the hang limit.
  nlohmann::json wait_for_entry(const std::string& unit, std::string_view words);
  /// Everything in the journal, for a test that has failed.
  std::string log();

  /// How the rest of the machine reaches a file inside.
  [[nodiscard]] std::string outside(const std::string& path) const;
  /// The calling thread is on the room's network from then on.
  void enter_network() const;

  /// Ends everything in it. What is left on the machine after that; empty: nothing.
  std::string end();

 private:
  [[nodiscard]] std::vector<std::string> inside(const std::string& command) const;

  perdure::testing::TempDir scratch_{};
  std::string name_;
  std::unique_ptr<perdure::testing::Process> process_{};
  int process_1_ = 0;  ///< seen from outside
};

}  // namespace daemons_test
