// unit_restart RUNTIME_DIR UNIT COUNT: kill -9 the main process of a unit again and again, and show how soon the next one was started.
//
// Asks the instance over its control socket, as any program may: who is the main process, and when was it started?
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "perdure/control.hpp"
#include "perdure/unique_fd.hpp"

namespace {

using namespace std::chrono_literals;

struct MainProcess {
  long pid = 0;
  long long started_us = 0;
};

long number_after(const std::string& json, const std::string& name) {
  const std::size_t at = json.find('"' + name + "\":");
  long value = 0;
  if (at != std::string::npos) std::from_chars(json.data() + at + name.size() + 3, json.data() + json.size(), value);
  return value;
}

bool ask(perdure::ControlClient& client, const std::string& unit, MainProcess& process) {
  const std::string request =
      R"({"verb":"show","units":[")" + unit + R"("],"properties":["MainPID","ExecMainStartTimestampMonotonic"]})";
  const auto reply = client.request_object(request, 5s);
  if (!reply || !reply->ok) return false;
  process = {number_after(reply->json, "MainPID"), number_after(reply->json, "ExecMainStartTimestampMonotonic")};
  return true;
}

long long now_us() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000LL + time.tv_nsec / 1000;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: unit_restart RUNTIME_DIR UNIT COUNT\n"), 64;
  const std::string unit = argv[2];
  const std::size_t kills = static_cast<std::size_t>(std::clamp(std::atoi(argv[3]), 1, 1000));
  auto client = perdure::ControlClient::connect(std::string{argv[1]} + "/control.sock");
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message().c_str()), 1;

  std::vector<double> milliseconds;
  while (milliseconds.size() < kills) {
    MainProcess before;
    if (!ask(*client, unit, before) || before.pid <= 1) return std::fprintf(stderr, "%s does not run\n", unit.c_str()), 1;
    const perdure::UniqueFd victim{static_cast<int>(syscall(SYS_pidfd_open, before.pid, 0))};
    const long long killed = now_us();
    if (!victim || syscall(SYS_pidfd_send_signal, victim.get(), SIGKILL, nullptr, 0) != 0) return std::perror("kill"), 1;
    MainProcess after;
    const long long patience = killed + 10'000'000;
    do {
      if (!ask(*client, unit, after)) return std::fprintf(stderr, "the instance does not answer\n"), 1;
    } while ((after.pid == 0 || after.pid == before.pid) && now_us() < patience);
    if (after.pid == 0 || after.pid == before.pid) return std::fprintf(stderr, "%s was not restarted\n", unit.c_str()), 1;
    milliseconds.push_back(static_cast<double>(after.started_us - killed) / 1e3);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("%s killed %zu times with SIGKILL; its next process was started after %.2f ms (median), %.2f ms (worst)\n",
              unit.c_str(), kills, milliseconds[kills / 2], milliseconds.back());
  return 0;
}
