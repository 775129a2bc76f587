#include "perdure/notify.hpp"

#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {
namespace {

using namespace std::chrono_literals;
using os::Call;
using os::testing::FaultPlan;
using ::testing::StartsWith;

/// An init's socket; `address` as it stands in NOTIFY_SOCKET.
class FakeInit {
 public:
  explicit FakeInit(std::string address)
      : address_(std::move(address)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address_.data(), address_.size());
    if (is_abstract()) name.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&name), size), 0) << std::strerror(errno);
  }
  ~FakeInit() {
    if (!is_abstract()) ::unlink(address_.c_str());
  }
  FakeInit(const FakeInit&) = delete;
  FakeInit& operator=(const FakeInit&) = delete;

  /// The next datagram, or "(nothing)". A descriptor that came along is in `fd`.
  std::string receive(int flags = MSG_DONTWAIT) {
    char buffer[8192];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part{buffer, sizeof buffer};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(socket_.get(), &message, flags | MSG_CMSG_CLOEXEC);
    if (size < 0) return "(nothing)";
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(header), sizeof received);
      fd.reset(received);
    }
    return {buffer, static_cast<std::size_t>(size)};
  }
  UniqueFd fd;

 private:
  [[nodiscard]] bool is_abstract() const { return address_.starts_with('@'); }
  std::string address_;
  UniqueFd socket_;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (directory != nullptr && ::readdir(directory) != nullptr) ++count;
  if (directory != nullptr) ::closedir(directory);
  return count;
}

long long monotonic_usec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000LL + now.tv_nsec / 1000;
}

