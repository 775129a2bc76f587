// The name and the words of an errno value, for messages.
//
// Left out: translation (messages are English whatever the locale says, so that they can be searched for and tested).
// Thread and fork safety: constant tables. Signal safety: errno_name only.
//
//     errno_name(ENOENT)    // "ENOENT"
//     errno_words(ENOENT)   // "No such file or directory"
#pragma once

#include <string>
#include <string_view>

namespace perdure::base {

/// "ENOENT"; empty for a number that is no errno value. Of two names for a number, the one that errno(3) explains (EAGAIN).
std::string_view errno_name(int code) noexcept;

/// "No such file or directory"; "Unknown error 4242" for a number that is no errno value.
std::string errno_words(int code);

}  // namespace perdure::base
