// Figures: what the server counts, for its log and for `daemon_server metrics`. Thread safety: all.
#pragma once

#include <memory_resource>

#include "perdure/run.hpp"

struct Figures {
  std::atomic<std::int64_t> connections{0}, refused{0}, not_accepted{0}, requests{0}, heap_requests{0};

  [[nodiscard]] std::vector<perdure::Metric> metrics() const {
    return {{"daemon_server_connections", "Clients that are connected.", &connections, perdure::Metric::Kind::Gauge},
            {"daemon_server_refused_total", "Clients beyond max_connections.", &refused},
            {"daemon_server_not_accepted_total", "Attempts that failed, as without descriptors.", &not_accepted},
            {"daemon_server_requests_total", "Lines that were answered.", &requests},
            {"daemon_server_heap_requests_total", "How often the memory pool asked the heap.", &heap_requests}};
  }
};

/// The heap below a memory pool. It counts how often it is asked: soon no more.
class CountedHeap final : public std::pmr::memory_resource {
 public:
  explicit CountedHeap(std::atomic<std::int64_t>& asked) : asked_(asked) {}

 private:
  void* do_allocate(std::size_t size, std::size_t alignment) override { return ++asked_, heap_->allocate(size, alignment); }
  void do_deallocate(void* p, std::size_t size, std::size_t alignment) override { heap_->deallocate(p, size, alignment); }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  std::atomic<std::int64_t>& asked_;
  memory_resource* const heap_ = std::pmr::new_delete_resource();
};
