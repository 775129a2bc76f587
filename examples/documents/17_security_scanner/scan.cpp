#include "scan.hpp"

#include <arpa/inet.h>
#include <fts.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

#include <fmt/core.h>

#include "perdure/result.hpp"

namespace {

using Tree = std::unique_ptr<FTS, decltype(&fts_close)>;

constexpr unsigned entries_between_questions = 256;

template <class Number>
bool parse_hex(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && end == text.data() + text.size();
}

/// "0100007F:0016": words of 32 bits, each in the byte order of this machine.
std::string address_of(std::string_view text) {
  std::array<std::uint32_t, 4> words{};
  std::uint16_t port = 0;
  const auto colon = text.find(':');
  if ((colon != 8 && colon != 32) || !parse_hex(text.substr(colon + 1), port)) return {};
  for (std::size_t i = 0; i < colon / 8; ++i)
    if (!parse_hex(text.substr(8 * i, 8), words[i])) return {};
  std::array<char, INET6_ADDRSTRLEN> name{};
  const bool is_six = colon == 32;
  inet_ntop(is_six ? AF_INET6 : AF_INET, words.data(), name.data(), name.size());
  return fmt::format("{}{}{}:{}", is_six ? "[" : "", name.data(), is_six ? "]" : "", port);
}

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

bool is_ignored(const ScanConfig& config, const std::string& path) {
  return std::ranges::find(config.ignore, path) != config.ignore.end();
}

void look_at(const ScanConfig& config, const std::string& path, const struct stat& found, std::set<std::string>& findings) {
  const auto mode = found.st_mode;
  const bool is_file = S_ISREG(mode);
  if (config.world_writable && (mode & S_IWOTH) != 0) {
    if (is_file) findings.insert(fmt::format("world-writable file: {}", path));
    else if (S_ISDIR(mode) && (mode & S_ISVTX) == 0)
      findings.insert(fmt::format("world-writable directory without sticky bit: {}", path));
  }
  if (config.setuid && is_file && (mode & S_ISUID) != 0)
    findings.insert(fmt::format("setuid file: {} (runs as user {})", path, found.st_uid));
  if (config.setuid && is_file && (mode & S_ISGID) != 0 && (mode & S_IXGRP) != 0)
    findings.insert(fmt::format("setgid file: {} (runs as group {})", path, found.st_gid));
}

void look_at_files(const ScanConfig& config, const std::function<bool()>& go_on, Scan& scan) {
  std::string root = config.root;
  std::array<char*, 2> roots{root.data(), nullptr};
  const Tree tree{fts_open(roots.data(), FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, nullptr), fts_close};
  if (!tree) throw std::runtime_error{perdure::Error::from_errno(errno, "look below", root).message()};
  unsigned looked = 0;
  while (FTSENT* entry = fts_read(tree.get())) {
    if (++looked % entries_between_questions == 0 && !go_on()) {
      scan.is_whole = false;
      return;
    }
    const bool is_bad = entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR;
    if (is_bad && entry->fts_level == FTS_ROOTLEVEL)
      throw std::runtime_error{perdure::Error::from_errno(entry->fts_errno, "look below", root).message()};
    if (is_bad) ++scan.unreadable;
    if (entry->fts_info != FTS_D && entry->fts_info != FTS_F) continue;
    const std::string path{entry->fts_path, entry->fts_pathlen};
    if (is_ignored(config, path)) fts_set(tree.get(), entry, FTS_SKIP);
    else if (scan.findings.size() < findings_max) look_at(config, path, *entry->fts_statp, scan.findings);
    else scan.is_cut = true;
  }
}

}  // namespace

std::set<std::string> listening_in(std::string_view table) {
  constexpr std::string_view listen = "0A";
  std::set<std::string> addresses;
  while (!table.empty()) {
    std::string_view line = table.substr(0, table.find('\n'));
    table.remove_prefix(std::min(line.size() + 1, table.size()));
    next_word(line);  // the line's number
    const std::string_view local = next_word(line);
    next_word(line);  // the other end
    if (next_word(line) != listen) continue;
    if (const std::string address = address_of(local); !address.empty()) addresses.insert(address);
  }
  return addresses;
}

Scan look_below(const ScanConfig& config, const std::function<bool()>& go_on) {
  Scan scan;
  look_at_files(config, go_on, scan);
  if (!config.listening) return scan;
  for (const char* name : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file{(config.root == "/" ? "" : config.root) + name};
    const std::string table{std::istreambuf_iterator<char>{file}, {}};
    for (const std::string& address : listening_in(table)) scan.findings.insert("listening port: " + address);
  }
  return scan;
}
