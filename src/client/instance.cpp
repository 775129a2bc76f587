#include "client/instance.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "client/instance_lock.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

using std::chrono::milliseconds;

/// Between two attempts to connect where nobody listens yet.
constexpr milliseconds connect_pause{20};
/// Before a job is asked about again that the instance had no room to wait for.
constexpr milliseconds busy_pause{200};
/// How often a request whose taking nobody saw is made again.
constexpr int attempts_max = 5;
/// Names in one request: below the instance's limit of 1,024, and, at 255 bytes each, below its 64 KiB for a line.
constexpr std::size_t names_max = 200;

void pause(milliseconds time) { os::sys::poll(nullptr, 0, static_cast<int>(time.count())); }

bool nobody_listens(const Error& error) { return error.code() == ENOENT || error.code() == ECONNREFUSED; }

/// The connection ended under the request. A refusal, or an answer that makes no sense, is no reason to ask again.
bool has_broken(const Error& error) { return error.code() == ECONNRESET || error.code() == ENOTCONN; }

const Json& array_of(const Json& object, const char* name) {
  static const Json none = Json::array();
  if (!object.is_object()) return none;
  const auto member = object.find(name);
  return member != object.end() && member->is_array() ? *member : none;
}

Error strange_answer(const Json& request) {
  return Error{
      fmt::format("the instance's answer to {} makes no sense; is it of another version?", request.value("verb", "?"))};
}

/// Who was refused as a whole has an error and nothing else.
Result<void> check_taken(const Json& request, const Answer& answer) {
  const auto has = [&](const char* name) { return answer.data.contains(name); };
  if (answer.ok || has("units") || has("jobs") || has("files") || has("findings")) return {};
  if (has("error") && text_of(answer.data["error"], "code") == "unknown-verb") {
    return Error{
        fmt::format("this instance does not know {}; it is of another version than this command, and nothing was done",
                    request.value("verb", "?"))};
  }
  return Error{answer.text};
}

/// What tells whether a start has happened: the run that a unit is in, or was in last.
struct LastRun {
  std::string invocation{};  ///< empty: never started, or nobody remembers
  std::uint64_t started_us = 0;
  bool has_ended = false;
  friend bool operator==(const LastRun&, const LastRun&) = default;
};
const std::vector<std::string> run_properties{"Id",           "InvocationID",      "ExecMainStartTimestampMonotonic",
                                              "ExecMainCode", "ExecMainExitKnown", "Job"};

LastRun last_run_of(const Json& unit) {
  const auto known = unit.find("ExecMainExitKnown");
  const bool has_unseen_end = known != unit.end() && known->is_boolean() && !known->get<bool>();
  return {text_of(unit, "InvocationID"), number_of(unit, "ExecMainStartTimestampMonotonic"),
          has_unseen_end || number_of(unit, "ExecMainCode") != 0};
}

enum class Happened : std::uint8_t { Yes, No, Unknown };

/// Whether a unit has been started between the two. That nobody remembers a run is no proof that there was none.
Happened has_been_started(const LastRun& before, const LastRun& now) {
  if (!now.invocation.empty()) return now.invocation == before.invocation ? Happened::No : Happened::Yes;
  if (before == LastRun{}) return now == before ? Happened::No : Happened::Yes;
  return Happened::Unknown;
}

}  // namespace

std::string text_of(const Json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string{};
}

std::uint64_t number_of(const Json& object, const char* name) {
  if (!object.is_object()) return 0;
  const auto member = object.find(name);
  return member != object.end() && member->is_number_integer() ? member->get<std::uint64_t>() : 0;
}

Result<Instance> Instance::connect(std::string socket) {
  auto client = ControlClient::connect(socket, back_within);
  if (!client) {
    Error error = std::move(client).error();
    if (!nobody_listens(error)) return error;
    return Error{fmt::format("no instance runs here: cannot connect to {} ({}); start one with \"perdure run\", or name "
                             "another --runtime-dir",
                             socket, error.code() == ENOENT ? "ENOENT" : "ECONNREFUSED"),
                 error.code()};
  }
  return Instance{std::move(socket), *std::move(client)};
}

