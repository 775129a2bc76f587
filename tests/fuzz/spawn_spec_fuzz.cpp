// Spawn specs: a block that is_sound() accepts can be followed to the end of every text without leaving it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "wire/spawn_spec.hpp"

namespace wire = perdure::wire;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void follow(const char* bytes, std::size_t size) {
  const auto& spec = *reinterpret_cast<const wire::SpawnSpec*>(bytes);
  if (!wire::is_sound(spec, bytes, size)) return;
  const auto text = [bytes, size](std::uint32_t offset) { require(offset + std::strlen(bytes + offset) < size); };
  const auto texts = [bytes, &text](std::uint32_t list, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      std::uint32_t offset = 0;
      std::memcpy(&offset, bytes + list + 4 * i, sizeof offset);
      text(offset);
    }
  };
  text(spec.program);
  if (spec.working_directory != 0) text(spec.working_directory);
  if (spec.root_directory != 0) text(spec.root_directory);
  for (std::uint32_t i = 0; i < spec.mount_count; ++i) {
    wire::SpecMount mount{};
    std::memcpy(&mount, bytes + spec.mounts + i * sizeof mount, sizeof mount);
    text(mount.source);
    text(mount.destination);
  }
  for (std::uint32_t i = 0; i < spec.filter_count; ++i) {
    wire::SpecFilter filter{};
    std::memcpy(&filter, bytes + spec.filters + i * sizeof filter, sizeof filter);
    require(filter.count > 0 && filter.count <= wire::spec_filter_size_max &&
            filter.instructions + std::size_t{8} * filter.count <= size);
  }
  texts(spec.arguments, spec.argument_count);
  texts(spec.environment, spec.environment_count);
  require(spec.group_count == 0 || spec.groups + 4 * spec.group_count <= size);
  require(spec.argument_count > 0 && spec.argument_count <= wire::spec_strings_max &&
          spec.environment_count <= wire::spec_strings_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::unique_ptr<char[]> exact(new char[size]);
  if (size > 0) std::memcpy(exact.get(), data, size);
  follow(exact.get(), size);
  // The same behind a head that is right, so that what comes after it is reached.
  if (size >= sizeof(wire::SpawnSpec)) {
    auto& spec = *reinterpret_cast<wire::SpawnSpec*>(exact.get());
    spec.magic = wire::spec_magic;
    spec.version = wire::spec_version;
    spec.size = static_cast<std::uint32_t>(size);
    exact[size - 1] = '\0';
    follow(exact.get(), size);
  }
  return 0;
}
