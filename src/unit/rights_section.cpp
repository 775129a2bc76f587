// systemd.exec(5): what a service may do: capabilities, system calls, mounts. A value that cannot be read refuses the unit.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/errno_name.hpp"
#include "unit/capabilities.hpp"
#include "unit/load.hpp"
#include "unit/system_call_groups.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

using perdure::detail::misfit;

// ---- capabilities --------------------------------------------------------------------------------------------------------

// "", "~" and the first line give a whole set; later lines add to it, or take from it with "~".
Result<void> merge_capabilities(std::uint64_t& set, std::uint64_t initial, std::string_view value) {
  const bool is_inverted = base::remove_prefix(value, "~");
  PERDURE_TRY(const std::uint64_t sum, parse_capabilities(value));
  if (sum == 0 || set == initial) {
    set = is_inverted ? ~sum : sum;
  } else {
    set = is_inverted ? set & ~sum : set | sum;
  }
  return {};
}

Result<void> bounding_set(Load& load, std::string_view value) {
  std::optional<std::uint64_t>& bounding = load.service().capability_bounding_set;
  std::uint64_t set = bounding.value_or(all_capabilities);
  PERDURE_CHECK(merge_capabilities(set, all_capabilities, value));
  bounding = set == all_capabilities ? std::nullopt : std::optional{set};
  return {};
}

Result<void> ambient(Load& load, std::string_view value) {
  return merge_capabilities(load.service().ambient_capabilities, 0, value);
}

// By bit, linux/securebits.h.
constexpr std::string_view secure_bits_words[] = {
    "noroot", "noroot-locked", "no-setuid-fixup", "no-setuid-fixup-locked", "keep-caps", "keep-caps-locked"};

Result<void> secure_bits(Load& load, std::string_view value) {
  if (value.empty()) load.service().secure_bits = 0;
  std::uint32_t bits = 0;
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(const std::size_t bit, parse_choice(word, secure_bits_words));
    bits |= std::uint32_t{1} << bit;
  }
  load.service().secure_bits |= bits;
  return {};
}

// ---- system calls --------------------------------------------------------------------------------------------------------

constexpr int errno_max = 4095;
constexpr int kills = 0;

Result<int> parse_error(std::string_view text) {
  if (text == "kill") return kills;
  if (const auto number = base::parse_number<int>(text); number && *number > 0 && *number <= errno_max) return *number;
  for (int code = 1; code < 256; ++code)
    if (base::errno_name(code) == text) return code;
  static constexpr struct {
    std::string_view name;
    int code;
  } second_names[] = {{"EWOULDBLOCK", EWOULDBLOCK}, {"EDEADLOCK", EDEADLOCK}, {"ENOTSUP", ENOTSUP}};
  for (const auto& second : second_names)
    if (second.name == text) return second.code;
  return misfit(text, "is no error; write its name as in errno(3), such as EPERM, or kill");
}

SystemCallFilter& filter_of(Load& load) {
  std::optional<SystemCallFilter>& filter = load.service().system_call_filter;
  if (!filter) filter.emplace();
  return *filter;
}

// One that says nothing is none.
void forget_if_empty(Load& load) {
  std::optional<SystemCallFilter>& filter = load.service().system_call_filter;
  if (filter && !filter->is_allow_list && filter->rules.empty() && filter->architectures.empty() && filter->error == kills)
    filter.reset();
}

// Rules stay sorted by name. What is named again counts anew; what an allow list takes back with an error is refused with it.
void put_rules(SystemCallFilter& filter, std::vector<std::string_view> names, bool is_inverted, int error, bool is_named) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const bool takes_back = is_inverted == filter.is_allow_list && error < 0;
  std::vector<SystemCallRule> merged;
  merged.reserve(filter.rules.size() + names.size());
  auto rule = filter.rules.begin();
  for (const std::string_view name : names) {
    while (rule != filter.rules.end() && rule->name < name) merged.push_back(std::move(*rule++));
    const bool is_again = rule != filter.rules.end() && rule->name == name;
    const bool was_named = is_again && rule->is_named;
    if (is_again) ++rule;
    if (!takes_back) merged.push_back({.name = std::string{name}, .error = error, .is_named = is_named || was_named});
  }
  std::move(rule, filter.rules.end(), std::back_inserter(merged));
  filter.rules = std::move(merged);
}

// The groups within groups are two deep, and none contains itself: SystemCallGroups.EndInSystemCalls.
void add_members(const SystemCallGroup& group, std::vector<std::string_view>& names) {
  for (const std::string_view member : base::words(group.members)) {
    if (member.starts_with('@')) {
      add_members(*find_system_call_group(member), names);
    } else {
      names.push_back(member);
    }
  }
}

void put_group(SystemCallFilter& filter, const SystemCallGroup& group, bool is_inverted, int error) {
  std::vector<std::string_view> names;
  add_members(group, names);
  put_rules(filter, std::move(names), is_inverted, error, false);
}

