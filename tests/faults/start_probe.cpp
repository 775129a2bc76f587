// A daemon whose n-th system call fails: FAULT_NTH (0: none), FAULT_ERRNO. Serves for a moment, and says which call it was.
#include <cstdlib>

#include <fmt/core.h>

#include "os/fault_plan.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

namespace {

struct Settings {
  std::string health_file;
};

void describe(perdure::Fields& f, Settings& s) { f("health_file", s.health_file); }

unsigned number(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : static_cast<unsigned>(std::atoi(text));
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "start_probe",
      .config = config,
      .configure = [&](perdure::Options& o) { o.health_file.path = config->health_file; },
  };
  const perdure::os::testing::FaultPlan plan{{.nth = number("FAULT_NTH"), .error = static_cast<int>(number("FAULT_ERRNO"))}};
  const int code = perdure::run(argc, argv, options, [](perdure::Context& ctx) {
    ctx.wait(std::chrono::milliseconds{1});
    ctx.log().info("served");
  });
  fmt::print(stderr, "fault: {} of {}\n", plan.failed_call(), plan.calls());
  return code;
}