class NotifyTest : public ::testing::Test {
 protected:
  NotifyTest() {
    clear();
    std::string name = (std::filesystem::temp_directory_path() / "perdure_notify_XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) directory_ = name;
    path_ = directory_ + "/notify";
  }
  ~NotifyTest() override {
    clear();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  static void clear() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
  static Result<Notify> from(const std::string& address) {
    ::setenv("NOTIFY_SOCKET", address.c_str(), 1);
    return Notify::from_environment();
  }
  static std::string refusal(const std::string& address) {
    const auto notify = from(address);
    return notify ? "(accepted)" : notify.error().message();
  }
  std::string directory_;
  std::string path_;
};

TEST_F(NotifyTest, WithoutAnInitEveryCallSucceedsAndDoesNothing) {
  const Notify notify = *Notify::from_environment();
  EXPECT_FALSE(notify.is_enabled());
  EXPECT_FALSE(notify.watchdog().has_value());
  EXPECT_TRUE(notify.ready());
  EXPECT_TRUE(notify.reloading());
  EXPECT_TRUE(notify.stopping());
  EXPECT_TRUE(notify.status("serving"));
  EXPECT_TRUE(notify.ping_watchdog());
  EXPECT_TRUE(notify.extend_timeout(5s));
  EXPECT_TRUE(notify.barrier(1h));
  EXPECT_FALSE(from("")->is_enabled()) << "an empty variable is as good as none";
}

TEST_F(NotifyTest, EachCallIsOneDatagramToAPath) {
  FakeInit init{path_};
  const Notify notify = *from(path_);
  ASSERT_TRUE(notify.is_enabled());
  EXPECT_TRUE(notify.ready());
  EXPECT_EQ(init.receive(), "READY=1");
  EXPECT_TRUE(notify.stopping());
  EXPECT_EQ(init.receive(), "STOPPING=1");
  EXPECT_TRUE(notify.ping_watchdog());
  EXPECT_EQ(init.receive(), "WATCHDOG=1");
  EXPECT_TRUE(notify.status("serving\nREADY=1"));
  EXPECT_EQ(init.receive(), "STATUS=serving READY=1");
  EXPECT_TRUE(notify.extend_timeout(5s));
  EXPECT_EQ(init.receive(), "EXTEND_TIMEOUT_USEC=5000000");
  EXPECT_TRUE(notify.send("READY=1\nSTATUS=up"));
  EXPECT_EQ(init.receive(), "READY=1\nSTATUS=up");
  EXPECT_EQ(init.receive(), "(nothing)");
}

TEST_F(NotifyTest, AnAddressOfOnesOwnLeavesTheEnvironmentAlone) {
  FakeInit init{path_};
  ::setenv("NOTIFY_SOCKET", "/nowhere", 1);
  const auto notify = Notify::to(path_, 3s);
  ASSERT_TRUE(notify) << notify.error().message();
  EXPECT_EQ(notify->watchdog(), 3s);
  EXPECT_TRUE(notify->ready());
  EXPECT_EQ(init.receive(), "READY=1");
  EXPECT_STREQ(::getenv("NOTIFY_SOCKET"), "/nowhere");
  EXPECT_FALSE(Notify::to("relative/socket"));
}

TEST_F(NotifyTest, AnAbstractNameHasItsExactLength) {
  const std::string name = "@perdure-notify-test-" + std::to_string(::getpid());
  FakeInit init{name};
  EXPECT_TRUE(from(name)->ready());
  EXPECT_EQ(init.receive(), "READY=1");
}

TEST_F(NotifyTest, ReloadingCarriesTheMonotonicTime) {
  FakeInit init{path_};
  const Notify notify = *from(path_);
  const long long before = monotonic_usec();
  EXPECT_TRUE(notify.reloading());
  const long long after = monotonic_usec();
  const std::string datagram = init.receive();
  const std::string prefix = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_THAT(datagram, StartsWith(prefix));
  const long long said = std::stoll(datagram.substr(prefix.size()));
  EXPECT_LE(before, said);
  EXPECT_LE(said, after);
}

TEST_F(NotifyTest, ALongStatusIsCutToWhatTheInitReads) {
  FakeInit init{path_};
  EXPECT_TRUE(from(path_)->status(std::string(10'000, 'x')));
  const std::string datagram = init.receive();
  EXPECT_THAT(datagram, StartsWith("STATUS=xxx"));
  EXPECT_LE(datagram.size(), 4096U);
  EXPECT_GE(datagram.size(), 4090U);
}

TEST_F(NotifyTest, TakesItsVariablesSoThatChildrenDoNotSpeakForUs) {
  FakeInit init{path_};
  ::setenv("WATCHDOG_USEC", "10000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const Notify notify = *from(path_);
  EXPECT_EQ(notify.watchdog(), 10s);
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) EXPECT_EQ(::getenv(name), nullptr) << name;
}

TEST_F(NotifyTest, TakesItsVariablesEvenIfTheyAreWrong) {
  ::setenv("WATCHDOG_USEC", "10000000", 1);
  EXPECT_FALSE(from("relative"));
  EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(::getenv("WATCHDOG_USEC"), nullptr);
}

TEST_F(NotifyTest, AWatchdogMeantForAnotherProcessIsNotOurs) {
  FakeInit init{path_};
  ::setenv("WATCHDOG_USEC", "10000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getppid()).c_str(), 1);
  const Notify other = *from(path_);
  EXPECT_TRUE(other.is_enabled());
  EXPECT_FALSE(other.watchdog().has_value());
  ::setenv("WATCHDOG_USEC", "10000000", 1);
  EXPECT_EQ(from(path_)->watchdog(), 10s) << "without a pid it is everybody's";
}

// The golden texts of what is refused.
TEST_F(NotifyTest, AnAddressThatCannotBeUsedIsNamed) {
  EXPECT_EQ(refusal("vsock:2:1234"), "cannot use NOTIFY_SOCKET=vsock:2:1234: vsock addresses are not supported");
  EXPECT_EQ(refusal("run/notify"),
            "cannot use NOTIFY_SOCKET=run/notify: neither an absolute path nor an abstract name (@NAME)");
  EXPECT_EQ(refusal("@"), "cannot use NOTIFY_SOCKET=@: neither an absolute path nor an abstract name (@NAME)");
  const std::string name(107, 'x');
  EXPECT_EQ(refusal("/" + name), "cannot use NOTIFY_SOCKET=/" + name + ": a socket's path has at most 107 bytes");
  EXPECT_EQ(refusal("@x" + name), "cannot use NOTIFY_SOCKET=@x" + name + ": an abstract name has at most 107 bytes");
  EXPECT_TRUE(from("/" + name.substr(1)));
  EXPECT_TRUE(from("@" + name));
}

TEST_F(NotifyTest, AWatchdogTimeThatIsNoneIsNamed) {
  for (const char* time : {"0", "-1", "10s", "99999999999999999999"}) {
    ::setenv("WATCHDOG_USEC", time, 1);
    EXPECT_EQ(refusal("/run/notify"),
              "cannot use WATCHDOG_USEC=" + std::string{time} + ": not a positive number of microseconds");
  }
}

TEST_F(NotifyTest, AnInitThatHasGoneIsAnErrorNotASignal) {
  std::optional<FakeInit> init{std::in_place, path_};
  const Notify notify = *from(path_);
  init.reset();
  EXPECT_EQ(notify.ready().error().message(), "cannot notify the init at " + path_ + ": No such file or directory (ENOENT)");
  init.emplace(path_);
  EXPECT_TRUE(notify.ready()) << "and one that came back is spoken to again";
  EXPECT_EQ(init->receive(), "READY=1");
}

TEST_F(NotifyTest, AnInitThatDoesNotReadNeverBlocksUs) {
  FakeInit init{path_};
  const Notify notify = *from(path_);
  int sent = 0;
  while (sent < 100'000 && notify.ping_watchdog()) ++sent;
  EXPECT_LT(sent, 100'000);
  EXPECT_EQ(notify.ping_watchdog().error().code(), EAGAIN);
}

TEST_F(NotifyTest, TheBarrierEndsWhenTheInitClosesItsDescriptor) {
  FakeInit init{path_};
  const Notify notify = *from(path_);
  EXPECT_TRUE(notify.ready());
  std::string first;
  std::string second;
  std::jthread reader{[&] {
    first = init.receive(0);
    second = init.receive(0);
    init.fd.reset();
  }};
  EXPECT_TRUE(notify.barrier(60s));
  reader.join();
  EXPECT_EQ(first, "READY=1");
  EXPECT_EQ(second, "BARRIER=1");
}

TEST_F(NotifyTest, TheBarrierGivesUp) {
  FakeInit init{path_};
  const Notify notify = *from(path_);
  const auto outcome = notify.barrier(1ms);
  EXPECT_EQ(outcome.error().message(), "the init has not confirmed the notifications within 1 ms (ETIMEDOUT)");
  EXPECT_EQ(outcome.error().code(), ETIMEDOUT);
}

TEST_F(NotifyTest, AnInterruptedBarrierGoesOnWaiting) {
  FakeInit init{path_};
  const Notify notify = *from(path_);
  std::jthread reader{[&] {
    init.receive(0);
    init.fd.reset();
  }};
  const FaultPlan plan{{.call = Call::poll, .error = EINTR}};
  EXPECT_TRUE(notify.barrier(60s));
  EXPECT_TRUE(plan.fired());
}

TEST_F(NotifyTest, EveryCallThatFailsIsAnErrorAndLeaksNothing) {
  FakeInit init{path_};
  const std::size_t before = open_descriptors();
  for (const Call call : {Call::socket, Call::sendmsg, Call::pipe2, Call::poll}) {
    const FaultPlan plan{{.call = call, .error = EMFILE}};
    SCOPED_TRACE(os::call_name(call));
    const auto notify = from(path_);
    EXPECT_TRUE(!notify || !notify->reloading() || !notify->barrier(1ms));
    EXPECT_TRUE(plan.fired());
    while (init.receive() != "(nothing)") init.fd.reset();
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace perdure