Result<void> put_word(SystemCallFilter& filter, std::string_view word, bool is_inverted) {
  const std::size_t colon = word.find(':');
  const std::string_view name = word.substr(0, colon);
  int error = -1;
  if (colon != std::string_view::npos) {
    PERDURE_TRY(error, parse_error(word.substr(colon + 1)));
    if (!is_inverted) return misfit(word, "has an error, which only refused system calls have");
  }
  if (const SystemCallGroup* const group = find_system_call_group(name)) {
    put_group(filter, *group, is_inverted, error);
  } else if (name.starts_with('@')) {
    std::vector<std::string_view> names;
    for (const SystemCallGroup& known : system_call_groups()) names.push_back(known.name);
    return misfit(name, "is no group of system calls" + did_you_mean(name, names));
  } else if (is_system_call(name)) {
    put_rules(filter, {name}, is_inverted, error, true);
  } else {
    return misfit(name, "is no system call that is known here");
  }
  return {};
}

// The first line says what the list is: with "~" of what is refused, else of what is allowed besides @default.
Result<void> system_call_filter(Load& load, std::string_view value) {
  SystemCallFilter& filter = filter_of(load);
  if (value.empty()) {
    filter.is_allow_list = load.has_system_call_list = false;
    filter.rules.clear();
    forget_if_empty(load);
    return {};
  }
  const bool is_inverted = base::remove_prefix(value, "~");
  if (!std::exchange(load.has_system_call_list, true) && !is_inverted) {
    filter.is_allow_list = true;
    put_group(filter, *find_system_call_group("@default"), false, -1);
  }
  PERDURE_TRY(const auto words, split_words(value, Escapes::Keep));
  for (const std::string& word : words)
    if (const auto put = put_word(filter, word, is_inverted); !put)
      load.warnings.push_back(put.error().message() + "; it is left out");
  return {};
}

Result<void> system_call_error(Load& load, std::string_view value) {
  int error = kills;
  if (!value.empty()) {
    PERDURE_TRY(error, parse_error(value));
  }
  filter_of(load).error = error;
  forget_if_empty(load);
  return {};
}

constexpr std::string_view architectures[] = {"native",        "x86",    "x86-64",   "x32",        "arm",     "arm64",
                                              "loongarch64",   "mips",   "mips64",   "mips64-n32", "mips-le", "mips64-le",
                                              "mips64-le-n32", "parisc", "parisc64", "ppc",        "ppc64",   "ppc64-le",
                                              "riscv64",       "s390",   "s390x"};

Result<void> system_call_architectures(Load& load, std::string_view value) {
  SystemCallFilter& filter = filter_of(load);
  if (value.empty()) filter.architectures.clear();
  PERDURE_TRY(const auto words, split_words(value, Escapes::Keep));
  for (const std::string& word : words) {
    PERDURE_TRY(const std::size_t index, parse_choice(word, architectures));
    const std::string name{architectures[index]};
    auto& all = filter.architectures;
    if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
  }
  forget_if_empty(load);
  return {};
}

// ---- mounts --------------------------------------------------------------------------------------------------------------

// SOURCE, SOURCE:DESTINATION or SOURCE:DESTINATION:OPTIONS.
Result<BindMount> parse_bind(const Load& load, std::string_view word, bool is_read_only) {
  const auto parts = base::split(word, ':');
  BindMount mount{.is_read_only = is_read_only};
  PERDURE_TRY(const std::string source, load.expand(parts[0]));
  std::string_view path = source;
  mount.ignores_missing = base::remove_prefix(path, "-");
  PERDURE_TRY(mount.source, parse_path(path));
  mount.destination = mount.source;
  if (parts.size() > 1) {
    PERDURE_TRY(const std::string destination, load.expand(parts[1]));
    PERDURE_TRY(mount.destination, parse_path(destination));
  }
  if (parts.size() > 3) return misfit(word, "has more than SOURCE:DESTINATION:OPTIONS");
  if (parts.size() > 2) {
    mount.is_recursive = parts[2] != "norbind";
    if (mount.is_recursive && parts[2] != "rbind" && !parts[2].empty())
      return misfit(parts[2], "is no option; there are rbind and norbind");
  }
  return mount;
}

// One list for both, which an empty assignment of either takes back.
template <bool IsReadOnly>
Result<void> bind_paths(Load& load, std::string_view value) {
  std::vector<BindMount>& all = load.service().bind_mounts;
  if (value.empty()) all.clear();
  PERDURE_TRY(const auto words, split_words(value, Escapes::DropMark));
  for (const std::string& word : words) {
    PERDURE_TRY(BindMount mount, parse_bind(load, word, IsReadOnly));
    if (all.size() >= list_entries_max) return Error{"there are more than " + std::to_string(list_entries_max) + " of them"};
    all.push_back(std::move(mount));
  }
  return {};
}

using enum Invalid;
using S = ServiceSpec;

constexpr Reader readers[] = {
    {"Service", "NoNewPrivileges", Refuses, truth<&S::no_new_privileges>},
    {"Service", "CapabilityBoundingSet", Refuses, bounding_set},
    {"Service", "AmbientCapabilities", Refuses, ambient},
    {"Service", "SecureBits", Refuses, secure_bits},
    {"Service", "SystemCallFilter", Refuses, system_call_filter},
    {"Service", "SystemCallErrorNumber", Refuses, system_call_error},
    {"Service", "SystemCallArchitectures", Refuses, system_call_architectures},
    {"Service", "BindPaths", Refuses, bind_paths<false>},
    {"Service", "BindReadOnlyPaths", Refuses, bind_paths<true>},
};

}  // namespace

std::span<const Reader> rights_readers() noexcept { return readers; }

}  // namespace perdure::unit
