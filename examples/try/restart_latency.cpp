// restart_latency: kill -9 a supervised worker again and again, and show how soon the next one runs.
//
// This program starts itself in the role of the supervising parent; each of its workers writes its pid and the time of its
// first instruction to a pipe.
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "perdure/command.hpp"
#include "perdure/perdure.hpp"
#include "perdure/supervise.hpp"
#include "perdure/unique_fd.hpp"

namespace {

constexpr int report_fd = 3;
constexpr int kills = 21;

struct Report {
  pid_t worker;
  long long nanoseconds;
};

long long now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

int work(const perdure::WorkerStart&) {
  const Report report{getpid(), now()};
  if (write(report_fd, &report, sizeof report) != sizeof report) return 1;
  for (;;) pause();
}

bool next(int fd, Report& report) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, 10'000) == 1 && read(fd, &report, sizeof report) == sizeof report;
}

int measure() {
  int ends[2];
  if (pipe(ends) != 0) return std::perror("pipe"), 1;
  perdure::UniqueFd reports{ends[0]}, writer{ends[1]};
  auto parent = perdure::Command::self({"--role=parent"}).pass_fd(writer.get(), report_fd).spawn();
  if (!parent) return std::fprintf(stderr, "%s\n", parent.error().message().c_str()), 1;

  Report report{};
  std::vector<double> milliseconds;
  bool runs = next(reports.get(), report);
  while (runs && milliseconds.size() < kills) {
    // The worker is our own child's child, and alive: it has just told us its pid.
    const perdure::UniqueFd worker{static_cast<int>(syscall(SYS_pidfd_open, report.worker, 0))};
    const long long killed = now();
    if (!worker || syscall(SYS_pidfd_send_signal, worker.get(), SIGKILL, nullptr, 0) != 0) return std::perror("kill"), 1;
    runs = next(reports.get(), report);
    if (runs) milliseconds.push_back(static_cast<double>(report.nanoseconds - killed) / 1e6);
  }
  if (milliseconds.empty()) return std::fprintf(stderr, "no worker was restarted\n"), 1;
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("%zu workers killed with SIGKILL; the next one ran after %.2f ms (median), %.2f ms (worst)\n",
              milliseconds.size(), milliseconds[milliseconds.size() / 2], milliseconds.back());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--role=parent") == 0) {
    auto supervised = perdure::supervise({}, work);
    return supervised ? supervised->exit_code() : 1;
  }
  return measure();
}
