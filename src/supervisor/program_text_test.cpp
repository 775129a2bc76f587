#include "supervisor/program_text.hpp"

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>

namespace perdure::supervisor {
namespace {

/// What of the mapping around `address` is in memory, in KiB, as /proc/self/smaps tells.
long resident_kib(std::uintptr_t address) {
  std::ifstream smaps{"/proc/self/smaps"};
  bool is_there = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream words{line};
    std::string first;
    words >> first;
    if (const std::size_t dash = first.find('-'); dash != std::string::npos && first.back() != ':') {
      const auto begin = std::stoull(first.substr(0, dash), nullptr, 16);
      const auto end = std::stoull(first.substr(dash + 1), nullptr, 16);
      is_there = begin <= address && address < end;
    } else if (is_there && first == "Rss:") {
      long kib = -1;
      words >> kib;
      return kib;
    }
  }
  return -1;
}

TEST(ProgramText, IsGivenBackAndComesBackWhenUsed) {
  const auto here = reinterpret_cast<std::uintptr_t>(&release_program_text);
  std::ostringstream much_code;  // formatting and locales: pages that nothing below uses
  much_code << 1.25 << std::hex << 42;
  const long before = resident_kib(here);
  ASSERT_GT(before, 0);
  release_program_text();
  const long after = resident_kib(here);
  EXPECT_GT(after, 0) << "what runs is in memory";
  EXPECT_LT(after, before);
  EXPECT_EQ(much_code.str(), "1.252a");
}

}  // namespace
}  // namespace perdure::supervisor
