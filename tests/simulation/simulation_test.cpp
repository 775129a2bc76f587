// Does any order of events break what the core promises?
//
//     PERDURE_SIMULATION_SEED=7 PERDURE_SIMULATION_STORY=1 simulation_test      one story again, told line by line where it breaks
//     PERDURE_SIMULATION_EVENTS=100000000 PERDURE_SIMULATION_SEED=$RANDOM simulation_test      a longer night
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "world.hpp"

namespace perdure::simulation {
namespace {

constexpr std::uint64_t default_seed = 1;
constexpr std::uint64_t default_events = 1'000'000;
constexpr std::uint64_t events_per_story = 700;

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : base::parse_number<std::uint64_t>(text).value_or(otherwise);
}

TEST(Simulation, NoOrderOfEventsBreaksAPromise) {
  const std::uint64_t first = number_from_environment("PERDURE_SIMULATION_SEED", default_seed);
  const bool is_one = std::getenv("PERDURE_SIMULATION_STORY") != nullptr;
  const std::uint64_t wanted = is_one ? 1 : number_from_environment("PERDURE_SIMULATION_EVENTS", default_events);
  std::uint64_t events = 0;
  std::uint64_t deaths = 0;
  std::uint64_t seed = first;
  for (; events < wanted; ++seed) {
    World world{seed};
    world.run(events_per_story);
    events += world.events();
    deaths += world.deaths();
    ASSERT_EQ(world.complaint(), "") << "with PERDURE_SIMULATION_SEED=" << seed << "; PERDURE_SIMULATION_STORY=1 tells it\n"
                                     << (is_one ? world.story() : "");
  }
  std::cout << events << " events in " << seed - first << " stories from seed " << first << ", " << deaths
            << " deaths of the manager\n";
}

}  // namespace
}  // namespace perdure::simulation
