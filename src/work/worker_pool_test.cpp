#include "perdure/worker_pool.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <latch>
#include <memory_resource>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/threads.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto hang = 30s;

// Keeps a thread of a pool busy until it is opened.
class Gate {
 public:
  WorkerPool::Task task() {
    return [this] {
      entered_.count_down();
      opened_.wait();
    };
  }
  void wait_until_entered() { entered_.wait(); }
  void open() { opened_.count_down(); }

 private:
  std::latch entered_{1}, opened_{1};
};

WorkerPool start(WorkerPoolOptions options) {
  auto pool = WorkerPool::start(std::move(options));
  EXPECT_TRUE(pool) << pool.error().message();
  return *std::move(pool);
}

TEST(WorkerPool, EveryTaskRunsOnceWhateverSubmitsIt) {
  constexpr std::size_t submitters = 4, each = 2'000;
  std::array<std::atomic<int>, submitters * each> runs{};
  WorkerPool pool = start({.threads = 4, .queue_max = 16});
  std::vector<std::thread> threads;
  for (std::size_t s = 0; s < submitters; ++s) {
    threads.emplace_back([&, s] {
      for (std::size_t i = 0; i < each; ++i)
        EXPECT_EQ(pool.submit([&run = runs[s * each + i]] { ++run; }), Submitted::Queued);
    });
  }
  for (std::thread& thread : threads) thread.join();
  pool.stop();
  EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](const auto& run) { return run == 1; }));
  EXPECT_EQ(pool.use().done, submitters * each);
}

