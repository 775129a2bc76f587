// Names that are in no file: asked of the machine's name service through getent(1), within a deadline.
//
// A name service may ask a directory server and wait for as long as the network does; nothing of that can be done in the manager,
// which is static besides. So a program is started for each question, and killed when it takes too long. The manager does wait, and
// therefore only while a unit is compiled, for names that no file has, and at most as long as the caller allows.
// Left out: remembering answers, and how long may be waited altogether (accounts.hpp).
// Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(const std::string line, ask_name_service("passwd", "alice", 2s));    // "alice:x:1000:1000:…"
#pragma once

#include <chrono>
#include <string>

#include "perdure/result.hpp"

namespace perdure::supervisor {

/// The first line that it answers. Errors: ESRCH there is no such entry, ETIMEDOUT it did not answer, others: it could not be
/// asked. Requires: neither text begins with "-".
using AskNameService = Result<std::string> (*)(const std::string& database, const std::string& key,
                                               std::chrono::milliseconds within);
Result<std::string> ask_name_service(const std::string& database, const std::string& key, std::chrono::milliseconds within);

}  // namespace perdure::supervisor
