// Answers: what goes back to a client, as values. What they look like on the wire is the server's business.
#pragma once

#include <string>
#include <utility>

struct Answer {
  int status = 200;
  std::string content_type = "text/plain";
  std::string body{};
  std::string allow{};  ///< for 405: the methods that are allowed
};

inline Answer text_answer(std::string body) { return {.body = std::move(body)}; }
inline Answer json_answer(int status, std::string json) {
  return {.status = status, .content_type = "application/json", .body = std::move(json)};
}
inline Answer error_answer(int status) { return {.status = status, .body = "error " + std::to_string(status) + "\n"}; }
