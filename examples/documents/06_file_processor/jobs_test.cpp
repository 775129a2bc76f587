#include "jobs.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

TEST(Jobs, AreGivenOutInOrderAndAreBounded) {
  Jobs jobs{2};
  EXPECT_TRUE(jobs.offer("a"));
  EXPECT_TRUE(jobs.offer("b"));
  EXPECT_FALSE(jobs.offer("c"));
  EXPECT_EQ(jobs.take(), "a");
  EXPECT_TRUE(jobs.offer("c"));
  EXPECT_EQ(jobs.take(), "b");
  EXPECT_EQ(jobs.take(), "c");
}

TEST(Jobs, ANameIsThereOnceUntilItIsDone) {
  Jobs jobs{2};
  jobs.offer("a");
  EXPECT_TRUE(jobs.offer("a"));
  EXPECT_EQ(jobs.take(), "a");
  EXPECT_TRUE(jobs.offer("a")) << "in work: not taken again";
  jobs.offer("b");
  EXPECT_EQ(jobs.take(), "b");
  jobs.done("a");
  EXPECT_TRUE(jobs.offer("a"));
  EXPECT_EQ(jobs.take(), "a");
}

TEST(Jobs, ClosingWaitsUntilAllIsDoneByManyWorkers) {
  Jobs jobs{1000};
  std::atomic<int> done{0};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i)
    workers.emplace_back([&] {
      while (const auto name = jobs.take()) ++done, jobs.done(*name);
    });
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(jobs.offer(std::to_string(i)));
  EXPECT_TRUE(jobs.close(30s));
  EXPECT_EQ(done, 1000);
  EXPECT_FALSE(jobs.offer("late"));
}

TEST(Jobs, ClosingGivesUpWhatTakesTooLong) {
  Jobs jobs{2};
  jobs.offer("a");
  jobs.offer("b");
  EXPECT_EQ(jobs.take(), "a");
  EXPECT_FALSE(jobs.close(1ms));
  EXPECT_EQ(jobs.take(), std::nullopt);
}

}  // namespace
