// How much memory does a compat DaemonGuard take, from its construction until the callback is entered?
//
// Counted: sizeof the object and every byte asked of operator new in between, in all three processes of a detached start (a fork
// copies the counter); what was freed again is not taken off. The bytes still held at the callback are said as well.
#include <malloc.h>

#include <array>
#include <cstdlib>
#include <new>
#include <string>

#include "measure.hpp"
#include "perdure/compat/daemon.hpp"
#include "processes.hpp"

namespace {

struct Count {
  bool on = false;
  std::size_t asked = 0;    ///< bytes, in all
  std::ptrdiff_t held = 0;  ///< bytes, as malloc rounds them up
} count;

void* counted_new(std::size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc{};
  if (count.on) {
    count.asked += size;
    count.held += static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  }
  return memory;
}

void counted_delete(void* memory) noexcept {
  if (count.on && memory != nullptr) count.held -= static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

// noinline: g++ otherwise takes free() in one of them for a mistake of its callers.
[[gnu::noinline]] void* operator new(std::size_t size) { return counted_new(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted_new(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { counted_delete(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { counted_delete(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { counted_delete(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { counted_delete(memory); }

namespace {

enum class Start { Foreground, Detached, DetachedWithPidFile };

Count count_until_callback(Start start, const std::string& pid_file) {
  const bench::Line line;
  const bench::Target first = bench::fork_running([&] {
    std::string name = "memory-bench";
    std::array<char*, 2> argv{name.data(), nullptr};
    const std::function<int(int, char**)> callback = [&line](int, char**) {
      count.on = false;
      line.send(count);
      return 0;
    };
    count.on = true;
    atom::async::DaemonGuard guard;
    if (start == Start::DetachedWithPidFile) guard.setPidFilePath(pid_file);
    return guard.startDaemon(1, argv.data(), callback, start != Start::Foreground);
  });
  const Count result = line.receive<Count>();
  (void)first.wait();
  for (const pid_t adopted : bench::children_of(::getpid())) (void)bench::Target{adopted}.wait();
  return result;
}

void measure(const bench::Arguments&, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  const std::string pid_file = directory / "memory.pid";
  constexpr std::size_t bytes_max = 1024;
  for (const auto& [start, what] :
       {std::pair{Start::Foreground, "compat guard, foreground"}, std::pair{Start::Detached, "compat guard, detached"},
        std::pair{Start::DetachedWithPidFile, "compat guard, detached, PID file"}}) {
    const Count result = count_until_callback(start, pid_file);
    const std::size_t all = sizeof(atom::async::DaemonGuard) + result.asked;
    report.row({.what = what,
                .claimed = "1.8 to 2 KB",
                .must_reach = "<= 1 KB",
                .measured = fmt::format("{} bytes", all),
                .verdict = bench::verdict(all <= bytes_max)});
    report.note(fmt::format("{}: object {} + asked of operator new {}; held at the callback (as malloc rounds) {}{}", what,
                            sizeof(atom::async::DaemonGuard), result.asked, result.held,
                            start == Start::DetachedWithPidFile
                                ? fmt::format("; copies of a path of {} characters are in it", pid_file.size())
                                : ""));
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