/// The heap, and how often it was asked.
class CountedHeap : public std::pmr::memory_resource {
 public:
  [[nodiscard]] std::size_t asked() const { return asked_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++asked_;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  std::size_t asked_ = 0;
};

TEST(WorkerPool, WhatATaskNeedsMayComeFromAMemoryPoolThatSoonAsksTheHeapNoMore) {
  CountedHeap heap;
  std::size_t at_first = 0;
  const auto handle = [](std::pmr::vector<std::pmr::string>& words) {
    for (int i = 0; i < 20; ++i) words.emplace_back("too long for a string to keep it in itself");
  };
  // [memory]
  std::pmr::unsynchronized_pool_resource memory{&heap};  // outlives the pool, and belongs to its one thread
  WorkerPool pool = start({.threads = 1});
  for (int request = 0; request < 1'000; ++request) {
    pool.submit([&, request] {
      std::pmr::vector<std::pmr::string> words{&memory};  // whatever it and its strings need comes from there
      handle(words);
      if (request == 10) at_first = heap.asked();
    });
  }
  pool.stop();
  // [/memory]
  EXPECT_GT(at_first, 0U);
  EXPECT_EQ(heap.asked(), at_first);
}

TEST(WorkerPool, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  WorkerPool pool = start({.threads = 1});
  for (int i = 0; i < 5; ++i) pool.submit([&order, i] { order.push_back(i); });
  pool.stop();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
}

TEST(WorkerPool, AFullQueueRefusesOrTimesOutOrMakesWait) {
  Gate gate;
  WorkerPool pool = start({.threads = 1, .queue_max = 2});
  pool.submit(gate.task());
  gate.wait_until_entered();
  ASSERT_EQ(pool.try_submit([] {}), Submitted::Queued);
  ASSERT_EQ(pool.submit_within(0ms, [] {}), Submitted::Queued) << "there is room";
  EXPECT_EQ(pool.try_submit([] { ADD_FAILURE() << "was refused"; }), Submitted::Full);
  EXPECT_EQ(pool.submit_within(1ms, [] { ADD_FAILURE() << "was refused"; }), Submitted::TimedOut);
  EXPECT_EQ(pool.use().queued, 2U);
  EXPECT_EQ(pool.use().running, 1U);

  auto waits = std::async(std::launch::async, [&] { return pool.submit([] {}); });
  EXPECT_EQ(waits.wait_for(10ms), std::future_status::timeout) << "the queue is full";
  gate.open();
  EXPECT_EQ(waits.get(), Submitted::Queued);
  pool.stop();
  EXPECT_EQ(pool.use().done, 4U);
}

TEST(WorkerPool, ATaskDoesNotWaitForRoomInItsOwnPool) {
  std::promise<std::pair<Submitted, Submitted>> answers;
  WorkerPool pool = start({.threads = 1, .queue_max = 1});
  pool.submit([&] {
    EXPECT_EQ(pool.try_submit([] {}), Submitted::Queued);
    const Submitted waiting = pool.submit([] {});
    answers.set_value({waiting, pool.submit_within(hang, [] {})});
  });
  EXPECT_EQ(answers.get_future().get(), (std::pair{Submitted::Full, Submitted::Full}));
}

TEST(WorkerPool, StoppingDrainsTheQueueAndTakesNoMore) {
  Gate gate;
  std::atomic<int> done = 0;
  WorkerPool pool = start({.threads = 2});
  pool.submit(gate.task());
  for (int i = 0; i < 100; ++i) pool.submit([&done] { ++done; });
  std::thread opener{[&] { gate.open(); }};
  pool.stop();
  opener.join();
  EXPECT_EQ(done, 100);
  EXPECT_EQ(pool.submit([] { ADD_FAILURE() << "ran after the stop"; }), Submitted::Stopping);
  EXPECT_EQ(pool.try_submit([] { ADD_FAILURE() << "ran after the stop"; }), Submitted::Stopping);
  EXPECT_EQ(pool.submit_within(hang, [] { ADD_FAILURE() << "ran after the stop"; }), Submitted::Stopping);
  pool.stop();
}

TEST(WorkerPool, AStopWakesWhoWaitsForRoom) {
  Gate gate;
  WorkerPool pool = start({.threads = 1, .queue_max = 1});
  pool.submit(gate.task());
  gate.wait_until_entered();
  std::atomic<unsigned> ran{0};
  pool.submit([&] { ++ran; });
  auto waits = std::async(std::launch::async, [&] { return pool.submit([] { ADD_FAILURE() << "ran"; }); });
  auto stops = std::async(std::launch::async, [&] { return pool.stop_within(0ms); });
  EXPECT_EQ(waits.get(), Submitted::Stopping);
  gate.open();
  EXPECT_EQ(stops.get() + ran, 1U) << "the one in the queue is dropped, or was taken in the instant before";
}

TEST(WorkerPool, AStopWithALimitSaysHowManyTasksItDropped) {
  Gate gate;
  WorkerPool pool = start({.threads = 1});
  pool.submit(gate.task());
  gate.wait_until_entered();
  int fds[2] = {-1, -1};
  ASSERT_EQ(::pipe(fds), 0);
  UniqueFd reader{fds[0]};
  pool.submit([writer = UniqueFd{fds[1]}] { ADD_FAILURE() << "was dropped, not run"; });
  pool.submit([] { ADD_FAILURE() << "was dropped, not run"; });
  auto stopped = std::async(std::launch::async, [&] { return pool.stop_within(1ms); });
  EXPECT_EQ(stopped.wait_for(20ms), std::future_status::timeout) << "a task that runs is waited for";
  gate.open();
  EXPECT_EQ(stopped.get(), 2U);
  EXPECT_EQ(pool.use().dropped, 2U);
  EXPECT_EQ(pool.use().queued, 0U);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "what a dropped task owned is closed";
}

TEST(WorkerPool, AStopWithALimitThatIsNotNeededDropsNothing) {
  std::atomic<int> done = 0;
  WorkerPool pool = start({.threads = 2});
  for (int i = 0; i < 50; ++i) pool.submit([&done] { ++done; });
  EXPECT_EQ(pool.stop_within(std::chrono::nanoseconds::max()), 0U);
  EXPECT_EQ(done, 50);
}

TEST(WorkerPool, WhatATaskThrowsIsReportedAndTheThreadGoesOn) {
  std::mutex mutex;
  std::vector<std::string> said;
  WorkerPool pool = start({.threads = 1, .on_failure = [&](std::string_view what) {
                             const std::lock_guard lock{mutex};
                             said.emplace_back(what);
                           }});
  pool.submit([] { throw std::runtime_error{"no such row"}; });
  pool.submit([] { throw 7; });
  std::atomic<bool> went_on = false;
  pool.submit([&] { went_on = true; });
  pool.stop();
  EXPECT_TRUE(went_on);
  EXPECT_THAT(said, ElementsAre("no such row", "something that is no std::exception"));
  EXPECT_EQ(pool.use().failed, 2U);
  EXPECT_EQ(pool.use().done, 3U);
}

TEST(WorkerPool, WithoutAPlaceForFailuresTheyStandOnStderr) {
  ::testing::internal::CaptureStderr();
  {
    WorkerPool pool = start({.name = "convert", .threads = 1});
    pool.submit([] { throw std::runtime_error{"two\nlines"}; });
    WorkerPool other =
        start({.name = "poll", .threads = 1, .on_failure = [](std::string_view) { throw std::runtime_error{"mute"}; }});
    other.submit([] { throw std::runtime_error{"lost?"}; });
    other.stop();
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("convert: a task threw: two\\nlines\n"), HasSubstr("poll: on_failure threw: mute\n")));
}

