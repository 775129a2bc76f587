#include "core/job_merge.hpp"

#include <array>
#include <cstddef>

namespace perdure::core {
namespace {

constexpr JobMerge joins(JobType type) { return {type, false}; }
constexpr JobMerge replaces(JobType type) { return {type, true}; }

// clang-format off
constexpr auto Start = JobType::Start, Stop = JobType::Stop, Restart = JobType::Restart, Reload = JobType::Reload;
constexpr std::array<std::array<JobMerge, 4>, 4> table{{
    // requested:    Start                Stop             Restart            Reload
    /* Start   */ {{ joins(Start),        replaces(Stop),  joins(Restart),    joins(Start)     }},
    /* Stop    */ {{ replaces(Start),     joins(Stop),     replaces(Restart), replaces(Reload) }},
    /* Restart */ {{ joins(Restart),      replaces(Stop),  joins(Restart),    joins(Restart)   }},
    /* Reload  */ {{ joins(Reload),       replaces(Stop),  joins(Restart),    joins(Reload)    }},
}};
// clang-format on

}  // namespace

JobMerge merge_jobs(JobType in_flight, JobType requested) noexcept {
  return table.at(static_cast<std::size_t>(in_flight)).at(static_cast<std::size_t>(requested));
}

}  // namespace perdure::core
