// The real command against a real control socket, with the real verbs behind it and an instance out of plain values behind those.
//
// What people and scripts read is compared word for word with testdata/*.golden; PERDURE_UPDATE_GOLDEN=1 rewrites them: read the
// difference before it is committed. Whatever waits for the command lets the server work meanwhile, so nothing is timed.
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/control.hpp"
#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"
#include "supervisor/verbs.hpp"
#include "supervisor/verbs_testing.hpp"

namespace perdure::supervisor {
namespace {

using perdure::testing::Process;
using perdure::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t moment_us = 1'700'000'000'000'000;  // Tue 2023-11-14 22:13:20 UTC

struct Said {
  int code = -1;
  std::string text{};
};

class CommandTest : public ::testing::Test {
 protected:
  CommandTest() {
    instance.add({.name = "web.service",
                  .description = "A web server",
                  .load_state = "loaded",
                  .fragment_path = "/etc/systemd/system/web.service",
                  .type = "simple",
                  .active_state = "active",
                  .sub_state = "running",
                  .result = "success",
                  .invocation_id = "00112233445566778899aabbccddeeff",
                  .control_group = "/perdure/web.service",
                  .restart = "always",
                  .main_pid = 2'000'000'000,
                  .exec_main_pid = 2'000'000'000,
                  .restarts = 3,
                  .state_change = {moment_us, 5'000'000},
                  .active_enter = {moment_us, 5'000'000},
                  .exec_main_start = {moment_us, 5'000'000},
                  .remarks = {"MemoryMax= is not applied: no memory controller here"}});
    instance.add({.name = "db.service",
                  .description = "Database",
                  .load_state = "loaded",
                  .type = "simple",
                  .active_state = "failed",
                  .sub_state = "failed",
                  .result = "exit-code",
                  .exec_main_pid = 700,
                  .last_exit = core::Exit{core::ExitKind::Exited, 203}});
    instance.add({.name = "mail.service",
                  .load_state = "loaded",
                  .active_state = "activating",
                  .sub_state = "auto-restart",
                  .result = "signal",
                  .exec_main_pid = 701,
                  .last_exit = core::Exit{core::ExitKind::Unknown, 0},
                  .job = 9});
    instance.add({.name = "old.service",
                  .description = "Old",
                  .load_state = "loaded",
                  .active_state = "inactive",
                  .sub_state = "dead"});
    instance.add({.name = "bad.service",
                  .load_state = "bad-setting",
                  .load_error = "bad.service:3: User= is empty",
                  .active_state = "inactive",
                  .sub_state = "dead"});
    instance.known().units = 5;
    instance.known().active = 1;
    instance.known().failed = 1;
    instance.known().manager_restarts = 2;
    instance.known().runtime_dir = "/run/perdure";
    instance.known().state_dir = "/var/lib/perdure";
    log_dir_ = directory / "log";
    instance.known().log_dir = log_dir_;
    listen();
  }

  void listen() {
    auto server = ControlServer::listen({.path = directory / "control.sock"});
    ASSERT_TRUE(server) << server.error().message();
    server_.emplace(*std::move(server));
    verbs_ = std::make_unique<Verbs>(instance);
  }

  /// Nobody listens any more.
  void leave() { server_.reset(); }

  /// One round of a manager's loop.
  void work() {
    pollfd one{server_->fd(), POLLIN, 0};
    ::poll(&one, 1, 5);
    std::vector<Request> requests;
    server_->process(requests);
    const auto now = std::chrono::steady_clock::now();
    for (const Request& request : requests) {
      requests_.push_back(request.json);
      if (breaks_at_ != 0 && requests_.size() == breaks_at_) return die(request, now);
      if (const auto canned = canned_.find(request.verb); canned != canned_.end()) {
        answers_.push_back({request.id, canned->second});
        continue;
      }
      verbs_->handle(request, now, answers_);
    }
    if (ends_jobs_) {
      for (; ended_ < instance.jobs().size(); ++ended_) end_job(instance.jobs()[ended_].id);
    }
    flush();
  }
  void end_job(core::JobId job) {
    instance.end(job);
    verbs_->job_finished(job, job_result_, answers_);
  }
  void flush() {
    for (const auto& [request, reply] : answers_) server_->reply(request, reply);
    answers_.clear();
  }
  /// The manager is killed with a request in its hands, before (or after) it has told the core; a new one takes over.
  void die(const Request& request, base::Instant now) {
    if (dies_after_taking_) verbs_->handle(request, now, answers_);
    answers_.clear();
    breaks_at_ = 0;
    if (on_death_) on_death_();
    server_.reset();
    listen();
  }

