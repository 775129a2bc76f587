// Jobs: work that would hold up the loop, done by a pool's threads. What it answers comes back to the loop through an eventfd.
//
// Thread safety: submit() and take() are the loop's. What a job throws stands in the log and in the client's answer.
#pragma once

#include <sys/eventfd.h>

#include <functional>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "perdure/log.hpp"
#include "perdure/worker_pool.hpp"

class Jobs {
 public:
  using Work = std::function<std::string()>;
  using Answer = std::pair<std::uint64_t, std::string>;  ///< the client, its line

  Jobs(const std::string& name, unsigned threads, perdure::Log& log) : log_(log), pool_(started(name, threads)) {}
  /// What nobody has begun is dropped, what runs is waited for.
  ~Jobs() { pool_.stop_within(std::chrono::nanoseconds{0}); }

  /// False: too much is waiting already.
  [[nodiscard]] bool submit(std::uint64_t client, Work work) {
    return pool_.try_submit([=, this] { finish(client, work); }) == perdure::Submitted::Queued;
  }
  /// Readable once there are answers.
  [[nodiscard]] int fd() const noexcept { return event_.get(); }
  [[nodiscard]] std::vector<Answer> take() {
    eventfd_t count = 0;
    ::eventfd_read(fd(), &count);
    const std::lock_guard lock{mutex_};
    return std::exchange(answers_, {});
  }

 private:
  static perdure::WorkerPool started(const std::string& name, unsigned threads) {
    auto pool = perdure::WorkerPool::start({.name = name, .threads = threads, .queue_max = 1024});
    return pool ? *std::move(pool) : throw std::runtime_error{pool.error().message()};
  }
  void finish(std::uint64_t client, const Work& work) {
    std::string line;
    try {
      line = work();
    } catch (const std::exception& error) {
      log_.error("job failed", {{"client", client}, {"why", error.what()}});
      line = std::string{"error: "} + error.what();
    }
    const std::lock_guard lock{mutex_};
    answers_.emplace_back(client, std::move(line));
    ::eventfd_write(fd(), 1);
  }

  perdure::Log& log_;
  const perdure::UniqueFd event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  std::vector<Answer> answers_;
  perdure::WorkerPool pool_;  // the last: its threads use the others
};
