// Compiling a sample of the document against the compat header, and running it where it can harm nothing.
//
// A sample runs in a mount namespace of its own in which /run, /var/spool and /dev are directories of the test: what it
// writes to its fixed paths stays there, and what it says to syslog(3) can be read. Thread safety: one thread. Not
// signal-safe.
//
//     Workshop workshop;
//     const std::string program = workshop.build("heartbeat", code);
//     EXPECT_EQ(workshop.run(program).status, perdure::ExitStatus::exited(0));
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace conformance {

struct BuildOptions {
  std::string standard = "c++17";
  std::vector<std::string> flags{};      ///< before the source: warnings, macros
  std::vector<std::string> libraries{};  ///< "-lname"
};

class Workshop {
 public:
  Workshop();
  /// Compiles `code` with both compilers (the other one checks only) and links it with this build's library. The program's
  /// path; empty, with the compilers' words as test failures, where one refused it.
  std::string build(const std::string& name, const std::string& code, const BuildOptions& options = {});
  /// What this build's compiler says to `code`; no value where it accepts it.
  std::optional<std::string> refusal(const std::string& code, const BuildOptions& options);

  /// Why samples cannot be run here; empty where they can.
  [[nodiscard]] static std::string obstacle();
  /// The command that runs a program in the namespace.
  [[nodiscard]] std::vector<std::string> in_private(const std::string& program,
                                                    const std::vector<std::string>& arguments = {}) const;
  perdure::testing::Finished run(const std::string& program, const std::vector<std::string>& arguments = {}) const;

  /// Waits until a message with `text` has come to /dev/log.
  bool logged(const std::string& text);
  /// For programs that say more than a socket that nobody reads can hold: what they say is lost.
  void leave_log_unread() { log_socket_.reset(); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return dir_ / name; }

 private:
  perdure::testing::TempDir dir_;
  perdure::UniqueFd log_socket_;
  std::string log_;
};

/// A detached sample: the supervising parent and its worker, found by the file they execute.
class Running {
 public:
  explicit Running(std::string program) : program_(std::move(program)) {}
  /// Living processes of the program.
  [[nodiscard]] std::vector<pid_t> pids() const;
  /// Waits for a worker that is not `other`; 0 at the hang limit.
  [[nodiscard]] pid_t worker(pid_t other = 0) const;
  /// Waits until no process of the program is left.
  [[nodiscard]] bool is_gone() const;

 private:
  std::string program_;
};

}  // namespace conformance
