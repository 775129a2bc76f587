// Opener: answers one request of one client with an open descriptor, or with words.
//
// A request is the bytes of a path, one newline allowed, as the first read brings them. What is on the whitelist is answered with the
// byte F and a descriptor for reading; what is not with DENIED, what cannot be opened with `open failed`.
// Thread safety: none, one owner.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "whitelist.hpp"

class Opener {
 public:
  static constexpr std::size_t request_bytes_max = 256;
  /// Called with each line about what was asked and answered.
  using Say = std::function<void(const std::string&)>;

  Opener(Whitelist whitelist, Say say) : whitelist_(std::move(whitelist)), say_(std::move(say)) {}

  /// Reads the request, which is there already, and answers it. Never blocks.
  void serve(int client) const;

 private:
  Whitelist whitelist_;
  Say say_;
};