  /// Runs the command while the server works.
  Said run(std::vector<std::string> words, std::vector<std::pair<int, int>> pass_fds = {}) {
    words.insert(words.begin(), {program_, "--runtime-dir=" + directory.path()});
    Process process{words,
                    {.env = {{"TZ", "UTC"}, {"PERDURE_COLORS", "no"}, {"TERM", "xterm"}},
                     .unset_env = {"PERDURE_RUNTIME_DIR", "PERDURE_STATE_DIR", "PERDURE_LOG_DIR"},
                     .pass_fds = std::move(pass_fds)}};
    std::optional<ExitStatus> status;
    const bool ended = perdure::testing::eventually([&] {
      work();
      if (on_work_) on_work_();
      status = process.poll();
      return status.has_value();
    });
    return {ended && status->kind() == ExitStatus::Kind::Exited ? status->value() : -1, process.output()};
  }

  /// What a unit has written, without times.
  void put_log(const std::string& unit, const std::string& text) {
    ::mkdir((directory / "log").c_str(), 0700);
    ::mkdir((directory / "log/" + unit).c_str(), 0700);
    perdure::testing::write_file(directory / "log/" + unit + "/00000001.log", text);
  }

  /// As a transcript, with what changes from run to run made constant.
  void transcribe(const std::vector<std::string>& words) {
    transcript_ << "$ perdure";
    for (const std::string& word : words) transcript_ << ' ' << word;
    const std::size_t asked = requests_.size();
    Said said = run(words);
    for (std::size_t i = asked; i < requests_.size() && shows_requests_; ++i) transcript_ << "\n< " << requests_[i];
    for (std::size_t at; (at = said.text.find(directory.path())) != std::string::npos;)
      said.text.replace(at, directory.path().size(), "RUNTIME");
    // "… UTC; 3 years 0 months ago"
    for (std::size_t at = 0; (at = said.text.find(" UTC; ", at)) != std::string::npos; ++at) {
      const auto end = said.text.find(" ago", at);
      if (end != std::string::npos) said.text.replace(at + 6, end - at - 6, "LONG");
    }
    transcript_ << '\n' << said.text << "[" << said.code << "]\n\n";
  }
  void compare(const std::string& name) {
    const std::string path = std::string{PERDURE_GOLDEN_DIR} + '/' + name;
    if (std::getenv("PERDURE_UPDATE_GOLDEN") != nullptr) std::ofstream{path} << transcript_.str();
    std::ostringstream golden;
    golden << std::ifstream{path}.rdbuf();
    EXPECT_EQ(transcript_.str(), golden.str());
  }

  TempDir directory;
  FakeInstance instance;
  std::string program_ = PERDURE_PROGRAM;
  std::vector<std::string> requests_{};
  std::map<std::string, Reply, std::less<>> canned_{};  ///< by verb: answered so, instead of by the real verbs
  std::size_t breaks_at_ = 0;                           ///< the manager dies at this request, counted from 1
  bool dies_after_taking_ = false;                      ///< … when it has taken it
  std::function<void()> on_death_{};
  std::function<void()> on_work_{};  ///< in each round
  bool shows_requests_ = false;      ///< in the transcript
  bool ends_jobs_ = true;            ///< a job ends in the round in which it was taken
  core::JobResult job_result_ = core::JobResult::Done;
  std::size_t ended_ = 0;

