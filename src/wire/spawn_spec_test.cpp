#include "wire/spawn_spec.hpp"

#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace perdure::wire {
namespace {

/// A spec with a bit of everything.
std::vector<char> good_spec() {
  SpawnSpec spec;
  std::vector<char> bytes(sizeof spec);
  const auto text = [&bytes](const char* value) {
    const auto offset = static_cast<std::uint32_t>(bytes.size());
    bytes.insert(bytes.end(), value, value + std::strlen(value) + 1);
    return offset;
  };
  const auto numbers = [&bytes](const std::vector<std::uint32_t>& values) {
    bytes.resize((bytes.size() + 3) & ~std::size_t{3});
    const auto offset = static_cast<std::uint32_t>(bytes.size());
    bytes.resize(bytes.size() + 4 * values.size());
    std::memcpy(bytes.data() + offset, values.data(), 4 * values.size());
    return offset;
  };
  spec.program = text("/bin/web");
  spec.argument_count = 3;
  spec.arguments = numbers({text("web"), text(""), text("--port=80")});
  spec.environment_count = 2;
  spec.environment = numbers({text("A=1"), text("B=")});
  spec.group_count = 2;
  spec.groups = numbers({4, 33});
  spec.working_directory = text("/srv");
  spec.root_directory = text("/srv/root");
  spec.mount_count = 2;
  const std::uint32_t source = text("/data");
  spec.mounts = numbers({source, text("/mnt"), mount_read_only | mount_recursive, source, source, mount_may_be_missing});
  spec.filter_count = 2;
  const std::uint32_t allow = numbers({6, 0x7fff0000});
  spec.filters = numbers({allow, 1, numbers({6, 0, 6, 0}), 2});
  spec.limits_set = 1U << 7;
  spec.stdout_index = 1;
  spec.size = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &spec, sizeof spec);
  return bytes;
}

/// A copy of exactly these bytes, so that a read beyond them is a read beyond an allocation.
struct Exact {
  explicit Exact(const std::vector<char>& from) : bytes(new char[from.size()]), size(from.size()) {
    if (size > 0) std::memcpy(bytes.get(), from.data(), size);
  }
  [[nodiscard]] const SpawnSpec& spec() const { return *reinterpret_cast<const SpawnSpec*>(bytes.get()); }
  [[nodiscard]] bool is_sound() const { return wire::is_sound(spec(), bytes.get(), size); }
  std::unique_ptr<char[]> bytes;
  std::size_t size;
};

/// Goes wherever the executor goes. False: outside.
bool can_be_followed(const Exact& block) {
  const SpawnSpec& spec = block.spec();
  const auto ends = [&block](std::uint32_t offset) {
    return offset < block.size && std::memchr(block.bytes.get() + offset, '\0', block.size - offset) != nullptr;
  };
  const auto list_ends = [&](std::uint32_t list, std::uint32_t count, bool of_texts) {
    for (std::uint32_t i = 0; i < count; ++i) {
      if (std::size_t{list} + 4 * (std::size_t{i} + 1) > block.size) return false;
      std::uint32_t number = 0;
      std::memcpy(&number, block.bytes.get() + list + 4 * i, 4);
      if (of_texts && !ends(number)) return false;
    }
    return true;
  };
  for (std::uint32_t i = 0; i < spec.mount_count; ++i) {
    SpecMount mount{};
    const std::size_t at = std::size_t{spec.mounts} + i * sizeof mount;
    if (at + sizeof mount > block.size) return false;
    std::memcpy(&mount, block.bytes.get() + at, sizeof mount);
    if (!ends(mount.source) || !ends(mount.destination) || (mount.flags & ~mount_flags_known) != 0) return false;
  }
  for (std::uint32_t i = 0; i < spec.filter_count; ++i) {
    SpecFilter filter{};
    const std::size_t at = std::size_t{spec.filters} + i * sizeof filter;
    if (at + sizeof filter > block.size) return false;
    std::memcpy(&filter, block.bytes.get() + at, sizeof filter);
    if (filter.count == 0 || filter.count > spec_filter_size_max) return false;
    if (filter.instructions + 8 * std::size_t{filter.count} > block.size) return false;
  }
  if (spec.root_directory != 0 && !ends(spec.root_directory)) return false;
  return ends(spec.program) && (spec.working_directory == 0 || ends(spec.working_directory)) &&
         list_ends(spec.arguments, spec.argument_count, true) && list_ends(spec.environment, spec.environment_count, true) &&
         list_ends(spec.groups, spec.group_count, false) && spec.argument_count > 0 &&
         spec.argument_count <= spec_strings_max && spec.environment_count <= spec_strings_max &&
         spec.group_count <= spec_groups_max;
}

