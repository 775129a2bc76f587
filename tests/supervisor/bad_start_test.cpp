// What cannot be started: the job fails, or the service does as soon as it is tried, and the words say why. Others go on.
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

void write_program(const std::string& path, std::string_view content) {
  write_file(path, content);
  fs::permissions(path, fs::perms{0755});
}
/// A copy of a real program with `change` done to it.
void write_changed(const std::string& path, const std::function<void(std::string&)>& change) {
  std::string program = read_file("/bin/true").value_or("");
  change(program);
  write_program(path, program);
}

struct BadProgram {
  const char* name;
  std::function<void(const std::string& path)> make;
  const char* error;
  const char* why;  ///< words that tell this case from others with the same error
};

const BadProgram bad_programs[] = {
    {"missing", [](const std::string&) {}, "No such file or directory (ENOENT)", "there is no such file"},
    {"interpreter", [](const std::string& path) { write_program(path, "#!/no/such/interpreter -x\nexit 0\n"); },
     "No such file or directory (ENOENT)", "the interpreter \"/no/such/interpreter\" of its first line does not exist"},
    {"crlf", [](const std::string& path) { write_program(path, "#!/bin/sh\r\nexit 0\r\n"); },
     "No such file or directory (ENOENT)", "its first line ends in CRLF"},
    {"loader",
     [](const std::string& path) {
       write_changed(path, [](std::string& program) { program.replace(program.find("/ld-linux"), 9, "/ld-gone-"); });
     },
     "No such file or directory (ENOENT)", "dynamic loader"},
    {"mode", [](const std::string& path) { write_file(path, "#!/bin/sh\nexit 0\n"); }, "Permission denied (EACCES)",
     "it has no execute permission; chmod +x it"},
    {"directory", [](const std::string& path) { fs::create_directory(path); }, "Permission denied (EACCES)", "a directory"},
    {"fifo",
     [](const std::string& path) {
       if (::mkfifo(path.c_str(), 0755) != 0) throw std::runtime_error{path};
     },
     "Permission denied (EACCES)", "not a regular file"},
    {"empty", [](const std::string& path) { write_program(path, ""); }, "Exec format error (ENOEXEC)", "the file is empty"},
    {"short", [](const std::string& path) { write_changed(path, [](std::string& program) { program.resize(40); }); },
     "Exec format error (ENOEXEC)", "cut short"},
    {"foreign",
     [](const std::string& path) {
       write_changed(path, [](std::string& program) { program.replace(18, 2, std::string{'\x08', '\0'}); });  // MIPS
     },
     "Exec format error (ENOEXEC)", "made for"},
    {"text", [](const std::string& path) { write_program(path, "exit 0\n"); }, "Exec format error (ENOEXEC)", "#!"},
    {"loop", [](const std::string& path) { fs::create_symlink(path, path); }, "Too many levels of symbolic links (ELOOP)",
     ""},
    {"below/file", [](const std::string& path) { write_file(fs::path{path}.parent_path(), ""); },
     "Not a directory (ENOTDIR)", ""},
};

/// An instance with one service that must not notice anything. The parameter is Type=.
class BadStart : public ::testing::TestWithParam<const char*> {
 protected:
  BadStart() : bystander_(instance_.add("bystander.service", "idle")) {
    fs::create_directory(instance_.path("bad"));
    instance_.start();
    (void)instance_.wait_for(bystander_.name, "running");
    pid_ = instance_.show(bystander_.name).main_pid;
  }
  void TearDown() override {
    const ShownUnit shown = instance_.show(bystander_.name);
    EXPECT_EQ(shown.main_pid, pid_);
    EXPECT_EQ(shown.restarts, 0U);
    EXPECT_EQ(shown.sub_state, "running");
    EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
    EXPECT_EQ(instance_.leftovers(), "");
  }