Result<void> Instance::connect_again(const Error& cause) {
  const auto end = os::monotonic_now() + back_within;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - os::monotonic_now());
    auto client = ControlClient::connect(socket_, std::max(left, milliseconds{1}));
    if (client) {
      client_ = *std::move(client);
      return {};
    }
    if (!nobody_listens(client.error()) || left.count() <= 0) {
      return Error{fmt::format("the instance went away and was not back within {} s ({}); what was asked for may be done or "
                               "not; see \"perdure status\"",
                               back_within.count(), cause.message()),
                   client.error().code()};
    }
    pause(connect_pause);
  }
}

Result<Answer> Instance::ask_once(const Json& request, milliseconds within) {
  auto reply = client_.request_object(request.dump(-1, ' ', false, Json::error_handler_t::replace), within);
  if (!reply && reply.error().code() == ETIMEDOUT && wake_keeper(os::directory_of(socket_) + "/lock")) {
    return std::move(reply).error().with_advice(
        "the instance's manager is silent; its keeper was asked to look after it, and replaces it within 15 s if it stays "
        "silent; try again then");
  }
  if (!reply) return std::move(reply).error();
  Answer answer{reply->ok, std::move(reply->message), Json::object()};
  if (!reply->json.empty()) answer.data = Json::parse(reply->json, nullptr, false);
  if (answer.data.is_discarded()) return strange_answer(request);
  return answer;
}

Result<Answer> Instance::ask(const Json& request) {
  const bool waits = request.value("verb", "") == "wait";
  for (int attempt = 1;; ++attempt) {
    auto answer = ask_once(request, waits ? job_answer_within : answer_within);
    if (answer) {
      PERDURE_CHECK(check_taken(request, *answer));
      return answer;
    }
    if (!has_broken(answer.error()) || attempt == attempts_max) return answer;
    PERDURE_CHECK(connect_again(answer.error()));
  }
}

Result<Answer> Instance::tell(const Json& request) {
  auto answer = ask_once(request, answer_within);
  if (!answer && has_broken(answer.error())) {
    return Error{
        fmt::format("the instance's manager ended meanwhile; whether it has carried out {} is not known, and it was not "
                    "asked again",
                    request.value("verb", "?")),
        answer.error().code()};
  }
  if (answer) PERDURE_CHECK(check_taken(request, *answer));
  return answer;
}

Result<std::vector<Json>> Instance::units(const std::vector<std::string>& names,
                                          const std::vector<std::string>& properties) {
  std::vector<Json> units;
  for (std::size_t at = 0; at < names.size(); at += names_max) {
    const auto from = names.begin() + static_cast<std::ptrdiff_t>(at);
    const auto to = names.begin() + static_cast<std::ptrdiff_t>(std::min(at + names_max, names.size()));
    Json request{{"verb", "show"}, {"units", std::vector<std::string>(from, to)}};
    if (!properties.empty()) request["properties"] = properties;
    PERDURE_TRY(const Answer answer, ask(request));
    for (const Json& unit : array_of(answer.data, "units")) units.push_back(unit);
  }
  if (units.size() != names.size()) return strange_answer({{"verb", "show"}});
  return units;
}

Result<std::vector<Json>> Instance::list() {
  std::vector<Json> units;
  for (std::string after;;) {
    PERDURE_TRY(const Answer answer, ask({{"verb", "list-units"}, {"after", after}}));
    for (const Json& unit : array_of(answer.data, "units")) units.push_back(unit);
    std::string next = text_of(answer.data, "next");
    if (next.empty() || next <= after) return units;
    after = std::move(next);
  }
}

Result<std::vector<JobEnd>> Instance::change(std::string_view verb, const std::vector<std::string>& names, Wait wait) {
  std::vector<JobEnd> ends;
  for (const std::string& name : names) ends.push_back({.unit = name});
  PERDURE_CHECK(request_jobs(verb, ends));
  if (wait == Wait::Yes) PERDURE_CHECK(await_jobs(ends));
  return ends;
}

