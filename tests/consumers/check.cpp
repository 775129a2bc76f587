// Starts the program it is given, with perdure::testing as a user's own tests would: in a directory of its own.
#include <perdure/testing/process.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const perdure::testing::TempDir directory;
  const auto finished =
      perdure::testing::run({argv[1], "--foreground", "--pid-file", directory / "consumer.pid", "--control", "none"});
  std::printf("%s: %s\n%s", argv[1], finished.status.text().c_str(), finished.output.c_str());
  return finished.status.success() && finished.output.find("runs on perdure 0.") != std::string::npos ? 0 : 1;
}
