// A manager that crashes over the same input again and again: the input is refused in the end, and everything else goes on.
//
// The crash is a SIGSEGV at a moment when the manager has the input in hand, which the test sees in the memory where the manager notes
// it; so the input has to take the manager a while. A signal that comes too late is no crash over it, and the next one is tried.
#include <fcntl.h>
#include <perdure/control.hpp>
#include <perdure/unique_fd.hpp>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"
#include "supervisor/crash_record.hpp"

namespace supervisor_test {
namespace {

using nlohmann::json;
using perdure::supervisor::CrashRecord;
using perdure::supervisor::Input;
using perdure::testing::eventually;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr int attempts_max = 60;
constexpr const char* quarantined = "is quarantined: the manager crashed 3 times while";

/// The manager's note of what it has in hand, as it is while it runs.
class Notes {
 public:
  explicit Notes(pid_t keeper) {
    for (const auto& entry : fs::directory_iterator{"/proc/" + std::to_string(keeper) + "/fd"}) {
      std::error_code error;
      if (fs::read_symlink(entry.path(), error).string().find("memfd:perdure-crashes") == std::string::npos) continue;
      const perdure::UniqueFd file{::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC)};
      void* const memory = ::mmap(nullptr, sizeof(CrashRecord), PROT_READ, MAP_SHARED, file.get(), 0);
      if (memory != MAP_FAILED) record_ = static_cast<const volatile CrashRecord*>(memory);
    }
    if (record_ == nullptr) throw std::runtime_error{"the keeper holds no notes"};
  }
  ~Notes() { ::munmap(const_cast<CrashRecord*>(record_), sizeof(CrashRecord)); }
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;
  [[nodiscard]] bool has_in_hand(Input input) const { return record_->in_hand[static_cast<std::size_t>(input)].is_set != 0; }

 private:
  const volatile CrashRecord* record_ = nullptr;
};

class ManagerCrash : public ::testing::Test {
 protected:
  ManagerCrash() : bystander_(instance_.add("bystander.service", "idle")) {
    instance_.start();
    (void)instance_.wait_for(bystander_.name, "running");
    pid_ = instance_.show(bystander_.name).main_pid;
    notes_.emplace(instance_.keeper());
  }
  void TearDown() override {
    const ShownUnit shown = instance_.show(bystander_.name);
    EXPECT_EQ(shown.main_pid, pid_);
    EXPECT_EQ(shown.restarts, 0U);
    EXPECT_EQ(bystander_.truth->lives, 1U);
    EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
    EXPECT_EQ(instance_.leftovers(), "");
  }
  /// A unit file that takes a while to read: nearly as large as one may be.
  void write_slow(const std::string& slow, const std::string& comment) {
    std::string text = "# " + comment + "\n[Service]\nExecStart=/bin/sleep 1000\n";
    while (text.size() < 1'000'000) text += "Environment=A=1 B=2 C=3 D=4\n";
    instance_.add_unit(slow, text);
  }
  pid_t manager() { return static_cast<pid_t>(instance_.number("ManagerPID")); }