 private:
  std::string log_dir_;
  std::optional<ControlServer> server_{};
  std::unique_ptr<Verbs> verbs_{};
  Verbs::Answers answers_{};
  std::ostringstream transcript_{};
};

TEST_F(CommandTest, HelpIsThatOfTheGoldenFile) {
  transcribe({"--help"});
  transcribe({"help", "start"});
  transcribe({"help", "bogus"});
  transcribe({"--version"});
  compare("help.golden");
}

TEST_F(CommandTest, WhatPeopleReadIsThatOfTheGoldenFile) {
  transcribe({"status", "web"});
  transcribe({"status", "db", "mail.service", "old", "bad", "nope"});
  transcribe({"status", "nope"});
  transcribe({"status", "web*"});
  transcribe({"status"});
  transcribe({"list-units"});
  transcribe({"list-units", "--all", "--plain", "--no-legend"});
  transcribe({"list-units", "--state=failed,auto-restart", "--no-legend"});
  transcribe({"list-units", "[dw]*", "--no-legend"});
  compare("status.golden");
}

TEST_F(CommandTest, WhatScriptsReadIsThatOfTheGoldenFile) {
  transcribe({"show", "web"});
  transcribe({"show", "-p", "MainPID,NRestarts", "--value", "web"});
  transcribe({"show", "-p", "LoadState", "nope"});
  transcribe({"show", "-p", "Id", "-p", "ExecMainExitTimestamp", "web", "db"});
  transcribe({"show", "-p", "Version,KeeperPID,ManagerPID,ManagerRestarts,NServices"});
  transcribe({"show", "--json", "-p", "Id,MainPID", "web"});
  transcribe({"is-active", "web"});
  transcribe({"is-active", "db", "nope"});
  transcribe({"is-active", "db", "web"});
  transcribe({"is-active", "-q", "web"});
  transcribe({"is-active", "--json", "web"});
  transcribe({"is-failed", "db"});
  transcribe({"is-failed", "web"});
  transcribe({"list-units", "--json", "w*"});
  compare("scripts.golden");
}

TEST_F(CommandTest, WhatGoesWrongIsSaidAsInTheGoldenFile) {
  transcribe({"bogusverb"});
  transcribe({"--bogusopt"});
  transcribe({"start"});
  transcribe({"start", "nope"});
  transcribe({"stop", "nope", "web"});
  transcribe({"restart", "a/b"});
  transcribe({"start", "none*"});
  transcribe({"reset-failed", "nope"});
  job_result_ = core::JobResult::Failed;
  transcribe({"start", "db"});
  job_result_ = core::JobResult::Canceled;
  transcribe({"start", "web"});
  instance.refuse_all({Refusal::Code::BadUnit, ""});
  transcribe({"start", "bad"});
  instance.refuse_all({Refusal::Code::ShuttingDown, ""});
  transcribe({"start", "web"});
  transcribe({"run", "--", "no-such-program", "1"});
  transcribe({"run", "/no/such.service"});
  transcribe({"logs", "-u", "web", "-o", "bogus"});
  compare("errors.golden");
}

Reply answer(bool ok, std::string text, std::string data) { return {ok, std::move(text), std::move(data), false}; }

TEST_F(CommandTest, VerbsThatTheServerLearnsLaterAskAndAnswerAsInTheGoldenFile) {
  shows_requests_ = true;
  const std::string jobs = R"({"jobs":[{"unit":"web.service","job":7,"result":"done"}]})";
  for (const char* verb : {"reload", "try-restart", "reload-or-restart"}) {
    canned_[verb] = answer(true, "", jobs);
    transcribe({verb, "web"});
  }
  canned_["reload"] =
      answer(false, "cannot reload web.service: it has no ExecReload=",
             R"({"jobs":[{"unit":"web.service","error":{"code":"bad-unit","unit":"web.service",)"
             R"("message":"cannot reload web.service: it has no ExecReload="}}],"error":{"code":"bad-unit"}})");
  transcribe({"reload", "web"});
  canned_["kill"] = answer(true, "", "");
  transcribe({"kill", "web", "db"});
  transcribe({"kill", "web", "-s", "hup", "--kill-whom=main"});
  canned_["kill"] = answer(false, "Unit nope.service is not loaded.", R"({"error":{"code":"no-such-unit"}})");
  transcribe({"kill", "nope"});
  canned_["cat"] = answer(true, "",
                          R"({"files":[{"path":"/u/web.service","text":"[Service]\nExecStart=/bin/web\n"},)"
                          R"({"path":"/u/web.service.d/10.conf","text":"[Service]\nNice=5"}]})");
  transcribe({"cat", "web"});
  canned_["cat"] = answer(true, "", R"([{"path":"/u/web.service","text":"[Unit]\n"}])");
  transcribe({"cat", "web"});
  canned_["cat"] = answer(false, "No files found for nope.service.", R"({"files":[],"error":{"code":"no-such-unit"}})");
  transcribe({"cat", "nope"});
  canned_["list-dependencies"] =
      answer(true, "",
             R"({"units":[{"unit":"default.target","state":"active","children":[{"unit":"web.service","state":"active",)"
             R"("children":[{"unit":"db.service","state":"failed"}]},{"unit":"old.service","state":"inactive"}]}]})");
  transcribe({"list-dependencies"});
  transcribe({"list-dependencies", "default.target", "--reverse", "--all", "--plain"});
  canned_["list-jobs"] = answer(true, "",
                                R"({"jobs":[{"id":12,"unit":"web.service","type":"start","state":"running"},)"
                                R"({"id":3,"unit":"db.service","type":"restart","state":"waiting"}]})");
  canned_["cancel"] = answer(true, "", "");
  transcribe({"list-jobs"});
  transcribe({"list-jobs", "--no-legend"});
  transcribe({"cancel", "12", "3"});
  transcribe({"cancel"});
  canned_["list-jobs"] = answer(true, "", R"({"jobs":[]})");
  transcribe({"list-jobs"});
  transcribe({"cancel"});
  canned_["cancel"] = answer(false, "Job 99 does not exist.", R"({"error":{"code":"no-such-job"}})");
  transcribe({"cancel", "99"});
  for (const char* state : {"running", "degraded", "starting"}) {
    canned_["is-system-running"] = answer(true, state, fmt::format(R"({{"state":"{}"}})", state));
    transcribe({"is-system-running"});
  }
  canned_["is-system-running"] = answer(true, "running", R"("running")");
  transcribe({"is-system-running", "-q"});
  canned_["daemon-reload"] = answer(true, "", "");
  transcribe({"daemon-reload"});
  canned_["show-environment"] = answer(true, "", R"({"environment":["LANG=C","PATH=/usr/bin"]})");
  transcribe({"show-environment"});
  canned_["verify"] =
      answer(true, "", R"({"findings":[{"path":"/u/web.service","line":3,"severity":"warning","message":"odd"}]})");
  transcribe({"verify", "web", "/u/web.service"});
  canned_["verify"] =
      answer(true, "", R"({"findings":[{"path":"/u/web.service","line":0,"severity":"error","message":"no ExecStart="}]})");
  transcribe({"verify", "web"});
  canned_["exit"] = answer(true, "", "");
  transcribe({"exit", "--no-block", "3"});
  canned_.clear();
  transcribe({"kill", "web"});
  transcribe({"daemon-reload"});
  canned_["daemon-reload"] = answer(false, "unknown verb \"daemon-reload\"", R"({"error":{"code":"unknown-verb"}})");
  transcribe({"daemon-reload"});  // an older instance
  compare("reserved_verbs.golden");
}

TEST_F(CommandTest, WhatWasMeantIsGuessedFromWhatTheInstanceKnows) {
  EXPECT_EQ(run({"status", "wbe"}).text, "Unit wbe.service could not be found. Did you mean web.service?\n");
  EXPECT_EQ(run({"start", "mial"}).text,
            "perdure: cannot start mial.service: Unit mial.service not found; nothing was changed; see \"perdure list-units "
            "--all\"; did you mean mail.service?\n");
}

TEST_F(CommandTest, ASignalIsNotSentASecondTimeWhenTheManagerDies) {
  breaks_at_ = 1;
  const Said said = run({"kill", "web"});
  EXPECT_EQ(said.code, 1);
  EXPECT_EQ(
      said.text,
      "perdure: the instance's manager ended meanwhile; whether it has carried out kill is not known, and it was not asked "
      "again\n");
  EXPECT_THAT(requests_, SizeIs(1));
}

TEST_F(CommandTest, AReloadIsAskedForAgainWhenTheManagerDies) {
  canned_["reload"] = answer(true, "", R"({"jobs":[{"unit":"web.service","job":7,"result":"done"}]})");
  breaks_at_ = 1;
  EXPECT_EQ(run({"reload", "web"}).code, 0);
  EXPECT_THAT(requests_, SizeIs(2));
}

TEST_F(CommandTest, WhereNobodyRunsTheSystemIsOffline) {
  const auto finished = perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + directory / "none", "is-system-running"});
  EXPECT_EQ(finished.status.value(), 1);
  EXPECT_EQ(finished.output, "offline\n");
}

