// How fast can a service write its log, in large writes and line by line, and does every line arrive?
//
// The clock runs in the writer, from its first write to the end of its last. The bare peer is `cat > file`; all files are in
// memory where the machine has that. Afterwards perdure's log is read back with `perdure logs` and every line counted; it is
// removed before the next turn.
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"
#include "writer_lines.hpp"

namespace {

struct Load {
  std::string name;
  std::size_t write_size;
  std::uint64_t lines;
  double cat_min;  ///< what must be reached of `cat > file`
};

std::vector<std::string> writer(const bench::Fleet& fleet, const Load& load) {
  return {bench::sibling("writer"), "0:" + fleet.stamps_path(), std::to_string(load.write_size), std::to_string(load.lines)};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// Waits for the writer of `fleet` to have written everything: bytes per second.
double speed(const bench::Fleet& fleet, const Load& load) {
  constexpr int look_again_ms = 10;
  for (int waited = 0; fleet.births(0) == 0; waited += look_again_ms) {
    if (waited > bench::hang_limit_ms) throw std::runtime_error("the writer does not come to an end");
    bench::pause_ms(look_again_ms);
  }
  const bench::Life life = fleet.life(0, 0);
  return static_cast<double>(load.lines * bench::line_size) / static_cast<double>(life.died_ns - life.born_ns) * 1e9;
}

/// `writer | reader`, with the reader's output in `file`.
double through_pipe(bench::Fleet& fleet, const Load& load, const std::string& reader, const std::string& file) {
  fleet.forget();
  const std::string line = fmt::format("{} | {} > {}", joined(writer(fleet, load)), reader, file);
  const bench::Target shell{bench::spawn({{"/bin/sh", "-c", line}})};
  const double result = speed(fleet, load);
  (void)shell.wait();
  return result;
}

/// What came of the lines.
struct Arrived {
  std::uint64_t lines = 0;  ///< whole and in order
  std::uint64_t wrong = 0;  ///< torn, doubled or out of order
};

/// A line's number; none: it is not one of the writer's, or torn.
std::optional<std::uint64_t> number_of(std::string_view line) {
  if (line.size() != bench::line_size - 1 || line.back() != 'x') return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + bench::line_digits, number);
  return error == std::errc{} && end == line.data() + bench::line_digits ? std::optional{number} : std::nullopt;
}

/// Counts the lines in the output of a command.
Arrived count_lines(const std::vector<std::string>& command) {
  bench::Line output;
  const bench::Target reader = bench::fork_running([&] {
    (void)::dup2(output.in.get(), STDOUT_FILENO);
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    (void)::execv(argv[0], argv.data());
    return 127;
  });
  output.in.reset();
  Arrived arrived;
  std::uint64_t next = 0;
  std::string rest;
  std::vector<char> bytes(1 << 20);
  for (ssize_t count = 0; (count = ::read(output.out.get(), bytes.data(), bytes.size())) > 0;) {
    rest.append(bytes.data(), static_cast<std::size_t>(count));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const auto number = number_of(std::string_view{rest}.substr(begin, end - begin));
      if (number && *number >= next) {
        ++arrived.lines;
        next = *number + 1;
      } else {
        ++arrived.wrong;
      }
    }
    rest.erase(0, begin);
  }
  if (const int code = reader.wait(); code != 0)
    throw std::runtime_error(fmt::format("{} ended with code {}", joined(command), code));
  return arrived;
}

struct Perdure {
  double bytes_per_second;
  Arrived arrived;
};

Perdure through_perdure(bench::Fleet& fleet, const Load& load) {
  const bench::PerdureUnits units{fleet};
  const std::string unit = "writer.service";
  units.add(unit, joined(writer(fleet, load)), "Restart=no\n");
  const bench::Contender contender = units.contender({unit});
  bench::Running running{contender, fleet};
  Perdure result{speed(fleet, load), {}};
  // The writer's last bytes may still be on their way to the file.
  constexpr int tries = 50, try_again_ms = 100;
  for (int i = 0; i < tries && result.arrived.lines < load.lines; ++i) {
    bench::pause_ms(try_again_ms);
    result.arrived = count_lines(units.client({"logs", "-u", unit, "-o", "cat"}));
  }
  running.stop();
  bench::reap_strays();
  return result;
}

