#include "supervisor/name_service.hpp"

#include <cerrno>

#include "perdure/command.hpp"

namespace perdure::supervisor {
namespace {

constexpr std::size_t answer_bytes_max = 64 * 1024;
constexpr int no_such_key = 2;  // exit code of getent(1)

}  // namespace

Result<std::string> ask_name_service(const std::string& database, const std::string& key, std::chrono::milliseconds within) {
  auto answer = Command{"getent"}
                    .arg(database)
                    .arg(key)
                    .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                    .stdio(Stdio::Null, Stdio::Pipe, Stdio::Null)
                    .output({.within = within, .max_bytes = answer_bytes_max});
  if (!answer) return answer.error();
  if (answer->timed_out) return Error{"the name service did not answer in time (ETIMEDOUT)", ETIMEDOUT};
  if (answer->status == ExitStatus::exited(no_such_key)) return Error{"there is no such entry (ESRCH)", ESRCH};
  const std::string line = answer->out.substr(0, answer->out.find('\n'));
  if (!answer->status.success() || line.empty() || answer->truncated)
    return Error{"getent " + answer->status.text() + " (EIO)", EIO};
  return line;
}

}  // namespace perdure::supervisor
