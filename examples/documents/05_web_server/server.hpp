// HttpServer: a Site on a TCP port. cpp-httplib listens, speaks TLS, parses requests and owns the threads.
// One request per connection: httplib leaves the body of a GET unread, and would take it for the next request.
// Thread safety: one thread owns it; the site is asked from httplib's threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include "connections.hpp"
#include "perdure/result.hpp"
#include "site.hpp"

namespace httplib {
class Server;
}

struct HttpOptions {
  std::string address = "127.0.0.1";                 ///< the metrics are nobody else's business until somebody decides so
  std::uint16_t port = 8080;                         ///< 0: any free one
  std::string tls_cert{}, tls_key{};                 ///< PEM files, both or none; with them the port speaks TLS only
  unsigned threads = 64;                             ///< connections served at once; further ones wait
  std::chrono::milliseconds request_within{10'000};  ///< who has not sent the request by then is cut off
};

class HttpServer {
 public:
  /// `site` must live longer.
  HttpServer(const HttpOptions& options, Site& site);
  ~HttpServer();
  /// Clients can connect once it returns; it gives the port.
  perdure::Result<int> listen();
  /// To be called about once a second. False when no connection can be accepted any more.
  bool keep_serving();
  /// Takes no further connections, and returns when the last request is answered: within a second.
  void stop();

 private:
  [[nodiscard]] bool is_accepting() const;

  const HttpOptions options_;
  std::unique_ptr<httplib::Server> http_;
  Connections connections_;
  int port_ = 0;
  std::future<bool> accepting_;
};
