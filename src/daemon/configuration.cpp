#include "daemon/configuration.hpp"

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "os/file.hpp"

namespace perdure::daemon {
namespace {

constexpr std::size_t config_file_bytes_max = 1 << 20;

/// One line for whoever asked for the reload; the log has them all.
std::string summary(const std::vector<Diagnostic>& diagnostics) {
  std::string text = diagnostics.front().text();
  if (diagnostics.size() > 1) text += fmt::format(" (and {} more)", diagnostics.size() - 1);
  return text;
}

}  // namespace

Result<detail::SettingSources> read_sources(const detail::ConfigBase& config, const Places& places,
                                            const CommandLine& line) {
  detail::SettingSources sources;
  if (!places.config_file.empty()) {
    sources.file_name = places.config_file;
    auto text = os::read_file(places.config_file, config_file_bytes_max);
    if (text) {
      sources.file_text = *std::move(text);
    } else if (text.error().code() != ENOENT) {
      return std::move(text).error();
    } else if (places.config_must_exist) {
      return Error{"Config file not found: " + places.config_file, ENOENT};
    }
  }
  for (const detail::FieldEntry& field : config.fields()) {
    if (field.env.empty()) continue;
    if (const char* value = std::getenv(field.env.c_str()); value != nullptr)
      sources.environment.emplace_back(field.env, value);
  }
  sources.command_line = line.settings;
  return sources;
}

std::vector<std::string> load_first(detail::ConfigBase& config, const Places& places, const CommandLine& line) {
  auto sources = read_sources(config, places, line);
  if (!sources) return {sources.error().message()};
  auto candidate = config.load(*sources, false);
  std::vector<std::string> faults;
  for (const Diagnostic& diagnostic : candidate.diagnostics) faults.push_back(diagnostic.text());
  if (faults.empty()) config.commit(std::move(candidate));
  return faults;
}

std::string load_what_is_good(detail::ConfigBase& config, const Places& places, const CommandLine& line) {
  const auto faults = load_first(config, places, line);
  if (faults.empty()) return {};
  Places without_file{places};
  without_file.config_file.clear();
  (void)load_first(config, without_file, line);  // where these are wrong too, the defaults stay
  return faults.front();
}

ReloadOutcome reload(detail::ConfigBase& config, const Places& places, const CommandLine& line) {
  // User code runs in here (describe, validate, hooks): whatever it throws is a refusal.
  try {
    auto sources = read_sources(config, places, line);
    if (!sources) return {.refused = sources.error().message()};
    auto candidate = config.load(*sources, true);
    if (!candidate.diagnostics.empty()) return {.refused = summary(candidate.diagnostics)};
    if (auto asked = config.ask_hooks(candidate); !asked) return {.refused = asked.error().message()};
    ReloadOutcome outcome{.refused = {}, .changed = candidate.changed};
    config.commit(std::move(candidate));
    return outcome;
  } catch (const std::exception& error) {
    return {.refused = error.what()};
  } catch (...) {
    return {.refused = "the settings' own code threw something that is not a std::exception"};
  }
}

}  // namespace perdure::daemon