std::vector<char> changed(void (*change)(SpawnSpec&)) {
  std::vector<char> bytes = good_spec();
  SpawnSpec spec;
  std::memcpy(&spec, bytes.data(), sizeof spec);
  change(spec);
  std::memcpy(bytes.data(), &spec, sizeof spec);
  return bytes;
}

TEST(SpawnSpec, AGoodOneIsSound) {
  EXPECT_TRUE(Exact{good_spec()}.is_sound());
  EXPECT_TRUE(can_be_followed(Exact{good_spec()}));
}

TEST(SpawnSpec, EveryCutIsNoticed) {
  const std::vector<char> good = good_spec();
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Exact(std::vector<char>(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))).is_sound())
        << size;
  }
}

TEST(SpawnSpec, WhatPointsOutsideIsRefused) {
  for (const auto change : std::initializer_list<void (*)(SpawnSpec&)>{
           [](SpawnSpec& s) { s.magic ^= 1; },
           [](SpawnSpec& s) { s.version = 1; },
           [](SpawnSpec& s) { s.size += 1; },
           [](SpawnSpec& s) { s.program = 0; },
           [](SpawnSpec& s) { s.program = s.size; },
           [](SpawnSpec& s) { s.program = sizeof(SpawnSpec) - 1; },
           [](SpawnSpec& s) { s.working_directory = ~0U; },
           [](SpawnSpec& s) { s.argument_count = 0; },
           [](SpawnSpec& s) { s.argument_count = spec_strings_max + 1; },
           [](SpawnSpec& s) { s.argument_count = 1000; },
           [](SpawnSpec& s) { s.arguments = 0; },
           [](SpawnSpec& s) { s.arguments += 1; },
           [](SpawnSpec& s) { s.arguments = ~3U; },
           [](SpawnSpec& s) { s.environment = s.size; },
           [](SpawnSpec& s) { s.environment_count = ~0U; },
           [](SpawnSpec& s) { s.groups = s.size - 4; },
           [](SpawnSpec& s) { s.group_count = spec_groups_max + 1; },
           [](SpawnSpec& s) { s.limits_set = 1U << spec_limits; },
           [](SpawnSpec& s) { s.flags = spec_flags_known + 1; },
           [](SpawnSpec& s) { s.root_directory = s.size; },
           [](SpawnSpec& s) { s.root_directory = 4; },
           [](SpawnSpec& s) { s.mount_count = spec_mounts_max + 1; },
           [](SpawnSpec& s) { s.mount_count = 40; },
           [](SpawnSpec& s) { s.mounts = 0; },
           [](SpawnSpec& s) { s.mounts += 4; },  // flags where a path should be
           [](SpawnSpec& s) { s.mounts += 2; },
           [](SpawnSpec& s) { s.filter_count = spec_filters_max + 1; },
           [](SpawnSpec& s) { s.filter_count = 3; },
           [](SpawnSpec& s) { s.filters = s.size - 4; },
           [](SpawnSpec& s) { s.filters += 4; },  // a count where an offset should be
           [](SpawnSpec& s) { s.filters = 8; },
           [](SpawnSpec& s) { s.stdin_index = spec_streams_max; },
           [](SpawnSpec& s) { s.stdout_index = ~0U; },
           [](SpawnSpec& s) { s.stderr_index = 0x80000000U; },
       }) {
    EXPECT_FALSE(Exact{changed(change)}.is_sound());
  }
}

TEST(SpawnSpec, AFilterHasBetweenOneAndAllInstructionsThatTheKernelTakes) {
  for (const std::uint32_t count : {0U, spec_filter_size_max + 1, 4000U, ~0U}) {
    std::vector<char> bytes = good_spec();
    SpawnSpec spec;
    std::memcpy(&spec, bytes.data(), sizeof spec);
    std::memcpy(bytes.data() + spec.filters + 4, &count, sizeof count);
    EXPECT_FALSE(Exact{bytes}.is_sound()) << count;
  }
}

