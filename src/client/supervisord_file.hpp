// SupervisordFile: a supervisord.conf with everything it includes, as sections of settings.
//
// The dialect is that of supervisord 4.2, which reads with Python's RawConfigParser: "=" or ":" after a name, comments after "#"
// and ";" at the beginning of a line or after white space, indented lines go on with the value before them, a later setting of
// the same name wins. %(here)s is the directory of the file in which it stands. Left out: what the settings mean
// (import_supervisord.hpp).
// Bounds: 1 MiB for a file, 256 files. Thread safety: one thread. Fork and signal safety: none.
//
//     const SupervisordFile file = read_supervisord_file("/etc/supervisor/supervisord.conf", environment);
//     if (!file.errors.empty()) …        // "/etc/supervisor/supervisord.conf:12: …"
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::client {

struct SupervisordSetting {
  std::string value{};
  std::string place{};  ///< "FILE:LINE"
};

struct SupervisordSection {
  std::string name{};                                                  ///< "program:web"
  std::string place{};                                                 ///< of the first one of this name
  std::vector<std::pair<std::string, SupervisordSetting>> settings{};  ///< in their order; names in small letters, each once

  [[nodiscard]] const SupervisordSetting* find(std::string_view setting) const;
};

using Variables = std::map<std::string, std::string, std::less<>>;

struct SupervisordFile {
  std::string directory{};  ///< of the main file, absolute
  std::vector<SupervisordSection> sections{};
  std::vector<std::string> errors{};   ///< one line each, with the place
  std::vector<std::string> remarks{};  ///< likewise; nothing is wrong

  [[nodiscard]] const SupervisordSection* find(std::string_view section) const;
};

/// `environment`: what %(ENV_x)s stands for in [include].
SupervisordFile read_supervisord_file(const std::string& path, const Variables& environment);

/// Python's `text % variables`: %(name)s, %(name)02d, %%. On failure: what cannot be done, without a place.
Result<std::string> expand_supervisord(std::string_view text, const Variables& variables);

/// "A=1,B=\"two, three\"". On failure: what is wrong with it.
Result<std::vector<std::pair<std::string, std::string>>> split_supervisord_environment(std::string_view text);

/// The words of a command as Python's shlex.split() has them. On failure: an open quote.
Result<std::vector<std::string>> split_supervisord_command(std::string_view text);

}  // namespace perdure::client