TEST_F(CommandTest, UnderTheNamesOfSystemdsCommandsItSpeaksAsThese) {
  for (const char* name : {"systemctl", "journalctl"}) ASSERT_EQ(::symlink(PERDURE_PROGRAM, (directory / name).c_str()), 0);
  program_ = directory / "systemctl";
  EXPECT_EQ(run({"is-active", "--quiet", "web"}).code, 0);
  EXPECT_EQ(run({"--no-pager", "show", "-P", "MainPID", "web"}).text, "2000000000\n");
  EXPECT_EQ(run({"restart", "--no-ask-password", "web"}).text, "");
  EXPECT_THAT(run({"enable", "web"}).text, HasSubstr("perdure: unknown verb enable; as systemctl, perdure has: cancel cat"));
  EXPECT_THAT(run({"--help"}).text, HasSubstr("Usage: systemctl [OPTIONS] VERB"));
  EXPECT_EQ(run({"-t", "target", "--no-legend"}).text, "");
  EXPECT_THAT(run({"-t", "service", "--no-legend"}).text, HasSubstr("web.service"));
  put_log("web.service", "hello\n");
  program_ = directory / "journalctl";
  EXPECT_EQ(run({"-u", "web", "-o", "cat", "--no-pager", "--log-dir=" + directory / "log"}).text, "hello\n");
  EXPECT_THAT(run({"--help"}).text, HasSubstr("Usage: journalctl [OPTIONS]"));
}

