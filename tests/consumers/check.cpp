// Starts the program it is given, and hosts an App of its own, with perdure::testing as a user's own tests would.
#include <perdure/app.hpp>
#include <perdure/testing/host.hpp>
#include <perdure/testing/process.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>

namespace {

bool an_hour_has_sixty_minutes() {
  using namespace std::chrono_literals;
  std::atomic<int> minutes{0};
  perdure::App app{{.name = "hosted"}};
  app.worker("clock", [&](perdure::Context& ctx) {
    while (ctx.wait(1min)) ++minutes;
  });
  perdure::testing::Host host{app};
  host.advance(1h);
  return minutes == 60 && host.stop() == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (!an_hour_has_sixty_minutes()) return 3;
  const perdure::testing::TempDir directory;
  const auto finished =
      perdure::testing::run({argv[1], "--foreground", "--pid-file", directory / "consumer.pid", "--control", "none"});
  std::printf("%s: %s\n%s", argv[1], finished.status.text().c_str(), finished.output.c_str());
  return finished.status.success() && finished.output.find("runs on perdure 0.") != std::string::npos ? 0 : 1;
}
