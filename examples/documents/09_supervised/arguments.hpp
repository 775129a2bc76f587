// Arguments: the command line of a program that is put together from parts, without run() and its settings.
//
// Thread safety: plain values.
#pragma once

#include <string>

struct Arguments {
  bool foreground = false;
  std::string pid_file = "/var/run/supervised.pid", log_file, counter;
  unsigned attempts = 5, delay_ms = 10'000, fail = 0, lifetime_ms = 0;
};

/// Paths come out absolute. Throws std::invalid_argument that says what is wrong.
Arguments parse_arguments(int argc, char** argv);