TEST_F(CommandTest, LogsOfSeveralUnitsAreShownAndWrongNamesAreMentioned) {
  put_log("web.service", "<4>careful\nfine\n");
  put_log("db.service", "ready\n");
  const std::string logs = "--log-dir=" + directory / "log";
  EXPECT_EQ(run({logs, "logs", "web", "-o", "cat"}).text, "careful\nfine\n");
  EXPECT_EQ(run({logs, "logs", "-o", "cat"}).text, "ready\ncareful\nfine\n");
  EXPECT_EQ(run({logs, "logs", "w*", "-p", "warning", "-o", "cat"}).text, "careful\n");
  EXPECT_EQ(run({logs, "logs", "-t", "db", "-o", "cat"}).text, "ready\n");
  EXPECT_EQ(run({logs, "logs", "-r", "-n1", "-u", "web", "-o", "cat"}).text, "fine\n");
  const Said wrong = run({logs, "logs", "wbe"});
  EXPECT_EQ(wrong.code, 0);
  EXPECT_THAT(wrong.text, HasSubstr("perdure: wbe.service has no log; did you mean web.service?\n"));
  EXPECT_THAT(wrong.text, HasSubstr("-- No entries --\n"));
  EXPECT_EQ(run({logs, "logs", "web", "--since", "soon"}).code, 1);
  EXPECT_THAT(run({logs, "logs", "web", "-p", "loud"}).text, HasSubstr("\"loud\" is no priority; they are emerg,"));
  EXPECT_THAT(run({logs, "logs", "--since", "now", "--until", "-1h"}).text, HasSubstr("--since is later than --until"));
}

TEST_F(CommandTest, AnImportWritesAllUnitsOrNone) {
  const std::string conf = directory / "s.conf", out = directory / "units";
  perdure::testing::write_file(conf, "[supervisord]\n[program:x]\ncommand=/bin/x\n[program:y]\ncommand=/bin/y\n");
  const Said first = run({"import", "supervisord", conf, "--output", out});
  EXPECT_EQ(first.code, 0);
  EXPECT_EQ(first.text, out + "/x.service\n" + out + "/y.service\n");
  EXPECT_THAT(perdure::testing::read_file(out + "/x.service").value_or(""), HasSubstr("ExecStart=/bin/x\n"));
  ASSERT_EQ(::unlink((out + "/y.service").c_str()), 0);
  const Said again = run({"import", "supervisord", conf, "--output", out});
  EXPECT_EQ(again.code, 1);
  EXPECT_EQ(again.text, "perdure: " + out +
                            " has x.service already; nothing was written; --force replaces what is there, "
                            "--output=DIR writes elsewhere\n");
  EXPECT_FALSE(perdure::testing::read_file(out + "/y.service"));
  perdure::testing::write_file(conf, "[supervisord]\n[program:x]\ncommand=/bin/x\numask=x\n");
  const Said wrong = run({"import", "supervisord", conf, "--force", "--output", out});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_EQ(wrong.text, "perdure: " + conf + ":4: umask wants an octal number, not \"x\"\nperdure: " + conf +
                            " cannot be imported; nothing was written\n");
  perdure::testing::write_file(conf, "[supervisord]\n[program:x]\ncommand=/bin/new\n");
  EXPECT_EQ(run({"import", "supervisord", conf, "--force", "--output", out}).code, 0);
  EXPECT_THAT(perdure::testing::read_file(out + "/x.service").value_or(""), HasSubstr("ExecStart=/bin/new\n"));
}

TEST_F(CommandTest, ALongStartShowsProgressOnATerminalOnly) {
  ends_jobs_ = false;
  int terminal = -1, own = -1;
  ASSERT_EQ(::openpty(&terminal, &own, nullptr, nullptr, nullptr), 0);
  UniqueFd here{terminal}, there{own};
  std::string shown;
  const auto begin = std::chrono::steady_clock::now();
  on_work_ = [&] {
    pollfd one{here.get(), POLLIN, 0};
    std::array<char, 256> bytes{};
    while (::poll(&one, 1, 0) > 0 && (one.revents & POLLIN) != 0) {
      const ssize_t got = ::read(here.get(), bytes.data(), bytes.size());
      if (got <= 0) break;
      shown.append(bytes.data(), static_cast<std::size_t>(got));
    }
    if (shown.find("(2s)") != std::string::npos) ends_jobs_ = true;
  };
  EXPECT_EQ(run({"start", "web", "db"}, {{there.get(), 2}}).code, 0);
  on_work_();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds{1990});
  EXPECT_EQ(shown, "\r⠹ starting web.service and 1 more (2s); Ctrl-C stops the waiting only\x1b[K\r\x1b[K");
}

