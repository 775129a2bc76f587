#include "files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "perdure/unique_fd.hpp"

namespace {

namespace fs = std::filesystem;
using perdure::Error;
using perdure::Result;

constexpr std::size_t chunk_bytes = 64 * 1024;

/// On the disk first, or a power cut could leave an empty file under the final name.
Result<void> publish(const FilePair& files) {
  const perdure::UniqueFd file{open(files.hidden.c_str(), O_WRONLY | O_CLOEXEC)};
  if (!file || fdatasync(file.get()) != 0 || std::rename(files.hidden.c_str(), files.to.c_str()) != 0)
    return Error::from_errno(errno, "write", files.to);
  return {};
}

}  // namespace

Result<void, Fault> transform(const FilePair& files, const Transform& line, const std::function<bool()>& go_on) {
  using enum Fault::Of;
  std::error_code unknown;
  if (!fs::is_regular_file(fs::symlink_status(files.from, unknown)))
    return Fault{Input, Error{"cannot read " + files.from + ": it is not a regular file"}};
  std::ifstream input{files.from, std::ios::binary};
  if (!input) return Fault{errno == EMFILE || errno == ENFILE ? Rest : Input, Error::from_errno(errno, "read", files.from)};
  std::ofstream output{files.hidden, std::ios::binary};
  if (!output) return Fault{Rest, Error::from_errno(errno, "create", files.hidden)};

  std::string chunk(chunk_bytes, '\0'), current;
  bool too_long = false;
  const auto end_line = [&] {
    too_long = too_long || current.size() > line_bytes_max;
    line(current);
    output << std::exchange(current, {}) << '\n';
  };
  while (input && output && !too_long) {
    if (!go_on()) return Fault{Rest, Error{"there was no time left for " + files.from}};
    input.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    std::string_view rest{chunk.data(), static_cast<std::size_t>(input.gcount())};
    for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
      current += rest.substr(0, end);
      rest.remove_prefix(end + 1);
      end_line();
    }
    current += rest;
    too_long = too_long || current.size() > line_bytes_max;
  }
  if (input.bad()) return Fault{Input, Error::from_errno(errno, "read", files.from)};
  if (too_long) return Fault{Input, Error{"a line of " + files.from + " is longer than 1 MiB"}};
  if (!current.empty()) end_line();
  output.close();
  if (!output) return Fault{Rest, Error::from_errno(errno, "write", files.hidden)};
  if (const auto published = publish(files); !published) return Fault{Rest, published.error()};
  return {};
}

Result<void> move_file(const FilePair& files) {
  if (std::rename(files.from.c_str(), files.to.c_str()) == 0) return {};
  if (errno != EXDEV) return Error::from_errno(errno, "move", files.from + " to " + files.to);
  std::error_code error;
  fs::copy_file(files.from, files.hidden, fs::copy_options::overwrite_existing, error);
  if (error) return Error::from_errno(error.value(), "copy", files.from + " to " + files.hidden);
  PERDURE_CHECK(publish(files));
  if (unlink(files.from.c_str()) != 0) return Error::from_errno(errno, "remove", files.from);
  return {};
}
