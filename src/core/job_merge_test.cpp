#include "core/job_merge.hpp"

#include <gtest/gtest.h>

namespace perdure::core {
namespace {

constexpr JobType all[] = {JobType::Start, JobType::Stop, JobType::Restart, JobType::Reload};

bool ends_up(JobType type) { return type != JobType::Stop; }
bool goes_down(JobType type) { return type == JobType::Stop || type == JobType::Restart; }

TEST(JobMerge, IsThisTableAndNoOther) {
  using enum JobType;
  EXPECT_EQ(merge_jobs(Start, Start), (JobMerge{Start, false}));
  EXPECT_EQ(merge_jobs(Start, Stop), (JobMerge{Stop, true}));
  EXPECT_EQ(merge_jobs(Start, Restart), (JobMerge{Restart, false}));
  EXPECT_EQ(merge_jobs(Stop, Start), (JobMerge{Start, true}));
  EXPECT_EQ(merge_jobs(Stop, Stop), (JobMerge{Stop, false}));
  EXPECT_EQ(merge_jobs(Stop, Restart), (JobMerge{Restart, true}));
  EXPECT_EQ(merge_jobs(Restart, Start), (JobMerge{Restart, false}));
  EXPECT_EQ(merge_jobs(Restart, Stop), (JobMerge{Stop, true}));
  EXPECT_EQ(merge_jobs(Restart, Restart), (JobMerge{Restart, false}));
  EXPECT_EQ(merge_jobs(Start, Reload), (JobMerge{Start, false}));
  EXPECT_EQ(merge_jobs(Stop, Reload), (JobMerge{Reload, true}));
  EXPECT_EQ(merge_jobs(Restart, Reload), (JobMerge{Restart, false}));
  EXPECT_EQ(merge_jobs(Reload, Start), (JobMerge{Reload, false}));
  EXPECT_EQ(merge_jobs(Reload, Stop), (JobMerge{Stop, true}));
  EXPECT_EQ(merge_jobs(Reload, Restart), (JobMerge{Restart, false}));
  EXPECT_EQ(merge_jobs(Reload, Reload), (JobMerge{Reload, false}));
}

TEST(JobMerge, GivesTheNewerRequestWhatItAskedFor) {
  for (const JobType in_flight : all)
    for (const JobType requested : all) {
      const JobMerge merge = merge_jobs(in_flight, requested);
      EXPECT_EQ(ends_up(merge.type), ends_up(requested)) << int(in_flight) << ' ' << int(requested);
      if (goes_down(requested)) {
        EXPECT_TRUE(goes_down(merge.type)) << int(in_flight) << ' ' << int(requested);
      }
    }
}

TEST(JobMerge, CancelsExactlyWhatWantsTheOtherEnd) {
  for (const JobType in_flight : all)
    for (const JobType requested : all)
      EXPECT_EQ(merge_jobs(in_flight, requested).cancels, ends_up(in_flight) != ends_up(requested))
          << int(in_flight) << ' ' << int(requested);
}

TEST(JobMerge, LosesNothingOfAJobThatItDoesNotCancel) {
  for (const JobType in_flight : all)
    for (const JobType requested : all) {
      const JobMerge merge = merge_jobs(in_flight, requested);
      if (merge.cancels) continue;
      EXPECT_EQ(ends_up(merge.type), ends_up(in_flight));
      EXPECT_EQ(goes_down(merge.type), goes_down(in_flight) || goes_down(requested));
    }
}

// A request that comes twice, as after a recovery, is the same as one.
TEST(JobMerge, OfTheSameAgainChangesNothing) {
  for (const JobType in_flight : all)
    for (const JobType requested : all) {
      const JobType merged = merge_jobs(in_flight, requested).type;
      EXPECT_EQ(merge_jobs(merged, requested), (JobMerge{merged, false})) << int(in_flight) << ' ' << int(requested);
    }
}

}  // namespace
}  // namespace perdure::core
