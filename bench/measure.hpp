// What a benchmark has in its hand: a clock, samples with their quantiles, and a report that is the same for all of them.
//
// A figure alone says more about the machine than about us; so a benchmark measures the thing and its bare peer in alternating
// rounds of one run and reports both and their ratio. Nothing here fails because something was slow: a verdict is a word.
// Left out: clocks of a processor's cycles, automatic round counts.
// Thread safety: none needed; one thread. Texts are ASCII, so that the columns of the table stand below each other.
//
//     bench::Samples ours, bare;
//     for (int round = 0; round < rounds; ++round) { ours.add(measure_ours()); bare.add(measure_bare()); }
//     report.row({.what = "…", .must_reach = "<= 2x", .measured = bench::median_and(ours, 95), …});
#pragma once

#include <time.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

namespace bench {

/// CLOCK_MONOTONIC, comparable between processes.
inline std::int64_t now_ns() noexcept {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// Measured durations in nanoseconds, or any other numbers of one kind.
class Samples {
 public:
  void add(std::int64_t value) { add(static_cast<double>(value)); }
  void add(double value) {
    values_.push_back(value);
    sorted_ = false;
  }
  [[nodiscard]] std::size_t count() const noexcept { return values_.size(); }
  /// The nearest-rank percentile; `percent` from 0 to 100. Requires: not empty.
  [[nodiscard]] double percentile(double percent) const {
    if (values_.empty()) throw std::logic_error("a percentile of no samples");
    if (!std::exchange(sorted_, true)) std::sort(values_.begin(), values_.end());
    const double rank = std::ceil(percent / 100.0 * static_cast<double>(values_.size()));
    return values_[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
  }
  [[nodiscard]] double median() const { return percentile(50); }
  [[nodiscard]] double min() const { return percentile(0); }
  [[nodiscard]] double max() const { return percentile(100); }
  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double value : values_) sum += value;
    return sum / static_cast<double>(values_.size());
  }
  /// The sample's standard deviation. Requires: two samples or more.
  [[nodiscard]] double deviation() const {
    const double middle = mean();
    double sum = 0;
    for (const double value : values_) sum += (value - middle) * (value - middle);
    return std::sqrt(sum / static_cast<double>(values_.size() - 1));
  }

 private:
  mutable std::vector<double> values_;
  mutable bool sorted_ = false;
};

/// Nanoseconds as "812 ns", "41.3 us", "2.41 ms" or "1.20 s".
inline std::string duration(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.1f} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.2f} ms", ns / 1e6);
  return fmt::format("{:.2f} s", ns / 1e9);
}

/// "p50 1.90 ms, p95 2.31 ms" for durations.
inline std::string median_and(const Samples& samples, int percent) {
  return fmt::format("p50 {}, p{} {}", duration(samples.median()), percent, duration(samples.percentile(percent)));
}

/// Everything about some durations, for a note below the table.
inline std::string all_of(const Samples& samples) {
  return fmt::format("mean {} +- {}, p50 {}, p95 {}, p99 {}, max {}, N = {}", duration(samples.mean()),
                     duration(samples.deviation()), duration(samples.median()), duration(samples.percentile(95)),
                     duration(samples.percentile(99)), duration(samples.max()), samples.count());
}

inline std::string times(double ratio) { return fmt::format("{:.2f}x", ratio); }
inline std::string verdict(bool reached) { return reached ? "reached" : "MISSED"; }

/// One line of the table; an empty field is shown as "-".
struct Row {
  std::string what{};
  std::string claimed{};  ///< by the documents that perdure was asked to serve
  std::string must_reach{};
  std::string measured{};
  std::string bare_peer{};
  std::string ratio{};
  std::string verdict{};
};

struct Arguments {
  bool table = false;  ///< lines for bench/run instead of text for people
  bool long_run = false;
  int rounds = 0;   ///< 0: as many as the benchmark wants
  int minutes = 0;  ///< over which a soak spreads its rounds; 0: none, it goes as fast as it can

  [[nodiscard]] int rounds_or(int usual) const noexcept { return rounds > 0 ? rounds : usual; }

  static Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
      const std::string_view word{argv[i]};
      constexpr std::string_view rounds_is = "--rounds=", minutes_is = "--minutes=";
      if (word == "--table") {
        arguments.table = true;
      } else if (word == "--long") {
        arguments.long_run = true;
      } else if (word.substr(0, rounds_is.size()) == rounds_is) {
        if (!is_number(word.substr(rounds_is.size()), arguments.rounds) || arguments.rounds < 2)
          throw std::invalid_argument(fmt::format("{} is not --rounds=N with N of 2 or more", word));
      } else if (word.substr(0, minutes_is.size()) == minutes_is) {
        if (!is_number(word.substr(minutes_is.size()), arguments.minutes) || arguments.minutes < 1)
          throw std::invalid_argument(fmt::format("{} is not --minutes=N with N of 1 or more", word));
      } else {
        throw std::invalid_argument(
            fmt::format("unknown word {}; known are --long, --rounds=N, --minutes=N and --table", word));
      }
    }
    return arguments;
  }

 private:
  static bool is_number(std::string_view digits, int& number) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return error == std::errc{} && end == digits.data() + digits.size();
  }
};

/// Collects rows and notes and prints them at the end.
class Report {
 public:
  void row(Row row) { rows_.push_back(std::move(row)); }
  void note(std::string text) { notes_.push_back(std::move(text)); }

  void print(bool table) const {
    for (const Row& row : rows_) {
      if (table) {
        fmt::print("row");
        for (const std::string* cell : cells(row)) fmt::print("\t{}", cell->empty() ? "-" : *cell);
        fmt::print("\n");
      } else {
        constexpr std::string_view names[] = {"", "claimed", "must reach", "measured", "bare peer", "ratio", "verdict"};
        fmt::print("{}\n", row.what);
        const auto all = cells(row);
        for (std::size_t i = 1; i < all.size(); ++i) {
          if (!all[i]->empty()) fmt::print("  {:<11} {}\n", names[i], *all[i]);
        }
      }
    }
    for (const std::string& note : notes_) fmt::print("{}{}\n", table ? "note\t" : "  ", note);
    std::fflush(stdout);
  }

 private:
  static std::vector<const std::string*> cells(const Row& row) {
    return {&row.what, &row.claimed, &row.must_reach, &row.measured, &row.bare_peer, &row.ratio, &row.verdict};
  }
  std::vector<Row> rows_;
  std::vector<std::string> notes_;
};

}  // namespace bench
