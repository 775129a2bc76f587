#include "testing/launch.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <system_error>

#include "perdure/result.hpp"
#include "testing/descendants.hpp"

extern char** environ;

namespace perdure::testing::detail {
namespace {

enum class Step : int { None, PassDescriptor, ChangeDirectory, Execute };

struct Failure {
  Step step = Step::None;
  int error = 0;
};

/// All that the child needs, computed before the fork.
struct Plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* directory;  // nullptr: where the test is
  const std::pair<int, int>* passed;
  int* spare;  // one per passed descriptor
  std::size_t passed_count;
  const int* closed;
  std::size_t closed_count;
  int first_spare;  // above every number that the child's own descriptors get
  int input;
  int output;
  int report;
};

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

[[noreturn]] void fail(const char* attempt) { throw std::system_error(errno, std::generic_category(), attempt); }

Pipe make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) fail("cannot create a pipe");
  return {UniqueFd{fds[0]}, UniqueFd{fds[1]}};
}

void make_non_blocking(const UniqueFd& fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) fail("cannot make a pipe non-blocking");
}

std::map<std::string, std::string> environment_of(const ProcessOptions& options, const std::string& mark) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text{*entry};
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const std::string& name : options.unset_env) variables.erase(name);
  for (const auto& [name, value] : options.env) variables[name] = value;
  variables[std::string{mark_variable}] = mark;
  return variables;
}

std::string find_program(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) return name;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    const std::string candidate = path.substr(start, end - start) + "/" + name;
    if (end > start && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    start = end + 1;
  }
  return name;  // not found: executing it says so
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void give_up(int report, Step step) noexcept {
  const Failure failure{step, errno};
  static_cast<void>(!::write(report, &failure, sizeof failure));
  // Not _exit: ThreadSanitizer's flushes stdio, and the text that the test has not written yet would come out here as well.
  for (;;) ::syscall(SYS_exit_group, 127);
}

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const Plan& plan) noexcept {
  ::setpgid(0, 0);
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);  // fails for KILL and STOP only

  // Our own ends may sit on the very numbers that the child is to find its descriptors on: first everything moves out of the way.
  const int report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, plan.first_spare);
  if (report < 0) give_up(plan.report, Step::PassDescriptor);
  const int input = ::fcntl(plan.input, F_DUPFD_CLOEXEC, plan.first_spare);
  const int output = ::fcntl(plan.output, F_DUPFD_CLOEXEC, plan.first_spare);
  if (input < 0 || output < 0) give_up(report, Step::PassDescriptor);
  for (std::size_t i = 0; i < plan.passed_count; ++i) {
    plan.spare[i] = ::fcntl(plan.passed[i].first, F_DUPFD_CLOEXEC, plan.first_spare);
    if (plan.spare[i] < 0) give_up(report, Step::PassDescriptor);
  }
  // Whatever the test holds open is not part of the experiment. (Linux 5.11; before it, what the test leaked is inherited.)
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  if (::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0) give_up(report, Step::PassDescriptor);
  for (std::size_t i = 0; i < plan.passed_count; ++i) {
    if (::dup2(plan.spare[i], plan.passed[i].second) < 0) give_up(report, Step::PassDescriptor);
  }
  for (std::size_t i = 0; i < plan.closed_count; ++i) ::close(plan.closed[i]);

  if (plan.directory != nullptr && ::chdir(plan.directory) != 0) give_up(report, Step::ChangeDirectory);
  sigset_t none;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.program, plan.arguments, plan.environment);
  give_up(report, Step::Execute);
}

std::string words_for(const Failure& failure, const std::string& program, const std::string& directory) {
  switch (failure.step) {
    case Step::None: return {};
    case Step::PassDescriptor: return Error::from_errno(failure.error, "pass descriptors to", program).message();
    case Step::ChangeDirectory: return Error::from_errno(failure.error, "enter", directory).message();
    case Step::Execute: return Error::from_errno(failure.error, "execute", program).message();
  }
  return {};
}

/// No signal of the test's may run its handlers in the child.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

Launched launch(const std::vector<std::string>& command, const ProcessOptions& options, const std::string& mark) {
  const auto variables = environment_of(options, mark);
  const auto path = variables.find("PATH");
  const std::string program = find_program(command.front(), path == variables.end() ? "/bin:/usr/bin" : path->second);
  std::vector<std::string> arguments = command;
  std::vector<std::string> environment;
  for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> environment_pointers = pointers_to(environment);
  std::vector<int> spare(options.pass_fds.size());
  int highest = 2;
  for (const auto& [ours, theirs] : options.pass_fds) highest = std::max(highest, theirs);

  Pipe input = make_pipe();
  Pipe output = make_pipe();
  Pipe report = make_pipe();
  make_non_blocking(input.writer);
  make_non_blocking(output.reader);
  const Plan plan{.program = program.c_str(),
                  .arguments = argument_pointers.data(),
                  .environment = environment_pointers.data(),
                  .directory = options.working_directory.empty() ? nullptr : options.working_directory.c_str(),
                  .passed = options.pass_fds.data(),
                  .spare = spare.data(),
                  .passed_count = options.pass_fds.size(),
                  .closed = options.closed_fds.data(),
                  .closed_count = options.closed_fds.size(),
                  .first_spare = highest + 1,
                  .input = input.reader.get(),
                  .output = output.writer.get(),
                  .report = report.writer.get()};

  Launched launched;
  {
    const AllSignalsBlocked blocked;
    launched.pid = ::fork();
    if (launched.pid == 0) become(plan);
  }
  if (launched.pid < 0) fail("cannot fork");
  launched.pidfd = open_pidfd(launched.pid);
  if (!launched.pidfd) fail("cannot open a pidfd");
  launched.input = std::move(input.writer);
  launched.output = std::move(output.reader);

  report.writer.reset();
  Failure failure;
  ssize_t count = 0;
  do {
    count = ::read(report.reader.get(), &failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof failure))
    launched.failure = words_for(failure, program, options.working_directory);
  return launched;
}

}  // namespace perdure::testing::detail
