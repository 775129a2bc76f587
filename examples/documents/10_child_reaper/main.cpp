// child_reaper: fifty children that all end at the same instant. None stays a zombie, and each one's status reaches its owner.
//
// There is no SIGCHLD handler. A Child is waited for by its pidfd, so nobody takes the status of a child that is somebody
// else's: while the fifty end, a shell that system(3) started ends too, and system(3) hears how.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/command.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  unsigned children = 50;
  std::chrono::milliseconds every{60s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("children", s.children).range(1, 500).help("children in a round").flag("--children");
  f("every", s.every).range(1ms, 24h).help("time between two rounds").flag("--every");
}

constexpr int gate_fd = 3;

/// The other role: waits until the gate opens, that is, until its other end is closed, and ends with `code`.
int be_a_child(const char* code) {
  char nothing = 0;
  while (read(gate_fd, &nothing, 1) > 0) {
  }
  return std::atoi(code);
}

int code_of(std::size_t child) { return static_cast<int>(child % 256); }

struct Gate {
  perdure::UniqueFd inside, outside;
  Gate() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error{"cannot make a pipe: no descriptor is left"};
    inside.reset(ends[0]);
    outside.reset(ends[1]);
  }
};

/// False once stopping.
bool run_a_round(perdure::Context& ctx, unsigned count) {
  Gate gate;
  std::vector<perdure::Child> children;
  for (unsigned i = 0; i < count; ++i) {
    auto child = perdure::Command::self({"--child", std::to_string(code_of(i))}).pass_fd(gate.inside.get(), gate_fd).spawn();
    if (!child) throw std::runtime_error{child.error().message()};
    children.push_back(*std::move(child));
  }
  gate.outside.reset();                      // they all end now
  const int others = std::system("exit 3");  // tidy: allow system — it is what a reaper of all children would rob

  std::vector<pollfd> running;
  for (const perdure::Child& child : children) running.push_back({child.pidfd(), POLLIN, 0});
  unsigned as_expected = 0;
  for (std::size_t left = children.size(); left > 0;) {
    if (ctx.wait_fds(running, -1ns) < 0) return false;  // those that are left are killed with their owners
    for (std::size_t i = 0; i < running.size(); ++i) {
      if (running[i].fd < 0 || running[i].revents == 0) continue;
      const auto status = children[i].wait();
      if (!status) throw std::runtime_error{status.error().message()};
      ctx.log().info("Child process {} {}", children[i].pid(), status->text());
      as_expected += *status == perdure::ExitStatus::exited(code_of(i)) ? 1 : 0;
      running[i].fd = -1;  // poll(2) leaves it out from now on
      --left;
    }
  }
  ctx.log().info("{} of {} statuses are those that were expected; the shell's was {}", as_expected, count,
                 WIFEXITED(others) ? WEXITSTATUS(others) : -1);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view{argv[1]} == "--child") return be_a_child(argv[2]);
  perdure::Config<Settings> config;
  const perdure::Options options{.name = "child_reaper",
                                 .version = "1.0.0",
                                 .description = "runs fifty children at once and hears how each of them ended",
                                 .config = config};
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    while (run_a_round(ctx, config->children) && ctx.wait(config->every)) {
    }
  });
}
