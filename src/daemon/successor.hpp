// Successor: the predecessor's side of an upgrade: the process it starts in its place, and the line to it.
//
// The same program file, by the path it was started from, with the same arguments, environment and directory. Everything it is
// given travels in one message that waits for it before it runs: all descriptors or none. What it says on standard error until
// it reports faults itself is kept, at most said_max bytes, for whoever asked for the upgrade.
// Left out: when to do what (upgrade.hpp). Thread safety: one thread. Fork: a child must not use it. Signal safety: none.
//
//     PERDURE_TRY(auto successor, daemon::Successor::start(invocation, offer, fds));
//     // whenever line() or pidfd() is readable:
//     while (auto news = successor.hear()) …
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "perdure/exit_status.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"
#include "process/start_protocol.hpp"
#include "wire/hand_over.hpp"

namespace perdure::daemon {

/// The environment variable that names the successor's end of the line.
inline constexpr const char* successor_variable = "PERDURE_SUCCESSOR";

/// How this process was started. Written down in the first lines of run(), before anything of it is taken or changed.
struct Invocation {
  /// As the shell or the init named it, made absolute: a symbolic link that is part of it may lead elsewhere by the next time.
  std::string program{};
  std::vector<std::string> arguments{};    ///< with the program's name
  std::vector<std::string> environment{};  ///< NAME=value, without what is meant for one process alone
  std::string directory{};

  static Invocation of_this_process(int argc, char** argv);
};

class Successor {
 public:
  static constexpr std::size_t said_max = 64 * 1024;

  struct Circumstances {
    std::vector<std::string> variables{};  ///< NAME=value, besides those of the invocation
    /// It is to be a child of our parent, an init. systemd does not wait in a stop for a main process that was not its child when
    /// it heard of it, and kills it at once (unit_kill_context, v252). How it ended is then not for us to know.
    bool is_for_init = false;
  };
  /// Starts it. `fds` belong to the items of `offer`, in their order; they stay ours. On failure: there is no process.
  static Result<Successor> start(const Invocation& invocation, const wire::HandOver& offer, std::span<const int> fds,
                                 const Circumstances& circumstances);
  Successor(Successor&&) noexcept = default;
  Successor& operator=(Successor&&) = delete;
  ~Successor() = default;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// For poll(2); -1 once it has closed its end.
  [[nodiscard]] int line() const noexcept { return line_.get(); }
  [[nodiscard]] int pidfd() const noexcept { return process_.get(); }

  struct News {
    process::StartNews what{};
    std::string text{};
  };
  /// The next word, if one has come. Never waits.
  std::optional<News> hear();
  /// Tells it that it is in charge, and gives it the lock of the PID file that names it.
  Result<void> put_in_charge(int lock, bool shall_reload);
  /// Its end of the line sees that we have gone.
  void hang_up() noexcept;
  /// Nothing happens where it has ended.
  void signal(int number) noexcept;
  /// How it ended, if it has. Reaps it.
  std::optional<ExitStatus> ended();
  /// The end of what it said on standard error, on one line.
  [[nodiscard]] std::string said() const;

 private:
  Successor() = default;
  pid_t pid_ = 0;
  UniqueFd process_{}, line_{}, said_{};
};

}  // namespace perdure::daemon
