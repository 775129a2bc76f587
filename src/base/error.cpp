#include <cstdio>
#include <cstdlib>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "perdure/result.hpp"

namespace perdure {

Error Error::from_errno(int code, std::string_view attempt, std::string_view object) {
  std::string message = "cannot ";
  message += attempt;
  if (!object.empty()) message += ' ' + base::escape(object);
  message += ": " + base::errno_words(code);
  if (const auto name = base::errno_name(code); !name.empty()) message += " (" + std::string{name} + ')';
  return Error{std::move(message), code};
}

Error Error::with_advice(std::string_view advice) && {
  message_ += "; ";
  message_ += advice;
  return std::move(*this);
}

Error Error::in(std::string_view context) && {
  message_.insert(0, std::string{context} + ": ");
  return std::move(*this);
}

namespace detail {

void value_of_error(const char* message) noexcept {
  std::fprintf(stderr, "perdure: the value of a Result was used although there is an error: %s\n", message);
  std::abort();
}

}  // namespace detail
}  // namespace perdure