TEST_F(CommandTest, NobodyToAskIsSaidWithWhatToDo) {
  const auto finished = perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + directory / "none", "status"});
  EXPECT_EQ(finished.status.value(), 1);
  EXPECT_EQ(finished.output, "perdure: no instance runs here: cannot connect to " + directory / "none" +
                                 "/control.sock (ENOENT); start one with \"perdure run\", or name another --runtime-dir\n");
}

TEST_F(CommandTest, ChangesAreSilentWhenAllIsWell) {
  for (const char* verb : {"start", "stop", "restart"}) {
    const Said said = run({verb, "web", "db.service"});
    EXPECT_EQ(said.code, 0) << verb;
    EXPECT_EQ(said.text, "") << verb;
  }
  EXPECT_THAT(instance.jobs(), SizeIs(6));
}

TEST_F(CommandTest, ItWaitsForTheEndOfTheJobUnlessToldNotTo) {
  ends_jobs_ = false;
  EXPECT_EQ(run({"start", "web", "--no-block"}).code, 0);
  ASSERT_THAT(instance.jobs(), SizeIs(1));
  ends_jobs_ = true;
  ended_ = 1;
  EXPECT_EQ(run({"start", "web"}).code, 0);
  EXPECT_THAT(requests_.back(), HasSubstr(R"("verb":"wait","jobs":[2])"));
}

TEST_F(CommandTest, AManagerThatDiesWithAQuestionIsAskedAgain) {
  breaks_at_ = 1;
  const Said said = run({"is-active", "web"});
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.text, "active\n");
  EXPECT_THAT(requests_, SizeIs(2));
}

TEST_F(CommandTest, AManagerThatDiesBeforeItHasTakenARestartIsAskedAgain) {
  breaks_at_ = 2;  // after the question for the run
  EXPECT_EQ(run({"restart", "web"}).code, 0);
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, ARestartThatWasTakenIsNotAskedForASecondTime) {
  breaks_at_ = 2;
  dies_after_taking_ = true;
  ends_jobs_ = false;
  on_death_ = [&] {  // the new manager has the job from the journal, and carries it out
    instance.at("web.service").job = 1;
    ends_jobs_ = true;
  };
  EXPECT_EQ(run({"restart", "web"}).code, 0);
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, ARestartThatIsOverWhenTheNewManagerComesIsDone) {
  breaks_at_ = 2;
  dies_after_taking_ = true;
  on_death_ = [&] { instance.at("web.service").invocation_id = "ffffffffffffffffffffffffffffffff"; };
  const Said said = run({"restart", "web"});
  EXPECT_EQ(said.code, 0) << said.text;
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, AFirstRunThatIsOverWhenTheNewManagerComesIsDoneWhoeverRemembersIt) {
  breaks_at_ = 2;
  dies_after_taking_ = true;
  on_death_ = [&] { instance.at("old.service").last_exit = core::Exit{core::ExitKind::Exited, 0}; };
  const Said said = run({"start", "old"});
  EXPECT_EQ(said.code, 0) << said.text;
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, AUnitThatNeverRanIsAskedForAgain) {
  breaks_at_ = 2;
  EXPECT_EQ(run({"start", "old"}).code, 0);
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, WhereNobodyRemembersTheRunsAStartIsNotAskedForASecondTime) {
  breaks_at_ = 2;
  dies_after_taking_ = true;
  const Said said = run({"start", "db"});
  EXPECT_EQ(said.code, 1);
  EXPECT_EQ(
      said.text,
      "perdure: whether db.service was started is not known, for the manager ended meanwhile; it was not asked again: "
      "its main process ended (code=exited, status=203/EXEC) (Result: exit-code); see \"perdure status db.service\" and "
      "\"perdure logs -u db.service\"\n");
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, WhoGetsNoAnswerWakesTheKeeper) {
  Process keeper{{"/bin/sh", "-c", "exec 6<>\"$0\"; echo ready; kill -STOP $$; echo woken", directory / "lock"}};
  ASSERT_TRUE(keeper.wait_for_output("ready"));
  perdure::testing::write_file(directory / "lock", std::to_string(keeper.pid()) + "\n");
  // The server listens, and does not work.
  const auto finished = perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + directory.path(), "is-active", "web"});
  EXPECT_EQ(finished.status.value(), 1);
  EXPECT_EQ(finished.output,
            "perdure: no answer within 10000 ms (ETIMEDOUT); the instance's manager is silent; its keeper was asked to look "
            "after it, and replaces it within 15 s if it stays silent; try again then\n");
  EXPECT_TRUE(keeper.wait_for_output("woken"));
}

