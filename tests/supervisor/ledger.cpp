#include "ledger.hpp"

#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <vector>

namespace supervisor_test {
namespace {

struct Line {
  std::string phase;
  std::string words;
};

class RunCheck {
 public:
  RunCheck(const std::string& name, LedgerVerdict& verdict) : name_(name), verdict_(verdict) {}

  void check(const std::vector<Line>& lines, UnknownEnds unknown) {
    ++verdict_.runs;
    for (std::size_t at = 0; at < lines.size(); ++at) take(lines, at);
    const auto is_one_of = [&](std::size_t at, std::string_view expected) {
      return lines.size() <= at || lines[at].phase == expected || lines[at].phase == "stop-post";  // a stop may come before
    };
    if (!is_one_of(0, "condition")) blame("begins with " + lines[0].phase);
    if (!is_one_of(1, "start-pre")) blame("goes on with " + lines[1].phase);
    if (lines.back().phase != "stop-post") return blame("ends without stop-post, with " + lines.back().phase);
    if (counts_["main"] > 0 && counts_["end"] == 0) blame("has a main process that could not say how it ended");
    const std::string& told = lines.back().words;
    if (told.empty() && unknown == UnknownEnds::Allowed) return;
    if (counts_["end"] > 0 && told != end_) blame("was told \"" + told + "\", and it was \"" + end_ + '"');
  }

 private:
  void take(const std::vector<Line>& lines, std::size_t at) {
    const Line& line = lines[at];
    ++counts_[line.phase];
    if (line.phase == "reload") ++verdict_.reloads;
    if (line.phase == "handover") ++verdict_.handovers;
    if (line.phase == "asked") ++verdict_.asked;
    if (line.phase == "end") end_ = line.words;
    if (line.phase != "reload" && counts_[line.phase] == 2) blame("has " + line.phase + " twice");
    if (line.words == "beside another one") blame("has " + line.phase + " while a main process lives");
    if (line.phase == "stop-post" && at + 1 < lines.size()) blame("goes on after stop-post with " + lines[at + 1].phase);
  }
  void blame(const std::string& what) { verdict_.wrong += "run " + name_ + ' ' + what + '\n'; }

  const std::string& name_;
  LedgerVerdict& verdict_;
  std::map<std::string, unsigned> counts_{};
  std::string end_{};
};

}  // namespace

void write_down(const std::string& ledger, std::string_view phase, std::string_view words) {
  const char* const run = std::getenv("INVOCATION_ID");
  std::string line = std::string{run == nullptr ? "?" : run} + ' ' + std::string{phase};
  if (!words.empty()) line += ' ' + std::string{words};
  line += '\n';
  const perdure::UniqueFd file{::open(ledger.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666)};
  sigset_t all, before;  // both or none
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  for (const int to : {file.get(), STDOUT_FILENO}) {
    if (::write(to, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(94);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

std::string in_order(std::string_view text) {
  std::multiset<std::string> lines;
  std::istringstream rows{std::string{text}};
  for (std::string row; std::getline(rows, row);) lines.insert(row);
  std::string sorted;
  for (const std::string& line : lines) sorted += line + '\n';
  return sorted;
}

LedgerVerdict check_ledger(std::string_view text, UnknownEnds unknown) {
  LedgerVerdict verdict;
  std::vector<std::pair<std::string, std::vector<Line>>> runs;
  std::set<std::string> seen;
  std::istringstream lines{std::string{text}};
  for (std::string row; std::getline(lines, row);) {
    std::istringstream words{row};
    std::string run;
    Line line;
    words >> run >> line.phase >> std::ws;
    std::getline(words, line.words);
    if (runs.empty() || runs.back().first != run) {
      if (!seen.insert(run).second) verdict.wrong += "run " + run + " goes on with " + line.phase + " after the next one\n";
      runs.emplace_back(run, std::vector<Line>{});
    }
    runs.back().second.push_back(std::move(line));
  }
  for (const auto& [name, of_run] : runs) RunCheck{name, verdict}.check(of_run, unknown);
  return verdict;
}

}  // namespace supervisor_test