double through_supervisord(bench::Fleet& fleet, const Load& load, const std::string& server) {
  const std::string place = fleet.place("supervisord");
  bench::write_file(place + "/conf",
                    fmt::format("[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={0}/pid\n"
                                "[program:writer]\ncommand={1}\nautorestart=false\nstartsecs=0\nredirect_stderr=true\n"
                                "stdout_logfile={0}/log\nstdout_logfile_maxbytes=0\n",
                                place, joined(writer(fleet, load))));
  const bench::Contender contender{.name = "supervisord", .program = {{server, "-n", "-c", place + "/conf"}}};
  bench::Running running{contender, fleet};
  const double result = speed(fleet, load);
  running.stop();
  return result;
}

void measure_load(const Load& load, const bench::Arguments& arguments, bench::Report& report) {
  constexpr double mega = 1e6;
  bench::Samples cat, ours;
  std::uint64_t lost = 0, wrong = 0;
  std::vector<std::pair<std::string, bench::Samples>> peers;
  using Turn = std::function<double(bench::Fleet&)>;
  std::vector<Turn> turns;
  if (const auto logger = bench::installed("s6-log")) {
    peers.emplace_back("s6-log", bench::Samples{});
    turns.emplace_back([&load, logger](bench::Fleet& fleet) {
      return through_pipe(fleet, load, fmt::format("{} s268435455 {}", *logger, fleet.place("s6-log")), "/dev/null");
    });
  }
  if (const auto logger = bench::installed("svlogd")) {
    peers.emplace_back("svlogd", bench::Samples{});
    turns.emplace_back([&load, logger](bench::Fleet& fleet) {
      return through_pipe(fleet, load, fmt::format("{} {}", *logger, fleet.place("svlogd")), "/dev/null");
    });
  }
  if (const auto server = bench::installed("supervisord")) {
    peers.emplace_back("supervisord", bench::Samples{});
    turns.emplace_back([&load, server](bench::Fleet& fleet) { return through_supervisord(fleet, load, *server); });
  }

  const int rounds = arguments.rounds_or(arguments.long_run ? 20 : 5);
  for (int round = -1; round < rounds; ++round) {
    // A fleet for each turn: what it wrote is removed with it.
    const auto fresh = [&](const Turn& turn) {
      bench::Fleet fleet{{.services = 1}};
      return turn(fleet);
    };
    const double by_cat =
        fresh([&](bench::Fleet& fleet) { return through_pipe(fleet, load, "cat", fleet.place("cat") + "/log"); });
    if (round >= 0) cat.add(by_cat);
    if (bench::perdure_command()) {
      Perdure result{};
      (void)fresh([&](bench::Fleet& fleet) { return (result = through_perdure(fleet, load)).bytes_per_second; });
      if (round >= 0) ours.add(result.bytes_per_second);
      lost += load.lines - std::min(load.lines, result.arrived.lines);
      wrong += result.arrived.wrong;
    }
    for (std::size_t i = 0; i < turns.size(); ++i) {
      const double by_peer = fresh(turns[i]);
      if (round >= 0) peers[i].second.add(by_peer);
    }
  }

  const auto megabytes = [](const bench::Samples& samples) { return fmt::format("{:.0f} MB/s", samples.median() / mega); };
  const std::string what = "log capture, 100-byte lines, " + load.name;
  bench::Row row{.what = what,
                 .must_reach = fmt::format(">= {:.2f}x cat, 0 lost", load.cat_min),
                 .bare_peer = megabytes(cat),
                 .verdict = bench::not_built};
  if (ours.count() > 0) {
    const double ratio = ours.median() / cat.median();
    row.measured = fmt::format("{}, {} lost", megabytes(ours), lost);
    row.ratio = bench::times(ratio);
    row.verdict = bench::verdict(ratio >= load.cat_min && lost == 0 && wrong == 0);
  }
  report.row(row);
  for (const auto& [name, samples] : peers) {
    report.row({.what = what + ": " + name,
                .measured = megabytes(samples),
                .bare_peer = megabytes(cat),
                .ratio = bench::times(samples.median() / cat.median())});
  }
  report.note(fmt::format("log capture, {}: {} lines in each of {} rounds{}; cat {:.0f} to {:.0f} MB/s", load.name,
                          load.lines, rounds,
                          ours.count() > 0 ? fmt::format(", {} lost, {} torn or doubled", lost, wrong) : std::string{},
                          cat.min() / mega, cat.max() / mega));
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  measure_load({"4,000 bytes a write", 4'000, 2'000'000, 0.65}, arguments, report);
  measure_load({"a write per line", 100, 1'000'000, 0.8}, arguments, report);
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
