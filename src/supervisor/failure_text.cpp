#include "supervisor/failure_text.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "os/system.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// The first bytes of a regular file; nothing where it cannot be read.
std::string head_of(const std::string& path) {
  const UniqueFd file{sys::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (!file || sys::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  char bytes[256];
  const ssize_t count = sys::read(file.get(), bytes, sizeof bytes);
  return {bytes, count > 0 ? static_cast<std::size_t>(count) : 0};
}

/// The directory on the way to `path` that cannot be searched.
std::string closed_directory(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    const std::string directory = path.substr(0, at);
    if (sys::access(directory.c_str(), X_OK) != 0) return directory;
  }
  return {};
}

std::string interpreter_in(const std::string& head) {
  const std::size_t end = head.find('\n');
  std::string_view line = std::string_view{head}.substr(2, end == std::string::npos ? end : end - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::string{line.substr(0, line.find_first_of(" \t"))};
}

std::string why_not_found(const std::string& program) {
  struct stat status {};
  if (sys::stat(program.c_str(), &status) != 0) return "there is no such file";
  const std::string head = head_of(program);
  if (head.starts_with("#!")) {
    std::string interpreter = interpreter_in(head);
    if (interpreter.ends_with('\r'))
      return "its first line ends in CRLF, so the kernel looks for an interpreter with a carriage return in its name; save "
             "the script with LF";
    return "the interpreter \"" + interpreter + "\" of its first line does not exist";
  }
  return "the file is there; what is missing is the interpreter or dynamic loader that it names";
}

std::string why_no_access(const std::string& program) {
  struct stat status {};
  if (sys::stat(program.c_str(), &status) != 0) {
    const std::string directory = closed_directory(program);
    return directory.empty() ? "" : "the directory " + directory + " cannot be searched";
  }
  if (S_ISDIR(status.st_mode)) return "it is a directory";
  if (!S_ISREG(status.st_mode)) return "it is not a regular file";
  if ((status.st_mode & 0111) == 0) return "it has no execute permission; chmod +x it";
  return "its file system may be mounted noexec, or a directory above it is closed to the service's user";
}

std::string why_no_format(const std::string& program) {
  struct stat status {};
  if (sys::stat(program.c_str(), &status) == 0 && status.st_size == 0) return "the file is empty";
  const std::string head = head_of(program);
  if (head.starts_with("\177ELF")) return "the ELF file is cut short or made for another kind of machine";
  return "it is neither a program nor a script with a first line that begins with #!";
}

}  // namespace

std::string setup_failure_text(wire::Step step, int error, const std::string& program) {
  if (step == wire::Step::Exec) {
    std::string why;
    if (error == ENOENT) why = why_not_found(program);
    if (error == EACCES) why = why_no_access(program);
    if (error == ENOEXEC) why = why_no_format(program);
    if (error == ETXTBSY) why = "somebody still has it open for writing";
    if (error == E2BIG) why = "the arguments and the environment are too large; one of them may be over 128 KiB";
    std::string text = Error::from_errno(error, "execute", program).message();
    return why.empty() ? text : text + ": " + why;
  }
  const std::string text = Error::from_errno(error, "start", program).message();
  if (error == ETIMEDOUT)
    return "cannot start " + program + ": the set-up timed out at the step \"" + wire::step_words(step) + "\" (ETIMEDOUT)";
  return text + " at the step \"" + wire::step_words(step) + "\"";
}

}  // namespace perdure::supervisor
