// Between spdlog and Log, for programs that use both: the library's log takes what spdlog's loggers say, or the other way round.
//
// Only for who has spdlog: this header includes it, and nothing in the library is linked with it. One direction for each pair of
// log and logger: both would send a line round in a circle, under the log's mutex.
// Left out: spdlog's patterns in our lines (the Log has formats of its own), its backtrace.
// Thread safety: as spdlog's multi-threaded sinks. Fork: as the Log. Signal safety: none.
//
//     spdlog::logger logger{"db", perdure::spdlog_sink(ctx.log())};         // theirs go where ours go, with logger=db
//     perdure::send_to_spdlog(log, spdlog::get("all"));                     // ours go where theirs go
#pragma once

#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "perdure/log.hpp"

namespace perdure {

/// Debug for spdlog's trace.
inline Level level_from_spdlog(spdlog::level::level_enum level) noexcept {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return Level::Debug;
    case spdlog::level::warn: return Level::Warning;
    case spdlog::level::err: return Level::Error;
    case spdlog::level::critical: return Level::Critical;
    default: return Level::Info;
  }
}

inline spdlog::level::level_enum level_for_spdlog(Level level) noexcept {
  switch (level) {
    case Level::Debug: return spdlog::level::debug;
    case Level::Info: return spdlog::level::info;
    case Level::Warning: return spdlog::level::warn;
    case Level::Error: return spdlog::level::err;
    case Level::Critical: return spdlog::level::critical;
  }
  return spdlog::level::info;
}

/// A sink for any number of spdlog's loggers. A logger's name becomes the field `logger`. Both levels count, the logger's and the
/// log's. Requires: `log` outlives it.
inline std::shared_ptr<spdlog::sinks::sink> spdlog_sink(Log& log) {
  class Sink final : public spdlog::sinks::sink {
   public:
    explicit Sink(Log& target) : log_(target) {}
    void log(const spdlog::details::log_msg& message) override {
      const Level level = level_from_spdlog(message.level);
      if (!log_.is_enabled(level)) return;
      const std::string_view text{message.payload.data(), message.payload.size()};
      const std::string_view name{message.logger_name.data(), message.logger_name.size()};
      if (name.empty()) return log_.write_text(level, text);
      const LogField field{"logger", name};
      log_.write_fields(level, text, {&field, 1});
    }
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

   private:
    Log& log_;
  };
  return std::make_shared<Sink>(log);
}

/// Every line of `log` also goes to `logger`, with the time at which it was said. What its sinks throw, spdlog gives to the
/// logger's error handler; the log never hears of it.
inline void send_to_spdlog(Log& log, std::shared_ptr<spdlog::logger> logger) {
  log.add_target([logger = std::move(logger)](const LogLine& line) -> Result<void> {
    logger->log(line.time, spdlog::source_loc{}, level_for_spdlog(line.level),
                spdlog::string_view_t{line.text.data(), line.text.size()});
    return {};
  });
}

}  // namespace perdure
