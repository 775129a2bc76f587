// ConnectionPool<T>: a bounded number of connections that are made when needed, lent, and used again.
//
// take() lends the one that came back last, or makes one, or waits while `max` are lent. The Lease gives it back. Broken ones never
// come back: those that is_usable() refuses, those that were discarded, and those whose lease ends while an exception passes,
// since nobody knows in the middle of which answer they are. T is any movable type: a database handle, a UniqueFd.
// Left out: a thread that closes idle connections (one too old is dropped when its turn comes; close_idle() drops all).
// Thread safety: all calls, from any thread; each lease belongs to one thread at a time. connect and is_usable run on the thread
// that takes, without a lock. Fork: parent and child would talk on the same connections; make the pool after the fork. Signal
// safety: none.
//
//     perdure::ConnectionPool<Database> pool{{.max = 8, .connect = [] { return Database::open("host=db"); },
//                                             .is_usable = [](Database& db) { return db.ping(); }}};
//     PERDURE_TRY(auto db, pool.take(2s));
//     db->run("…");                                  // goes back at the end of the block
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "perdure/callback.hpp"
#include "perdure/result.hpp"

namespace perdure {

template <class T>
struct ConnectionPoolOptions {
  /// How many there are at once, lent and idle together; 0 counts as 1.
  std::size_t max = 8;
  /// Required: makes one. May be called by several threads at once. What it throws reaches who takes.
  Callback<Result<T>()> connect{};
  /// Asked before an idle one is lent again: false drops it, and the next one is looked at. Empty: all are usable.
  Callback<bool(T&)> is_usable{};
  /// An idle one is not lent again after this long; servers close what is silent. 0: it does not age.
  std::chrono::milliseconds idle_max{0};
};

template <class T>
class ConnectionPool {
 public:
  using Clock = std::chrono::steady_clock;
  /// More than this nobody waits; adding it to the clock cannot overflow.
  static constexpr std::chrono::hours limit_max{24 * 365};

  /// One connection, until it is destroyed or discarded. Requires: the pool outlives it.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)),
          connection_(std::move(other.connection_)),
          unwinding_(other.unwinding_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (pool_ == nullptr) return;
      if (std::uncaught_exceptions() > unwinding_) {
        discard();
      } else {
        pool_->give_back(std::move(connection_));
      }
    }
    T& operator*() noexcept { return *connection_; }
    T* operator->() noexcept { return &*connection_; }
    /// Destroys it, because it is broken; its place in the pool is free then. The lease is empty afterwards.
    void discard() noexcept {
      connection_.reset();
      if (pool_ != nullptr) std::exchange(pool_, nullptr)->give_up_place();
    }

   private:
    friend class ConnectionPool;
    Lease(ConnectionPool& pool, T&& connection) : pool_(&pool), connection_(std::move(connection)) {}
    ConnectionPool* pool_;
    std::optional<T> connection_;
    int unwinding_ = std::uncaught_exceptions();
  };

  explicit ConnectionPool(ConnectionPoolOptions<T> options) : options_(std::move(options)) {
    options_.max = std::max<std::size_t>(options_.max, 1);
    idle_.reserve(options_.max);  // so that giving back cannot fail
  }
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  /// On failure: what connect said; or, when `limit` is over, that all are in use (code() is ETIMEDOUT then).
  /// The time that connect and is_usable take themselves is theirs to bound. A limit that is not positive only looks.
  Result<Lease> take(std::chrono::milliseconds limit) {
    const auto until = Clock::now() + std::min<std::chrono::milliseconds>(limit, limit_max);
    std::unique_lock lock{mutex_};
    for (;;) {
      if (!free_.wait_until(lock, until, [this] { return !idle_.empty() || count_ < options_.max; })) {
        return Error{fmt::format("cannot get a connection: all {} are in use, and none came back within {} ms", options_.max,
                                 limit.count()),
                     ETIMEDOUT};
      }
      if (idle_.empty()) break;
      // Its place stays counted while nobody but us knows of it.
      Idle idle = std::move(idle_.back());
      idle_.pop_back();
      lock.unlock();
      Place place{*this};
      if (is_good(idle)) return place.lend(std::move(idle.connection));
      place.free();
      lock.lock();
    }
    ++count_;
    lock.unlock();
    Place place{*this};
    PERDURE_TRY(T made, options_.connect());
    return place.lend(std::move(made));
  }

  /// Destroys those that nobody uses. Returns how many.
  std::size_t close_idle() {
    std::vector<Idle> closing;
    closing.reserve(options_.max);
    {
      const std::lock_guard lock{mutex_};
      std::swap(closing, idle_);
      count_ -= closing.size();
    }
    free_.notify_all();
    return closing.size();
  }
  /// How many there are, lent and idle.
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock{mutex_};
    return count_;
  }
  [[nodiscard]] std::size_t idle() const {
    const std::lock_guard lock{mutex_};
    return idle_.size();
  }

 private:
  struct Idle {
    T connection;
    Clock::time_point since;
  };
  // A counted place without a connection: free again unless it is lent, whatever connect or is_usable throw.
  class Place {
   public:
    explicit Place(ConnectionPool& pool) : pool_(&pool) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { free(); }
    void free() noexcept {
      if (pool_ != nullptr) std::exchange(pool_, nullptr)->give_up_place();
    }
    Lease lend(T&& connection) { return Lease{*std::exchange(pool_, nullptr), std::move(connection)}; }

   private:
    ConnectionPool* pool_;
  };

  bool is_good(Idle& idle) {
    if (options_.idle_max.count() > 0 && Clock::now() - idle.since > options_.idle_max) return false;
    return !options_.is_usable || options_.is_usable(idle.connection);
  }
  void give_back(std::optional<T>&& connection) noexcept {
    {
      const std::lock_guard lock{mutex_};
      idle_.push_back({std::move(*connection), Clock::now()});
    }
    free_.notify_one();
  }
  void give_up_place() noexcept {
    {
      const std::lock_guard lock{mutex_};
      --count_;
    }
    free_.notify_one();
  }

  ConnectionPoolOptions<T> options_;
  mutable std::mutex mutex_;
  std::condition_variable free_;
  std::vector<Idle> idle_;  // the one that came back last at the end: the others age and go
  std::size_t count_ = 0;   // lent, idle, and being made
};

}  // namespace perdure
