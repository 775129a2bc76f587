#include "perdure/version.hpp"

#define PERDURE_TEXT2(x) #x
#define PERDURE_TEXT(x) PERDURE_TEXT2(x)

namespace perdure {

std::string_view version() noexcept {
  return PERDURE_TEXT(PERDURE_VERSION_MAJOR) "." PERDURE_TEXT(PERDURE_VERSION_MINOR) "." PERDURE_TEXT(PERDURE_VERSION_PATCH);
}

}  // namespace perdure
