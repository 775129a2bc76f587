// HttpEndpoint: /healthz, /readyz and /metrics over HTTP, for monitors that do not speak the control socket.
//
// GET and HEAD; /healthz answers 200 while the daemon makes progress, /readyz while it is ready, both else 503 with the reason as
// plain text; /metrics answers what the verb `metrics` does, and what expose() of prometheus.hpp added. Answers come from a
// thread of the endpoint's own, out of what is known already: no code of the program's runs for them, so a body or a
// worker that hangs is told of too. (While the control thread itself stands still, what it told last is answered.)
// Bounds: header fields of 8 KiB, silence of idle_max, connections_max connections; when one more comes the oldest gives way,
// so that no number of slow clients keeps a monitor out. One answer per connection.
// A fixed port is not handed over in an upgrade, which is refused then; port 0 is another one each time.
// Left out: TLS, passwords, pages of your own. It listens on loopback unless told otherwise; who can connect can read.
// Part of the component perdure::http (libmicrohttpd); a daemon that does not link it loads nothing of it.
// Thread safety: one thread until run(). Fork: a child's copy does nothing. Signal safety: none.
//
//     perdure::HttpEndpoint endpoint{{.port = 9464}};
//     return perdure::run(argc, argv, {.name = "thermod", .components = {&endpoint}}, body);
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "perdure/callback.hpp"
#include "perdure/component.hpp"
#include "perdure/export.hpp"

namespace prometheus {
class Registry;
}

namespace perdure {

struct HttpOptions {
  /// Where to listen: a numeric IPv4 or IPv6 address; "0.0.0.0" or "::" for all of them.
  std::string address = "127.0.0.1";
  /// 0: one that is free; the log says which.
  std::uint16_t port = 9464;
  /// From 1 on. The next connection ends the oldest one.
  unsigned connections_max = 64;
  /// A connection that says or takes nothing for so long is closed. From one second on, in whole seconds.
  std::chrono::seconds idle_max{5};
};

class PERDURE_EXPORT HttpEndpoint final : public Component {
 public:
  explicit HttpEndpoint(HttpOptions options = {});
  ~HttpEndpoint() override;

  /// To be changed before step 6 only: in Options::configure, from the settings.
  [[nodiscard]] HttpOptions& options() noexcept;
  /// Where it listens; 0 before prepare().
  [[nodiscard]] std::uint16_t port() const noexcept;

  /// Binds. On failure: nothing was bound; the reason names address and port.
  Result<void> prepare() override;
  Result<void> start(const DaemonView& daemon) override;
  void stop() noexcept override;

 private:
  friend HttpEndpoint& expose(HttpEndpoint& endpoint, std::shared_ptr<const prometheus::Registry> registry);
  void add_metrics(Callback<std::string()> text);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perdure
