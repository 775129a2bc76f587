// logger_demo: says four lines, each to a file and to syslog, with perdure's log alone: no daemon around it.
//
//     logger_demo [--log-file PATH] [--warning TEXT]
//
// In the file a line is `[unix seconds] [LEVEL] message`; a syslog daemon hears `<priority>zig-daemon[pid]: message`. Without
// one, the file gets everything all the same.
#include <unistd.h>

#include <cstdio>
#include <string>

#include <fmt/core.h>

#include "perdure/exit_code.hpp"
#include "perdure/log.hpp"

int main(int argc, char** argv) {
  std::string path = "/tmp/zig_daemon.log", warning = "this is a warning message";
  for (int i = 1; i < argc; i += 2) {
    const std::string word = argv[i];
    if (i + 1 == argc || (word != "--log-file" && word != "--warning")) {
      fmt::print(stderr, "usage: logger_demo [--log-file PATH] [--warning TEXT]\n");
      return perdure::exit_usage;
    }
    (word == "--log-file" ? path : warning) = argv[i + 1];
  }

  perdure::Log log{"zig-daemon"};
  if (auto opened = log.open({.format = perdure::LogFormat::UnixSeconds, .path = path, .also_syslog = true}); !opened) {
    fmt::print(stderr, "logger_demo: {}\n", opened.error().message());
    return perdure::exit_cannot_create;
  }
  log.info("daemon starting, pid={}", getpid());
  log.write_text(perdure::Level::Warning, warning);  // from outside: never a format
  log.error("something went wrong: code={}", 42);
  log.info("daemon shutting down");

  fmt::print("Log written to {}\n", path);
  fmt::print("Check syslog: journalctl -t zig-daemon --no-pager\n");
}
