#include "supervisor/unit_directories.hpp"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
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

/// From the link's directory to the unit's: as many steps up as the link is deep.
std::string target_of(const unit::DirectoryLink& link) {
  std::string target;
  for (const char c : link.path) target += c == '/' ? "../" : "";
  return target + link.directory;
}

bool leads_to(int parent, const std::string& name, const std::string& target) {
  std::array<char, PATH_MAX> found{};
  const ssize_t size = sys::readlinkat(parent, name.c_str(), found.data(), found.size());
  return size >= 0 && std::string_view{found.data(), static_cast<std::size_t>(size)} == target;
}

Result<void> make_link(const std::string& base, const unit::DirectoryLink& link) {
  PERDURE_TRY(const Place place, place_of(base, link.path, MissingParts::Make));
  const std::string target = target_of(link);
  if (sys::symlinkat(target.c_str(), place.parent.get(), place.last.c_str()) == 0) return {};
  if (errno != EEXIST) return Error::from_errno(errno, "make the link", place.last);
  if (leads_to(place.parent.get(), place.last, target)) return {};
  return Error{"something else stands where the link is to be (EEXIST); move it away", EEXIST};
}

/// Only what make_link() made.
Result<void> remove_link(const std::string& base, const unit::DirectoryLink& link) {
  const Result<Place> place = place_of(base, link.path, MissingParts::Refuse);
  if (!place) return place.error().code() == ENOENT ? Result<void>{} : Result<void>{place.error()};
  if (!leads_to(place->parent.get(), place->last, target_of(link))) return {};
  if (sys::unlinkat(place->parent.get(), place->last.c_str(), 0) != 0)
    return Error::from_errno(errno, "remove", place->last);
  return {};
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
    for (const unit::DirectoryLink& link : service.directories[i].links) {
      const Result<void> made = make_link(bases[i], link);
      if (!made) return DirectoryFailure{kind, told(kind, bases[i], link.path, made.error())};
    }
  }
  return std::nullopt;
}

Result<void> remove_runtime_directories(const unit::ServiceSpec& service, const DirectoryBases& bases) {
  constexpr auto kind = DirectoryKind::Runtime;
  const std::string& base = bases[static_cast<std::size_t>(kind)];
  std::optional<Error> first;
  if (base.empty()) return {};
  const auto note = [&](const std::string& name, const Result<void>& removed) {
    if (!removed && !first)
      first = Error{
          fmt::format("{}{}: cannot remove {}/{}: {}", directive_of(kind), name, base, name, removed.error().message()),
          removed.error().code()};
  };
  for (const unit::DirectoryLink& link : service.directories[static_cast<std::size_t>(kind)].links)
    note(link.path, remove_link(base, link));
  for (const std::string& name : service.directories[static_cast<std::size_t>(kind)].names) {
    const Result<Place> place = place_of(base, name, MissingParts::Refuse);
    if (!place && place.error().code() == ENOENT) continue;
    note(name, place ? remove_tree(place->parent.get(), place->last) : Result<void>{place.error()});
  }
  if (first) return *first;
  return {};
}

}  // namespace perdure::supervisor
