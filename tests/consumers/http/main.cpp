// The smallest daemon with an HTTP endpoint: it starts, asks itself whether it is alive, and stops.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/http.hpp>
#include <perdure/perdure.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

std::string ask(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "refused";
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  if (::write(fd, request.data(), request.size()) < 0) return "deaf";
  char buffer[4096];
  std::string answer;
  for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(count));
  ::close(fd);
  return answer;
}

int main(int argc, char** argv) {
  perdure::HttpEndpoint endpoint{{.port = 0}};
  return perdure::run(argc, argv, {.name = "consumer", .version = "1.0.0", .components = {&endpoint}},
                      [&](perdure::Context& context) {
                        if (ask(endpoint.port()).find("\r\n\r\nok\n") == std::string::npos) return 1;
                        context.log().info("consumer runs on perdure {}", perdure::version());
                        return 0;
                      });
}