  /// Asks, and has the manager crash as soon as it has that in hand. The request is not asked again; its answer: none, it crashed.
  std::optional<perdure::Reply> ask_and_crash(const json& request, Input input) {
    const pid_t victim = manager();
    auto client = perdure::ControlClient::connect(instance_.path("run/control.sock"));
    if (!client) throw std::runtime_error{client.error().message()};
    const std::string line = request.dump() + "\n";
    if (::send(client->fd(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
      throw std::system_error{errno, std::generic_category(), "send"};
    char first = 0;
    const auto hang = std::chrono::steady_clock::now() + perdure::testing::hang_limit;
    while (::recv(client->fd(), &first, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN) {
      if (std::chrono::steady_clock::now() > hang) throw std::runtime_error{"neither an answer nor anything in hand"};
      if (!notes_->has_in_hand(input)) {
        ::sched_yield();
        continue;
      }
      EXPECT_TRUE(signal_descendant(victim, SIGSEGV));
      EXPECT_TRUE(eventually([&] { return manager() != victim; }));
      return std::nullopt;
    }
    auto reply = client->request_object(R"({"verb":"ping"})", perdure::testing::hang_limit);  // the first answer comes first
    if (!reply) throw std::runtime_error{reply.error().message()};
    return *std::move(reply);
  }

  Instance instance_{Owner::Ourselves, Parent::Test};
  Service& bystander_;
  std::int64_t pid_ = 0;
  std::optional<Notes> notes_{};
};

TEST_F(ManagerCrash, ItsTimeSignalAndGenerationAreToldAndServicesGoOn) {
  const pid_t first = manager();
  EXPECT_THAT(instance_.ask({{"verb", "show"}}).at("instance").at("Remarks").dump(), Not(HasSubstr("crashed")));
  ASSERT_TRUE(signal_descendant(first, SIGABRT));
  ASSERT_TRUE(eventually([&] { return manager() != first; }));
  EXPECT_THAT(instance_.ask({{"verb", "show"}}).at("instance").at("Remarks").dump(),
              ContainsRegex("the manager crashed \\(SIGABRT\\) at 2[0-9-]+T[0-9:]+Z, generation 1\""));
  EXPECT_TRUE(instance_.wait_for_output("perdure: the manager crashed (SIGABRT) at ")) << instance_.output();
  EXPECT_EQ(instance_.property("SystemState"), instance_.degraded().empty() ? "running" : "degraded");
}

TEST_F(ManagerCrash, AUnitThatBringsItDownIsQuarantinedUntilItsTextsChange) {
  std::string slow;
  std::optional<perdure::Reply> reply;
  for (int i = 0; i < attempts_max && (!reply || reply->ok); ++i) {
    // One that was loaded is not loaded again.
    if (i == 0 || reply) write_slow(slow = "slow" + std::to_string(i) + ".service", "poison");
    reply = ask_and_crash({{"verb", "start"}, {"units", {slow}}, {"wait", true}}, Input::Unit);
  }
  ASSERT_TRUE(reply) << instance_.output();
  EXPECT_THAT(reply->message, AllOf(HasSubstr(quarantined), HasSubstr(slow))) << instance_.output();
  EXPECT_TRUE(instance_.wait_for_output(quarantined));
  EXPECT_GE(instance_.number("ManagerRestarts"), 3);
  EXPECT_EQ(instance_.unit(slow).at("LoadState"), "bad-setting");
  EXPECT_THAT(instance_.unit(slow).at("LoadError").get<std::string>(), HasSubstr("change its file"));
  EXPECT_THAT(instance_.ask({{"verb", "show"}}).at("instance").at("Remarks").dump(), HasSubstr(quarantined));
  EXPECT_THAT(instance_.carry_out("start", {slow}), HasSubstr(quarantined)) << "again, without a crash";

  instance_.add_unit("other.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  EXPECT_EQ(instance_.carry_out("start", {"other.service"}), "done") << "everything else goes on";
  const pid_t before = manager();
  ASSERT_TRUE(signal_descendant(before, SIGKILL));
  ASSERT_TRUE(eventually([&] { return manager() != before; }));
  EXPECT_THAT(instance_.carry_out("start", {slow}), HasSubstr(quarantined)) << "of the next manager too";

  write_slow(slow, "mended");
  EXPECT_EQ(instance_.carry_out("start", {slow}), "done");
  EXPECT_EQ(instance_.show(slow).sub_state, "running");
}

TEST_F(ManagerCrash, ARequestThatBringsItDownIsAnsweredAndNotCarriedOutAgain) {
  // Of each the process is looked at.
  const json heavy{{"verb", "show"}, {"units", std::vector<std::string>(600, bystander_.name)}};
  std::optional<perdure::Reply> reply;
  for (int i = 0; i < attempts_max && (!reply || reply->ok); ++i) reply = ask_and_crash(heavy, Input::Request);
  ASSERT_TRUE(reply) << instance_.output();
  EXPECT_FALSE(reply->ok);
  EXPECT_THAT(reply->message, AllOf(HasSubstr("the request"), HasSubstr(quarantined)));
  EXPECT_THAT(reply->json, HasSubstr("\"code\":\"quarantined\""));
  EXPECT_TRUE(instance_.wait_for_output(quarantined));
  EXPECT_EQ(instance_.show(bystander_.name).sub_state, "running") << "another request is carried out";
}

TEST_F(ManagerCrash, WhoIsKilledFromOutsideSuspectsNobody) {
  const std::string slow = "slow.service";
  write_slow(slow, "innocent");
  for (int i = 0; i < 4; ++i) {
    const pid_t victim = manager();
    ASSERT_TRUE(signal_descendant(victim, SIGKILL));
    ASSERT_TRUE(eventually([&] { return manager() != victim; }));
  }
  EXPECT_THAT(instance_.output(), Not(HasSubstr("crashed")));
  EXPECT_EQ(instance_.carry_out("start", {slow}), "done");
}

}  // namespace
}  // namespace supervisor_test
