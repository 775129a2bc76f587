#include "daemon/verbs.hpp"

#include <poll.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "perdure/control.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/health_file.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/process_identity.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::daemon {
namespace {

constexpr std::chrono::seconds answer_within{10};
constexpr std::chrono::seconds reload_within{60};
/// Where a start may take for ever.
constexpr std::chrono::hours upgrade_within_max{24};
/// How much longer than its own stop budget an instance may take before `stop` gives up on it.
constexpr std::chrono::seconds stop_margin{5};

int complain(const Places& places, int code, const std::string& why) {
  fmt::print(stderr, "{}: {}\n", places.instance, why);
  return code;
}

bool nobody_listens(const Error& error) { return error.code() == ENOENT || error.code() == ECONNREFUSED; }

/// The process that holds the instance's lock, by a descriptor that cannot come to mean another one.
struct Holder {
  pid_t pid;
  UniqueFd process;
};

/// The number in the file is a claim: it counts only if the file still names it, under a held lock, once the process's
/// descriptor is open.
std::optional<Holder> lock_holder(const Places& places) {
  const auto pid = PidFile::holder(places.pid_file);
  if (!pid) return std::nullopt;
  UniqueFd process{os::sys::pidfd_open(*pid, 0)};
  if (!process || PidFile::holder(places.pid_file) != pid || !is_same_executable(*pid)) return std::nullopt;
  return Holder{*pid, std::move(process)};
}

bool wait_for_end(int process, std::chrono::milliseconds within) {
  const auto end = os::monotonic_now() + within;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - os::monotonic_now());
    if (left.count() <= 0) return false;
    pollfd fd{process, POLLIN, 0};
    if (os::sys::poll(&fd, 1, static_cast<int>(left.count())) > 0) return true;
  }
}

/// Of who answered `stop`; nothing where the program has a `stop` of another kind.
std::optional<pid_t> pid_of(const Reply& reply) {
  std::string_view text = reply.json;
  if (!base::remove_prefix(text, "{\"pid\":") || !text.ends_with('}')) return std::nullopt;
  return base::parse_number<pid_t>(text.substr(0, text.size() - 1));
}

int not_running(const Places& places) { return complain(places, verb_not_running, "is not running"); }

int verb_status(const Places& places) {
  std::string silence;  // why it does not answer, where it should
  bool may_ask = true;
  if (!places.control.empty()) {
    auto client = ControlClient::connect(places.control, answer_within);
    if (client) {
      auto reply = client->request("status", "", answer_within);
      if (!reply) return complain(places, status_unknown, reply.error().message());
      fmt::print("{}\n", base::trim_end(reply->message));
      return status_running;
    }
    silence = ", but it does not answer: " + client.error().message();
    may_ask = nobody_listens(client.error());
  }
  if (PidFile::is_locked(places.pid_file)) {
    const auto pid = PidFile::holder(places.pid_file);
    fmt::print("{}: running{}{}\n", places.instance, pid ? fmt::format(", pid {}", *pid) : "", silence);
    return status_running;
  }
  if (!may_ask)
    return complain(places, status_unknown, "the control socket" + silence.substr(std::string_view{", but it"}.size()));
  struct stat file {};
  if (os::sys::lstat(places.pid_file.c_str(), &file) == 0) {
    fmt::print("{}: not running; it left {} behind, which does not hinder a start\n", places.instance, places.pid_file);
    return status_dead_with_pid_file;
  }
  fmt::print("{}: not running\n", places.instance);
  return status_not_running;
}

int without_socket(const Places& places, int code) {
  return complain(places, code, "has no control socket (--control none), so it cannot be asked");
}

int verb_health(const Options&, const CommandLine& line, const Places& places) {
  constexpr int unhealthy = 2;
  if (line.max_age) {
    const auto limit = base::parse_number<std::int64_t>(*line.max_age);
    if (!limit || *limit < 0) return complain(places, exit_usage, "--max-age: a number of seconds is wanted");
    if (places.health_file.empty()) return complain(places, exit_usage, "--max-age: this program keeps no health file");
    auto age = HealthFile::age(places.health_file, std::chrono::system_clock::now());
    if (!age) return complain(places, unhealthy, age.error().message());
    // A clock that was set back leaves a time in the future: just as little a sign of life as one long ago.
    if (age->count() < 0) fmt::print("{}: last sign of life {} s in the future\n", places.instance, -age->count());
    else fmt::print("{}: last sign of life {} s ago\n", places.instance, age->count());
    return age->count() <= *limit && -age->count() <= *limit ? 0 : unhealthy;
  }
  if (places.control.empty()) return without_socket(places, unhealthy);
  auto client = ControlClient::connect(places.control, answer_within);
  if (!client) return complain(places, unhealthy, client.error().message());
  auto reply = client->request("health", "", answer_within);
  if (!reply) return complain(places, unhealthy, reply.error().message());
  fmt::print("{}\n", reply->message);
  return reply->ok ? 0 : unhealthy;
}

