// World: one story from one seed: units, clients, a machine, a manager that may be killed, and news that come as they like.
//
// First everything goes wrong that may; then there is peace, and things must come to rest. The same seed gives the same story.
// Thread safety: none, one owner.
//
//     World world{seed};  world.run(2000);  EXPECT_EQ(world.complaint(), "");
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "checks.hpp"
#include "core/engine.hpp"
#include "machine.hpp"
#include "random.hpp"

namespace perdure::simulation {

class World {
 public:
  explicit World(std::uint64_t seed);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() = default;

  /// Faults for that many events, then peace until everything rests.
  void run(std::uint64_t events_with_faults);

  [[nodiscard]] const std::string& complaint() const { return checks_.complaint(); }
  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] std::uint64_t deaths() const { return deaths_; }
  /// The last events and actions, one per line.
  [[nodiscard]] std::string story() const;

 private:
  /// How unkind this world is, per mille of the occasions.
  struct Faults {
    std::uint64_t death = 0;         ///< of the manager, before an action
    std::uint64_t quiet_death = 0;   ///< of the manager, between steps
    std::uint64_t repeated = 0;      ///< news told twice
    std::uint64_t stale = 0;         ///< old news told again
    std::uint64_t lost_keeper = 0;   ///< at a death
    std::uint64_t lost_journal = 0;  ///< at a death, of a unit's record
    Duration delay_max{};            ///< of news
  };
  struct Item {
    Instant at{};
    std::uint64_t order = 0;
    std::function<void()> what{};
    friend bool operator<(const Item& a, const Item& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };

  /// Which kinds of dependencies there are.
  struct Kinds {
    bool has_requirements = false;
    bool has_followers = false;
    bool has_upholds = false;
    bool has_essentials = false;
  };

  void make_units();
  core::ServiceSettings make_settings(const Kinds& kinds);
  void relate(core::ServiceSettings& settings, core::UnitId id, core::UnitId count, const Kinds& kinds);
  void later(Duration delay, std::function<void()> what);
  void tell(core::Event event);
  void tell_message(const core::Notified& message);
  void tell_emptied(const core::RunKey& run);
  void step(const core::Event& event);
  void carry_out();
  void carry_out_one(const core::Action& action);
  void turn(Instant until);
  void look_for_main(const core::RunKey& run);
  void chatter();
  void client();
  void forget_answers();
  void end_manager();
  void kill_manager();
  std::vector<core::Event> lose_keeper();
  void recover();
  void die_quietly();
  void note_shutdown(int times);
  void make_peace();
  void note(const std::string& line);

  Random random_;
  std::map<core::UnitId, core::ServiceSettings> settings_{};
  std::map<core::UnitId, Temper> tempers_{};
  Machine machine_;
  Checks checks_;
  Faults faults_{};
  std::priority_queue<Item> queue_{};
  Instant now_ = Instant{} + std::chrono::seconds{1000};

  std::optional<core::Engine> engine_{};
  core::ActionList pending_{};  ///< decided and not carried out
  std::map<core::UnitId, core::UnitRecord> journal_{};
  std::set<core::RunKey> watched_{};
  std::map<core::RunKey, std::uint32_t> known_spawns_{};  ///< the highest one that the present manager knows
  std::uint64_t manager_ = 0;                             ///< counts them; news for an older one are lost
  std::uint64_t undelivered_ = 0;
  std::deque<core::Event> past_{};
  core::JobId next_job_ = 1;
  int shutdowns_ = 0;
  std::optional<Duration> stop_within_{};
  Instant stop_began_{};  ///< with the first of them
  Instant last_deadline_{};
  int repeats_ = 0;
  bool is_peace_ = false;
  bool is_recovering_ = false;
  std::uint64_t events_ = 0;
  std::uint64_t deaths_ = 0;
  std::deque<std::string> story_{};
  bool keeps_story_ = false;
};

}  // namespace perdure::simulation
