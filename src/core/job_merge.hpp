// What becomes of two jobs for one unit: a table.
//
// A unit has one job at most. A new request joins the job in flight where both want the same in the end, and takes its place
// where they contradict each other; the newer one is right, because it is what somebody wants now.
// TryRestart is settled before, by what the unit is at the time. A reload joins a start: what starts reads its configuration now.
// Thread, fork and signal safety: plain values.
//
//     const JobMerge merge = merge_jobs(record.job_type, requested.type);
//     if (merge.cancels) finish(record.job, JobResult::Canceled);
#pragma once

#include "core/event.hpp"

namespace perdure::core {

struct JobMerge {
  JobType type = JobType::Start;  ///< of the one job that remains
  bool cancels = false;           ///< the job in flight ends as Canceled; otherwise it ends together with the new one
  friend bool operator==(const JobMerge&, const JobMerge&) = default;
};

[[nodiscard]] JobMerge merge_jobs(JobType in_flight, JobType requested) noexcept;

}  // namespace perdure::core
