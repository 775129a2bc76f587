#include "perdure/listen_fds.hpp"

#include <fcntl.h>

#include "perdure/command.hpp"
#include "perdure/detach.hpp"
#include "process/test_program.hpp"

namespace perdure {
namespace {

using namespace process::test;

/// Prints what it got. LISTEN_PID is set here, because nobody else knows this pid before the program runs.
int listen_fds(const Arguments& arguments) {
  if (!arguments.empty())
    ::setenv("LISTEN_PID", (arguments[0] == "own" ? std::to_string(::getpid()) : arguments[0]).c_str(), 1);
  auto sockets = ListenFds::from_environment();
  close_inherited_fds();
  for (const std::string& name : sockets.names()) std::printf("%s ", name.c_str());
  for (const int fd : sockets.fds())
    std::printf("%d%s ", fd, (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? "" : " is inheritable");
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    if (std::getenv(name) != nullptr) std::printf("%s is left", name);
  }
  const auto http = sockets.take("http");
  const auto none = sockets.take("http");
  const auto any = sockets.take_any();
  std::printf("| %d %d %d", http.get(), none.get(), any.get());
  return 0;
}
const RoleEntry listen_role{"listen-fds", &listen_fds};

std::string taken(const char* pid, const char* count, const char* names, int passed) {
  Command command = Command::self({"--role", "listen-fds"});
  if (pid != nullptr) command.arg(pid);
  command.env("LISTEN_FDS", count).env("LISTEN_FDNAMES", names);
  for (int fd = 3; fd < 3 + passed; ++fd) command.pass_fd(STDIN_FILENO, fd);
  const auto output = command.output();
  return output ? output->out : output.error().message();
}

TEST(ListenFds, TakesTheSocketsByNameAndKeepsThemOpen) {
  EXPECT_EQ(taken("own", "2", "control:http", 2), "control http 3 4 | 4 -1 3");
  EXPECT_EQ(taken("own", "2", ":", 2), "unknown unknown 3 4 | -1 -1 3");
  EXPECT_EQ(taken("own", "1", "", 1), "unknown 3 | -1 -1 3");
}

TEST(ListenFds, TakesNothingThatIsNotMeantForThisProcess) {
  for (const char* pid : {"1", "", "x", "-1", "99999999999999999999"})
    EXPECT_EQ(taken(pid, "1", "http", 1), "| -1 -1 -1") << pid;
  for (const char* count : {"", "0", "-1", "x", "1x", "99999999999999999999"})
    EXPECT_EQ(taken("own", count, "http", 1), "| -1 -1 -1") << count;
  EXPECT_EQ(taken(nullptr, "1", "http", 1), "| -1 -1 -1");
}

TEST(ListenFds, PromisedButMissingDescriptorsAreLeftOut) {
  EXPECT_EQ(taken("own", "2147483647", "http:a:b", 2), "http a 3 4 | 3 -1 4");
}

}  // namespace
}  // namespace perdure
