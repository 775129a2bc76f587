#include "perdure/connection_pool.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure {
namespace {

using namespace std::chrono_literals;

// A connection that counts how many of its kind there are, and cannot be copied.
class Connection {
 public:
  Connection(std::atomic<int>& open, int wanted) : number(wanted), open_(&open) { ++open; }
  Connection(Connection&& other) noexcept
      : number(other.number), is_broken(other.is_broken), open_(std::exchange(other.open_, nullptr)) {}
  Connection& operator=(Connection&& other) noexcept {
    std::swap(open_, other.open_);
    number = other.number;
    is_broken = other.is_broken;
    return *this;
  }
  ~Connection() {
    if (open_ != nullptr) --*open_;
  }
  int number;
  bool is_broken = false;

 private:
  std::atomic<int>* open_;
};

struct Server {
  std::atomic<int> open = 0, made = 0;
  std::optional<Error> refusal;

  ConnectionPoolOptions<Connection> options(std::size_t max) {
    return {.max = max,
            .connect = [this]() -> Result<Connection> {
              if (refusal) return *refusal;
              return Connection{open, ++made};
            },
            .is_usable = [](Connection& connection) { return !connection.is_broken; }};
  }
};

TEST(ConnectionPool, OneThatCameBackIsUsedAgain) {
  Server server;
  ConnectionPool<Connection> pool{server.options(3)};
  EXPECT_EQ(pool.size(), 0U) << "made when needed";
  for (int i = 0; i < 5; ++i) {
    auto lease = pool.take(0ms);
    ASSERT_TRUE(lease);
    EXPECT_EQ((*lease)->number, 1);
  }
  EXPECT_EQ(server.made, 1);
  EXPECT_EQ(pool.idle(), 1U);
}

TEST(ConnectionPool, NoMoreThanTheBoundAndAWordWhenTheTimeIsOver) {
  Server server;
  ConnectionPool<Connection> pool{server.options(2)};
  auto first = pool.take(0ms), second = pool.take(0ms);
  const auto third = pool.take(5ms);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().message(), "cannot get a connection: all 2 are in use, and none came back within 5 ms");
  EXPECT_EQ(third.error().code(), ETIMEDOUT);
  EXPECT_EQ(server.open, 2);
}

TEST(ConnectionPool, WhoWaitsGetsTheOneThatComesBack) {
  Server server;
  ConnectionPool<Connection> pool{server.options(1)};
  auto lease = std::make_unique<Result<ConnectionPool<Connection>::Lease>>(pool.take(0ms));
  auto waits = std::async(std::launch::async, [&] {
    auto mine = pool.take(30s);
    return mine ? (*mine)->number : 0;
  });
  EXPECT_EQ(waits.wait_for(10ms), std::future_status::timeout);
  lease.reset();
  EXPECT_EQ(waits.get(), 1);
}

TEST(ConnectionPool, ABrokenOneIsDroppedAndReplaced) {
  Server server;
  ConnectionPool<Connection> pool{server.options(2)};
  {
    auto one = *pool.take(0ms), two = *pool.take(0ms);
    one->is_broken = two->is_broken = true;
  }
  EXPECT_EQ(pool.idle(), 2U);
  auto fresh = *pool.take(0ms);
  EXPECT_EQ(fresh->number, 3);
  EXPECT_EQ(server.open, 1) << "both broken ones are closed";
  EXPECT_EQ(pool.size(), 1U);
}

TEST(ConnectionPool, ADiscardedOneMakesRoomAtOnce) {
  Server server;
  ConnectionPool<Connection> pool{server.options(1)};
  auto lease = *pool.take(0ms);
  lease.discard();
  EXPECT_EQ(server.open, 0);
  EXPECT_EQ((*pool.take(0ms))->number, 2);
}

TEST(ConnectionPool, OneThatAnExceptionLeftIsNotLentAgain) {
  Server server;
  ConnectionPool<Connection> pool{server.options(1)};
  try {
    auto lease = *pool.take(0ms);
    throw std::runtime_error{"in the middle of an answer"};
  } catch (const std::runtime_error&) {
    auto lease = *pool.take(0ms);  // taken and given back while an exception is being handled: that is no reason to drop it
    EXPECT_EQ(lease->number, 2);
  }
  EXPECT_EQ((*pool.take(0ms))->number, 2);
}

TEST(ConnectionPool, ARefusedConnectionIsTheErrorOfWhoTakesAndTakesNoPlace) {
  Server server;
  ConnectionPool<Connection> pool{server.options(1)};
  server.refusal = Error{"cannot connect to db: Connection refused (ECONNREFUSED)"};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.take(0ms).error().message(), server.refusal->message());
  server.refusal.reset();
  EXPECT_TRUE(pool.take(0ms));
}

TEST(ConnectionPool, WhatItsCallbacksThrowReachesWhoTakesAndTakesNoPlace) {
  Server server;
  auto options = server.options(1);
  bool throws_on_connect = true;
  options.connect = [&, connect = options.connect]() -> Result<Connection> {
    return throws_on_connect ? throw std::runtime_error{"connect"} : connect();
  };
  options.is_usable = [](Connection&) -> bool { throw std::runtime_error{"is_usable"}; };
  ConnectionPool<Connection> pool{std::move(options)};
  EXPECT_THROW((void)pool.take(0ms), std::runtime_error);
  throws_on_connect = false;
  EXPECT_TRUE(pool.take(0ms));
  EXPECT_THROW((void)pool.take(0ms), std::runtime_error) << "the idle one could not be asked";
  EXPECT_EQ(server.open, 0);
  EXPECT_EQ(pool.size(), 0U);
}

TEST(ConnectionPool, OneThatWasIdleForTooLongIsNotLentAgain) {
  Server server;
  auto options = server.options(1);
  options.idle_max = 1ms;
  ConnectionPool<Connection> pool{std::move(options)};
  (void)pool.take(0ms);
  const auto returned = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - returned <= 1ms) std::this_thread::yield();
  EXPECT_EQ((*pool.take(0ms))->number, 2);
}

TEST(ConnectionPool, ClosingIdleOnesLeavesThoseInUse) {
  Server server;
  ConnectionPool<Connection> pool{server.options(2)};
  auto used = *pool.take(0ms);
  (void)pool.take(0ms);
  EXPECT_EQ(pool.close_idle(), 1U);
  EXPECT_EQ(server.open, 1);
  EXPECT_EQ(pool.size(), 1U);
}

TEST(ConnectionPool, ManyThreadsShareFewConnectionsEachAloneWithItsOwn) {
  Server server;
  ConnectionPool<Connection> pool{server.options(3)};
  std::array<std::atomic<int>, 4> users{};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        auto lease = pool.take(30s);
        ASSERT_TRUE(lease);
        auto& user = users.at(static_cast<std::size_t>((*lease)->number));
        EXPECT_EQ(user.fetch_add(1), 0);
        std::this_thread::yield();
        user.fetch_sub(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(server.made, 3);
}

}  // namespace
}  // namespace perdure