  void add(const std::string& unit, const std::string& program, const std::string& settings = {}) {
    instance_.add_unit(unit, "[Service]\nType=" + std::string{GetParam()} + "\nExecStart=" + program + '\n' + settings);
  }
  /// Under Type=exec the start has failed; under Type=simple it is done, and the service fails on its own.
  void expect_failed_start(const std::string& unit) {
    EXPECT_EQ(instance_.carry_out("start", {unit}), is_exec() ? "failed" : "done");
    EXPECT_TRUE(instance_.wait_for(unit, "failed")) << instance_.show(unit).sub_state;
  }
  /// In the unit's status, and on the instance's standard error.
  void expect_told(const std::string& unit, const std::string& line, const std::string& why) {
    EXPECT_THAT(instance_.remarks(unit), AllOf(HasSubstr(line), HasSubstr(why)));
    EXPECT_TRUE(instance_.wait_for_output(unit + ": " + line)) << instance_.output();
    EXPECT_THAT(instance_.output(), HasSubstr(why));
  }
  static bool is_exec() { return std::string_view{GetParam()} == "exec"; }

  Instance instance_{Owner::Ourselves, Parent::Test};
  Service& bystander_;
  std::int64_t pid_ = 0;
};

TEST_P(BadStart, AProgramThatCannotBeExecutedIsToldWithItsCause) {
  for (const BadProgram& bad : bad_programs) {
    SCOPED_TRACE(bad.name);
    const std::string path = instance_.path("bad/") + bad.name;
    bad.make(path);
    const std::string unit = fs::path{bad.name}.filename().string() + ".service";
    add(unit, path);
    expect_failed_start(unit);
    const auto shown = instance_.unit(unit);
    EXPECT_EQ(shown.at("Result"), "exit-code");
    EXPECT_EQ(shown.at("ExecMainStatus"), 203);  // EXEC, systemd.exec(5)
    const std::string line = "cannot execute " + path + ": " + bad.error;
    expect_told(unit, line, bad.why);
  }
}

