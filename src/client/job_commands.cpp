// The verbs that change something: jobs of units, signals, the instance's end.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/asking.hpp"
#include "client/progress.hpp"
#include "client/rendering.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::client {
namespace {

/// Ctrl-C ends the waiting, not the job.
void leave_the_job(int /*number*/) {
  constexpr std::string_view message = "\nperdure: no longer waiting; what was asked for goes on\n";
  constexpr int interrupted = 130;
  os::sys::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(interrupted);
}

void let_interrupts_leave_jobs() {
  struct sigaction action {};
  action.sa_handler = leave_the_job;
  os::sys::sigaction(SIGINT, &action, nullptr);
}

int exit_code_of(std::string_view refusal) {
  if (refusal == "no-such-unit") return exit_not_installed;
  return refusal == "bad-unit" ? exit_not_configured : exit_failed;
}

/// Whether the unit is where the verb wanted it: asked where nobody remembers how the job ended.
bool is_as_wanted(Verb verb, const Json& unit) {
  const std::string active = text_of(unit, "ActiveState");
  const bool is_down = active == "inactive" || active == "failed";
  switch (verb) {
    case Verb::Stop: return is_down;
    case Verb::TryRestart: return active != "failed";  // what did not run stays down
    default: return !is_down;
  }
}

/// How long the keeper may take to end once nobody listens any more.
constexpr std::chrono::seconds keeper_ends_within{10};

/// True where it has ended, or cannot be watched (it may live in another pid namespace).
bool keeper_has_ended(const UniqueFd& keeper) {
  if (!keeper) return true;
  pollfd end{keeper.get(), POLLIN, 0};
  const auto deadline = os::monotonic_now() + keeper_ends_within;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - os::monotonic_now());
    if (left.count() <= 0) return false;
    if (os::sys::poll(&end, 1, static_cast<int>(left.count())) > 0) return true;
  }
}

}  // namespace

int change_units(Instance& instance, const Arguments& arguments) {
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  if (names->empty()) {
    complain("no unit has such a name; nothing was changed; see \"perdure list-units --all\"");
    return exit_not_installed;
  }
  const std::string_view verb = verb_name(arguments.verb);
  if (!arguments.no_block) let_interrupts_leave_jobs();
  auto ends = [&] {
    std::optional<Progress> progress;
    if (!arguments.no_block && !arguments.quiet) progress.emplace(verb, *names);
    return instance.change(verb, *names, arguments.no_block ? Wait::No : Wait::Yes);
  }();
  if (!ends) return give_up(ends.error());

  int code = exit_done;
  std::vector<std::string> failed;
  for (JobEnd& end : *ends) {
    if (!end.code.empty()) {
      if (end.code == "no-such-unit") {
        if (const auto meant = meant_instead_of(instance, end.unit))
          end.message += fmt::format("; did you mean {}?", *meant);
      }
      complain(end.message);
      if (code == exit_done) code = exit_code_of(end.code);
    } else if (!end.result.empty() && end.result != "done") {
      failed.push_back(end.unit);
    }
  }
  if (failed.empty()) return code;
  const auto units = instance.units(failed, {});
  if (!units) return give_up(units.error());
  for (std::size_t i = 0; i < failed.size(); ++i) {
    const auto end = std::find_if(ends->begin(), ends->end(), [&](const JobEnd& e) { return e.unit == failed[i]; });
    if ((end->result == "unknown" || end->result == "unseen") && is_as_wanted(arguments.verb, (*units)[i])) continue;
    complain(job_failure(verb, (*units)[i], end->result));
    if (code == exit_done) code = exit_failed;
  }
  return code;
}

int kill_units(Instance& instance, const Arguments& arguments) {
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  if (names->empty()) {
    complain("no unit has such a name; no signal was sent; see \"perdure list-units --all\"");
    return exit_failed;
  }
  const auto answer =
      instance.tell({{"verb", "kill"}, {"units", *names}, {"signal", arguments.signal}, {"whom", arguments.kill_whom}});
  return answer ? exit_done : give_up(answer.error());
}

int reset_failed(Instance& instance, const Arguments& arguments) {
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  if (names->empty() && !arguments.words.empty()) return exit_done;  // patterns that mean nothing
  const auto answer = instance.ask({{"verb", "reset-failed"}, {"units", *names}});
  return answer ? exit_done : give_up(answer.error());
}

int list_jobs(Instance& instance, const Arguments& arguments) {
  const auto answer = instance.ask({{"verb", "list-jobs"}});
  if (!answer) return give_up(answer.error());
  const Json& jobs = list_in(*answer, "jobs");
  const bool printed =
      print(arguments.json ? json_line(jobs) : job_table(jobs, {.no_legend = arguments.no_legend}, Style::for_stdout()));
  return printed ? exit_done : exit_failed;
}

int cancel_jobs(Instance& instance, const Arguments& arguments) {
  Json jobs = Json::array();
  for (const std::string& word : arguments.words) jobs.push_back(base::parse_number<std::uint64_t>(word).value_or(0));
  if (jobs.empty()) {
    const auto known = instance.ask({{"verb", "list-jobs"}});
    if (!known) return give_up(known.error());
    for (const Json& job : list_in(*known, "jobs")) jobs.push_back(number_of(job, "id"));
    if (jobs.empty()) return exit_done;
  }
  const auto answer = instance.ask({{"verb", "cancel"}, {"jobs", jobs}});
  return answer ? exit_done : give_up(answer.error());
}

int end_instance(Instance& instance, const Arguments& arguments) {
  const auto facts = instance_properties(instance, {"KeeperPID"});
  if (!facts) return give_up(facts.error());
  const std::uint64_t pid = number_of(*facts, "KeeperPID");
  const UniqueFd keeper{os::sys::pidfd_open(static_cast<pid_t>(pid), 0)};
  const Json request = arguments.words.empty()
                           ? Json{{"verb", "shutdown"}}
                           : Json{{"verb", "exit"}, {"code", base::parse_number<int>(arguments.words.front()).value_or(0)}};
  const auto answer = instance.ask(request);
  if (!answer) return give_up(answer.error());
  if (arguments.no_block) return exit_done;
  let_interrupts_leave_jobs();
  if (const auto ended = instance.wait_for_end(); !ended) return give_up(ended.error());
  if (keeper_has_ended(keeper)) return exit_done;
  complain(fmt::format("the instance answers no more, but its keeper (pid {}) has not ended within {} s", pid,
                       keeper_ends_within.count()));
  return exit_failed;
}

}  // namespace perdure::client
