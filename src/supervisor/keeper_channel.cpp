#include "supervisor/keeper_channel.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// A keeper that does not answer a manager that is just starting cannot be worked with.
constexpr int answer_within_ms = 10'000;

struct alignas(cmsghdr) ControlBytes {
  char bytes[CMSG_SPACE(keeper::fds_max * sizeof(int))];
};

}  // namespace

std::span<const keeper::ParkedLabel> KeeperChannel::Received::labels() const noexcept {
  static_assert(alignof(keeper::ParkedLabel) == 1);
  return {reinterpret_cast<const keeper::ParkedLabel*>(message.entries), message.header.count};
}

KeeperChannel::Sent KeeperChannel::transmit(const keeper::Request& request, std::span<const int> fds) {
  keeper::Request copy = request;
  iovec part{&copy, sizeof copy};
  ControlBytes control;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.bytes;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const head = CMSG_FIRSTHDR(&header);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  if (sys::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Sent::Yes;
  // ETOOMANYREFS: too many descriptors are on their way; they arrive, and then there is room again.
  if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS) return Sent::Later;
  if (errno == EPIPE || errno == ECONNRESET) lost_ = true;
  return Sent::Never;
}

std::uint64_t KeeperChannel::send(keeper::Request request, std::span<const int> fds) {
  request.sequence = ++sequence_;
  if (fds.size() > keeper::fds_max) return request.sequence;
  if (unsent_.empty() && transmit(request, fds) != Sent::Later) return request.sequence;
  Unsent later{request, {}};
  for (const int fd : fds) later.fds.emplace_back(sys::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  unsent_.push_back(std::move(later));
  return request.sequence;
}

void KeeperChannel::flush() {
  while (!unsent_.empty()) {
    std::vector<int> fds;
    for (const UniqueFd& fd : unsent_.front().fds) fds.push_back(fd.get());
    if (transmit(unsent_.front().request, fds) == Sent::Later) return;
    unsent_.pop_front();
  }
}

/// Whether all has been read and nothing will come. recv(2) answers 0 then, and to a message without bytes as well.
KeeperChannel::End KeeperChannel::look_at_end() const {
  pollfd polled{socket_.get(), POLLRDHUP, 0};
  if (sys::poll(&polled, 1, 0) < 0) return End::Unknown;
  if ((polled.revents & (POLLHUP | POLLRDHUP)) == 0) return End::Open;
  // Nobody adds anything now. Of a SOCK_SEQPACKET socket this is the sum of all messages that wait, unix_inq_len() of Linux.
  int unread = 0;
  return sys::ioctl(socket_.get(), FIONREAD, &unread) == 0 && unread > 0 ? End::Open : End::Closed;
}

std::optional<KeeperChannel::Received> KeeperChannel::receive() {
  if (!early_.empty()) {
    Received first = std::move(early_.front());
    early_.pop_front();
    return first;
  }
  for (bool was_reset = false;;) {
    Received received;
    iovec part{&received.message, sizeof received.message};
    ControlBytes control;
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof control.bytes;
    const ssize_t size = sys::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // A keeper that went with requests of ours unread is told of once, before what it has said; that is there all the same.
    if (size < 0 && errno == ECONNRESET && !std::exchange(was_reset, true)) continue;
    if (size < 0) {
      if (errno == ECONNRESET) lost_ = true;
      return std::nullopt;
    }
    for (cmsghdr* head = CMSG_FIRSTHDR(&header); head != nullptr; head = CMSG_NXTHDR(&header, head)) {
      if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof fd);
        received.fds.emplace_back(fd);
      }
    }
    if (size == 0) {
      const End end = received.fds.empty() ? look_at_end() : End::Open;
      if (end == End::Closed) lost_ = true;
      if (end != End::Open) return std::nullopt;
    }
    const keeper::Header& head = received.message.header;
    const std::size_t each = head.kind == keeper::Kind::ListedParked ? sizeof(keeper::ParkedLabel) : sizeof(keeper::Entry);
    const auto length = static_cast<std::size_t>(size);
    const bool is_ours = length >= sizeof head && head.magic_number == keeper::magic && head.version == keeper::protocol &&
                         head.count <= keeper::entries_max && length == sizeof head + head.count * each &&
                         (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (is_ours) return received;
    ++dropped_;
  }
}

Result<KeeperChannel::Received> KeeperChannel::ask(const keeper::Request& request, std::span<const int> fds) {
  return answer_to(send(request, fds));
}

Result<KeeperChannel::Received> KeeperChannel::answer_to(std::uint64_t sequence) {
  std::deque<Received> others;
  const auto keep_others = [&] {
    early_.insert(early_.begin(), std::make_move_iterator(others.begin()), std::make_move_iterator(others.end()));
  };
  for (;;) {
    flush();
    while (auto received = receive()) {
      if (received->message.header.sequence == sequence && received->message.header.kind != keeper::Kind::Exited &&
          received->message.header.kind != keeper::Kind::Signalled) {
        keep_others();
        return std::move(*received);
      }
      others.push_back(std::move(*received));
    }
    if (lost_) {
      keep_others();
      return Error{"cannot ask the keeper: it has closed the channel (EPIPE); services go on", EPIPE};
    }
    pollfd polled{socket_.get(), static_cast<short>(has_unsent() ? POLLIN | POLLOUT : POLLIN), 0};
    const int ready = sys::poll(&polled, 1, answer_within_ms);
    if (ready == 0) return Error{"cannot ask the keeper: no answer within 10 s (ETIMEDOUT); services go on", ETIMEDOUT};
    if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "wait for", "the keeper");
  }
}

}  // namespace perdure::supervisor
