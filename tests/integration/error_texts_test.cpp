// What users read when something is wrong with a start, a place or a verb, reviewed as an interface: golden/error_texts.txt.
// PERDURE_REWRITE_GOLDEN=1 writes the file anew.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <regex>
#include <utility>

#include "probe.hpp"

namespace probe {
namespace {

struct ErrorTexts : Daemon {
  std::string said;

  /// What differs between two runs, and between two machines, has a name instead.
  std::string without_chance(std::string text) const {
    for (std::size_t at; (at = text.find(dir.path())) != std::string::npos;) text.replace(at, dir.path().size(), "DIR");
    for (const auto& [number, name] : {std::pair{"pid [0-9]+", "pid N"}, std::pair{"\\([0-9]+\\)", "(N)"}})
      text = std::regex_replace(text, std::regex{number}, name);
    return text;
  }
  void note(const std::string& title, const std::vector<std::string>& words) {
    const Finished finished = run(words);
    said += "# " + title + "\n> probe";
    for (const std::string& word : words) said += " " + without_chance(word);
    said += "\n" + without_chance(finished.output) + "= " + std::to_string(finished.status.value()) + "\n\n";
  }
  /// With the directory as it is before a first start, but for what `prepare` does.
  void note(const std::string& title, const std::function<void()>& prepare, const std::vector<std::string>& words) {
    const auto options_before = options;
    const std::string log_before = log;
    for (const auto& entry : std::filesystem::directory_iterator{dir.path()}) std::filesystem::remove_all(entry.path());
    write_file(config, "number = 1\n");
    prepare();
    note(title, words);
    options = options_before;
    log = log_before;
  }
  void file_of(const std::string& path, off_t size) {
    write_file(path, "");
    ASSERT_EQ(::truncate(path.c_str(), size), 0);
  }
};

TEST_F(ErrorTexts, AreThoseOfTheGoldenFile) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer brings a thread of its own, which the text about threads would name";
#endif
  const auto nothing = [] {};
  const std::string pid = dir / "p.pid", health = dir / "h", file = dir / "file", socket = dir / "c.sock";
  const auto is_file = [&] { write_file(file, "mine\n"); };
  const std::vector<std::string> start{"--daemon", "--pid-file", pid};
  const auto environment = [&](const char* name, std::string value) {
    return [this, name, value = std::move(value)] {
      options.unset_env.clear();
      options.env.emplace_back(name, value);
    };
  };
  const auto configured = [&](std::string text) { return [this, text = std::move(text)] { write_file(config, text); }; };

  said += "## The command line\n\n";
  note("a misspelt option", nothing, {"--foregruond"});
  note("a misspelt verb", nothing, {"statsu"});
  note("both", nothing, {"--foreground", "--daemon"});
  note("start in the foreground", nothing, {"start", "--foreground"});
  note("a level that is none", nothing, {"--log-level=loud"});
  note("an instance that is a path", nothing, {"--instance=a/b"});
  note("a setting that is none", nothing, {"--within=soon"});