/// Asks and prints: for verbs whose answer is all there is.
int ask(const Places& places, const std::string& verb, const std::string& text, std::chrono::milliseconds within) {
  if (places.control.empty()) return without_socket(places, verb_failed);
  auto client = ControlClient::connect(places.control, answer_within);
  if (!client) {
    if (nobody_listens(client.error())) return not_running(places);
    return complain(places, client.error().code() == EACCES ? verb_no_rights : verb_failed, client.error().message());
  }
  auto reply = client->request(verb, text, within);
  if (!reply) return complain(places, verb_failed, reply.error().message());
  if (!reply->ok) return complain(places, verb_failed, reply->message);
  fmt::print("{}\n", base::trim_end(reply->message));
  return verb_ok;
}

/// Without a control socket a reload can be asked for, but how it went is in the log only.
int reload_by_signal(const Places& places) {
  const auto holder = lock_holder(places);
  if (!holder) return not_running(places);
  if (os::sys::pidfd_send_signal(holder->process.get(), SIGHUP) < 0) {
    const int code = errno;
    return complain(places, code == EPERM ? verb_no_rights : verb_failed,
                    Error::from_errno(code, "signal", fmt::format("pid {}", holder->pid)).message());
  }
  fmt::print("{}: asked pid {} to reload; its log says how that went\n", places.instance, holder->pid);
  return verb_ok;
}

}  // namespace

int stop_running(const Options& options, const Places& places) {
  const auto within = options.stop_within + stop_margin;
  UniqueFd process;
  if (!places.control.empty()) {
    if (auto client = ControlClient::connect(places.control, answer_within)) {
      if (auto peer = peer_credentials(client->fd()); peer && peer->pid > 0)
        process.reset(os::sys::pidfd_open(peer->pid, 0));
      auto reply = client->request("stop", "", answer_within);
      // Who answers may be the successor of whoever listened when we connected.
      if (reply && reply->ok) {
        const auto pid = pid_of(*reply);
        if (pid) process.reset(os::sys::pidfd_open(*pid, 0));
        if (pid && !process) return verb_ok;  // it has ended already
      }
      if (process && reply && reply->ok) {
        if (wait_for_end(process.get(), within)) return verb_ok;
        return complain(places, verb_failed,
                        fmt::format("still runs {} s after it was asked to stop; see its log",
                                    std::chrono::duration_cast<std::chrono::seconds>(within).count()));
      }
    } else if (client.error().code() == EACCES || client.error().code() == EPERM) {
      return complain(places, verb_no_rights, client.error().message() + "; nothing was stopped");
    }
  }
  const auto holder = lock_holder(places);
  if (!holder) return not_running(places);
  if (os::sys::pidfd_send_signal(holder->process.get(), SIGTERM) < 0) {
    const int code = errno;
    return complain(
        places, code == EPERM ? verb_no_rights : verb_failed,
        Error::from_errno(code, "signal", fmt::format("pid {}", holder->pid)).message() + "; nothing was stopped");
  }
  if (wait_for_end(holder->process.get(), within)) return verb_ok;
  return complain(places, verb_failed, fmt::format("pid {} still runs after SIGTERM; see its log", holder->pid));
}

int run_verb(const Options& options, const CommandLine& line, const Places& places) {
  const auto is_ours = [&](const char* verb) {
    for (const ControlCommand& command : options.commands)
      if (command.name == verb) return false;
    return line.verb == verb;
  };
  if (line.verb == "stop") return stop_running(options, places);
  if (is_ours("status")) return verb_status(places);
  if (is_ours("health")) return verb_health(options, line, places);
  if (is_ours("reload")) return places.control.empty() ? reload_by_signal(places) : ask(places, "reload", "", reload_within);
  if (is_ours("upgrade")) {
    // The daemon waits this long for its successor, and as long again for one that does not end.
    const auto limit =
        options.start_within.count() > 0 ? options.start_within + 2 * options.stop_within : upgrade_within_max;
    return ask(places, "upgrade", "", limit + answer_within);
  }
  std::chrono::milliseconds within = answer_within;
  for (const ControlCommand& command : options.commands)
    if (command.name == line.verb) within = command.within + answer_within;
  return ask(places, line.verb, line.verb_text, within);
}

}  // namespace perdure::daemon
