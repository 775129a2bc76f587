// Instance: the running instance, asked over its control socket (docs/reference/instance-protocol.md).
//
// A manager may die at any instant, and its successor takes over the socket within milliseconds: a connection that breaks is made
// again, for back_within at most. Questions are asked again; a job is waited for by its number. A start or restart whose taking
// nobody saw is asked for again only where the unit's last run, or that it never had one, shows that nothing came of it.
// Where no answer comes, the keeper is woken: a manager that hangs is replaced for this reason, too.
// Left out: printing (commands.cpp). Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(auto instance, client::Instance::connect(places.control_socket()));
//     PERDURE_TRY(auto answer, instance.ask({{"verb", "is-active"}, {"units", {"web.service"}}}));
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "perdure/control.hpp"
#include "perdure/result.hpp"

namespace perdure::client {

using Json = nlohmann::ordered_json;

/// How long a broken connection may take to come back.
inline constexpr std::chrono::seconds back_within{10};
/// How long an answer may take that waits for nothing.
inline constexpr std::chrono::seconds answer_within{10};
/// The same for one that waits for jobs; the instance answers after 30 s at the latest.
inline constexpr std::chrono::seconds job_answer_within{40};

struct Answer {
  bool ok = true;
  std::string text{};
  Json data = Json::object();  ///< of the older verbs always an object
};

/// A member of an object that the instance sent; empty or 0 where it is missing or something else.
std::string text_of(const Json& object, const char* name);
std::uint64_t number_of(const Json& object, const char* name);

/// What became of one unit's job.
struct JobEnd {
  std::string unit{};
  std::uint64_t job = 0;  ///< 0: it was not taken
  std::string result{};   ///< "done", "failed", "canceled", "timeout", "refused"; empty: not known (yet); "unknown": over;
                          ///< "unseen": not known either whether it was taken
  std::string code{};     ///< where it was not taken: "no-such-unit", …
  std::string message{};  ///< with it: one line
};

enum class Wait : bool { No, Yes };

class Instance {
 public:
  /// On failure: nobody listens there, or we may not; a complete line.
  static Result<Instance> connect(std::string socket);

  /// Asks; asks again where the connection breaks. Requires: asking twice does no harm.
  Result<Answer> ask(const Json& request);
  /// Says something that must not be said twice: where the connection breaks, that is the error.
  Result<Answer> tell(const Json& request);
  /// A verb that makes a job for each unit: start, stop, restart, reload, …. One entry per unit, in their order.
  /// On failure: the instance is gone; jobs it has taken may have been carried out.
  Result<std::vector<JobEnd>> change(std::string_view verb, const std::vector<std::string>& units, Wait wait);
  /// The properties named, of these units, in their order; unknown ones have LoadState not-found.
  Result<std::vector<Json>> units(const std::vector<std::string>& names, const std::vector<std::string>& properties);
  /// All units, by name.
  Result<std::vector<Json>> list();
  /// Waits until nobody listens on the socket any more.
  Result<void> wait_for_end();

 private:
  Instance(std::string socket, ControlClient client) : socket_(std::move(socket)), client_(std::move(client)) {}

  Result<Answer> ask_once(const Json& request, std::chrono::milliseconds within);
  Result<void> connect_again(const Error& cause);
  Result<void> request_jobs(std::string_view verb, std::vector<JobEnd>& ends);
  Result<void> await_jobs(std::vector<JobEnd>& ends);

  std::string socket_;
  ControlClient client_;
};

}  // namespace perdure::client