  said += "## The start\n\n";
  note("a configuration with two faults", configured("number = two\nnumbr = 1\n"), start);
  note(
      "none", [&] { ::unlink(config.c_str()); }, start);
  note(
      "a directory", [&] { ::unlink(config.c_str()), ::mkdir(config.c_str(), 0700); }, start);
  note(
      "a FIFO", [&] { ::unlink(config.c_str()), ::mkfifo(config.c_str(), 0600); }, start);
  note(
      "a loop of links", [&] { ::unlink(config.c_str()), (void)!::symlink(config.c_str(), config.c_str()); }, start);
  note(
      "a gigabyte", [&] { file_of(config, 1'000'000'000); }, start);
  note("a thread before run()", nothing, {"--daemon", "--do=early-thread"});
  note("a working directory that is not there", environment("PROBE_DIRECTORY", dir / "no"), start);
  note("a notify socket that is none", environment("NOTIFY_SOCKET", "relative"), start);
  note(
      "a watchdog time that is none",
      [&] {
        environment("NOTIFY_SOCKET", dir / "notify")();
        options.env.emplace_back("WATCHDOG_USEC", "never");
      },
      start);
  note("a body that throws", nothing, {"--daemon", "--do=throw"});
  note("one that ends", nothing, {"--daemon", "--do=exit3"});

  said += "## The PID file\n\n";
  note(
      "a link", [&] { (void)!::symlink(file.c_str(), pid.c_str()); }, start);
  note(
      "a directory", [&] { ::mkdir(pid.c_str(), 0700); }, start);
  note(
      "a FIFO", [&] { ::mkfifo(pid.c_str(), 0600); }, start);
  note(
      "a second name", [&] { is_file(), (void)!::link(file.c_str(), pid.c_str()); }, start);
  note("in a directory that is not there", nothing, {"--daemon", "--pid-file", dir / "no/p.pid"});
  note("in a file", is_file, {"--daemon", "--pid-file", file + "/p.pid"});
  note("in everybody's directory", [&] { ::mkdir((dir / "open").c_str(), 0700), ::chmod((dir / "open").c_str(), 0777); },
       {"--daemon", "--pid-file", dir / "open/p.pid"});

  said += "## Log and control socket\n\n";
  note(
      "a directory as log", [&] { ::mkdir(log.c_str(), 0700); }, start);
  note(
      "a link", [&] { (void)!::symlink(file.c_str(), log.c_str()); }, start);
  note(
      "a FIFO", [&] { ::mkfifo(log.c_str(), 0600); }, start);
  note(
      "in a directory that is not there", [&] { log = dir / "no/l.log"; }, start);
  note("a file where the socket belongs", is_file, {"--daemon", "--control", file});
  note("in a directory that is not there", nothing, {"--daemon", "--control", dir / "no/c.sock"});
  note("a path that no socket can have", nothing, {"--daemon", "--control", "/" + std::string(120, 'x')});

  said += "## The health file\n\n";
  const std::vector<std::string> age{"health", "--max-age=5", "--health-file", health};
  note("no number of seconds", nothing, {"health", "--max-age=soon"});
  note("a program that keeps none", nothing, {"health", "--max-age=5"});
  note("missing", nothing, age);
  note(
      "garbage", [&] { write_file(health, "yesterday\n"); }, age);
  note(
      "empty", [&] { write_file(health, ""); }, age);
  note(
      "UTF-16",
      [&] {
        write_file(health, std::string{"\xff\xfe"
                                       "1\0\n\0",
                                       6});
      },
      age);
  note(
      "a gigabyte", [&] { file_of(health, 1'000'000'000); }, age);
  note(
      "a directory", [&] { ::mkdir(health.c_str(), 0700); }, age);
  note(
      "a FIFO", [&] { ::mkfifo(health.c_str(), 0600); }, age);
  note(
      "a link", [&] { (void)!::symlink(file.c_str(), health.c_str()); }, age);
  note("missing, and the configuration is refused", configured("number = two\n"), age);

  said += "## Verbs while nobody runs\n\n";
  for (const char* verb : {"status", "stop", "reload", "health", "number"}) note(verb, nothing, {verb});
  note("status after a crash", [&] { write_file(pid_file, "1234567\n"); }, {"status"});
  for (const char* verb : {"status", "health", "number"}) note("without a socket", nothing, {verb, "--control=none"});
  for (const char* verb : {"start", "stop", "restart"}) note("under an init", environment("NOTIFY_SOCKET", "/no"), {verb});
  note("restart with a wrong configuration", configured("number = two\n"), {"restart"});

  said += "## Verbs beside a running one\n\n";
  note("a start that goes well", nothing, {"start"});
  note("a second start", {"start"});
  note("a command that throws", {"boom"});
  note("one that takes too long", {"slow"});
  note("a level that is none", {"log-level", "loud"});
  write_file(config, "number = two\n");
  note("a reload that is refused", {"reload"});
  note("stop", {"stop"});

  const std::string golden = GOLDEN_DIR "/error_texts.txt";
  if (std::getenv("PERDURE_REWRITE_GOLDEN") != nullptr) write_file(golden, said);
  EXPECT_EQ(said, read_file(golden).value_or(""));
}

}  // namespace
}  // namespace probe
