#include "opener.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "perdure/pass_fd.hpp"

namespace {

void send_words(int client, std::string_view words) {
  (void)!send(client, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);  // whoever has left misses them
}

/// So that a request cannot forge a line of ours.
std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return text;
}

}  // namespace

void Opener::serve(int client) const {
  std::array<char, request_bytes_max> buffer;
  const ssize_t count = recv(client, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count <= 0) return;
  std::string path(buffer.data(), static_cast<std::size_t>(count));
  if (path.ends_with('\n')) path.pop_back();
  const std::string shown = printable(path);
  say_("[opener] request for: " + shown);
  if (!whitelist_.contains(path)) {
    send_words(client, "DENIED");
    return say_("[opener] denied: " + shown);
  }
  const auto file = Whitelist::open(path);
  if (!file) {
    send_words(client, "open failed");
    return say_("[opener] " + file.error().message());
  }
  const auto sent = perdure::send_fd(client, file->get());
  say_(sent ? "[opener] fd sent for: " + shown : "[opener] " + sent.error().message());
}
