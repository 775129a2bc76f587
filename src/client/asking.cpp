#include "client/asking.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/text.hpp"
#include "os/clock.hpp"

namespace perdure::client {

std::uint64_t now_us() {
  const auto since_epoch = os::wall_now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
}

int give_up(const Error& error) {
  complain(error.message());
  return error.code() == EACCES || error.code() == EPERM ? exit_no_rights : exit_failed;
}

Result<std::vector<std::string>> names_of(Instance& instance, const std::vector<std::string>& words) {
  std::vector<std::string> names;
  std::optional<std::vector<Json>> known;
  const auto add = [&](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  };
  for (const std::string& word : words) {
    if (!is_pattern(word)) {
      add(unit_name_of(word));
      continue;
    }
    if (!known) {
      PERDURE_TRY(known, instance.list());
    }
    for (const Json& unit : *known) {
      if (std::string id = text_of(unit, "Id"); ::fnmatch(word.c_str(), id.c_str(), 0) == 0) add(std::move(id));
    }
  }
  return names;
}

std::optional<std::string> meant_instead_of(std::string_view name, const std::vector<std::string>& known) {
  // Without the suffix, which would make all services look alike.
  const auto dot = std::min(name.rfind('.'), name.size());
  const std::string_view suffix = name.substr(dot);
  std::vector<std::string_view> stems;
  for (const std::string& other : known) {
    std::string_view stem{other};
    if (!stem.ends_with(suffix)) continue;
    stem.remove_suffix(suffix.size());
    stems.push_back(stem);
  }
  const auto near = base::closest(name.substr(0, dot), stems);
  return near ? std::optional{std::string{*near} + std::string{suffix}} : std::nullopt;
}

std::optional<std::string> meant_instead_of(Instance& instance, std::string_view name) {
  const auto units = instance.list();
  if (!units) return std::nullopt;
  std::vector<std::string> known;
  for (const Json& unit : *units) known.push_back(text_of(unit, "Id"));
  return meant_instead_of(name, known);
}

std::string json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n'; }

Result<Json> instance_properties(Instance& instance, const std::vector<std::string>& properties) {
  Json request{{"verb", "instance"}};
  if (!properties.empty()) request["properties"] = properties;
  PERDURE_TRY(Answer answer, instance.ask(request));
  return answer.data.is_object() ? answer.data.value("instance", Json::object()) : Json::object();
}

const Json& list_in(const Answer& answer, const char* name) {
  static const Json none = Json::array();
  if (answer.data.is_array()) return answer.data;
  if (!answer.data.is_object()) return none;
  const auto member = answer.data.find(name);
  return member != answer.data.end() && member->is_array() ? *member : none;
}

}  // namespace perdure::client
