// Answer: what an endpoint says to a request, as a value.
//
// Left out: HTTP itself (endpoint.cpp, libmicrohttpd).
// Thread safety: a pure function of what `daemon` and `more` answer.
//
//     const Answer it = answer("GET", "/healthz", daemon, {});      // {200, plain_text, "ok\n"}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "perdure/callback.hpp"
#include "perdure/component.hpp"

namespace perdure::http {

inline constexpr const char* plain_text = "text/plain; charset=utf-8";
/// Prometheus' text exposition format.
inline constexpr const char* metrics_text = "text/plain; version=0.0.4; charset=utf-8";
inline constexpr const char* methods_allowed = "GET, HEAD";

struct Answer {
  unsigned status;  ///< 200, 404, 405, 500 or 503
  const char* content_type;
  std::string body;  ///< also for HEAD, which leaves it out on the way
};

/// `path` has no query. `more`: texts of further metrics, appended to the daemon's; one that throws makes it 500.
Answer answer(std::string_view method, std::string_view path, const DaemonView& daemon,
              const std::vector<Callback<std::string()>>& more);

}  // namespace perdure::http
