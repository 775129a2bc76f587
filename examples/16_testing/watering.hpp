// Waters the garden: looks at the soil every so often, and opens the valve for a while when it is dry.
#pragma once

#include <perdure/app.hpp>

#include <chrono>
#include <functional>
#include <string>

namespace watering {

struct Settings {
  std::chrono::milliseconds every{std::chrono::minutes{30}};  ///< between two looks
  std::chrono::milliseconds open{std::chrono::minutes{5}};    ///< how long the valve stays open
  double dry = 30;                                            ///< percent; below that it waters
  std::string moisture = "/sys/bus/iio/devices/iio:device0/in_humidityrelative_raw";
  std::string valve = "/run/watering/valve";
};
void describe(perdure::Fields& f, Settings& s);

/// What touches the world, so that a test may put something else in its place. Both may throw.
struct Garden {
  std::function<double()> moisture;      ///< percent
  std::function<void(bool open)> valve;  ///< one that was opened is closed again, also at a stop
};

/// Describes the daemon: everything but main().
void put_together(perdure::App& app, Garden garden);

}  // namespace watering
