// The log's own sinks: stderr, an init's stderr, syslog, journald, a rotating file.
//
// Each takes finished lines under the log's mutex and never blocks on a full disk or a dead peer; a slow reader of stderr is
// waited for, one second at most where stderr is non-blocking.
// Left out: counting and reporting what a sink could not take, which the log does for all of them.
// Thread safety: none. Fork: parent and child may both write.
//
//     sinks.push_back(make_stream_sink(STDERR_FILENO, StreamStyle::Coloured, LogFormat::Plain, name));
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "perdure/log.hpp"
#include "perdure/rotating_file.hpp"

namespace perdure::logbook {

enum class StreamStyle : std::uint8_t {
  Plain,
  Coloured,
  Init,  ///< "<N>MESSAGE" (sd-daemon(3)); the format does not matter, the init has its own clock
};

/// `fd` stays the caller's.
std::unique_ptr<detail::Sink> make_stream_sink(int fd, StreamStyle style, LogFormat format, std::string name);

enum class SyslogAbsence : std::uint8_t {
  IsAnError,
  IsWaitedFor,  ///< each line tries to connect again
};

/// RFC 3164 datagrams `<30>NAME[PID]: MESSAGE` to the socket at `path`.
Result<std::unique_ptr<detail::Sink>> make_syslog_sink(std::string path, std::string name, SyslogFacility facility,
                                                       SyslogAbsence absence);

/// Records in journald's native protocol to the socket at `path`. On failure: nobody listens there.
Result<std::unique_ptr<detail::Sink>> make_journal_sink(std::string path, std::string name, SyslogFacility facility);

Result<std::unique_ptr<detail::Sink>> make_file_sink(RotatingFileOptions options, LogFormat format, std::string name);

/// One more sink beside the others; a later open() leaves it in place.
void add_sink(Log& log, std::unique_ptr<detail::Sink> sink);

}  // namespace perdure::logbook