TEST(SpawnSpec, AMountWithUnknownFlagsIsRefused) {
  std::vector<char> bytes = good_spec();
  SpawnSpec spec;
  std::memcpy(&spec, bytes.data(), sizeof spec);
  const std::uint32_t flags = mount_flags_known + 1;
  std::memcpy(bytes.data() + spec.mounts + 8, &flags, sizeof flags);
  EXPECT_FALSE(Exact{bytes}.is_sound());
}

TEST(SpawnSpec, TheLastByteMustEndATextOrNoneEnds) {
  std::vector<char> bytes = good_spec();
  bytes.back() = 'x';
  EXPECT_FALSE(Exact{bytes}.is_sound());
}

/// 200,000 mutations: what is called sound can be followed.
TEST(SpawnSpec, WhatIsSoundCanBeFollowed) {
  std::mt19937 random{18};
  const std::vector<char> good = good_spec();
  constexpr std::uint32_t odd[] = {0, 1, 3, 4, 0xff, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, sizeof(SpawnSpec)};
  int sound = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::vector<char> bytes = good;
    for (std::size_t n = 1 + random() % 4; n > 0; --n) {
      const std::size_t at = random() % (bytes.size() - 4);
      if (random() % 2 == 0) {
        bytes[at] = static_cast<char>(random());
      } else {
        const std::uint32_t word =
            random() % 2 == 0 ? odd[random() % std::size(odd)] : static_cast<std::uint32_t>(random() % (2 * bytes.size()));
        std::memcpy(bytes.data() + at / 4 * 4, &word, 4);
      }
    }
    const Exact block{bytes};
    if (!block.is_sound()) continue;
    ++sound;
    ASSERT_TRUE(can_be_followed(block)) << "round " << round;
  }
  EXPECT_GT(sound, 1000) << "or nothing was tried";
}

TEST(SpawnSpec, EveryStepHasWordsOfItsOwn) {
  std::set<std::string> words;
  for (std::uint32_t step = 0; step < static_cast<std::uint32_t>(Step::count_); ++step)
    words.insert(step_words(static_cast<Step>(step)));
  EXPECT_EQ(words.size(), static_cast<std::size_t>(Step::count_));
  EXPECT_STREQ(step_words(static_cast<Step>(999)), "an unknown step");
  EXPECT_STREQ(step_words(Step::Stdio), "setting up standard input, output and error");
  EXPECT_STREQ(step_words(Step::Limits), "setting a resource limit");
  EXPECT_STREQ(step_words(Step::Exec), "executing the program");
}

TEST(SpawnSpec, ExitCodesAreThoseOfSystemdExec) {
  EXPECT_EQ(step_exit_code(Step::WorkingDirectory), 200);
  EXPECT_EQ(step_exit_code(Step::Exec), 203);
  EXPECT_EQ(step_exit_code(Step::Limits), 205);
  EXPECT_EQ(step_exit_code(Step::Stdio), 208);
  EXPECT_EQ(step_exit_code(Step::Group), 216);
  EXPECT_EQ(step_exit_code(Step::User), 217);
  EXPECT_EQ(step_exit_code(Step::RootDirectory), 210);
  EXPECT_EQ(step_exit_code(Step::IoScheduling), 211);
  EXPECT_EQ(step_exit_code(Step::SecureBits), 213);
  EXPECT_EQ(step_exit_code(Step::CpuScheduling), 214);
  EXPECT_EQ(step_exit_code(Step::BoundingSet), 218);
  EXPECT_EQ(step_exit_code(Step::AmbientSet), 218);
  EXPECT_EQ(step_exit_code(Step::Namespace), 226);
  EXPECT_EQ(step_exit_code(Step::NoNewPrivileges), 227);
  EXPECT_EQ(step_exit_code(Step::SystemCallFilter), 228);
  for (std::uint32_t step = 1; step < static_cast<std::uint32_t>(Step::count_); ++step)
    EXPECT_NE(step_exit_code(static_cast<Step>(step)), 0);
}

}  // namespace
}  // namespace perdure::wire
