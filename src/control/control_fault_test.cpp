// Every system call of the control server fails once, and then many times: nothing is lost but the request it hit.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_test_support.hpp"
#include "os/fault_plan.hpp"

namespace perdure::control {
namespace {

using namespace std::chrono_literals;
using os::testing::FaultPlan;
using testing::AnyOf;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr unsigned calls_max = 1'000;  // no action here makes so many

TEST(ControlFaults, ListeningSucceedsOrLeavesEverythingAsItWas) {
  for (const int error : {EIO, EMFILE, ENOSPC, EINTR}) {
    for (const bool is_stale_there : {false, true}) {
      unsigned n = 1;
      for (bool fired = true; fired && n < calls_max; ++n) {
        const TemporaryDirectory directory;
        const std::string path = directory.file("s");
        if (is_stale_there) {
          const UniqueFd dead{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
          sockaddr_un address{};
          address.sun_family = AF_UNIX;
          std::memcpy(address.sun_path, path.data(), path.size());
          ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        }
        const std::size_t before = open_descriptors();
        {
          FaultPlan plan{{.nth = n, .error = error}};
          const auto server = ControlServer::listen({.path = path});
          fired = plan.fired();
          if (!server) {
            EXPECT_TRUE(fired) << server.error().message();
            EXPECT_EQ(server.error().code(), error) << server.error().message();
          } else {
            EXPECT_TRUE(RawClient{path}.is_connected()) << plan.failed_call();
            EXPECT_THAT(directory.names(), ElementsAre("s"));
          }
        }
        EXPECT_EQ(open_descriptors(), before) << n;
      }
      EXPECT_LT(n, calls_max);
      EXPECT_GT(n, 5U);
    }
  }
}

TEST(ControlFaults, AFailedReplacementLeavesTheOldSocketServing) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  Served old{{.path = path}};
  ASSERT_TRUE(old.is_up());
  for (const auto call :
       {os::Call::getrandom, os::Call::listen, os::Call::rename, os::Call::epoll_create1, os::Call::fchmod}) {
    {
      FaultPlan plan{{.call = call, .error = EIO}};
      EXPECT_FALSE(ControlServer::listen({.path = path}));
      EXPECT_TRUE(plan.fired());
    }
    EXPECT_EQ(ask(old, path, "status\n"), "running\n") << os::call_name(call);
    EXPECT_THAT(directory.names(), ElementsAre("s"));
  }
}

TEST(ControlFaults, ARefusedListenerIsStillTheCallers) {
  const UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un any{};
  any.sun_family = AF_UNIX;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)), 0);  // an abstract name
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  for (unsigned n = 1; n < calls_max; ++n) {
    FaultPlan plan{{.nth = n, .error = EIO}};
    auto server = ControlServer::listen({.listener = ::dup(listener.get())});
    if (!plan.fired()) break;
    ASSERT_FALSE(server);
    EXPECT_GE(::fcntl(listener.get(), F_GETFD), 0);
  }
  FaultPlan plan{{.call = os::Call::epoll_ctl, .error = ENOSPC}};
  EXPECT_FALSE(ControlServer::listen({.listener = listener.get()}));
  EXPECT_GE(::fcntl(listener.get(), F_GETFD), 0);
}

/// One request while the n-th call fails `times` times; then the server must be as good as new.
void serve_through(int error, unsigned times) {
  unsigned n = 1;
  for (bool fired = true; fired && n < calls_max; ++n) {
    const TemporaryDirectory directory;
    const std::string path = directory.file("s");
    Served served{{.path = path, .line_within = 50ms}};
    ASSERT_TRUE(served.is_up());
    const std::size_t before = open_descriptors();
    {
      FaultPlan plan{{.nth = n, .error = error, .times = times}};
      EXPECT_THAT(ask(served, path, "{\"verb\":\"bulk\",\"text\":\"300000\"}\n{\"verb\":\"status\"}\n").substr(0, 11),
                  AnyOf(IsEmpty(), "{\"ok\":true,", "RESET", "error: not ", "error: no r"))
          << "call " << n << ", " << plan.failed_call() << ", errno " << error;
      fired = plan.fired();
    }
    EXPECT_EQ(ask(served, path, "status\n"), "running\n") << "after call " << n << ", errno " << error;
    EXPECT_TRUE(served.work_until([&] { return served->connections() == 0; }));
    EXPECT_EQ(open_descriptors(), before) << "after call " << n << ", errno " << error;
  }
  EXPECT_LT(n, calls_max);
  EXPECT_GT(n, 5U);
}

TEST(ControlFaults, AnyCallMayFailOnceWhileServing) {
  for (const int error : {EIO, EMFILE, ENOMEM, EINTR, EAGAIN, ECONNRESET}) serve_through(error, 1);
}

TEST(ControlFaults, AnyCallMayFailAFewTimesInARow) {
  for (const int error : {EIO, ENOMEM, EINTR}) serve_through(error, 5);
}

TEST(ControlFaults, AClientSaysWhatFailedAndKeepsNothing) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  Served served{{.path = path}};
  ASSERT_TRUE(served.is_up());
  const std::size_t before = open_descriptors();
  for (const int error : {EIO, EMFILE, EACCES}) {
    for (unsigned n = 1; n < calls_max; ++n) {
      FaultPlan plan{{.nth = n, .error = error}};
      {
        auto client = ControlClient::connect(path);
        // Nobody serves in this one thread: a request that is sent gets no answer in time.
        if (client) EXPECT_FALSE(client->request("status", "", 0ms));
        else EXPECT_EQ(client.error().code(), error) << client.error().message();
      }
      EXPECT_EQ(open_descriptors(), before);
      if (!plan.fired()) break;
    }
    ASSERT_TRUE(served.work_until([&] { return served.is_quiet() && served->connections() == 0; }));
  }
}

}  // namespace
}  // namespace perdure::control