TEST_P(BadStart, AProgramThatIsBeingWrittenIsTriedAgainAndThenGivenUp) {
  const std::string path = instance_.path("bad/written");
  write_changed(path, [](std::string&) {});
  const perdure::UniqueFd writer{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  add("written.service", path);
  expect_failed_start("written.service");
  expect_told("written.service", "cannot execute " + path + ": Text file busy (ETXTBSY)",
              "somebody still has it open for writing");
}

TEST_P(BadStart, NamesAndArgumentsThatAreTooLongForTheKernelAreTold) {
  std::string deep = "/bin";
  while (deep.size() <= 4096) deep += "/x";  // PATH_MAX, path_resolution(7)
  const std::string name = "/bin/" + std::string(256, 'x');
  const std::string large(50'000, 'a');  // three of them are more than one argument may have, execve(2)
  const auto expect_refused = [this](const std::string& unit, const std::string& line, const std::string& why) {
    SCOPED_TRACE(unit);
    expect_failed_start(unit);
    EXPECT_EQ(instance_.unit(unit).at("Result"), "exit-code");
    EXPECT_EQ(instance_.unit(unit).at("ExecMainStatus"), 203);  // EXEC, systemd.exec(5)
    expect_told(unit, line, why);
  };
  add("name.service", name);
  expect_refused("name.service", "cannot execute " + name + ": File name too long (ENAMETOOLONG)", "");
  add("deep.service", deep);
  EXPECT_THAT(instance_.carry_out("start", {"deep.service"}), HasSubstr("is too long for a path; the unit does not start"));
  add("large.service", "/bin/true ${A}${A}${A}", "Environment=A=" + large + "\n");
  expect_refused("large.service", "cannot execute /bin/true: Argument list too long (E2BIG)",
                 "the arguments and the environment are too large; one of them may be over 128 KiB");
}

TEST_P(BadStart, ACommandBesideTheServiceIsToldWithItsDirective) {
  add("early.service", "/bin/sleep 1000", "ExecStartPre=/bin/true\nExecStartPre=/no/such/check\n");
  EXPECT_EQ(instance_.carry_out("start", {"early.service"}), "failed");
  expect_told("early.service", "ExecStartPre= cannot execute /no/such/check: No such file or directory (ENOENT)",
              "there is no such file");
  instance_.add_unit("steps.service",
                     "[Service]\nType=oneshot\nExecStart=/bin/true\nExecStart=/no/such/step\nExecStart=/bin/true\n");
  EXPECT_EQ(instance_.carry_out("start", {"steps.service"}), "failed");
  expect_told("steps.service", "ExecStart= cannot execute /no/such/step: No such file or directory (ENOENT)",
              "there is no such file");
}

TEST_P(BadStart, ADirectoryThatIsMissingIsTold) {
  add("lost.service", "/bin/true", "WorkingDirectory=/no/such/directory\n");
  expect_failed_start("lost.service");
  EXPECT_EQ(instance_.unit("lost.service").at("ExecMainStatus"), 200);  // CHDIR, systemd.exec(5)
  expect_told("lost.service", "cannot start /bin/true: the step \"changing to WorkingDirectory=\" failed",
              "No such file or directory (ENOENT)");
}

TEST_P(BadStart, AnOutputFileThatCannotBeOpenedIsTold) {
  add("mute.service", "/bin/true", "StandardOutput=file:/no/such/directory/out\n");
  EXPECT_EQ(instance_.carry_out("start", {"mute.service"}), "failed");  // there never was a process
  EXPECT_TRUE(instance_.wait_for("mute.service", "failed"));
  expect_told("mute.service", "cannot open /no/such/directory/out: No such file or directory (ENOENT)", "");
}

TEST_P(BadStart, AUserWhomNobodyKnowsIsRefusedBeforeAnythingIsStarted) {
  add("user.service", "/bin/true", "User=nobody-of-this-name\n");
  const std::string line = "User=nobody-of-this-name: no such user in /etc/passwd, and the name service has none (ESRCH)";
  EXPECT_THAT(instance_.carry_out("start", {"user.service"}),
              AllOf(HasSubstr("user.service cannot be started: "), HasSubstr(line)));
  const auto shown = instance_.unit("user.service");
  EXPECT_EQ(shown.at("LoadState"), "bad-setting");
  EXPECT_EQ(shown.at("SubState"), "dead");
  EXPECT_EQ(shown.at("ExecMainPID"), 0);
  EXPECT_THAT(shown.at("LoadError").get<std::string>(), HasSubstr(line));
}

TEST_P(BadStart, AProgramThatEndsAtOnceIsToldWithItsStatusAndItsLastWords) {
  const std::string truth = instance_.path("truth/late");
  (void)TruthFile::create(truth);
  add("late.service", SERVICE_PROBE " exit " + truth + " 127");
  EXPECT_EQ(instance_.carry_out("start", {"late.service"}), "done");  // it was executed
  EXPECT_TRUE(instance_.wait_for("late.service", "failed"));
  const auto shown = instance_.unit("late.service");
  EXPECT_EQ(shown.at("Result"), "exit-code");
  EXPECT_EQ(shown.at("ExecMainStatus"), 127);
  EXPECT_TRUE(instance_.wait_for_output("failed (exit-code)")) << instance_.output();
  EXPECT_EQ(instance_.log("late.service"), "its last words\n");
}

TEST_P(BadStart, AProgramWithoutItsSharedLibraryIsToldWithItsStatusItsLastWordsAndAHint) {
  if (read_file("/bin/true").value_or("").find("libc.so.6") == std::string::npos)
    GTEST_SKIP()
        << "/bin/true names no libc.so.6 here (another libc, or static), so it cannot be given a library that is missing";
  const std::string path = instance_.path("bad/unlinked");
  write_changed(path, [](std::string& program) { program.replace(program.find("libc.so.6"), 9, "libX.so.6"); });
  add("unlinked.service", path);
  EXPECT_EQ(instance_.carry_out("start", {"unlinked.service"}), "done");  // it was executed
  EXPECT_TRUE(instance_.wait_for("unlinked.service", "failed"));
  EXPECT_TRUE(perdure::testing::eventually([&] { return !instance_.log("unlinked.service").empty(); }));
  const auto status =
      perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + instance_.path("run"), "status", "unlinked.service"});
  EXPECT_THAT(status.output, AllOf(HasSubstr("(code=exited, status=127)"),
                                   HasSubstr("error while loading shared libraries: libX.so.6: cannot open shared object"),
                                   HasSubstr("Hint: exit code 127: often a missing shared library")));
}

INSTANTIATE_TEST_SUITE_P(, BadStart, ::testing::Values("simple", "exec"),
                         [](const auto& type) { return std::string{type.param}; });

}  // namespace
}  // namespace supervisor_test
