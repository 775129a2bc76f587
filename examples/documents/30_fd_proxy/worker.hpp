// The worker: the part that handles what a file contains, and may open none.
//
// It connects, gives up its rights, and only then asks. As root it becomes nobody (65534); whoever it is, a seccomp filter refuses
// every call that opens or executes a file or makes a socket. What it reads comes through descriptors that it is given.
#pragma once

#include <string>

/// Asks for `path` and prints what it says, on stderr. Returns the exit code: 0, or 1 where it was denied or something failed.
int work(const std::string& socket_path, const std::string& path);
