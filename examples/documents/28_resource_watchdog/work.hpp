// What resource_watchdog does in a round: a correct piece of work, and the leaks that were asked for.
//
// Thread safety: one thread.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "perdure/log.hpp"
#include "perdure/settings.hpp"
#include "perdure/unique_fd.hpp"

struct Settings {
  perdure::Bytes memory_max{50u << 20};
  std::uint64_t fds_max = 100;
  unsigned growing_looks = 0;
  std::chrono::milliseconds check_every{std::chrono::seconds{60}};
  std::chrono::milliseconds round{std::chrono::seconds{1}};
  perdure::Bytes leak_memory{0};
  unsigned leak_fds = 0;
  std::string work_file;
};

void describe(perdure::Fields& f, Settings& s);

/// What a round of work opens: the one half is closed again, the other is the planted leak, never more than a machine can bear.
class Work {
 public:
  explicit Work(perdure::Log& log) : log_(log) {}

  void round(const Settings& settings) {
    if (!settings.work_file.empty())
      if (const perdure::UniqueFd file = open_or_say(settings.work_file, O_WRONLY | O_APPEND | O_CLOEXEC))
        if (write(file.get(), "tick\n", 5) != 5) log_.error("cannot write to {}", settings.work_file);
    if (settings.leak_memory.count != 0 && settings.leak_memory.count <= memory_bound - memory_held_) {
      memory_.emplace_back(settings.leak_memory.count, 'x');
      memory_held_ += settings.leak_memory.count;
    }
    for (unsigned i = 0; i < settings.leak_fds; ++i)
      if (auto fd = open_or_say("/dev/null", O_RDONLY | O_CLOEXEC)) fds_.push_back(std::move(fd));
      else break;
  }

 private:
  perdure::UniqueFd open_or_say(const std::string& path, int flags) {
    perdure::UniqueFd fd{open(path.c_str(), flags)};
    const int fault = fd ? 0 : errno;
    if (std::exchange(last_faults_[path], fault) != fault && fault != 0)  // not in each round again
      log_.error("{}", perdure::Error::from_errno(fault, "open", path).message());
    return fd;
  }

  static constexpr std::uint64_t memory_bound = 1u << 30;
  perdure::Log& log_;
  std::map<std::string, int> last_faults_;
  std::uint64_t memory_held_ = 0;
  std::vector<std::string> memory_;
  std::vector<perdure::UniqueFd> fds_;
};
