#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "logbook/datagram_peer.hpp"
#include "logbook/journal_record.hpp"
#include "logbook/out_of_memory.hpp"
#include "logbook/sinks.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

Error no_memory_file(int code) { return Error::from_errno(code, "make a memory file for", "a long log record"); }

// journald only maps a file that nobody can change or shrink any more (memfd_create(2), fcntl(2): F_ADD_SEALS).
Result<UniqueFd> sealed_file(std::string_view bytes) {
  UniqueFd file{os::sys::memfd_create("log record", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!file) return no_memory_file(errno);
  while (!bytes.empty()) {
    const ssize_t written = os::sys::write(file.get(), bytes.data(), bytes.size());
    if (written <= 0) return no_memory_file(written < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (os::sys::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return no_memory_file(errno);
  return file;
}

class JournalSink final : public detail::Sink {
 public:
  JournalSink(std::string path, std::string name, SyslogFacility facility)
      : peer_(std::move(path)), name_(std::move(name)), facility_(facility) {}

  Result<void> connect() { return peer_.connect(); }

  Result<void> write(const LogLine& line) noexcept override {
    return without_throwing([&]() -> Result<void> {
      buffer_.clear();
      append_record(buffer_, name_, facility_, line);
      auto sent = peer_.send(buffer_);
      // EMSGSIZE: larger than the socket's buffer. ENOBUFS: larger than the kernel can find room for in one piece.
      if (sent || (sent.error().code() != EMSGSIZE && sent.error().code() != ENOBUFS)) return sent;
      return send_in_file();
    });
  }

  Result<void> rotate() noexcept override {
    return without_throwing([&] { return peer_.connect(); });
  }

 private:
  Result<void> send_in_file() {
    PERDURE_TRY(const UniqueFd file, sealed_file(buffer_));
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = file.get();
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return peer_.send(message);
  }

  DatagramPeer peer_;
  std::string name_;
  SyslogFacility facility_;
  std::string buffer_;
};

}  // namespace

Result<std::unique_ptr<detail::Sink>> make_journal_sink(std::string path, std::string name, SyslogFacility facility) {
  auto sink = std::make_unique<JournalSink>(std::move(path), std::move(name), facility);
  PERDURE_CHECK(sink->connect());
  return std::unique_ptr<detail::Sink>{std::move(sink)};
}

}  // namespace perdure::logbook
