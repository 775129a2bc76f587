// Progress: one line on stderr that says for how long a command has been waiting.
//
// Only where stderr is a terminal that is not dumb, and not in the first two seconds. The line is written anew every second and
// gone when the object is. Left out: what the unit is doing; the instance is not asked meanwhile.
// Thread safety: one object at a time, in the only thread: it uses SIGALRM. Fork and signal safety: none.
//
//     const client::Progress progress{"start", names};      // "starting web.service (12s); Ctrl-C stops the waiting only"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace perdure::client {

class Progress {
 public:
  Progress(std::string_view verb, const std::vector<std::string>& units);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  bool is_shown_;
};

/// "starting web.service", "stopping web.service and 4 more": at most 60 columns.
std::string progress_label(std::string_view verb, const std::vector<std::string>& units);

}  // namespace perdure::client
