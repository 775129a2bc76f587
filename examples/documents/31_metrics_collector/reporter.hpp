// The other role of the program: five metrics, one connection each, a little apart.
#pragma once

#include <string>

/// Sends them, printing what comes back. Returns the exit code: 0, or 1 with the reason on stderr.
int report(const std::string& socket_name);