TEST_F(CommandTest, AJobGoesOnWhenTheManagerDiesAndIsWaitedForByItsNumber) {
  ends_jobs_ = false;
  breaks_at_ = 3;  // the wait
  on_death_ = [&] { ends_jobs_ = true; };
  EXPECT_EQ(run({"start", "web"}).code, 0);
  EXPECT_THAT(instance.jobs(), SizeIs(1));
}

TEST_F(CommandTest, AJobThatNobodyRemembersIsJudgedByWhatTheUnitIs) {
  ends_jobs_ = false;
  breaks_at_ = 3;
  on_death_ = [&] { instance.end(1); };
  EXPECT_EQ(run({"start", "web"}).code, 0);
  breaks_at_ = requests_.size() + 3;
  on_death_ = [&] { instance.end(2); };
  const Said failed = run({"start", "db"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.text, HasSubstr("db.service did not start"));
}

TEST_F(CommandTest, MoreUnitsThanOneRequestHoldsAreSplit) {
  std::vector<std::string> names, words{"is-active", "-q"};
  for (int i = 0; i < 500; ++i) names.push_back("n" + std::to_string(i) + ".service");
  for (const std::string& name : names) instance.add({.name = name, .active_state = "inactive"});
  words.insert(words.end(), names.begin(), names.end());
  EXPECT_EQ(run(words).code, 3);
  EXPECT_THAT(requests_, SizeIs(3));
}

TEST_F(CommandTest, ExitEndsWhenNobodyListensAnyMoreAndTheKeeperIsGone) {
  EXPECT_EQ(run({"exit", "--no-block"}).code, 0);
  EXPECT_TRUE(instance.is_shut_down());

  Process keeper{{"/bin/cat"}};
  instance.known().keeper_pid = keeper.pid();
  Process exit{{PERDURE_PROGRAM, "--runtime-dir=" + directory.path(), "exit"}};
  const std::size_t asked = requests_.size() + 2;  // who is the keeper, and: stop
  ASSERT_TRUE(perdure::testing::eventually([&] {
    work();
    return requests_.size() == asked;
  }));
  leave();
  EXPECT_FALSE(exit.poll());
  keeper.close_input();
  EXPECT_TRUE(exit.wait().success()) << exit.output();
}

// --- run: a script stands in for the keeper ----------------------------------------------------------------------------------

class RunTest : public ::testing::Test {
 protected:
  void program(const std::string& name, const std::string& text) {
    perdure::testing::write_file(programs / name, "#!/bin/sh\n" + text);
    ASSERT_EQ(::chmod((programs / name).c_str(), 0755), 0);
  }
  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const {
    words.insert(words.begin(), {PERDURE_PROGRAM, "--runtime-dir=" + directory / "run", "run"});
    return words;
  }
  [[nodiscard]] perdure::testing::ProcessOptions options() const {
    return {.env = {{"PERDURE_LIBEXEC_DIR", programs.path()}, {"LISTEN_FDS", "1"}}};
  }
  TempDir directory, programs;
};

TEST_F(RunTest, TheKeeperGetsItsDescriptorsAndArguments) {
  program("perdure-keeper",
          "echo \"$@\"\necho pid $$ locked $(cat /proc/$$/fd/6)\n"
          "for fd in 3 4 5 6 7 8; do readlink /proc/$$/fd/$fd; done\nls /proc/$$/fd | sort -n | tr '\\n' ' '\necho "
          "\"[$LISTEN_FDS]\"\n");
  program("perdure-executor", "");
  program("perdure-manager", "");
  ::mkdir((directory / "units").c_str(), 0700);
  Process process{command({"--unit-path", directory / "units", "web"}), options()};
  const pid_t pid = process.pid();
  ASSERT_TRUE(process.wait().success()) << process.output();
  const std::string run = directory / "run", number = std::to_string(pid);
  EXPECT_THAT(process.output(), HasSubstr("--runtime-dir=" + run + " --state-dir=" + run + "/state --log-dir=" + run +
                                          "/log --unit-path=" + directory / "units" + " -- web.service\n"));
  EXPECT_THAT(process.output(), HasSubstr("pid " + number + " locked " + number + "\n"));
  EXPECT_THAT(process.output(),
              HasSubstr(programs / "perdure-keeper\n" + programs / "perdure-executor\n" + programs / "perdure-manager\n" +
                        run + "/lock\n" + run + "/state/lock\n" + run + "/log/lock\n"));
  EXPECT_THAT(process.output(), HasSubstr("[]\n"));
}

TEST_F(RunTest, ACommandIsRunAsAUnitThatIsWrittenForIt) {
  program("perdure-keeper", "echo \"$@\"\n");
  program("perdure-executor", "");
  program("perdure-manager", "");
  const auto finished =
      perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + directory / "run", "run", "--console=prefix",
                             "--unit-path=" + directory.path(), "--", "sh", "-c", "echo $HOME"},
                            options());
  EXPECT_TRUE(finished.status.success()) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr(" --console=prefix -- " + directory / "run/transient/sh.service" + "\n"));
  const auto unit = perdure::testing::read_file(directory / "run/transient/sh.service");
  ASSERT_TRUE(unit);
  EXPECT_THAT(*unit, HasSubstr("/sh -c \"echo $$HOME\"\nWorkingDirectory=/"));
  EXPECT_THAT(*unit, HasSubstr("Restart=no\n\n[X-Perdure]\nEssential=yes\n"));
}

