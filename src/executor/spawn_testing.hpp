// What keeper and executor are told with, in tests: a spawn spec out of words, memory files, pipes. For tests only.
//
// What fails throws. Thread safety: all.
//
//     const UniqueFd spec = memory_file(spec_bytes({.arguments = {"/bin/sh", "-c", "exit 3"}}));
#pragma once

#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::executor {

inline int checked(int result, const char* attempt) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), attempt);
  return result;
}

/// A spawn spec in words; `fixed` is what has no text.
struct Program {
  std::vector<std::string> arguments{};  ///< the first one is also the path
  std::vector<std::string> environment{};
  std::string working_directory{};
  std::vector<std::uint32_t> groups{};
  std::string root_directory{};
  struct Mount {
    std::string source{};
    std::string destination{};
    std::uint32_t flags = 0;
  };
  std::vector<Mount> mounts{};
  std::vector<std::vector<sock_filter>> filters{};
  wire::SpawnSpec fixed{};
};

inline std::vector<char> spec_bytes(const Program& program) {
  wire::SpawnSpec spec = program.fixed;
  std::vector<char> bytes(sizeof spec);
  const auto text = [&bytes](const std::string& value) {
    const auto offset = static_cast<std::uint32_t>(bytes.size());
    bytes.insert(bytes.end(), value.begin(), value.end());
    bytes.push_back('\0');
    return offset;
  };
  const auto numbers = [&bytes](const std::vector<std::uint32_t>& values) {
    bytes.resize((bytes.size() + 3) & ~std::size_t{3});
    const auto offset = static_cast<std::uint32_t>(bytes.size());
    bytes.resize(bytes.size() + values.size() * sizeof(std::uint32_t));
    if (!values.empty()) std::memcpy(bytes.data() + offset, values.data(), values.size() * sizeof(std::uint32_t));
    return offset;
  };
  const auto texts = [&](const std::vector<std::string>& values) {
    std::vector<std::uint32_t> offsets;
    for (const std::string& value : values) offsets.push_back(text(value));
    return numbers(offsets);
  };
  spec.program = text(program.arguments.at(0));
  spec.argument_count = static_cast<std::uint32_t>(program.arguments.size());
  spec.arguments = texts(program.arguments);
  spec.environment_count = static_cast<std::uint32_t>(program.environment.size());
  spec.environment = texts(program.environment);
  spec.group_count = static_cast<std::uint32_t>(program.groups.size());
  spec.groups = numbers(program.groups);
  if (!program.working_directory.empty()) spec.working_directory = text(program.working_directory);
  if (!program.root_directory.empty()) spec.root_directory = text(program.root_directory);
  std::vector<std::uint32_t> mounts;
  for (const Program::Mount& mount : program.mounts) {
    mounts.push_back(text(mount.source));
    mounts.push_back(text(mount.destination));
    mounts.push_back(mount.flags);
  }
  spec.mount_count = static_cast<std::uint32_t>(program.mounts.size());
  spec.mounts = numbers(mounts);
  std::vector<std::uint32_t> filters;
  for (const std::vector<sock_filter>& filter : program.filters) {
    std::vector<std::uint32_t> words(2 * filter.size());
    if (!filter.empty()) std::memcpy(words.data(), filter.data(), filter.size() * sizeof filter[0]);
    filters.push_back(numbers(words));
    filters.push_back(static_cast<std::uint32_t>(filter.size()));
  }
  spec.filter_count = static_cast<std::uint32_t>(program.filters.size());
  spec.filters = numbers(filters);
  bytes.push_back('\0');
  spec.size = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &spec, sizeof spec);
  return bytes;
}

/// A memfd with these bytes.
inline UniqueFd memory_file(std::span<const char> bytes) {
  UniqueFd file{checked(::memfd_create("test", MFD_CLOEXEC), "make a memory file")};
  if (::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    checked(-1, "write a memory file");
  return file;
}

struct PipeEnds {
  UniqueFd reader;
  UniqueFd writer;
};
inline PipeEnds make_pipe() {
  int fds[2];
  checked(::pipe2(fds, O_CLOEXEC), "make a pipe");
  return {UniqueFd{fds[0]}, UniqueFd{fds[1]}};
}

/// All that comes until the last writer is gone.
inline std::string read_to_end(const UniqueFd& reader) {
  std::string text;
  char block[4096];
  for (;;) {
    pollfd polled{reader.get(), POLLIN, 0};
    if (::poll(&polled, 1, static_cast<int>(std::chrono::milliseconds{testing::hang_limit}.count())) <= 0)
      throw std::runtime_error("the pipe stays open");
    const ssize_t count = ::read(reader.get(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(block, static_cast<std::size_t>(count));
  }
}

}  // namespace perdure::executor
