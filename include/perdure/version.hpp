// The version of the headers, for `#if`, and of the library that is linked, for `--version`.
//
// Thread, fork and signal safety: constants and a pure function.
#pragma once

#include <string_view>

#include "perdure/export.hpp"

#define PERDURE_VERSION_MAJOR 0
#define PERDURE_VERSION_MINOR 1
#define PERDURE_VERSION_PATCH 0

namespace perdure {

/// The version of the linked library, e.g. "0.1.0". In 0.x any minor version may break source and binary compatibility.
PERDURE_EXPORT std::string_view version() noexcept;

}  // namespace perdure
