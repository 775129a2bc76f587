// Which PID file the compat header's free functions mean, and the ones this process has written.
//
// Functions without arguments that remember something need state of the process; this is all of it. Files that were written
// are removed when the process ends through exit(3).
// Thread safety: all. Fork: a child inherits the locks; the files are removed by the process that wrote last. Not
// signal-safe.
//
//     compat::choose_pid_file("/run/thermod.pid");
//     compat::write_pid_file(compat::pid_file_path());
#pragma once

#include <string>

namespace perdure::compat {

/// The file that was chosen, else the default for this user and program.
std::string pid_file_path();
std::string default_pid_file_path();
void choose_pid_file(const std::string& absolute_path);
/// In a worker: `path` is locked and written by the supervising parent.
void adopt_supervisors_pid_file(const std::string& absolute_path);
/// `path` as it is meant now, whatever the current directory will be.
std::string absolute_path(const std::string& path);
/// Makes the missing directories above `path`, mode 0755 at most. What cannot be made shows when the file is opened.
void make_directories_above(const std::string& path);

/// A failure is a warning on stderr and syslog(3).
void write_pid_file(const std::string& path) noexcept;
bool is_running_instance(const std::string& path) noexcept;

}  // namespace perdure::compat
