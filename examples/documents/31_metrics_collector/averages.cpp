#include "averages.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace {

constexpr std::string_view blanks = " \n\r\t";

/// Names are printed on terminals and into logs: printable only.
bool is_name(const std::string& name) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return !name.empty() && name.size() <= name_bytes_max && std::none_of(name.begin(), name.end(), is_control);
}

}  // namespace

Answer Averages::take(std::string_view request) {
  const auto first = request.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {.kind = Answer::Kind::Incomplete};
  request = request.substr(first, request.find_last_not_of(blanks) + 1 - first);
  if (request.front() != '{' || request.size() > request_bytes_max) return {};

  nlohmann::json object;
  try {
    object = nlohmann::json::parse(request);
  } catch (const nlohmann::json::parse_error& error) {
    // The parser names the byte it stumbled over; beyond the last one, it only missed the rest.
    const bool at_end = error.byte > request.size() && request.size() < request_bytes_max;
    return {.kind = at_end ? Answer::Kind::Incomplete : Answer::Kind::Refused};
  } catch (const nlohmann::json::exception&) {
    return {};  // a number that no double holds
  }
  const auto name = object.find("name");
  if (name == object.end() || !name->is_string()) return {};
  const auto& word = name->get_ref<const std::string&>();
  if (word == "dump") return dump();
  const auto value = object.find("value");
  if (!is_name(word) || value == object.end() || !value->is_number()) return {};
  return add(word, value->get<double>());
}

Answer Averages::dump() const {
  Answer answer{.kind = Answer::Kind::Reply, .reply = "dumped"};
  for (const auto& [name, running] : running_)
    answer.dump.push_back(fmt::format(" {}: avg={:.2f} (n={})", name, running.average(), running.count));
  return answer;
}

Answer Averages::add(const std::string& name, double value) {
  auto known = running_.find(name);
  if (known == running_.end()) {
    if (running_.size() >= names_max)
      return {.kind = Answer::Kind::Reply,
              .reply = fmt::format("error: no room for another name ({} at most)\n", names_max)};
    known = running_.emplace(name, Running{}).first;
  }
  Running& running = known->second;
  // A sum beyond what a double holds would spoil the average for ever.
  if (!std::isfinite(running.sum + value)) return {};
  running.sum += value;
  ++running.count;
  return {.kind = Answer::Kind::Reply, .reply = fmt::format("{}: avg={:.2f}\n", name, running.average())};
}
