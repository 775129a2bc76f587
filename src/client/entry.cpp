#include "client/entry.hpp"

#include <cstdlib>
#include <ctime>

#include <fmt/format.h>

#include "client/arguments.hpp"
#include "client/commands.hpp"
#include "client/import_supervisord.hpp"
#include "client/places.hpp"
#include "client/run_instance.hpp"
#include "perdure/version.hpp"

namespace perdure::client {

int client_main(int count, char* words[]) {
  const auto arguments = parse_arguments(count, words);
  if (!arguments) {
    complain(arguments.error().message());
    return exit_failed;
  }
  if (arguments->utc) {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  if (arguments->verb == Verb::Version) return print(fmt::format("perdure {}\n", version())) ? exit_done : exit_failed;
  if (arguments->verb == Verb::Import) return import_command(*arguments);
  if (arguments->verb == Verb::Help) return run_command(*arguments, {});
  const auto places = places_for(*arguments, Surroundings::of_this_process());
  if (!places) {
    complain(places.error().message());
    return exit_failed;
  }
  return arguments->verb == Verb::Run ? run_instance(*arguments, *places) : run_command(*arguments, *places);
}

}  // namespace perdure::client
