// The verbs that tell about unit files and the instance: cat, list-dependencies, verify, is-system-running and the like.
#include <cerrno>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/asking.hpp"
#include "client/rendering.hpp"
#include "os/file.hpp"

namespace perdure::client {

int print_files(Instance& instance, const Arguments& arguments, const Style& style) {
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  const auto answer = instance.ask({{"verb", "cat"}, {"units", *names}});
  if (!answer) return give_up(answer.error());
  const Json& files = list_in(*answer, "files");
  if (!print(arguments.json ? json_line(files) : file_texts(files, style))) return exit_failed;
  if (answer->ok) return exit_done;
  complain(answer->text);
  return exit_failed;
}

int list_dependencies(Instance& instance, const Arguments& arguments, const Style& style) {
  const auto names =
      names_of(instance, arguments.words.empty() ? std::vector<std::string>{"default.target"} : arguments.words);
  if (!names) return give_up(names.error());
  const auto answer = instance.ask(
      {{"verb", "list-dependencies"}, {"units", *names}, {"reverse", arguments.reverse}, {"all", arguments.all}});
  if (!answer) return give_up(answer.error());
  const Json& roots = list_in(*answer, "units");
  if (!print(arguments.json ? json_line(roots) : dependency_tree(roots, arguments.plain, style))) return exit_failed;
  if (answer->ok) return exit_done;
  complain(answer->text);
  return exit_failed;
}

int verify_units(Instance& instance, const Arguments& arguments) {
  Json units = Json::array();
  for (const std::string& word : arguments.words) {
    if (word.find('/') == std::string::npos) {
      units.push_back(unit_name_of(word));
      continue;
    }
    auto path = os::absolute_path(word);
    if (!path) return give_up(path.error());
    units.push_back(*std::move(path));
  }
  const auto answer = instance.ask({{"verb", "verify"}, {"units", units}});
  if (!answer) return give_up(answer.error());
  const Json& findings = list_in(*answer, "findings");
  bool has_error = !answer->ok;
  std::string text;
  for (const Json& finding : findings) {
    has_error = has_error || text_of(finding, "severity") == "error";
    const std::uint64_t line = number_of(finding, "line");
    text += fmt::format("{}{}: {}\n", base::escape(text_of(finding, "path")), line == 0 ? "" : fmt::format(":{}", line),
                        base::escape(text_of(finding, "message")));
  }
  if (!print(arguments.json ? json_line(findings) : text)) return exit_failed;
  if (!answer->ok) complain(answer->text);
  return has_error ? exit_failed : exit_done;
}

int tell_system_state(const Arguments& arguments, const Places& places) {
  std::string state = "offline";  // systemctl's word where nothing runs
  auto instance = Instance::connect(places.control_socket());
  if (!instance && instance.error().code() != ENOENT && instance.error().code() != ECONNREFUSED)
    return give_up(instance.error());
  if (instance) {
    const auto answer = instance->ask({{"verb", "is-system-running"}});
    if (!answer) return give_up(answer.error());
    state = answer->data.is_string() ? answer->data.get<std::string>() : text_of(answer->data, "state");
    if (state.empty()) state = answer->text;
  }
  if (!arguments.quiet && !print(base::escape(state) + '\n')) return exit_failed;
  return state == "running" ? exit_done : exit_failed;
}

int reload_unit_files(Instance& instance) {
  const auto answer = instance.ask({{"verb", "daemon-reload"}});
  return answer ? exit_done : give_up(answer.error());
}

int show_environment(Instance& instance, const Arguments& arguments) {
  const auto answer = instance.ask({{"verb", "show-environment"}});
  if (!answer) return give_up(answer.error());
  const Json& variables = list_in(*answer, "environment");
  if (arguments.json) return print(json_line(variables)) ? exit_done : exit_failed;
  std::string text;
  for (const Json& variable : variables) {
    if (variable.is_string()) text += base::escape(variable.get<std::string>()) + '\n';
  }
  return print(text) ? exit_done : exit_failed;
}

}  // namespace perdure::client
