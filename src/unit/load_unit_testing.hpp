// Loading a unit from texts in a test.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unit/unit_spec.hpp"

namespace perdure::unit::testing {

using Loaded = config::Parsed<UnitSpec>;

/// The first text is the unit's file, the others are drop-ins.
inline Loaded load(const std::vector<std::string>& texts, std::string_view name = "web.service",
                   Isolation isolation = Isolation::AsSystemd) {
  std::vector<UnitSource> sources;
  for (std::size_t i = 0; i < texts.size(); ++i)
    sources.push_back(
        {.path = i == 0 ? "/u/web.service" : "/u/web.service.d/" + std::to_string(i) + ".conf", .text = texts[i]});
  return load_unit(UnitName::parse(name).value(), sources, {.runtime_directory = "/run"}, isolation);
}
/// A service with these lines besides its ExecStart=.
inline Loaded load_service(const std::string& lines) { return load({"[Service]\nExecStart=/bin/x\n" + lines}); }
inline ServiceSpec service(const std::string& lines) { return load_service(lines).value.service; }
/// A service with these lines in [Unit].
inline Loaded load_lines(const std::string& lines, std::string_view name = "web.service") {
  return load({"[Unit]\n" + lines + "[Service]\nExecStart=/bin/x\n"}, name);
}

inline std::vector<std::string> texts(const Loaded& loaded) {
  std::vector<std::string> all;
  for (const Diagnostic& d : loaded.diagnostics) all.push_back(d.text());
  return all;
}
inline std::vector<std::string> names(const std::vector<UnitName>& units) {
  std::vector<std::string> all;
  for (const UnitName& unit : units) all.push_back(unit.text());
  return all;
}

}  // namespace perdure::unit::testing
