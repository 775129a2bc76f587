#include "rules.hpp"

#include <cerrno>
#include <fstream>
#include <utility>

perdure::Result<Rules::Snapshot> Rules::load(const std::string& path) {
  std::ifstream file{path};
  if (!file) return perdure::Error::from_errno(errno, "open", path);
  std::string text(file_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return perdure::Error::from_errno(EIO, "read", path);
  if (text.size() > file_bytes_max) return perdure::Error{path + " is larger than 1 MiB"};
  PERDURE_TRY(ScanConfig config, parse_scan_config(text, path));
  return Snapshot{std::make_shared<const ScanConfig>(std::move(config))};
}

void Rules::put_in_force(Snapshot rules) noexcept {
  const std::lock_guard lock{mutex_};
  rules_ = std::move(rules);
}

Rules::Snapshot Rules::get() const {
  const std::lock_guard lock{mutex_};
  return rules_;
}
