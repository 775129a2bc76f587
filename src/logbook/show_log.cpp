#include "logbook/show_log.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <queue>
#include <utility>

#include "base/text.hpp"
#include "logbook/line_view.hpp"
#include "logbook/log_directory.hpp"
#include "logbook/log_lines.hpp"
#include "logbook/segment_reader.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

/// How often a directory is looked for that is not there, or cannot be watched.
constexpr int look_again_ms = 1000;
/// Lines are handed to the sink together up to so many bytes.
constexpr std::size_t output_bytes = 64U << 10;
/// What is read ahead where several units are merged: of all of them together, and of one at most and at least.
constexpr std::size_t ahead_bytes_all = 4U << 20, ahead_bytes_most = 64U << 10, ahead_bytes_least = 4U << 10;
/// The same backwards, in lines of each.
constexpr std::uint64_t ahead_lines_most = 1024, ahead_lines_least = 16;
/// Units in one log directory; further ones are not seen.
constexpr std::size_t units_max = 65'536;

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

/// A unit whose lines are shown.
struct Source {
  Source(const ShowOptions& options, const std::string& unit, LineSettings settings, const std::string& host)
      : view{.format = options.format,
             .unit = unit,
             .host = host,
             .raw = options.format == ShowFormat::Cat && !options.terminal,
             .identifier = settings.identifier,
             .hides_host = options.hides_host,
             .has_colours = options.has_colours && options.terminal},
        path(options.log_directory + "/" + unit),
        judge(options, std::move(settings)) {}

  LineView view;
  std::string path;
  LineJudge judge;
  std::optional<SegmentReader> reader{};
  bool has_changed = true;
};

class Showing {
 public:
  Showing(const ShowOptions& options, const ShowSink& sink)
      : options_(options), sink_(sink), host_(options.host.empty() ? host_name() : options.host) {}

  Result<std::uint64_t> show() {
    PERDURE_CHECK(look_around());
    const bool is_choosy = std::any_of(sources_.begin(), sources_.end(), [](const auto& s) { return s->judge.is_choosy(); });
    bool wanted = true;
    if (options_.reverse || (options_.last && (is_choosy || sources_.size() != 1))) {
      PERDURE_TRY(wanted, backwards());
      if (!options_.follow) return end(wanted);
    } else {
      PERDURE_CHECK(go_to_the_first());
      PERDURE_TRY(wanted, forwards());
    }
    if (!options_.follow) return end(wanted);
    while (wanted && wait()) {
      PERDURE_TRY(wanted, forwards());
    }
    if (failure_) return *std::move(failure_);
    return shown_;
  }

 private:
  std::uint64_t end(bool wanted) {
    const auto format = options_.format;
    const bool is_for_people = format != ShowFormat::Json && format != ShowFormat::Export && format != ShowFormat::Cat;
    if (wanted && shown_ == 0 && is_for_people && !options_.is_quiet) (void)sink_("-- No entries --\n");
    return shown_;
  }

  // ---- which units ----

