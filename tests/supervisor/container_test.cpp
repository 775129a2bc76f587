// Several services in a container: a root that holds the programs and nothing else, read only, perdure as process 1, root or not.
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <deque>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::uint32_t orphans = 3;

std::string why_no_container() {
  if (::geteuid() != 0) return "making namespaces and mounting needs root";
  const auto tried = perdure::testing::run({"/usr/bin/unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork",
                                            "/bin/mount", "-t", "tmpfs", "run", "/mnt"});
  return tried.status.success() ? "" : "namespaces cannot be made here: " + tried.output;
}

/// A program and the libraries that it is linked with, where the loader looks for them.
void install(const std::string& program, const std::string& root, const std::string& name) {
  fs::copy_file(program, root + "/bin/" + name);
  std::istringstream words{perdure::testing::run({"/usr/bin/ldd", program}).output};
  for (std::string word; words >> word;) {
    if (!word.starts_with('/') || !fs::exists(word) || fs::exists(root + word)) continue;
    fs::create_directories(root + fs::path{word}.parent_path().string());
    fs::copy_file(word, root + word);
  }
}

struct As {
  const char* name;
  uid_t user;
  int signal;
};

class Container : public ::testing::TestWithParam<As> {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_container(); !why.empty()) GTEST_SKIP() << why;
    perdure::testing::adopt_orphans();
    // Seen from inside, this is the whole machine.
    fs::permissions(directory_.path(), fs::perms{0755});
    for (const char* name : {"bin", "data", "dev", "etc/units", "proc", "run"}) fs::create_directories(root_ + '/' + name);
    write_file(root_ + "/dev/null", "");
    const std::string programs = fs::path{PERDURE_PROGRAM}.parent_path();
    for (const char* name : {"perdure", "perdure-keeper", "perdure-manager", "perdure-executor"})
      install(programs + '/' + name, root_, name);
    install(SERVICE_PROBE, root_, "probe");
    fs::create_directory(volume_);
    own(volume_);
  }

  void TearDown() override { end_descendants(); }

  void own(const std::string& path) const { ASSERT_EQ(::chown(path.c_str(), GetParam().user, GetParam().user), 0) << path; }

  /// A service that runs the probe in `mode` with its truth, and `words` after that.
  TruthFile& add(const std::string& name, const std::string& mode, const std::string& words, const std::string& unit = {},
                 const std::string& rest = {}) {
    const std::string truth = volume_ + '/' + name + ".truth";
    TruthFile& file = truths_.emplace_back(TruthFile::create(truth));
    own(truth);
    write_file(root_ + "/etc/units/" + name + ".service", "[Unit]\n" + unit + "[Service]\nExecStart=/bin/probe " + mode +
                                                              " /data/" + name + ".truth " + words + '\n' + rest);
    return file;
  }

  void start() {
    process_.emplace(std::vector<std::string>{CONTAINER_PROGRAM, root_, volume_, std::to_string(GetParam().user),
                                              "/bin/perdure", "run", "--runtime-dir=/run/perdure",
                                              "--unit-path=/etc/units"});
  }
  /// As seen from here.
  pid_t process_1() {
    const std::string pid = std::to_string(process_->pid());
    return std::stoi(read_file("/proc/" + pid + "/task/" + pid + "/children").value_or("0"));
  }
  ExitStatus end() { return process_->wait(); }
  [[nodiscard]] std::string volume(const std::string& name) const { return read_file(volume_ + '/' + name).value_or(""); }

  perdure::testing::TempDir directory_;
  std::string root_ = directory_ / "root";
  std::string volume_ = directory_ / "volume";
  std::deque<TruthFile> truths_{};
  std::optional<Process> process_{};
};

TEST_P(Container, RunsServicesInTheirOrderShowsTheirOutputAndReapsWhatIsNotItsOwn) {
  add("db", "idle", "/data/order db");
  TruthFile& web = add("web", "idle", "/data/order web", "Requires=db.service\nAfter=db.service\n");
  TruthFile& forker = add("forker", "orphans", std::to_string(orphans));
  start();
  EXPECT_TRUE(process_->wait_for_output("db: db\n")) << process_->output();
  EXPECT_TRUE(process_->wait_for_output("web: web\n")) << process_->output();
  EXPECT_TRUE(eventually([&] { return web->lives == 1 && forker->rounds == orphans; })) << process_->output();

  const pid_t first = process_1();
  ASSERT_GT(first, 1);
  const std::string inside = "/proc/" + std::to_string(first) + "/root";
  EXPECT_EQ(read_file("/proc/" + std::to_string(first) + "/comm"), "perdure-keeper\n");
  EXPECT_EQ(perdure::testing::proc_status(first, "Uid").substr(0, perdure::testing::proc_status(first, "Uid").find('\t')),
            std::to_string(GetParam().user));
  EXPECT_EQ(::access((inside + "/etc").c_str(), W_OK), -1);
  EXPECT_EQ(errno, EROFS) << "the root is not read only: the test means nothing";
  struct statvfs run {};
  EXPECT_EQ(::statvfs((inside + "/run").c_str(), &run), 0);
  EXPECT_NE(run.f_flag & ST_NOEXEC, 0U) << "programs can be executed from /run: the test means nothing";
  EXPECT_TRUE(eventually([&] { return !has_zombie_child(first); })) << "orphans are not reaped";

  ASSERT_TRUE(signal_descendant(first, GetParam().signal));
  EXPECT_EQ(end(), ExitStatus::exited(0)) << process_->output();
  EXPECT_EQ(volume("order"), "web\ndb\n");
}

TEST_P(Container, EndsWithTheCodeOfTheEssentialService) {
  add("db", "idle", "/data/order db");
  add("main", "exit", "7", "Requires=db.service\nAfter=db.service\n", "[X-Perdure]\nEssential=yes\n");
  start();
  EXPECT_EQ(end(), ExitStatus::exited(7)) << process_->output();
  EXPECT_THAT(process_->output(), HasSubstr("main: its last words\n"));
  EXPECT_THAT(process_->output(), HasSubstr("main.service has ended (exited 7) and is essential"));
}

TEST_P(Container, RunsTheExampleOfItsPackaging) {
  for (const char* const program : {"sh", "sleep", "date"}) install(std::string{"/bin/"} + program, root_, program);
  fs::remove_all(root_ + "/etc/units");
  fs::copy(PACKAGING "/units", root_ + "/etc/units");
  const std::string dockerfile = read_file(PACKAGING "/Dockerfile").value_or("");
  EXPECT_THAT(dockerfile, HasSubstr(R"("run", "--runtime-dir=/run/perdure", "--unit-path=/srv/units"])"))
      << "as start() has it";
  start();
  for (const char* const line : {"db: ready\n", "web: serving\n", "clock: "})
    EXPECT_TRUE(process_->wait_for_output(line)) << process_->output();
  ASSERT_TRUE(signal_descendant(process_1(), GetParam().signal));
  EXPECT_EQ(end(), ExitStatus::exited(0)) << process_->output();
}

INSTANTIATE_TEST_SUITE_P(, Container,
                         ::testing::Values(As{"RootWithSigterm", 0, SIGTERM}, As{"NobodyWithSigterm", 65534, SIGTERM},
                                           As{"RootWithSigrtmin3", 0, SIGRTMIN + 3},
                                           As{"NobodyWithSigrtmin3", 65534, SIGRTMIN + 3}),
                         [](const auto& as) { return std::string{as.param.name}; });

}  // namespace
}  // namespace supervisor_test
