#include <chrono>
#include <utility>

#include "logbook/line_format.hpp"
#include "logbook/out_of_memory.hpp"
#include "logbook/sinks.hpp"

namespace perdure::logbook {
namespace {

class FileSink final : public detail::Sink {
 public:
  FileSink(RotatingFile file, LogFormat format, std::string name)
      : file_(std::move(file)), format_(format), name_(std::move(name)) {}

  Result<void> write(const LogLine& line) noexcept override {
    return without_throwing([&]() -> Result<void> {
      PERDURE_CHECK(append(line));
      complain_once(line.time);
      return {};
    });
  }

  Result<void> rotate() noexcept override {
    return without_throwing([&] { return file_.rotate(); });
  }

 private:
  Result<void> append(const LogLine& line) {
    buffer_.clear();
    append_line(buffer_, format_, name_, line);
    buffer_.push_back('\n');
    return file_.write(buffer_, line.time);
  }

  // A file that cannot be rotated grows: said in it once, not once per line, until a rotation works again.
  void complain_once(std::chrono::system_clock::time_point now) {
    const auto& failure = file_.rotation_failure();
    if (failure && !has_complained_) {
      has_complained_ = true;
      // Should this line fail, the next one of the program fails as well and is counted.
      (void)append({.level = Level::Warning, .time = now, .text = failure->message()});
    } else if (!failure) {
      has_complained_ = false;
    }
  }

  RotatingFile file_;
  LogFormat format_;
  std::string name_;
  std::string buffer_;
  bool has_complained_ = false;
};

}  // namespace

Result<std::unique_ptr<detail::Sink>> make_file_sink(RotatingFileOptions options, LogFormat format, std::string name) {
  PERDURE_TRY(RotatingFile file, RotatingFile::open(std::move(options)));
  return std::unique_ptr<detail::Sink>{std::make_unique<FileSink>(std::move(file), format, std::move(name))};
}

}  // namespace perdure::logbook
