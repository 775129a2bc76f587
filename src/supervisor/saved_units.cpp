#include "supervisor/saved_units.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr std::uint32_t frame_magic = 0x55445250;  // "PRDU"
constexpr std::size_t frame_bytes_max = std::size_t{64} << 20;
constexpr std::size_t file_bytes_max = std::size_t{1} << 30;

struct FrameHead {
  std::uint32_t magic = frame_magic;
  std::uint32_t size = 0;  ///< of what follows
  std::uint32_t crc = 0;   ///< of it
};

void put(std::string& frame, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  frame.append(reinterpret_cast<const char*>(&size), sizeof size);
  frame.append(text);
}

/// Takes a text off the front; false where there is none.
bool take(std::string_view& frame, std::string& text) {
  std::uint32_t size = 0;
  if (frame.size() < sizeof size) return false;
  std::memcpy(&size, frame.data(), sizeof size);
  frame.remove_prefix(sizeof size);
  if (frame.size() < size) return false;
  text.assign(frame.substr(0, size));
  frame.remove_prefix(size);
  return true;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

bool decode(std::string_view frame, SavedUnit& unit) {
  std::string number;
  std::string state;
  if (!take(frame, number) || !take(frame, unit.name) || !take(frame, unit.fragment_path) || !take(frame, state) ||
      !take(frame, unit.load_error))
    return false;
  if (number.size() != sizeof unit.id || state.size() != 1) return false;
  std::memcpy(&unit.id, number.data(), sizeof unit.id);
  unit.load_state = static_cast<std::uint8_t>(state[0]);
  while (!frame.empty()) {
    unit::UnitSource source;
    if (!take(frame, source.path) || !take(frame, source.text)) return false;
    unit.sources.push_back(std::move(source));
  }
  return unit.id != core::no_unit;
}

}  // namespace

SavedUnits SavedUnits::create(const std::string& state_dir) {
  const std::string path = state_dir + "/units";
  sys::unlink(path.c_str());
  UniqueFd file{sys::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file) file.reset(sys::memfd_create("perdure-units", MFD_CLOEXEC));
  return SavedUnits{std::move(file)};
}

Result<SavedUnits> SavedUnits::open(const std::string& state_dir) {
  const std::string path = state_dir + "/units";
  UniqueFd file{sys::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!file) return Error::from_errno(errno, "open", path);
  return SavedUnits{std::move(file)};
}

std::vector<SavedUnit> SavedUnits::load() {
  std::vector<SavedUnit> units;
  struct stat status {};
  if (sys::fstat(file_.get(), &status) != 0 || static_cast<std::size_t>(status.st_size) > file_bytes_max) return units;
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t count = sys::pread(file_.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
  }
  std::string_view rest = std::string_view{bytes}.substr(0, have);
  while (rest.size() >= sizeof(FrameHead)) {
    FrameHead head;
    std::memcpy(&head, rest.data(), sizeof head);
    if (head.magic != frame_magic || head.size > frame_bytes_max || head.size > rest.size() - sizeof head) break;
    const std::string_view frame = rest.substr(sizeof head, head.size);
    SavedUnit unit;
    if (checksum(frame) != head.crc || !decode(frame, unit)) break;
    units.push_back(std::move(unit));
    rest.remove_prefix(sizeof head + head.size);
  }
  // What is added from now on must not stand behind a frame that ends the list.
  if (!rest.empty()) sys::ftruncate(file_.get(), static_cast<off_t>(have - rest.size()));
  return units;
}

Result<void> SavedUnits::add(const SavedUnit& unit) {
  std::string body;
  put(body, {reinterpret_cast<const char*>(&unit.id), sizeof unit.id});
  put(body, unit.name);
  put(body, unit.fragment_path);
  const char state = static_cast<char>(unit.load_state);
  put(body, {&state, 1});
  put(body, unit.load_error);
  for (const unit::UnitSource& source : unit.sources) {
    put(body, source.path);
    put(body, source.text);
  }
  FrameHead head;
  head.size = static_cast<std::uint32_t>(body.size());
  head.crc = checksum(body);
  body.insert(0, reinterpret_cast<const char*>(&head), sizeof head);
  const ssize_t written = sys::write(file_.get(), body.data(), body.size());
  if (written == static_cast<ssize_t>(body.size())) return {};
  const int error = written < 0 ? errno : ENOSPC;
  struct stat status {};
  // A part would hide what comes after it.
  if (written > 0 && sys::fstat(file_.get(), &status) == 0) sys::ftruncate(file_.get(), status.st_size - written);
  return Error::from_errno(error, "save", unit.name).with_advice("a new manager would not know it");
}

}  // namespace perdure::supervisor
