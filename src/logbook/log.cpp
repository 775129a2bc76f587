#include "perdure/log.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <exception>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.hpp"
#include "logbook/line_format.hpp"
#include "logbook/sinks.hpp"
#include "logbook/target.hpp"
#include "os/system.hpp"

namespace perdure {

using std::chrono::system_clock;

namespace detail {

Sink::~Sink() = default;

namespace {

constexpr std::size_t kept_lines_max = 256;

struct KeptLine {
  Level level;
  system_clock::time_point time;
  std::string text;
  std::string message;  // empty where the text says as much
  std::vector<LogField> fields;

  [[nodiscard]] LogLine line() const {
    return {.level = level, .time = time, .text = text, .message = message, .fields = fields};
  }
};

// A sink and what it could not take, which it is told once it works again.
class Outlet {
 public:
  enum class Origin : std::uint8_t { Opened, Added };

  Outlet(std::unique_ptr<Sink> sink, Origin origin) : sink_(std::move(sink)), origin_(origin) {}

  bool offer(const LogLine& line) {
    const bool is_taken = report_missed(line.time) && take(line);
    if (!is_taken) ++missed_;
    return is_taken;
  }

  // True when there is nothing left to report.
  bool report_missed(system_clock::time_point now) {
    if (missed_ == 0) return true;
    const std::string report = fmt::format("{} log {} lost: {}", missed_, missed_ == 1 ? "line was" : "lines were", cause_);
    if (!take({.level = Level::Warning, .time = now, .text = report})) return false;
    missed_ = 0;
    return true;
  }

  Result<void> rotate() noexcept { return sink_->rotate(); }
  [[nodiscard]] Origin origin() const noexcept { return origin_; }

 private:
  bool take(const LogLine& line) {
    auto written = sink_->write(line);
    if (!written) cause_ = std::move(written).error().message();
    return written.has_value();
  }

  std::unique_ptr<Sink> sink_;
  Origin origin_;
  std::uint64_t missed_ = 0;
  std::string cause_;
};

}  // namespace

struct LogState {
  explicit LogState(std::string log_name) : name(std::move(log_name)) {}
  static LogState& of(Log& log) noexcept { return *log.state_; }

  const std::string name;
  // Asked for now, because Notify::from_environment takes the variable away.
  const bool is_under_init = std::getenv("NOTIFY_SOCKET") != nullptr;
  std::atomic<std::uint64_t> lost{0};

  std::mutex mutex;  // guards everything below
  std::vector<Outlet> outlets;
  bool keeps_in_memory = true;
  std::deque<KeptLine> kept;
  std::uint64_t dropped = 0;  // kept lines that had to make room
  std::string escaped;        // one line's text; keeps its memory from line to line
  std::string with_fields;    // likewise

  void say(Level level, std::string_view message, std::span<const LogField> fields) {
    LogLine line{.level = level,
                 .time = system_clock::now(),
                 .text = logbook::line_text(message, escaped),
                 .message = message,
                 .fields = fields};
    if (!fields.empty()) {
      with_fields = line.text;
      logbook::append_fields(with_fields, fields);
      line.text = with_fields;
    }
    if (keeps_in_memory) {
      keep(line);
    } else {
      deliver(line);
    }
  }

  void deliver(const LogLine& line) {
    bool is_taken = outlets.empty();  // LogTarget::None: nobody wants it
    for (Outlet& outlet : outlets) is_taken |= outlet.offer(line);
    if (!is_taken) ++lost;
  }

  void keep(const LogLine& line) {
    if (kept.size() == kept_lines_max) {
      kept.pop_front();
      ++dropped;
      ++lost;
    }
    const bool says_more = line.message != line.text && line.message.size() <= logbook::message_bytes_max;
    kept.push_back({line.level,
                    line.time,
                    std::string{line.text},
                    std::string{says_more ? line.message : std::string_view{}},
                    {line.fields.begin(), line.fields.end()}});
  }

