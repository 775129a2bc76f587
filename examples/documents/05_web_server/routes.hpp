// Routes: which function answers which request. Knows methods and whole paths, and nothing of sockets.
// 404 for a path it does not know, 405 for another method. Thread safety: answer() from any thread once all are added.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "responses.hpp"

class Routes {
 public:
  using Respond = std::function<Answer()>;
  /// Answers GET, and HEAD: the server leaves the body out.
  void get(std::string path, Respond respond) { routes_[std::move(path)] = std::move(respond); }
  [[nodiscard]] Answer answer(std::string_view method, std::string_view path) const {
    const auto route = routes_.find(path);
    if (route == routes_.end()) return error_answer(404);
    if (method == "GET" || method == "HEAD") return route->second();
    return {.status = 405, .body = error_answer(405).body, .allow = "GET, HEAD"};
  }

 private:
  std::map<std::string, Respond, std::less<>> routes_;
};
