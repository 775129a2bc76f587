// A step of a cleanup that gets so much time and no more.
//
// Left out: the budget of the whole, which Options::stop_within is. Thread safety: one thread asks; a step runs in its own.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <utility>

#include "perdure/log.hpp"
#include "perdure/result.hpp"

using Step = std::function<perdure::Result<void>()>;

/// True when the step was done, in time. One that is late goes on in its thread, which owns all it uses, until the process ends.
inline bool clean_up(perdure::Log& log, const char* what, std::chrono::milliseconds within, Step step) {
  std::packaged_task<perdure::Result<void>()> task{std::move(step)};
  auto done = task.get_future();
  std::thread{std::move(task)}.detach();
  if (done.wait_for(within) != std::future_status::ready) {
    log.error("abandoned, it did not end within {} ms: {}", within.count(), what);
    return false;
  }
  if (auto result = done.get(); !result) return log.error("{}", result.error().message()), false;
  return log.info("{}", what), true;
}