  void replay(Level level) {
    if (!std::exchange(keeps_in_memory, false)) return;
    if (dropped > 0) {
      const std::string report = fmt::format("{} log {} lost: only the last {} are kept until the log is opened", dropped,
                                             dropped == 1 ? "line was" : "lines were", kept_lines_max);
      deliver({.level = Level::Warning, .time = kept.front().time, .text = report});
    }
    for (const KeptLine& line : kept) {
      if (line.level >= level) deliver(line.line());
    }
    kept.clear();
    kept.shrink_to_fit();
  }
};

}  // namespace detail

namespace {

using detail::Outlet;
using detail::Sink;

constexpr std::uint64_t default_max_bytes = 10 * 1024 * 1024;
constexpr unsigned default_backups = 5;

// Whether a directory could be made is seen when the file is opened.
void make_parent_directories(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    (void)os::sys::mkdir(path.substr(0, slash).c_str(), 0700);
  }
}

Result<std::string> place_for_file(const std::string& name) {
  const logbook::PathFacts facts = logbook::gather_path_facts();
  auto path = logbook::default_log_path(name, facts);
  if (!path) {
    return Error{
        fmt::format("cannot choose a log file for {}: no LOGS_DIRECTORY, XDG_STATE_HOME or HOME leads to one; "
                    "name the file",
                    base::quote(name))};
  }
  if (!facts.is_root) make_parent_directories(*path);
  return *std::move(path);
}

Result<std::unique_ptr<Sink>> open_file(const LogOptions& options, const std::string& name, bool is_our_choice) {
  RotatingFileOptions file{.path = options.path,
                           .max_bytes = options.max_bytes,
                           .rotate_every = options.rotate_every,
                           .backups = options.backups};
  if (file.path.empty()) {
    PERDURE_TRY(file.path, place_for_file(name));
  }
  // Nobody watches a file that nobody asked for.
  if (is_our_choice && file.max_bytes == 0 && file.rotate_every == RotateEvery::Never) {
    file.max_bytes = default_max_bytes;
    file.backups = default_backups;
  }
  return logbook::make_file_sink(std::move(file), options.format, name);
}

LogTarget target_of(const LogOptions& options, bool is_under_init) {
  if (!options.path.empty()) return LogTarget::File;
  if (options.target != LogTarget::Auto) return options.target;
  return logbook::choose_target(logbook::gather_target_facts(is_under_init));
}

Result<std::unique_ptr<Sink>> open_target(LogTarget target, const LogOptions& options, const std::string& name) {
  using logbook::StreamStyle;
  switch (target) {
    case LogTarget::Init: return logbook::make_stream_sink(STDERR_FILENO, StreamStyle::Init, options.format, name);
    case LogTarget::Stderr: {
      const bool is_coloured = logbook::choose_colour(logbook::gather_colour_facts(STDERR_FILENO));
      return logbook::make_stream_sink(STDERR_FILENO, is_coloured ? StreamStyle::Coloured : StreamStyle::Plain,
                                       options.format, name);
    }
    case LogTarget::Syslog:
      return logbook::make_syslog_sink(logbook::syslog_socket_path(), name, options.syslog_facility,
                                       logbook::SyslogAbsence::IsAnError);
    case LogTarget::Journal:
      return logbook::make_journal_sink(logbook::journal_socket_path(), name, options.syslog_facility);
    case LogTarget::File: return open_file(options, name, options.target == LogTarget::Auto && options.path.empty());
    case LogTarget::Auto:
    case LogTarget::None: break;
  }
  return std::unique_ptr<Sink>{};
}

std::string_view words_for(LogTarget target) noexcept {
  switch (target) {
    case LogTarget::Init:
    case LogTarget::Stderr: return "to standard error";
    case LogTarget::Syslog: return "to syslog";
    case LogTarget::File: return "into a file";
    case LogTarget::Journal: return "to journald";
    case LogTarget::Auto:
    case LogTarget::None: break;
  }
  return "nowhere";
}

}  // namespace

Log::Log(std::string name) : state_(new detail::LogState{std::move(name)}) {}

Log::~Log() {
  try {
    const std::lock_guard lock{state_->mutex};
    for (Outlet& outlet : state_->outlets) outlet.report_missed(system_clock::now());
  } catch (...) {  // out of memory: nobody is left to tell
  }
  delete state_;
}

