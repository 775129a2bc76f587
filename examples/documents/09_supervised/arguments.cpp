#include "arguments.hpp"

#include <charconv>
#include <filesystem>
#include <stdexcept>
#include <string_view>

namespace {

unsigned number_of(const std::string& text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) throw std::invalid_argument{"\"" + text + "\" is no number"};
  return value;
}

}  // namespace

Arguments parse_arguments(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto value = [&] {
      return i + 1 < argc ? std::string{argv[++i]} : throw std::invalid_argument{std::string{word} + ": a value is missing"};
    };
    if (word == "--foreground") a.foreground = true;
    else if (word == "--pid-file") a.pid_file = value();
    else if (word == "--log-file") a.log_file = std::filesystem::absolute(value());
    else if (word == "--counter") a.counter = std::filesystem::absolute(value());
    else if (word == "--attempts") a.attempts = number_of(value());
    else if (word == "--delay-ms") a.delay_ms = number_of(value());
    else if (word == "--fail") a.fail = number_of(value());
    else if (word == "--lifetime-ms") a.lifetime_ms = number_of(value());
    else throw std::invalid_argument{"unknown word: " + std::string{word}};
  }
  return a;
}