  /// Finds the units, opens what is there of them, and watches all of it.
  Result<void> look_around() {
    // Watched first, read then: what comes in between is seen by either.
    if (options_.follow) watch_everything();
    for (const std::string& unit : options_.units) add(unit);
    if (!options_.patterns.empty()) {
      PERDURE_TRY(const std::vector<std::string> units, units_with_logs(options_.log_directory));
      for (const std::string& unit : units) {
        if (std::any_of(options_.patterns.begin(), options_.patterns.end(),
                        [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), unit.c_str(), 0) == 0; }))
          add(unit);
      }
    }
    for (const auto& source : sources_) {
      if (options_.follow) watch_unit(*source);
      // A directory that is gone takes along all that was to come in it; another one may be there already.
      if (source->reader && source->reader->is_orphaned()) {
        (void)source->reader->read(taker(*source));
        (void)source->reader->finish(taker(*source));
        source->reader.reset();
      }
      source->has_changed = true;
      if (source->reader) continue;
      PERDURE_TRY(UniqueFd directory, open_directory(source->path));
      if (directory) source->reader.emplace(std::move(directory), source->view.raw ? Pieces::All : Pieces::Cut);
    }
    return {};
  }

  void add(const std::string& unit) {
    if (!known_.emplace(unit, true).second) return;
    const auto found = options_.settings.find(unit);
    auto source =
        std::make_unique<Source>(options_, unit, found == options_.settings.end() ? LineSettings{} : found->second, host_);
    if (source->judge.wants_unit(identifier_of(unit))) sources_.push_back(std::move(source));
  }

  // ---- showing ----

  void append(const Source& source, const LinePiece& piece, int priority) {
    append_line(output_, source.view, piece, priority);
    shown_ += piece.ends ? 1 : 0;
  }

  LineTaker taker(Source& source) {
    return [this, &source](const LinePiece& given) {
      LinePiece piece = given;
      const auto priority = source.judge.judge(piece);
      if (!priority) return true;
      if (skip_ > 0) {
        skip_ -= piece.ends ? 1 : 0;
        return true;
      }
      append(source, piece, *priority);
      return output_.size() < output_bytes || flush();
    };
  }

  bool flush() {
    if (output_.empty()) return true;
    const bool wanted = sink_(output_);
    output_.clear();
    return wanted;
  }

  Result<void> go_to_the_first() {
    for (const auto& source : sources_) {
      if (!source->reader) continue;
      if (options_.since_us) PERDURE_CHECK(source->reader->start_near(*options_.since_us * 1'000));
      if (options_.last) PERDURE_CHECK(go_to_last(*source->reader, *options_.last));
    }
    return {};
  }

  // Going back through the bytes does not know where only the end of a run ends a line, so what is found may be too much by
  // these. A first reading counts them.
  Result<void> go_to_last(SegmentReader& reader, std::uint64_t lines) {
    const bool with_rest = !options_.follow;
    PERDURE_TRY(const Place place, reader.place_of_last(lines, with_rest));
    std::uint64_t found = 0;
    const LineTaker count = [&found](const LinePiece& piece) {
      found += piece.ends ? 1 : 0;
      return true;
    };
    reader.start_at(place);
    PERDURE_TRY(const bool all, reader.read(count));
    if (with_rest && all) reader.finish(count);
    skip_ = found > lines ? found - lines : 0;
    reader.start_at(place);
    return {};
  }

  /// Everything that has come, oldest first.
  Result<bool> forwards() {
    std::vector<Source*> changed;
    for (const auto& source : sources_) {
      if (std::exchange(source->has_changed, false) && source->reader) changed.push_back(source.get());
    }
    if (changed.size() == 1) {
      PERDURE_TRY(bool wanted, changed.front()->reader->read(taker(*changed.front())));
      if (wanted && !options_.follow) wanted = changed.front()->reader->finish(taker(*changed.front()));
      return wanted && flush();
    }
    const std::size_t ahead =
        std::clamp(ahead_bytes_all / std::max<std::size_t>(changed.size(), 1), ahead_bytes_least, ahead_bytes_most);
    std::vector<ForwardLines> lines;
    lines.reserve(changed.size());
    for (Source* const source : changed) lines.emplace_back(*source->reader, source->judge, ahead, !options_.follow);
    return merge(lines, changed, std::greater<>{}, [&](const Source& source, const KeptLine& line) {
      append(source, line.piece(), line.priority);
      return output_.size() < output_bytes || flush();
    });
  }

  /// What is there, newest first: printed so, or the last lines turned round.
  Result<bool> backwards() {
    std::vector<Source*> all;
    for (const auto& source : sources_) {
      source->has_changed = false;
      if (source->reader) all.push_back(source.get());
    }
    const std::uint64_t ahead = std::clamp(options_.last.value_or(UINT64_MAX), ahead_lines_least, ahead_lines_most);
    std::vector<BackwardLines> lines;
    std::vector<Place> ends;
    lines.reserve(all.size());
    for (Source* const source : all) {
      std::optional<Place> end;
      if (options_.follow) {  // what is not complete comes later
        PERDURE_TRY(end, source->reader->place_of_last(0, false));
        ends.push_back(*end);
      }
      lines.emplace_back(*source->reader, source->judge, ahead, end);
    }
    std::vector<std::string> found;
    std::uint64_t left = options_.last.value_or(UINT64_MAX);
    bool wanted = true;
    if (left > 0) {
      PERDURE_TRY(wanted, merge(lines, all, std::less<>{}, [&](const Source& source, const KeptLine& line) {
                    append(source, line.piece(), line.priority);
                    if (!options_.reverse) found.push_back(std::exchange(output_, {}));
                    return --left > 0 && (output_.size() < output_bytes || flush());
                  }));
      wanted = wanted || left == 0;
    }
    for (auto line = found.rbegin(); line != found.rend() && wanted; ++line) {
      output_ += *line;
      wanted = output_.size() < output_bytes || flush();
    }
    for (std::size_t i = 0; i < ends.size(); ++i) all[i]->reader->start_at(ends[i]);
    return wanted && flush();
  }

  /// Hands out the lines of all, the one first that `Order` puts on top. Returns whether all were wanted.
  template <typename Lines, typename Order, typename Take>
  Result<bool> merge(std::vector<Lines>& lines, const std::vector<Source*>& of, Order, Take take) {
    // Of lines of one moment the first unit's comes first, whichever way they go.
    using Next = std::pair<std::int64_t, std::size_t>;
    const auto comes_later = [](const Next& a, const Next& b) {
      return a.first != b.first ? Order{}(a.first, b.first) : a.second > b.second;
    };
    std::priority_queue<Next, std::vector<Next>, decltype(comes_later)> next{comes_later};
    const auto look = [&](std::size_t at) -> Result<void> {
      PERDURE_TRY(const KeptLine* const line, lines[at].front());
      if (line != nullptr) next.emplace(line->order_ns, at);
      return {};
    };
    for (std::size_t i = 0; i < lines.size(); ++i) PERDURE_CHECK(look(i));
    while (!next.empty()) {
      const std::size_t at = next.top().second;
      next.pop();
      PERDURE_TRY(const KeptLine* const line, lines[at].front());
      if (!take(*of[at], *line)) return false;
      lines[at].pop();
      PERDURE_CHECK(look(at));
    }
    return flush();
  }

  // ---- waiting ----

  // That a directory comes or goes is told by the one above it: IN_DELETE_SELF waits until nobody has it open, and we have.
  void watch_everything() {
    watch_.reset(os::sys::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    watched_.clear();
    sees_all_ = static_cast<bool>(watch_);
    constexpr std::uint32_t entries = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF;
    sees_all_ =
        sees_all_ && os::sys::inotify_add_watch(watch_.get(), options_.log_directory.c_str(), entries | IN_ONLYDIR) >= 0;
  }

  void watch_unit(Source& source) {
    constexpr std::uint32_t appended = IN_CREATE | IN_MODIFY | IN_MOVED_TO;
    const int watch = os::sys::inotify_add_watch(watch_.get(), source.path.c_str(), appended | IN_ONLYDIR | IN_DONT_FOLLOW);
    if (watch >= 0) watched_[watch] = &source;
    else if (errno != ENOENT) sees_all_ = false;  // that it comes is seen by the directory above it
  }

  /// Until there may be something new. Returns false when it is time to stop.
  bool wait() {
    std::array<pollfd, 2> fds{{{.fd = options_.stop, .events = POLLIN, .revents = 0},
                               {.fd = watch_.get(), .events = POLLIN, .revents = 0}}};  // poll(2) leaves out negative ones
    const int ready = os::sys::poll(fds.data(), fds.size(), sees_all_ ? -1 : look_again_ms);
    if (ready < 0) return errno == EINTR;
    if (fds[0].revents != 0) return false;
    bool is_new_round = !sees_all_;
    constexpr std::size_t events_bytes = 4096;
    alignas(inotify_event) std::array<char, events_bytes> events;
    for (;;) {
      const ssize_t got = watch_ ? os::sys::read(watch_.get(), events.data(), events.size()) : -1;
      if (got <= 0) break;
      for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(got);) {
        inotify_event event{};
        std::memcpy(&event, events.data() + at, sizeof event);
        at += sizeof event + event.len;
        const auto source = watched_.find(event.wd);
        if (source == watched_.end() || (event.mask & (IN_Q_OVERFLOW | IN_IGNORED)) != 0) is_new_round = true;
        else source->second->has_changed = true;
      }
    }
    if (!is_new_round) return true;
    if (auto around = look_around(); !around) {
      failure_ = std::move(around).error();
      return false;
    }
    return true;
  }

  const ShowOptions& options_;
  const ShowSink& sink_;
  std::string host_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::map<std::string, bool, std::less<>> known_;
  UniqueFd watch_;
  std::map<int, Source*> watched_;
  bool sees_all_ = false;  ///< whatever changes wakes us
  std::optional<Error> failure_;
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
                                   {"short-precise", ShowFormat::ShortPrecise},
                                   {"short-unix", ShowFormat::ShortUnix},
                                   {"cat", ShowFormat::Cat},
                                   {"json", ShowFormat::Json},
                                   {"export", ShowFormat::Export}};
  for (const Name& name : names) {
    if (word == name.word) return name.format;
  }
  return std::nullopt;
}

Result<std::uint64_t> show_log(const ShowOptions& options, const ShowSink& sink) {
  for (const std::string& unit : options.units) {
    if (!is_log_name(unit))
      return Error{"cannot show the log of " + base::quote(unit) + ": that is no name of a unit", EINVAL};
  }
  return Showing{options, sink}.show();
}

Result<std::vector<std::string>> units_with_logs(const std::string& log_directory) {
  std::vector<std::string> units;
  DIR* const directory = os::sys::opendir(log_directory.c_str());
  if (directory == nullptr) {
    if (errno == ENOENT) return units;
    return Error::from_errno(errno, "open the log directory", log_directory);
  }
  // Only directories are units: links lead elsewhere, and the instance's lock is a file.
  while (const dirent* const entry = ::readdir(directory)) {
    const bool may_be_one = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
    if (may_be_one && is_log_name(entry->d_name) && units.size() < units_max) units.emplace_back(entry->d_name);
  }
  ::closedir(directory);
  std::sort(units.begin(), units.end());
  return units;
}

}  // namespace perdure::logbook
