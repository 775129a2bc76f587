// Feeds every file of a corpus directory to a fuzz target, so that old crashes stay fixed with any compiler.
//
// Besides the file as it is, each of its prefixes of 0 to 64 bytes is tried, and the file with one byte in turn replaced by
// NUL: cheap neighbours of what once hurt. An empty corpus is a failure: a test that tries nothing proves nothing.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t neighbours_max = 64;

void try_input(const std::vector<std::uint8_t>& input) {
  // A copy of exactly this size, so that AddressSanitizer sees a read past the end.
  const std::vector<std::uint8_t> exact(input);
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::vector<std::uint8_t> read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
    return 2;
  }
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], error)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  if (files.empty()) {
    std::fprintf(stderr, "no input in %s%s%s\n", argv[1], error ? ": " : "", error.message().c_str());
    return 1;
  }
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    std::printf("%s\n", path.filename().c_str());
    std::fflush(stdout);  // the last line names the input, should this be the one that crashes
    const auto input = read(path);
    try_input(input);
    for (std::size_t size = 0; size < std::min(neighbours_max, input.size()); ++size) {
      try_input({input.begin(), input.begin() + static_cast<std::ptrdiff_t>(size)});
      auto holed = input;
      holed[size] = 0;
      try_input(holed);
    }
  }
  return 0;
}
