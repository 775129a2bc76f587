#include "perdure/health_file.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure {
namespace {

constexpr std::size_t content_bytes_max = 32;
constexpr mode_t mode = 0644;  // monitors run as somebody else

std::int64_t unix_seconds(std::chrono::system_clock::time_point time) noexcept {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

Result<void> HealthFile::kick(std::chrono::system_clock::time_point now) const {
  return os::write_file_atomically(path_, fmt::format("{}\n", unix_seconds(now)), mode);
}

Result<void> HealthFile::remove() const {
  if (os::sys::unlink(path_.c_str()) == 0 || errno == ENOENT) return {};
  return Error::from_errno(errno, "remove", path_);
}

Result<std::chrono::seconds> HealthFile::age(const std::string& path, std::chrono::system_clock::time_point now) {
  PERDURE_TRY(const std::string content, os::read_file(path, content_bytes_max, os::Links::Refuse));
  std::string_view text = content;
  if (text.ends_with('\n')) text.remove_suffix(1);
  const auto kicked = base::parse_number<std::int64_t>(text);
  std::int64_t age = 0;
  // A number so far away that the difference does not fit is nobody's clock.
  if (!kicked || __builtin_sub_overflow(unix_seconds(now), *kicked, &age)) {
    return Error{fmt::format("cannot tell a time from {}: {} is not a number of seconds since 1970", base::escape(path),
                             base::quote(text)),
                 EINVAL};
  }
  return std::chrono::seconds{age};
}

}  // namespace perdure
