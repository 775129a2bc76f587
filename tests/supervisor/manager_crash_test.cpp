// A manager that crashes over the same input again and again: the input is refused in the end, and everything else goes on.
//
// The crash is a SIGSEGV at a moment when the manager has the input in hand, which the test sees in the memory where the manager notes
// it; so the input has to take the manager a while. The manager is stopped before the test looks for certain: one that has let go
// meanwhile goes on unharmed, and the next moment is waited for.
#include <fcntl.h>
#include <perdure/control.hpp>
#include <perdure/unique_fd.hpp>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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
  [[nodiscard]] bool has_anything_in_hand() const { return has_in_hand(Input::Request) || has_in_hand(Input::Unit); }
  [[nodiscard]] bool has_suspects() const {
    return std::any_of(std::begin(record_->suspects), std::end(record_->suspects),
                       [](const volatile auto& suspect) { return suspect.input != Input::count_; });
  }

 private:
  const volatile CrashRecord* record_ = nullptr;
};

/// A manager that is to die at a moment of our choice.
class Victim {
 public:
  explicit Victim(pid_t pid) : pid_(pid) {
    if (pid <= 1) throw std::runtime_error{"no pid of a manager: " + std::to_string(pid)};
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    // Looked at after it is held: the number cannot pass to a stranger. Once, because it takes longer than the moments we look for.
    const auto ours = descendants();
    if (!pidfd_ || std::find(ours.begin(), ours.end(), pid) == ours.end())
      throw std::runtime_error{"no descendant of ours: " + std::to_string(pid)};
  }
  /// The signal, if the condition holds while the manager is stopped; false: it does not, and the manager goes on.
  template <class Condition>
  bool hit(int number, Condition holds) {
    send(SIGSTOP);
    if (!eventually([this] { return is_stopped(); })) throw std::runtime_error{"the manager does not stop"};
    const bool is_hit = holds();
    if (is_hit) send(number);
    // signal(7): to a stopped process, signals other than SIGKILL wait for this; they come before its next instruction.
    if (!is_hit || number != SIGKILL) send(SIGCONT);
    return is_hit;
  }

 private:
  void send(int number) {
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) != 0)
      throw std::system_error{errno, std::generic_category(), "pidfd_send_signal"};
  }
  [[nodiscard]] bool is_stopped() const {
    const auto status = perdure::testing::read_file("/proc/" + std::to_string(pid_) + "/status");
    return status && status->find("\nState:\tT (stopped)") != std::string::npos;
  }

  pid_t pid_;
  perdure::UniqueFd pidfd_{};
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

  /// Asks, and sends the manager a deadly signal when it has that in hand. The request is not asked again; its answer: none, the
  /// manager is another one.
  std::optional<perdure::Reply> ask_and_hit(const json& request, Input input, int number = SIGSEGV) {
    const pid_t pid = manager();
    Victim victim{pid};
    auto client = perdure::ControlClient::connect(instance_.path("run/control.sock"));
    if (!client) throw std::runtime_error{client.error().message()};
    const std::string line = request.dump() + "\n";
    if (::send(client->fd(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
      throw std::system_error{errno, std::generic_category(), "send"};
    char first = 0;
    const auto hang = std::chrono::steady_clock::now() + perdure::testing::hang_limit;
    while (::recv(client->fd(), &first, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN) {
      if (std::chrono::steady_clock::now() > hang) throw std::runtime_error{"neither an answer nor anything in hand"};
      const auto is_in_hand = [&] { return notes_->has_in_hand(input); };
      if (!is_in_hand() || !victim.hit(number, is_in_hand)) {
        ::sched_yield();
        continue;
      }
      EXPECT_TRUE(eventually([&] { return manager() != pid; }));
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
  const auto hang = std::chrono::steady_clock::now() + perdure::testing::hang_limit;
  for (int i = 0; (!reply || reply->ok) && std::chrono::steady_clock::now() < hang; ++i) {
    // One that was loaded is not loaded again.
    if (i == 0 || reply) write_slow(slow = "slow" + std::to_string(i) + ".service", "poison");
    reply = ask_and_hit({{"verb", "start"}, {"units", {slow}}, {"wait", true}}, Input::Unit);
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
  const auto hang = std::chrono::steady_clock::now() + perdure::testing::hang_limit;
  while ((!reply || reply->ok) && std::chrono::steady_clock::now() < hang) reply = ask_and_hit(heavy, Input::Request);
  ASSERT_TRUE(reply) << instance_.output();
  EXPECT_FALSE(reply->ok);
  EXPECT_THAT(reply->message, AllOf(HasSubstr("the request"), HasSubstr(quarantined)));
  EXPECT_THAT(reply->json, HasSubstr("\"code\":\"quarantined\""));
  EXPECT_TRUE(instance_.wait_for_output(quarantined));
  EXPECT_EQ(instance_.show(bystander_.name).sub_state, "running") << "another request is carried out";
}

TEST_F(ManagerCrash, WhoIsKilledFromOutsideSuspectsNobody) {
  std::string slow;
  std::optional<perdure::Reply> reply;
  std::size_t kills = 0;  // in a row, of the same unit's
  const auto hang = std::chrono::steady_clock::now() + perdure::testing::hang_limit;
  for (int i = 0; kills < perdure::supervisor::crashes_max && std::chrono::steady_clock::now() < hang; ++i) {
    if (i == 0 || reply) write_slow(slow = "slow" + std::to_string(i) + ".service", "innocent");
    reply = ask_and_hit({{"verb", "start"}, {"units", {slow}}, {"wait", true}}, Input::Unit, SIGKILL);
    kills = reply ? 0 : kills + 1;
  }
  ASSERT_EQ(kills, perdure::supervisor::crashes_max) << instance_.output();
  EXPECT_FALSE(notes_->has_suspects());
  EXPECT_THAT(instance_.output(), Not(HasSubstr("crashed")));

  // What a killed one had in hand is not blamed for the crash of a later one.
  const pid_t pid = manager();
  Victim victim{pid};
  ASSERT_TRUE(eventually([&] { return victim.hit(SIGSEGV, [&] { return !notes_->has_anything_in_hand(); }); }));
  ASSERT_TRUE(eventually([&] { return manager() != pid; }));
  EXPECT_FALSE(notes_->has_suspects());
  EXPECT_THAT(
      instance_.ask({{"verb", "show"}}).at("instance").at("Remarks").dump(),
      AllOf(HasSubstr("the manager crashed (SIGSEGV)"), Not(HasSubstr("while it was")), Not(HasSubstr("quarantined"))));
  EXPECT_EQ(instance_.carry_out("start", {slow}), "done");
}

}  // namespace
}  // namespace supervisor_test
