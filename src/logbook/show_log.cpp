#include "logbook/show_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "base/text.hpp"
#include "logbook/line_view.hpp"
#include "logbook/log_directory.hpp"
#include "logbook/segment_reader.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

/// How often a directory is looked for that is not there, or cannot be watched.
constexpr int look_again_ms = 1000;
/// Lines are handed to the sink together up to so many bytes.
constexpr std::size_t output_bytes = 64U << 10;

std::string host_name() {
  constexpr std::size_t longest = 256;
  std::array<char, longest> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  const std::string_view whole{name.data()};
  return std::string{whole.substr(0, whole.find('.'))};
}

/// Empty where there is no such directory (yet).
Result<UniqueFd> open_directory(const std::string& path) {
  UniqueFd fd{os::sys::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
  if (!fd && errno != ENOENT) return Error::from_errno(errno, "open the log directory", path);
  return fd;
}

class Showing {
 public:
  Showing(const ShowOptions& options, const ShowSink& sink)
      : options_(options),
        sink_(sink),
        view_{.format = options.format,
              .unit = options.unit,
              .host = options.host.empty() ? host_name() : options.host,
              .raw = options.format == ShowFormat::Cat && !options.terminal},
        path_(options.log_directory + "/" + options.unit) {}

  Result<std::uint64_t> show() {
    PERDURE_TRY(bool wanted, from_the_beginning(options_.last));
    if (options_.follow) {
      while (wanted && wait()) {
        PERDURE_TRY(wanted, more());
      }
      return shown_;
    }
    if (wanted && reader_) wanted = reader_->finish(taker());
    wanted = wanted && flush();
    if (wanted && shown_ == 0 && (options_.format == ShowFormat::Short || options_.format == ShowFormat::ShortIso))
      (void)sink_("-- No entries --\n");
    return shown_;
  }

 private:
  /// Opens the directory, if it is there, and shows what is in it.
  Result<bool> from_the_beginning(std::optional<std::uint64_t> last) {
    reader_.reset();
    // Watched first, read then: what comes in between is seen by either.
    if (options_.follow) watch_directories();
    PERDURE_TRY(UniqueFd directory, open_directory(path_));
    if (!directory) return true;
    if (options_.follow) {
      constexpr std::uint32_t appended = IN_CREATE | IN_MODIFY | IN_MOVED_TO;
      watch("/proc/self/fd/" + std::to_string(directory.get()), appended);
    }
    reader_.emplace(std::move(directory), view_.raw ? Pieces::All : Pieces::Cut);
    if (last) PERDURE_CHECK(go_to_last(*last));
    return read();
  }

  // That a directory comes or goes is told by the one above it: IN_DELETE_SELF waits until nobody has it open, and we have.
  void watch_directories() {
    watch_.reset(os::sys::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    sees_all_ = static_cast<bool>(watch_);
    constexpr std::uint32_t entries = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF;
    watch(options_.log_directory, entries);
  }

  void watch(const std::string& path, std::uint32_t events) {
    sees_all_ = sees_all_ && os::sys::inotify_add_watch(watch_.get(), path.c_str(), events | IN_ONLYDIR) >= 0;
  }

  // Going back through the bytes does not know where only the end of a run ends a line, so what is found may be too much by
  // these. A first reading counts them.
  Result<void> go_to_last(std::uint64_t lines) {
    const bool with_rest = !options_.follow;
    PERDURE_TRY(const Place place, reader_->place_of_last(lines, with_rest));
    std::uint64_t found = 0;
    const LineTaker count = [&found](const LinePiece& piece) {
      found += piece.ends ? 1 : 0;
      return true;
    };
    reader_->start_at(place);
    PERDURE_TRY(const bool all, reader_->read(count));
    if (with_rest && all) reader_->finish(count);
    skip_ = found > lines ? found - lines : 0;
    reader_->start_at(place);
    return {};
  }

  LineTaker taker() {
    return [this](const LinePiece& piece) {
      if (skip_ > 0) {
        skip_ -= piece.ends ? 1 : 0;
        return true;
      }
      append_line(output_, view_, piece);
      shown_ += piece.ends ? 1 : 0;
      return output_.size() < output_bytes || flush();
    };
  }

  bool flush() {
    if (output_.empty()) return true;
    const bool wanted = sink_(output_);
    output_.clear();
    return wanted;
  }

  Result<bool> read() {
    PERDURE_TRY(const bool wanted, reader_->read(taker()));
    return wanted && flush();
  }

  Result<bool> more() {
    if (!reader_) return from_the_beginning({});
    PERDURE_TRY(bool wanted, read());
    if (!wanted || !reader_->is_orphaned()) return wanted;
    // The directory is gone with all that was to come in it; another one may be there already.
    if (!reader_->finish(taker()) || !flush()) return false;
    return from_the_beginning({});
  }

  /// Until there may be something new. Returns false when it is time to stop.
  bool wait() {
    std::array<pollfd, 2> fds{{{.fd = options_.stop, .events = POLLIN, .revents = 0},
                               {.fd = watch_.get(), .events = POLLIN, .revents = 0}}};  // poll(2) leaves out negative ones
    const int ready = os::sys::poll(fds.data(), fds.size(), sees_all_ ? -1 : look_again_ms);
    if (ready < 0) return errno == EINTR;
    if (fds[0].revents != 0) return false;
    // That something has happened is all that is wanted of the events.
    constexpr std::size_t events_bytes = 4096;
    alignas(inotify_event) std::array<char, events_bytes> events;
    while (watch_ && os::sys::read(watch_.get(), events.data(), events.size()) == ssize_t{events_bytes}) continue;
    return true;
  }

  const ShowOptions& options_;
  const ShowSink& sink_;
  LineView view_;
  std::string path_;
  std::optional<SegmentReader> reader_;
  UniqueFd watch_;
  bool sees_all_ = false;  ///< whatever changes wakes us
  std::string output_;
  std::uint64_t skip_ = 0;
  std::uint64_t shown_ = 0;
};

}  // namespace

std::optional<ShowFormat> parse_show_format(std::string_view word) noexcept {
  struct Name {
    std::string_view word;
    ShowFormat format;
  };
  static constexpr Name names[] = {{"short", ShowFormat::Short},
                                   {"short-iso", ShowFormat::ShortIso},
                                   {"cat", ShowFormat::Cat},
                                   {"json", ShowFormat::Json}};
  for (const Name& name : names) {
    if (word == name.word) return name.format;
  }
  return std::nullopt;
}

Result<std::uint64_t> show_log(const ShowOptions& options, const ShowSink& sink) {
  if (!is_log_name(options.unit))
    return Error{"cannot show the log of " + base::quote(options.unit) + ": that is no name of a unit", EINVAL};
  return Showing{options, sink}.show();
}

}  // namespace perdure::logbook