/// Gives every entry a job, or why it has none.
Result<void> Instance::request_jobs(std::string_view verb, std::vector<JobEnd>& ends) {
  for (std::size_t at = 0; at < ends.size(); at += names_max) {
    std::vector<JobEnd*> open;
    for (std::size_t i = at; i < std::min(at + names_max, ends.size()); ++i) open.push_back(&ends[i]);
    const auto names = [&] {
      std::vector<std::string> of;
      for (const JobEnd* end : open) of.push_back(end->unit);
      return of;
    };
    // To stop twice is to stop, and to reload twice is to reload; to start twice may be two runs.
    const bool counts_runs = verb != "stop" && verb != "reload";
    std::map<std::string, LastRun> before;
    if (counts_runs) {
      PERDURE_TRY(const auto known, units(names(), run_properties));
      for (const Json& unit : known) before[text_of(unit, "Id")] = last_run_of(unit);
    }
    for (int attempt = 1; !open.empty(); ++attempt) {
      const Json request{{"verb", verb}, {"units", names()}, {"wait", false}};
      auto answer = ask_once(request, answer_within);
      if (answer) {
        PERDURE_CHECK(check_taken(request, *answer));
        const Json& jobs = array_of(answer->data, "jobs");
        if (jobs.size() != open.size()) return strange_answer(request);
        for (std::size_t i = 0; i < open.size(); ++i) {
          open[i]->job = number_of(jobs[i], "job");
          open[i]->result = text_of(jobs[i], "result");
          const Json error = jobs[i].value("error", Json::object());
          open[i]->code = text_of(error, "code");
          open[i]->message = text_of(error, "message");
        }
        break;
      }
      if (!has_broken(answer.error()) || attempt == attempts_max) return std::move(answer).error();
      PERDURE_CHECK(connect_again(answer.error()));
      if (!counts_runs) continue;
      PERDURE_TRY(const auto now, units(names(), run_properties));
      std::vector<JobEnd*> unseen;
      for (std::size_t i = 0; i < open.size(); ++i) {
        const std::uint64_t job = number_of(now[i], "Job");
        open[i]->job = job;
        if (job != 0) continue;
        switch (has_been_started(before[text_of(now[i], "Id")], last_run_of(now[i]))) {
          case Happened::Yes: open[i]->result = "done"; break;
          case Happened::No: unseen.push_back(open[i]); break;
          case Happened::Unknown: open[i]->result = "unseen"; break;
        }
      }
      open = std::move(unseen);
    }
  }
  return {};
}

Result<void> Instance::await_jobs(std::vector<JobEnd>& ends) {
  for (;;) {
    std::vector<JobEnd*> open;
    for (JobEnd& end : ends) {
      if (end.job != 0 && end.result.empty() && open.size() < names_max) open.push_back(&end);
    }
    if (open.empty()) return {};
    Json request{{"verb", "wait"}, {"jobs", Json::array()}};
    for (const JobEnd* end : open) request["jobs"].push_back(end->job);
    const auto asked = os::monotonic_now();
    PERDURE_TRY(const Answer answer, ask(request));
    const Json& jobs = array_of(answer.data, "jobs");
    if (jobs.size() != open.size()) return strange_answer(request);
    bool has_progress = false;
    for (std::size_t i = 0; i < open.size(); ++i) {
      open[i]->result = text_of(jobs[i], "result");
      // Over, and nobody remembers how: what the unit is now will tell.
      if (open[i]->result.empty() && jobs[i].contains("error")) open[i]->result = "unknown";
      has_progress = has_progress || !open[i]->result.empty();
    }
    // The instance had no room for another one who waits.
    if (!has_progress && os::monotonic_now() - asked < busy_pause) pause(busy_pause);
  }
}

Result<void> Instance::wait_for_end() {
  for (;;) {
    pollfd connection{client_.fd(), POLLIN, 0};
    const int count = os::sys::poll(&connection, 1, -1);
    if (count < 0 && errno != EINTR) return Error::from_errno(errno, "wait for the instance's end");
    if (count <= 0) continue;
    // The connection has ended: with the instance, or with one manager of several.
    auto client = ControlClient::connect(socket_, back_within);
    if (!client && nobody_listens(client.error())) return {};
    if (!client) return std::move(client).error();
    client_ = *std::move(client);
    pause(connect_pause);
  }
}

}  // namespace perdure::client
