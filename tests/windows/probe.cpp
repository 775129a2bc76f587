// What of daemon.hpp has something behind it on Windows, one thing per run: PROBE VERB [FILE]. Compiled as C++17.
#include "daemon.hpp"

namespace {

using atom::async::DaemonGuard;

int say(const std::string& text) {
  std::cout << text << std::endl;
  return 0;
}

int state() {
  DaemonGuard guard;
  say("before " + guard.toString());
  char* arguments[] = {const_cast<char*>("probe"), nullptr};
  const int code = guard.realStart(1, arguments, [&](int argc, char**) {
    say("during " + guard.toString() + (guard.isRunning() ? " running" : "") + " pid " +
        std::to_string(GetCurrentProcessId()));
    return 41 + argc;
  });
  return say("after " + std::to_string(code) + (guard.isRunning() ? " running" : ""));
}

int failures() {
  DaemonGuard guard;
  const int thrown = guard.startDaemon(
      0, nullptr, [](int, char**) -> int { throw std::runtime_error("no sensor"); }, false);
  const int empty = guard.realStart(0, nullptr, nullptr);
  return say(std::to_string(thrown) + std::to_string(empty));
}

int signals() {
  const bool installed = atom::async::registerSignalHandlers();
  const bool before = atom::async::takeSignal(SIGTERM) || atom::async::stopRequested();
  std::raise(SIGTERM);
  std::raise(SIGTERM);  // the handler must still be there
  const bool after = atom::async::takeSignal(SIGTERM) && !atom::async::takeSignal(SIGTERM) && atom::async::stopRequested();
  return say(std::string{installed ? "1" : "0"} + (before ? "1" : "0") + (after ? "1" : "0"));
}

/// Writes the file, and holds it. Lines on stdin: `check FILE` answers, `crash` ends at once, all others end it.
int hold(const std::string& file) {
  const bool before = atom::async::checkPidFile(file);
  atom::async::writePidFile(file);
  say(std::string{before ? "1" : "0"} + (atom::async::checkPidFile(file) ? "1" : "0") + " " +
      std::to_string(GetCurrentProcessId()));
  for (std::string line; std::getline(std::cin, line) && line.rfind("check ", 0) == 0;)
    say(atom::async::checkPidFile(line.substr(6)) ? "true" : "false");
  return 0;
}

/// Writes the file, and ends without a chance to take it away.
int crash(const std::string& file) {
  atom::async::writePidFile(file);
  std::_Exit(3);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const std::string file = argc > 2 ? argv[2] : "";
  if (verb == "state") return state();
  if (verb == "failures") return failures();
  if (verb == "signals") return signals();
  if (verb == "hold") return hold(file);
  if (verb == "crash") return crash(file);
  if (verb == "check") return say(atom::async::checkPidFile(file) ? "true" : "false");
  if (verb == "write") return atom::async::writePidFile(file), say("wrote");
  if (verb == "default") return say(DaemonGuard{}.getPidFilePath());
  if (verb == "guard") {
    DaemonGuard guard;
    guard.setPidFilePath(file);
    atom::async::writePidFile();
    return say(atom::async::checkPidFile() && guard.getPidFilePath().find(':') != std::string::npos ? "true" : "false");
  }
  return 64;
}
