#include "scan_config.hpp"

#include <cmath>

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

namespace {

constexpr std::chrono::hours interval_max{24 * 366};

struct Fault {
  YAML::Mark where;
  std::string what;
};

double seconds_of(const YAML::Node& node) {
  double seconds = 0;
  if (!node.IsScalar() || !YAML::convert<double>::decode(node, seconds) || !(seconds > 0) ||
      seconds > std::chrono::duration<double>{interval_max}.count())
    throw Fault{node.Mark(), "scan_interval: a number of seconds above 0 is wanted"};
  return seconds;
}

std::string path_of(const YAML::Node& node, const char* key) {
  if (!node.IsScalar() || !node.Scalar().starts_with('/'))
    throw Fault{node.Mark(), fmt::format("{}: an absolute path is wanted", key)};
  std::string path = node.Scalar();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

void take_checks(const YAML::Node& node, ScanConfig& config) {
  config.world_writable = config.setuid = config.listening = false;
  if (!node.IsSequence()) throw Fault{node.Mark(), "checks: a list is wanted"};
  for (const YAML::Node& check : node) {
    const std::string name = check.IsScalar() ? check.Scalar() : "";
    if (name == "world-writable") config.world_writable = true;
    else if (name == "setuid") config.setuid = true;
    else if (name == "listening") config.listening = true;
    else throw Fault{check.Mark(), "checks: there are world-writable, setuid and listening"};
  }
}

void take(const YAML::Node& key, const YAML::Node& value, ScanConfig& config) {
  const std::string name = key.IsScalar() ? key.Scalar() : "";
  if (name == "scan_interval") config.interval = std::chrono::duration<double>{seconds_of(value)};
  else if (name == "root") config.root = path_of(value, "root");
  else if (name == "checks") take_checks(value, config);
  else if (name != "ignore")
    throw Fault{key.Mark(), fmt::format("\"{}\" is no setting: there are scan_interval, root, checks and ignore", name)};
  else if (!value.IsSequence()) throw Fault{value.Mark(), "ignore: a list is wanted"};
  else
    for (const YAML::Node& path : value) config.ignore.push_back(path_of(path, "ignore"));
}

perdure::Error error_at(const std::string& name, const YAML::Mark& where, const std::string& what) {
  if (where.is_null()) return perdure::Error{fmt::format("{}: {}", name, what)};
  return perdure::Error{fmt::format("{}:{}:{}: {}", name, where.line + 1, where.column + 1, what)};
}

}  // namespace

perdure::Result<ScanConfig> parse_scan_config(const std::string& text, const std::string& name) {
  ScanConfig config;
  try {
    const YAML::Node document = YAML::Load(text);
    if (document.IsNull()) return config;
    if (!document.IsMap()) throw Fault{document.Mark(), "settings, as in `scan_interval: 300`, are wanted"};
    for (const auto& setting : document) take(setting.first, setting.second, config);
  } catch (const Fault& fault) {
    return error_at(name, fault.where, fault.what);
  } catch (const YAML::Exception& error) {
    return error_at(name, error.mark, error.msg);
  }
  return config;
}
