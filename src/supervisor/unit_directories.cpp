#include "supervisor/unit_directories.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "os/system.hpp"
#include "supervisor/safe_directory.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;
using unit::DirectoryKind;

constexpr mode_t mode_bits = 07777;

struct Place {
  UniqueFd parent;
  std::string last;
};

Result<Place> place_of(const std::string& base, std::string_view name, MissingParts missing) {
  if (base.empty())
    return Error{"this instance has no place for it; set XDG_RUNTIME_DIR or HOME and start it again (ENOENT)", ENOENT};
  PERDURE_TRY(const UniqueFd top, open_base(base, missing));
  const std::size_t slash = name.rfind('/');
  const std::string_view above = slash == std::string_view::npos ? std::string_view{} : name.substr(0, slash);
  PERDURE_TRY(UniqueFd parent, open_below(top.get(), above, missing));
  return Place{std::move(parent), std::string{name.substr(slash == std::string_view::npos ? 0 : slash + 1)}};
}

Result<void> make_one(DirectoryKind kind, const std::string& base, const std::string& name, mode_t mode, const User& owner,
                      std::vector<std::string>& remarks) {
  PERDURE_TRY(const Place place, place_of(base, name, MissingParts::Make));
  bool is_new = true;
  if (sys::mkdirat(place.parent.get(), place.last.c_str(), mode & 0777) != 0) {
    if (errno != EEXIST) return Error::from_errno(errno, "make", place.last);
    is_new = false;
  }
  PERDURE_TRY(const UniqueFd found, open_below(place.parent.get(), place.last, MissingParts::Refuse));
  const UniqueFd directory{sys::openat(found.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  struct stat status {};
  if (!directory || sys::fstat(directory.get(), &status) != 0) return Error::from_errno(errno, "open", place.last);
  if (kind == DirectoryKind::Configuration && !is_new) {
    if ((status.st_mode & mode_bits) != mode) {
      remarks.push_back(fmt::format("{}{}: it is there with mode {:o} and not {:o}, and stays so", directive_of(kind), name,
                                    status.st_mode & mode_bits, mode));
    }
    return {};
  }
  if ((status.st_mode & mode_bits) != mode && sys::fchmod(directory.get(), mode) != 0)
    return Error::from_errno(errno, "set the mode of", place.last);
  if (kind == DirectoryKind::Configuration || ::geteuid() != 0) return {};
  if (status.st_uid == owner.uid && status.st_gid == owner.gid) return {};
  return give_tree(directory.get(), owner.uid, owner.gid);
}

Error told(DirectoryKind kind, const std::string& base, const std::string& name, const Error& error) {
  return Error{fmt::format("{}{}: cannot prepare {}/{}: {}", directive_of(kind), name, base, name, error.message()),
               error.code()};
}

}  // namespace

std::string_view directive_of(DirectoryKind kind) noexcept {
  switch (kind) {
    case DirectoryKind::Runtime: return "RuntimeDirectory=";
    case DirectoryKind::State: return "StateDirectory=";
    case DirectoryKind::Cache: return "CacheDirectory=";
    case DirectoryKind::Logs: return "LogsDirectory=";
    case DirectoryKind::Configuration: return "ConfigurationDirectory=";
  }
  return "";
}

int directory_exit_code(DirectoryKind kind) noexcept {
  switch (kind) {
    case DirectoryKind::Runtime: return 233;
    case DirectoryKind::State: return 238;
    case DirectoryKind::Cache: return 239;
    case DirectoryKind::Logs: return 240;
    case DirectoryKind::Configuration: return 241;
  }
  return 1;
}

std::optional<DirectoryFailure> make_directories(const unit::ServiceSpec& service, const DirectoryBases& bases,
                                                 const User& owner, std::vector<std::string>& remarks) {
  for (std::size_t i = 0; i < unit::directory_kind_count; ++i) {
    const auto kind = static_cast<DirectoryKind>(i);
    for (const std::string& name : service.directories[i].names) {
      const Result<void> made = make_one(kind, bases[i], name, service.directories[i].mode & mode_bits, owner, remarks);
      if (!made) return DirectoryFailure{kind, told(kind, bases[i], name, made.error())};
    }
  }
  return std::nullopt;
}

Result<void> remove_runtime_directories(const unit::ServiceSpec& service, const DirectoryBases& bases) {
  constexpr auto kind = DirectoryKind::Runtime;
  const std::string& base = bases[static_cast<std::size_t>(kind)];
  std::optional<Error> first;
  for (const std::string& name : service.directories[static_cast<std::size_t>(kind)].names) {
    if (base.empty()) continue;
    const Result<Place> place = place_of(base, name, MissingParts::Refuse);
    if (!place && place.error().code() == ENOENT) continue;
    const Result<void> removed = place ? remove_tree(place->parent.get(), place->last) : Result<void>{place.error()};
    if (!removed && !first)
      first = Error{
          fmt::format("{}{}: cannot remove {}/{}: {}", directive_of(kind), name, base, name, removed.error().message()),
          removed.error().code()};
  }
  if (first) return *first;
  return {};
}

}  // namespace perdure::supervisor
