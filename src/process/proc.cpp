#include "process/proc.hpp"

#include <array>
#include <vector>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::process {

namespace sys = os::sys;

std::optional<std::string> read_proc_file(const char* path) {
  const UniqueFd file{sys::open(path, O_RDONLY | O_CLOEXEC)};
  if (!file) return std::nullopt;
  std::string text(proc_file_max, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = sys::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

std::optional<std::uint64_t> status_field(std::string_view status, std::string_view name) {
  for (std::string_view line : base::lines(status)) {
    if (!base::remove_prefix(line, name) || !base::remove_prefix(line, ":")) continue;
    const auto words = base::words(line);
    return words.empty() ? std::nullopt : base::parse_number<std::uint64_t>(words.front());
  }
  return std::nullopt;
}

std::optional<int> number_of_entry(const char* name) noexcept { return base::parse_number<int>(name); }

std::optional<ProcStat> read_proc_stat(pid_t pid) {
  const auto text = read_proc_file(("/proc/" + std::to_string(pid) + "/stat").c_str());
  if (!text) return std::nullopt;
  // The program's name stands in parentheses and may contain any, so the fields begin behind the last one.
  const auto name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const auto fields = base::words(std::string_view{*text}.substr(name_end + 1));
  constexpr std::size_t state = 0, group = 2, session = 3, start_time = 19;
  if (fields.size() <= start_time || fields[state].size() != 1) return std::nullopt;
  const auto group_number = base::parse_number<pid_t>(fields[group]);
  const auto session_number = base::parse_number<pid_t>(fields[session]);
  const auto start = base::parse_number<std::uint64_t>(fields[start_time]);
  if (!group_number || !session_number || !start) return std::nullopt;
  return ProcStat{.state = fields[state][0], .group = *group_number, .session = *session_number, .start_time = *start};
}

}  // namespace perdure::process