Result<void> Log::open(const LogOptions& options) {
  LogTarget target = target_of(options, state_->is_under_init);
  std::vector<Outlet> outlets;
  std::string instead;
  auto opened = open_target(target, options, state_->name);
  if (!opened && target == LogTarget::Journal) {
    LogOptions otherwise = options;
    otherwise.target = LogTarget::Auto;
    target = target_of(otherwise, state_->is_under_init);
    instead = fmt::format("{}; the log goes {} instead", opened.error().message(), words_for(target));
    opened = open_target(target, otherwise, state_->name);
  }
  PERDURE_TRY(auto sink, std::move(opened));
  if (sink) outlets.emplace_back(std::move(sink), Outlet::Origin::Opened);
  if (options.also_syslog && target != LogTarget::Syslog) {
    PERDURE_TRY(auto syslog, logbook::make_syslog_sink(logbook::syslog_socket_path(), state_->name, options.syslog_facility,
                                                       logbook::SyslogAbsence::IsWaitedFor));
    outlets.emplace_back(std::move(syslog), Outlet::Origin::Opened);
  }

  const std::lock_guard lock{state_->mutex};
  if (!instead.empty()) state_->say(Level::Warning, instead, {});  // kept so far: it stands among what is replayed
  for (Outlet& outlet : state_->outlets) {
    if (outlet.origin() == Outlet::Origin::Added) outlets.push_back(std::move(outlet));
  }
  state_->outlets = std::move(outlets);
  set_level(options.level);
  state_->replay(options.level);
  return {};
}

void logbook::add_sink(Log& log, std::unique_ptr<Sink> sink) {
  detail::LogState& state = detail::LogState::of(log);
  const std::lock_guard lock{state.mutex};
  state.outlets.emplace_back(std::move(sink), Outlet::Origin::Added);
  state.replay(log.level());
}

void Log::add_target(Callback<Result<void>(const LogLine&)> target) {
  class Target final : public Sink {
   public:
    explicit Target(Callback<Result<void>(const LogLine&)> callable) : callable_(std::move(callable)) {}
    Result<void> write(const LogLine& line) noexcept override {
      try {
        return callable_(line);
      } catch (const std::exception& error) {
        return Error{fmt::format("a log target threw: {}", error.what())};
      } catch (...) {
        return Error{"a log target threw something that is no std::exception"};
      }
    }

   private:
    Callback<Result<void>(const LogLine&)> callable_;
  };
  logbook::add_sink(*this, std::make_unique<Target>(std::move(target)));
}

Result<void> Log::rotate() noexcept {
  const std::lock_guard lock{state_->mutex};
  Result<void> outcome;
  for (Outlet& outlet : state_->outlets) {
    auto rotated = outlet.rotate();
    if (outcome && !rotated) outcome = std::move(rotated);
  }
  return outcome;
}

std::uint64_t Log::lost() const noexcept { return state_->lost; }

void Log::write_fields(Level level, std::string_view message, std::span<const LogField> fields) noexcept {
  if (!is_enabled(level)) return;
  try {
    const std::lock_guard lock{state_->mutex};
    state_->say(level, message, fields);
  } catch (...) {  // out of memory
    ++state_->lost;
  }
}

void Log::write_formatted(Level level, fmt::string_view format, fmt::format_args args) noexcept {
  // Formatting runs users' code, which may itself log: before the mutex, into a buffer of its own (on the stack at first).
  try {
    std::string problem;
    try {
      fmt::memory_buffer text;
      fmt::vformat_to(std::back_inserter(text), format, args);
      return write_text(level, {text.data(), text.size()});
    } catch (const std::exception& exception) {
      problem = exception.what();
    } catch (...) {
      problem = "a formatter threw something that is no std::exception";
    }
    write_text(level,
               fmt::format("cannot format the log line {}: {}", base::quote({format.data(), format.size()}), problem));
  } catch (...) {  // out of memory
    ++state_->lost;
  }
}

}  // namespace perdure
