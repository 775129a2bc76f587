#include "server.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <thread>

#include <httplib.h>

using namespace std::chrono_literals;

namespace {

constexpr std::size_t body_bytes_max = 64 * 1024;
constexpr auto silence_max = 5s;       // between two bytes of a request
constexpr auto stop_patience = 500ms;  // with requests that are half sent when we stop

void send(const Answer& answer, httplib::Response& response) {
  response.status = answer.status;
  if (!answer.allow.empty()) response.set_header("Allow", answer.allow);
  response.set_content(answer.body, answer.content_type);
}

}  // namespace

HttpServer::HttpServer(const HttpOptions& options, Site& site) : options_(options) {
  if (options.tls_cert.empty() && options.tls_key.empty()) http_ = std::make_unique<httplib::Server>();
  else http_ = std::make_unique<httplib::SSLServer>(options.tls_cert.c_str(), options.tls_key.c_str());

  const auto respond = [&site](const httplib::Request& request, httplib::Response& response) {
    send(site.respond(request.method, request.path), response);
  };
  http_->Get(".*", respond).Post(".*", respond).Put(".*", respond).Patch(".*", respond);
  http_->Delete(".*", respond).Options(".*", respond);
  http_->set_error_handler([&site](const httplib::Request&, httplib::Response& response) {
    if (response.body.empty()) send(site.refuse(response.status), response);  // httplib's own refusal: 400, 413, …
  });
  http_->set_exception_handler([](const auto&, httplib::Response& response, std::exception_ptr) { response.status = 500; });
  http_->set_default_headers({{"Cache-Control", "no-store"}});
  http_->set_keep_alive_max_count(1).set_keep_alive_timeout(silence_max.count());  // for the first byte, too
  http_->set_read_timeout(silence_max).set_write_timeout(silence_max);
  http_->set_payload_max_length(body_bytes_max);
  http_->new_task_queue = [threads = options.threads] { return new httplib::ThreadPool{threads}; };
}

perdure::Result<int> HttpServer::listen() {
  if (!http_->is_valid())
    return perdure::Error{"cannot use certificate " + options_.tls_cert + " and key " + options_.tls_key +
                          ": not a pair of readable PEM files"};
  int listener = -1;
  http_->set_socket_options([&listener](int socket) {
    // Instead of httplib's SO_REUSEPORT, with which a second server on the port would start and take half of the requests.
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    listener = socket;
  });
  if (options_.port == 0) port_ = http_->bind_to_any_port(options_.address);
  else port_ = http_->bind_to_port(options_.address, options_.port) ? options_.port : -1;
  if (port_ < 0) {
    const std::string place = options_.address + ":" + std::to_string(options_.port);
    if (listener < 0) return perdure::Error{"cannot listen on " + place + ": there is no such address"};
    return perdure::Error::from_errno(errno, "listen on", place).with_advice("choose another --address or --port");
  }
  ::listen(listener, SOMAXCONN);  // with httplib's five, a burst of clients waits for seconds
  accepting_ = std::async(std::launch::async, [this] { return http_->listen_after_bind(); });
  return port_;
}

HttpServer::~HttpServer() { stop(); }
bool HttpServer::is_accepting() const { return accepting_.wait_for(0s) == std::future_status::timeout; }

bool HttpServer::keep_serving() {
  connections_.end_older_than(port_, options_.request_within, Connections::Clock::now());
  return is_accepting();
}

void HttpServer::stop() {
  if (!accepting_.valid()) return;
  while (!http_->is_running() && is_accepting()) std::this_thread::yield();  // httplib forgets a stop before its start
  http_->stop();
  if (accepting_.wait_for(stop_patience) == std::future_status::timeout)
    connections_.end_older_than(port_, 0s, Connections::Clock::now());
  accepting_.wait();
  accepting_ = {};
}
