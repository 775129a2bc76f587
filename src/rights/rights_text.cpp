#include "rights/rights_text.hpp"

#include <optional>

#include <fmt/format.h>

#include "rights/capabilities.hpp"

namespace perdure::rights {

std::string text_of(const Rights& rights) {
  std::string text;
  // Lengths in front, so that no value can be read as the next one's name.
  const auto add = [&text](std::string_view name, std::string_view value) {
    if (!value.empty()) text += fmt::format("{}={}:{} ", name, value.size(), value);
  };
  const auto add_flag = [&](std::string_view name, bool is_set) { add(name, is_set ? "yes" : ""); };
  const auto add_limit = [&](std::string_view name, const std::optional<std::uint64_t>& limit) {
    if (limit) add(name, std::to_string(*limit));
  };
  add("user", rights.user);
  add("group", rights.group);
  add("chroot", rights.chroot);
  if (!rights.keep_caps.empty()) add("keep_caps", names_of(bits_of(rights.keep_caps)));
  if (!rights.ambient_caps.empty()) add("ambient_caps", names_of(bits_of(rights.ambient_caps)));
  add_flag("no_new_privs", rights.no_new_privs);
  if (rights.sandbox != Sandbox::None) {
    add("sandbox", sandbox_name(rights.sandbox));
    add_flag("kills", rights.forbidden_calls == ForbiddenCall::Kills);
    for (const std::string& path : rights.writable) add("writable", path);
  }
  add_limit("open_files", rights.limits.open_files);
  add_limit("core_bytes", rights.limits.core_bytes);
  add_limit("address_space_bytes", rights.limits.address_space_bytes);
  add_limit("processes", rights.limits.processes);
  add_flag("mount", rights.namespaces.mount);
  add_flag("network", rights.namespaces.network);
  add_flag("ipc", rights.namespaces.ipc);
  add_flag("host_name", rights.namespaces.host_name);
  return text;
}

bool loses_capabilities_at_exec(const Rights& rights) noexcept {
  return !rights.user.empty() && (bits_of(rights.keep_caps) & ~bits_of(rights.ambient_caps)) != 0;
}

}  // namespace perdure::rights
