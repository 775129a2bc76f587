#include <unistd.h>

#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "logbook/datagram_peer.hpp"
#include "logbook/line_format.hpp"
#include "logbook/out_of_memory.hpp"
#include "logbook/sinks.hpp"

namespace perdure::logbook {
namespace {

class SyslogSink final : public detail::Sink {
 public:
  SyslogSink(std::string path, std::string name, SyslogFacility facility)
      : peer_(std::move(path)), name_(std::move(name)), facility_(static_cast<int>(facility) << 3) {}

  Result<void> connect() { return peer_.connect(); }

  Result<void> write(const LogLine& line) noexcept override {
    return without_throwing([&] {
      compose(line);
      return peer_.send(buffer_);
    });
  }

  Result<void> rotate() noexcept override {
    return without_throwing([&] { return peer_.connect(); });
  }

 private:
  // The pid is asked for each time: a forked worker logs as itself.
  void compose(const LogLine& line) {
    buffer_.clear();
    fmt::format_to(std::back_inserter(buffer_), "<{}>{}[{}]: {}", facility_ | syslog_priority(line.level), name_, ::getpid(),
                   line.text);
  }

  DatagramPeer peer_;
  std::string name_;
  int facility_;  ///< as a datagram has it: shifted by the three bits of the priority
  std::string buffer_;
};

}  // namespace

Result<std::unique_ptr<detail::Sink>> make_syslog_sink(std::string path, std::string name, SyslogFacility facility,
                                                       SyslogAbsence absence) {
  auto sink = std::make_unique<SyslogSink>(std::move(path), std::move(name), facility);
  auto connected = sink->connect();
  if (!connected && absence == SyslogAbsence::IsAnError) {
    return std::move(connected).error().with_advice("is a syslog daemon running?");
  }
  return std::unique_ptr<detail::Sink>{std::move(sink)};
}

}  // namespace perdure::logbook
