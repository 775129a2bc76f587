// Does a memory pool spare a busy loop the way to the heap? std::pmr::unsynchronized_pool_resource beside new and delete.
//
// Two patterns of a server. Short-lived: a buffer for each request, given back before the next. Many clients: of 1,000 that hold buffers
// of 100 to 8,000 bytes, any one gives its buffer back and takes another. Both memories get the same sizes in the same order.
#include <array>
#include <memory_resource>
#include <random>

#include "measure.hpp"
#include "processes.hpp"

namespace {

constexpr int requests = 200'000;

/// Nanoseconds for a buffer that is taken and given back.
double short_lived(std::pmr::memory_resource& memory, const std::vector<std::size_t>& sizes) {
  const std::int64_t begun = bench::now_ns();
  for (const std::size_t size : sizes) {
    auto* const buffer = static_cast<volatile char*>(memory.allocate(size));
    buffer[0] = 1;
    memory.deallocate(const_cast<char*>(buffer), size);
  }
  return static_cast<double>(bench::now_ns() - begun) / static_cast<double>(sizes.size());
}

double many_clients(std::pmr::memory_resource& memory, const std::vector<std::size_t>& sizes) {
  struct Buffer {
    void* bytes = nullptr;
    std::size_t size = 0;
  };
  std::array<Buffer, 1'000> held{};
  const std::int64_t begun = bench::now_ns();
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    Buffer& one = held[i * 7919 % held.size()];
    if (one.bytes != nullptr) memory.deallocate(one.bytes, one.size);
    one = {memory.allocate(sizes[i]), sizes[i]};
    *static_cast<volatile char*>(one.bytes) = 1;
  }
  const std::int64_t ended = bench::now_ns();
  for (const Buffer& one : held)
    if (one.bytes != nullptr) memory.deallocate(one.bytes, one.size);
  return static_cast<double>(ended - begun) / static_cast<double>(sizes.size());
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  std::mt19937 random{1};
  std::uniform_int_distribution<std::size_t> any{100, 8'000};
  std::vector<std::size_t> sizes(requests);
  for (std::size_t& size : sizes) size = any(random);
  std::pmr::unsynchronized_pool_resource pools{{1024, 128 * 1024}, std::pmr::new_delete_resource()};
  std::pmr::memory_resource& pool = pools;
  std::pmr::memory_resource& heap = *std::pmr::new_delete_resource();
  const int rounds = arguments.rounds_or(arguments.long_run ? 200 : 50);
  struct Pattern {
    const char* what;
    double (*measure)(std::pmr::memory_resource& memory, const std::vector<std::size_t>& sizes);
  };
  for (const auto& [what, pattern] : {Pattern{"memory pool: a buffer for each request", short_lived},
                                      Pattern{"memory pool: buffers of 1,000 clients", many_clients}}) {
    bench::Samples ours, bare, ratio;
    pattern(pool, sizes);
    pattern(heap, sizes);
    for (int i = 0; i < rounds; ++i) {
      const bool is_first = i % 2 == 0;
      const double one = pattern(is_first ? pool : heap, sizes), other = pattern(is_first ? heap : pool, sizes);
      ours.add(is_first ? one : other);
      bare.add(is_first ? other : one);
      ratio.add(is_first ? one / other : other / one);
    }
    report.row({.what = what,
                .measured = bench::median_and(ours, 95),
                .bare_peer = "new and delete: " + bench::median_and(bare, 95),
                .ratio = bench::times(ratio.median())});
  }
  report.note(
      "each is one allocation and one deallocation; a pool also keeps the heap from being torn to pieces, which no time "
      "shows");
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
