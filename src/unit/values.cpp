#include "unit/values.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>

#include "base/text.hpp"
#include "perdure/settings.hpp"

namespace perdure::unit {
namespace {

using detail::misfit;

struct Named {
  std::string_view name;
  int number;
};

// clang-format off
constexpr Named signals[] = {
    {"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"ILL", SIGILL}, {"TRAP", SIGTRAP}, {"ABRT", SIGABRT}, {"IOT", SIGIOT},
    {"BUS", SIGBUS}, {"FPE", SIGFPE}, {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD}, {"CONT", SIGCONT},
    {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU}, {"URG", SIGURG}, {"XCPU", SIGXCPU},
    {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO}, {"POLL", SIGPOLL},
    {"PWR", SIGPWR}, {"SYS", SIGSYS},
};

// systemd.exec(5), "Process Exit Codes".
constexpr Named exit_codes[] = {
    {"SUCCESS", 0}, {"FAILURE", 1}, {"INVALIDARGUMENT", 2}, {"NOTIMPLEMENTED", 3}, {"NOPERMISSION", 4}, {"NOTINSTALLED", 5},
    {"NOTCONFIGURED", 6}, {"NOTRUNNING", 7}, {"USAGE", 64}, {"DATAERR", 65}, {"NOINPUT", 66}, {"NOUSER", 67}, {"NOHOST", 68},
    {"UNAVAILABLE", 69}, {"SOFTWARE", 70}, {"OSERR", 71}, {"OSFILE", 72}, {"CANTCREAT", 73}, {"IOERR", 74}, {"TEMPFAIL", 75},
    {"PROTOCOL", 76}, {"NOPERM", 77}, {"CONFIG", 78}, {"CHDIR", 200}, {"NICE", 201}, {"FDS", 202}, {"EXEC", 203},
    {"MEMORY", 204}, {"LIMITS", 205}, {"OOM_ADJUST", 206}, {"SIGNAL_MASK", 207}, {"STDIN", 208}, {"STDOUT", 209},
    {"CHROOT", 210}, {"IOPRIO", 211}, {"TIMERSLACK", 212}, {"SECUREBITS", 213}, {"SETSCHEDULER", 214}, {"CPUAFFINITY", 215},
    {"GROUP", 216}, {"USER", 217}, {"CAPABILITIES", 218}, {"CGROUP", 219}, {"SETSID", 220}, {"CONFIRM", 221}, {"STDERR", 222},
    {"PAM", 224}, {"NETWORK", 225}, {"NAMESPACE", 226}, {"NO_NEW_PRIVILEGES", 227}, {"SECCOMP", 228},
    {"SELINUX_CONTEXT", 229}, {"PERSONALITY", 230}, {"APPARMOR", 231}, {"ADDRESS_FAMILIES", 232}, {"RUNTIME_DIRECTORY", 233},
    {"CHOWN", 235}, {"SMACK_PROCESS_LABEL", 236}, {"KEYRING", 237}, {"STATE_DIRECTORY", 238}, {"CACHE_DIRECTORY", 239},
    {"LOGS_DIRECTORY", 240}, {"CONFIGURATION_DIRECTORY", 241}, {"NUMA_POLICY", 242}, {"CREDENTIALS", 243}, {"BPF", 245},
    {"EXCEPTION", 255},
};

constexpr std::string_view limit_names[] = {"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
                                            "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
// clang-format on
static_assert(std::size(limit_names) == limit_count);

template <std::size_t Count>
std::optional<int> number_of(const Named (&table)[Count], std::string_view name) noexcept {
  for (const Named& entry : table)
    if (entry.name == name) return entry.number;
  return std::nullopt;
}

// "RTMIN+3": what of the real-time signals a name without "SIG" means.
std::optional<int> real_time_signal(std::string_view name) noexcept {
  const int min = SIGRTMIN, max = SIGRTMAX;  // the C library keeps some for itself, so these are calls
  const bool is_from_min = base::remove_prefix(name, "RTMIN");
  if (!is_from_min && !base::remove_prefix(name, "RTMAX")) return std::nullopt;
  int distance = 0;
  if (!name.empty()) {
    if (name.front() != (is_from_min ? '+' : '-')) return std::nullopt;
    const auto parsed = base::parse_number<std::uint8_t>(name.substr(1));
    if (!parsed || *parsed > max - min) return std::nullopt;
    distance = *parsed;
  }
  return is_from_min ? min + distance : max - distance;
}

template <class T>
void insert_once(std::vector<T>& sorted, T value) {
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), value);
  if (at == sorted.end() || *at != value) sorted.insert(at, value);
}

bool is_size(Limit limit) noexcept {
  switch (limit) {
    case Limit::FileSize:
    case Limit::Data:
    case Limit::Stack:
    case Limit::Core:
    case Limit::Rss:
    case Limit::AddressSpace:
    case Limit::LockedMemory:
    case Limit::MessageQueues: return true;
    default: return false;
  }
}

// In `granularity`, rounded up: a limit of 1500ms for LimitCPU= is 2 seconds.
Result<std::uint64_t> parse_time_limit(std::string_view text, base::Duration unit) {
  PERDURE_TRY(const auto span, perdure::detail::parse_duration(text, unit));
  return static_cast<std::uint64_t>(span / unit + (span % unit != span.zero() ? 1 : 0));
}

// "+5" and "-5" are nice levels, a bare number is what the kernel counts: 20 minus the level.
Result<std::uint64_t> parse_nice_limit(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) {
    const bool is_negative = text.front() == '-';
    const auto level = base::parse_number<std::uint8_t>(text.substr(1));
    if (!level || *level > (is_negative ? 20 : 19)) return misfit(text, "is no nice level; there are -20 to +19");
    return static_cast<std::uint64_t>(is_negative ? 20 + *level : 20 - *level);
  }
  PERDURE_TRY(const std::uint64_t raw, perdure::detail::parse_unsigned(text, 40));
  return raw == 0 ? 1 : raw;
}

Result<std::uint64_t> parse_limit_part(Limit limit, std::string_view text) {
  if (text == "infinity") return limit_infinity;
  if (is_size(limit)) return perdure::detail::parse_size(text);
  switch (limit) {
    case Limit::Cpu: return parse_time_limit(text, std::chrono::seconds{1});
    case Limit::RealTimeTime: return parse_time_limit(text, std::chrono::microseconds{1});
    case Limit::Nice: return parse_nice_limit(text);
    default: return perdure::detail::parse_unsigned(text, limit_infinity - 1);
  }
}

bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

Result<bool> parse_truth(std::string_view text) {
  if (base::equals_ignoring_case(text, "y") || base::equals_ignoring_case(text, "t")) return true;
  if (base::equals_ignoring_case(text, "n") || base::equals_ignoring_case(text, "f")) return false;
  return perdure::detail::parse_bool(text);
}

Result<int> parse_signal(std::string_view text) {
  if (const auto number = base::parse_number<int>(text); number && *number > 0 && *number <= SIGRTMAX) return *number;
  std::string_view name = text;
  base::remove_prefix(name, "SIG");
  if (const auto number = number_of(signals, name)) return *number;
  if (const auto number = real_time_signal(name)) return *number;
  std::vector<std::string_view> names;
  for (const Named& signal : signals) names.push_back(signal.name);
  const auto near = base::closest(name, names);
  return misfit(text, "is no signal" + (near ? "; did you mean SIG" + std::string{*near} + '?' : std::string{}));
}

Result<void> add_status(std::string_view text, StatusSet& set) {
  const auto named = number_of(exit_codes, text);
  const auto code = named ? static_cast<std::uint8_t>(*named) : base::parse_number<std::uint8_t>(text);
  if (code) {
    insert_once(set.codes, *code);
    return {};
  }
  const auto signal = parse_signal(text);
  // A number is a code; only its range can be wrong.
  if (!signal || base::is_digit(text.front()))
    return misfit(text,
                  "is no exit status; write a code from 0 to 255, a name such as TEMPFAIL, or a signal such as SIGUSR1");
  insert_once(set.signals, *signal);
  return {};
}

Result<std::optional<base::Duration>> parse_span(std::string_view text) {
  if (text == "infinity") return std::optional<base::Duration>{};
  PERDURE_TRY(const base::Duration span, perdure::detail::parse_duration(text, std::chrono::seconds{1}));
  return std::optional{std::min(span, span_max)};
}

std::optional<Limit> limit_of(std::string_view directive) noexcept {
  if (!base::remove_prefix(directive, "Limit")) return std::nullopt;
  const auto* const at = std::find(std::begin(limit_names), std::end(limit_names), directive);
  if (at == std::end(limit_names)) return std::nullopt;
  return static_cast<Limit>(at - std::begin(limit_names));
}

Result<LimitValue> parse_limit(Limit limit, std::string_view text) {
  const std::size_t colon = text.find(':');
  PERDURE_TRY(const std::uint64_t soft, parse_limit_part(limit, text.substr(0, colon)));
  if (colon == std::string_view::npos) return LimitValue{.soft = soft, .hard = soft};
  PERDURE_TRY(const std::uint64_t hard, parse_limit_part(limit, text.substr(colon + 1)));
  if (soft > hard) return misfit(text, "has a soft limit above the hard one");
  return LimitValue{.soft = soft, .hard = hard};
}

Result<void> check_account(std::string_view text) {
  constexpr std::size_t name_bytes_max = 255;
  if (const auto number = base::parse_number<std::uint32_t>(text)) {
    if (text.size() > 1 && text.front() == '0') return misfit(text, "is no id: it has a leading zero");
    // Both mean "no user" or "unchanged" to one interface of the kernel or another.
    if (*number == 0xFFFF || *number == 0xFFFF'FFFF) return misfit(text, "is an id that nobody can have");
    return {};
  }
  std::string_view why;
  if (text.empty()) why = "it is empty";
  if (text.size() > name_bytes_max) why = "it is too long";
  if (!why.empty()) return misfit(text, "is no name of a user or group: " + std::string{why});
  if (std::any_of(text.begin(), text.end(), is_control)) why = "it contains a control character";
  if (text.find_first_of(":/") != std::string_view::npos) why = "it contains \":\" or \"/\"";
  if (text == "." || text == "..") why = "it is a directory's";
  if (text.front() == '-') why = "it begins with \"-\"";
  if (base::is_digit(text.front())) why = "it begins with a digit, and it is no id";
  if (!why.empty()) return misfit(text, "is no name of a user or group: " + std::string{why});
  return {};
}

bool is_variable_name(std::string_view text) noexcept {
  const auto is_name_byte = [](char c) { return base::is_lower(base::to_lower(c)) || base::is_digit(c) || c == '_'; };
  return !text.empty() && !base::is_digit(text.front()) && std::all_of(text.begin(), text.end(), is_name_byte);
}

bool is_assignment(std::string_view text) noexcept {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || !is_variable_name(text.substr(0, equals))) return false;
  for (std::string_view value = text.substr(equals + 1); !value.empty();) {
    const std::size_t length = base::utf8_length(value);
    if (length == 0 || (is_control(value.front()) && value.front() != '\t' && value.front() != '\n')) return false;
    value.remove_prefix(length);
  }
  return true;
}

Result<std::uint32_t> parse_mode(std::string_view text, std::uint32_t max) {
  std::uint32_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || mode > max)
    return misfit(text, "is no octal mode such as 0022");
  return mode;
}

Result<std::string> parse_path(std::string_view text) {
  PERDURE_TRY(std::string path, parse_program_path(text));
  const auto parts = base::split(path, '/');
  if (std::find(parts.begin(), parts.end(), "..") != parts.end())
    return misfit(text, "has \"..\" in it; write where it leads");
  return path;
}

Result<std::string> parse_program_path(std::string_view text) {
  constexpr std::size_t path_bytes_max = 4095;
  if (!text.starts_with('/')) return misfit(text, "is no absolute path");
  if (text.size() > path_bytes_max) return misfit(text, "is too long for a path");
  if (std::any_of(text.begin(), text.end(), is_control)) return misfit(text, "contains a control character");
  std::string out;
  for (const std::string_view part : base::split(text, '/'))
    if (!part.empty() && part != ".") out += '/' + std::string{part};
  return out.empty() ? std::string{"/"} : out;
}

}  // namespace perdure::unit
