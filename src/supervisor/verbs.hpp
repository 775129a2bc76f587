// Verbs: the server's side of the instance protocol. A request of the control socket becomes an answer, at once or when a job ends.
//
// The table of verbs is closed, and so are the options of each; what a request may hold is bounded (units_max names, each checked)
// before the instance is asked anything. A request that waits for jobs is answered when all of them have ended, at the latest
// after wait_within with what is known by then, so that somebody who has gone away leaves nothing behind for long.
// Left out: sockets and rights (control), deciding (core). The protocol: docs/reference/instance-protocol.md.
// Thread safety: one thread, the loop's. Fork and signal safety: none.
//
//     for (const Request& request : requests) verbs.handle(request, now, answers);       // after server.process(requests)
//     verbs.job_finished(finish.job, finish.result, answers);                            // for each core::FinishJob
//     verbs.expire(now, answers);                                                        // at next_deadline()
//     for (const auto& [request, reply] : answers) server.reply(request, reply);
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "core/action.hpp"
#include "perdure/request.hpp"
#include "supervisor/instance_request.hpp"
#include "supervisor/instance_view.hpp"

namespace perdure::supervisor {

/// Units in one page of list-units; data.next says where to go on.
inline constexpr std::size_t page_max = 2'048;
/// Requests that wait for jobs at the same time. Below the server's limit of requests in flight, so that others are still heard.
inline constexpr std::size_t waiting_max = 48;
/// The longest time after which a waiting request is answered with what is known.
inline constexpr std::chrono::seconds wait_within{30};
/// Ends of jobs remembered for those who ask late.
inline constexpr std::size_t finished_jobs_max = 4'096;

class Verbs {
 public:
  struct Answer {
    std::uint64_t request = 0;  ///< for ControlServer::reply
    Reply reply{};
  };
  using Answers = std::vector<Answer>;

  /// `instance` must outlive this.
  explicit Verbs(InstanceView& instance) : instance_(instance) {}

  /// Appends the answer, unless the request waits.
  void handle(const Request& request, base::Instant now, Answers& answers);
  /// Answers a request that nobody looks at.
  static void refuse(const Request& request, const Fault& why, Answers& answers);
  /// Answers a request whose peer may not ask; what it wanted, in words: "stop web.service". Nothing is asked of the instance, and
  /// no more is read than the first unit's name and the number of the others.
  static std::string deny(const Request& request, Answers& answers);
  /// A job has ended: appends the answers that waited for nothing else. Jobs nobody asked for may be told too.
  void job_finished(core::JobId job, core::JobResult result, Answers& answers);
  /// Answers the requests that have waited long enough.
  void expire(base::Instant now, Answers& answers);
  [[nodiscard]] std::optional<base::Instant> next_deadline() const;
  /// Requests that wait.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

 private:
  /// What became of one unit's job, or one job's id, in the order of the request.
  struct Outcome {
    std::string unit{};  ///< empty where a job was named by its id
    core::JobId job = core::no_job;
    std::optional<core::JobResult> result{};
    std::optional<Refusal> refusal{};
    bool is_unknown = false;  ///< a job that ended before anybody can remember
  };
  struct Waiting {
    std::uint64_t request = 0;
    base::Instant deadline{};
    std::vector<Outcome> outcomes{};
  };
  void change(std::optional<core::JobType> wanted, const InstanceRequest& question, base::Instant now, Answers& answers);
  void wait(const InstanceRequest& question, base::Instant now, Answers& answers);
  void answer_or_wait(const InstanceRequest& question, std::vector<Outcome> outcomes, base::Instant now, Answers& answers);
  template <class Predicate>
  void answer_where(Predicate is_due, Answers& answers);
  [[nodiscard]] std::optional<core::JobResult> remembered(core::JobId job) const;
  static Reply reply_of(const std::vector<Outcome>& outcomes);
  static bool is_settled(const std::vector<Outcome>& outcomes) noexcept;

  InstanceView& instance_;
  std::vector<Waiting> waiting_{};                               ///< in the order of their deadlines
  std::unordered_map<core::JobId, core::JobResult> finished_{};  ///< the last finished_jobs_max ones
  std::deque<core::JobId> finished_order_{};                     ///< the keys of finished_, oldest first
};

}  // namespace perdure::supervisor