TEST(WorkerPool, ItsThreadsHaveNamesThatKeepTheirNumber) {
  std::latch all_started{12}, looked{1};
  WorkerPool pool = start({.name = "a-very-long-pool-name", .threads = 12});
  EXPECT_EQ(pool.threads(), 12U);
  for (int i = 0; i < 12; ++i) {
    pool.submit([&] {
      all_started.count_down();
      looked.wait();
    });
  }
  all_started.wait();
  std::set<std::string> names;
  for (const os::ThreadEntry& thread : os::threads()) names.insert(thread.name);
  looked.count_down();
  EXPECT_THAT(names, ::testing::IsSupersetOf({"a-very-long-p-1", "a-very-long-p-9", "a-very-long--12"}));
}

TEST(WorkerPool, ATaskMayOwnWhatCannotBeCopiedAndGivesItUpBeforeItCountsAsDone) {
  auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = owned;
  WorkerPool pool = start({.threads = 2});
  pool.submit([owned = std::unique_ptr<std::shared_ptr<int>>{new auto{std::move(owned)}}] {});
  pool.wait_until_idle();
  EXPECT_TRUE(watched.expired());

  std::packaged_task<int()> sum{[] { return 40 + 2; }};
  auto result = sum.get_future();
  pool.submit(std::move(sum));
  EXPECT_EQ(result.get(), 42);
}

TEST(WorkerPool, WaitingUntilItIsIdleLeavesNothingRunning) {
  std::atomic<int> running = 0;
  WorkerPool pool = start({.threads = 3});
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 10; ++i) {
      pool.submit([&] {
        ++running;
        std::this_thread::yield();
        --running;
      });
    }
    pool.wait_until_idle();
    EXPECT_EQ(running, 0);
    EXPECT_EQ(pool.use().running, 0U);
  }
}

TEST(WorkerPool, AMovedPoolGoesOnAndAReplacedOneDrains) {
  std::atomic<int> done = 0;
  WorkerPool first = start({.threads = 1});
  WorkerPool second = std::move(first);
  for (int i = 0; i < 10; ++i) second.submit([&] { ++done; });
  second = start({.threads = 1});
  EXPECT_EQ(done, 10);
}

TEST(WorkerPool, ImpossibleSizesAreRefusedInWords) {
  EXPECT_EQ(WorkerPool::start({.name = "p", .queue_max = 0}).error().message(),
            "cannot start the pool \"p\": its queue holds no task; queue_max must be 1 or more");
  EXPECT_EQ(WorkerPool::start({.name = "p", .threads = 5000}).error().message(),
            "cannot start the pool \"p\" with 5000 threads: 1024 are the most");
}

TEST(WorkerPool, AThreadThatCannotBeStartedIsAnErrorAndLeavesNoneBehind) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Root has no limit of processes; an id that nobody else has makes that a bound.
    if (::geteuid() == 0 && ::setresuid(54321, 54321, 54321) != 0) ::_exit(2);
    if (::geteuid() != 54321) ::_exit(3);  // how many processes an ordinary user has is not known
    const rlimit limit{.rlim_cur = 3, .rlim_max = 3};
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0) ::_exit(4);
    const std::size_t before = os::threads().size();  // ThreadSanitizer has one of its own
    const auto pool = WorkerPool::start({.name = "many", .threads = 8});
    const std::string said = pool ? "started" : pool.error().message();
    ::dprintf(STDERR_FILENO, "%s\n", said.c_str());
    const bool is_refused = said.starts_with("cannot start thread ") &&
                            said.ends_with(
                                " of 8 of the pool many: Resource temporarily unavailable (EAGAIN); none is left "
                                "running; ask for fewer threads, or raise RLIMIT_NPROC or TasksMax=");
    // A thread that was joined may stand in /proc for a moment.
    for (int look = 0; look < 1'000 && os::threads().size() != before; ++look) ::poll(nullptr, 0, 5);
    ::_exit(is_refused && os::threads().size() == before ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 3) GTEST_SKIP() << "only root can take a user id that has no other processes";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace perdure