TEST_F(RunTest, TheLockGoesAlongWithTheKeeper) {
  // The keeper's own standard input is /dev/null, so it waits at a gate.
  const std::string gate = directory / "gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  program("perdure-keeper", "echo started\n[ -e '" + gate + "' ] && read line < '" + gate + "'\nexit 0\n");
  program("perdure-executor", "");
  program("perdure-manager", "");
  Process first{command({"web"}), options()};
  ASSERT_TRUE(first.wait_for_output("started"));
  const auto second = perdure::testing::run(command({"web"}), options());
  EXPECT_EQ(second.status.value(), 1);
  EXPECT_THAT(second.output, HasSubstr("perdure: already running (pid " + std::to_string(first.pid()) + ")"));
  perdure::testing::write_file(gate, "go\n");
  EXPECT_TRUE(first.wait().success());
  ::unlink(gate.c_str());
  EXPECT_TRUE(perdure::testing::run(command({"web"}), options()).status.success());
}

TEST_F(RunTest, AnotherRuntimeDirectoryDoesNotMakeTheSameStateDirectoryAnothers) {
  const std::string gate = directory / "gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  program("perdure-keeper", "echo started\nread line < '" + gate + "'\nexit 0\n");
  program("perdure-executor", "");
  program("perdure-manager", "");
  Process first{command({"web"}), options()};
  ASSERT_TRUE(first.wait_for_output("started"));
  const std::string state = directory / "run/state";
  const auto second = perdure::testing::run(
      {PERDURE_PROGRAM, "--runtime-dir=" + directory / "beside", "--state-dir=" + state, "run", "web"}, options());
  EXPECT_EQ(second.status.value(), 1);
  EXPECT_EQ(second.output, "perdure: cannot start: the state directory " + state +
                               " is in use by the instance with runtime directory " + directory / "run" + " (keeper PID " +
                               std::to_string(first.pid()) +
                               "); use --state-dir=DIR to name another; nothing was started\n");
  perdure::testing::write_file(gate, "go\n");
  EXPECT_TRUE(first.wait().success());
}

TEST_F(RunTest, AProgramThatIsMissingIsNamedWithThePlaces) {
  const auto finished = perdure::testing::run(command({"web"}), options());
  EXPECT_EQ(finished.status.value(), 1);
  EXPECT_THAT(finished.output,
              HasSubstr("cannot find the program perdure-keeper in " + programs.path() + "; nothing was started"));
  program("perdure-keeper", "");
  ASSERT_EQ(::chmod((programs / "perdure-keeper").c_str(), 0644), 0);
  EXPECT_THAT(perdure::testing::run(command({"web"}), options()).output, HasSubstr("it is no program; nothing was started"));
}

TEST_F(RunTest, ClosedStandardDescriptorsAreFilledFirst) {
  program("perdure-keeper", "readlink /proc/$$/fd/0 /proc/$$/fd/3\n");
  program("perdure-executor", "");
  program("perdure-manager", "");
  auto closed = options();
  closed.closed_fds = {0};
  const auto finished = perdure::testing::run(command({"web"}), closed);
  EXPECT_TRUE(finished.status.success()) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("/dev/null\n" + programs / "perdure-keeper\n"));
}

}  // namespace
}  // namespace perdure::supervisor
