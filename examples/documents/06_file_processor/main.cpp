// file_processor: files that appear in a directory are transformed line by line, each exactly once, by as many threads as
// there are processors. The settings, the workers, and the life around them; put your own work into transform_of().
#include <algorithm>
#include <atomic>
#include <cctype>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "jobs.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "spool.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t jobs_max = 1024;

struct Settings {
  Directories directories{.input = "/var/spool/input", .output = "/var/spool/output", .processed = "/var/spool/processed"};
  std::string transform = "identity";
  unsigned workers = 0;
  std::chrono::milliseconds every{1s}, settle{1s}, drain{3s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("input", s.directories.input).help("where files appear").flag("--input").restart_only();
  f("output", s.directories.output).help("where results go").flag("--output").restart_only();
  f("processed", s.directories.processed).help("where done files go").flag("--processed").restart_only();
  f("claimed", s.directories.claimed).help("files in work; default: INPUT.claimed").flag("--claimed").restart_only();
  f("failed", s.directories.failed).help("unreadable files; default: INPUT.failed").flag("--failed").restart_only();
  f("transform", s.transform).help("identity or upper").flag("--transform").check([](const std::string& name) {
    return name == "identity" || name == "upper" ? perdure::Result<void>{} : perdure::Error{"identity or upper is wanted"};
  });
  f("workers", s.workers).range(0, 1024).help("threads; 0: one per processor").flag("--workers").restart_only();
  f("every", s.every).range(1ms, 1h).help("time between two looks").flag("--every");
  f("settle", s.settle).range(0ms, 1h).help("a file is complete when unchanged for so long").flag("--settle");
  f("drain", s.drain).range(0ms, 1h).help("time for the queue when stopping").flag("--drain");
}

Transform transform_of(const std::string& name) {
  if (name != "upper") return [](std::string&) {};
  return
      [](std::string& line) { std::ranges::transform(line, line.begin(), [](unsigned char c) { return std::toupper(c); }); };
}

class Processor {
 public:
  Processor(perdure::Context& ctx, const perdure::Config<Settings>& config, Directories directories)
      : ctx_(ctx), config_(config), spool_(std::move(directories)) {}
  ~Processor() {
    give_up_ = true;
    jobs_.close(0s);
  }
  void run() {
    const unsigned count = config_->workers != 0 ? config_->workers : std::max(1u, std::thread::hardware_concurrency());
    for (unsigned i = 1; i <= count; ++i) workers_.emplace_back([this, i] { work(i); });
    look();
    ctx_.log().info("File processor daemon started, {} workers", count);
    while (ctx_.wait(config_->every)) look();
    ctx_.log().info("Shutdown requested");
    give_up_ = !jobs_.close(config_->drain);
    if (give_up_) ctx_.log().warning("there was no time for all files; the next start does those that are left");
  }

 private:
  void look() {
    const auto prepared = spool_.prepare();
    const auto claimed = prepared ? spool_.claim(config_->settle, Spool::Clock::now()) : prepared;
    const std::string problem = claimed ? "" : claimed.error().message();
    if (!problem.empty() && problem != last_problem_) ctx_.log().warning("{}; trying again", problem);
    last_problem_ = problem;
    while (prepared && !spool_.offer_to(jobs_) && ctx_.wait(20ms)) {
    }
  }
  void work(unsigned worker) {
    while (const auto name = jobs_.take()) {
      if (spool_.is_claimed(*name)) process(*name, worker);
      jobs_.done(*name);
    }
  }
  void process(const std::string& name, unsigned worker) {
    const std::string path = spool_.input_path(name);
    ctx_.log().info("Processing file: {}", path);
    const auto done = spool_.process(name, worker, transform_of(config_->transform), [this] { return !give_up_; });
    if (done) ctx_.log().info("Completed processing: {}", path);
    else if (done.error().of == Fault::Of::Input)
      ctx_.log().error("Error processing {}: {}; put aside", path, done.error().error.message());
    else if (trouble_ != done.error().error.code())  // once, for it concerns all files
      ctx_.log().error("Error processing {}: {}; trying again", path, done.error().error.message());
    trouble_ = done || done.error().of == Fault::Of::Input ? 0 : done.error().error.code();
  }

  perdure::Context& ctx_;
  const perdure::Config<Settings>& config_;
  Spool spool_;
  Jobs jobs_{jobs_max};
  std::string last_problem_;
  std::atomic<bool> give_up_{false};
  std::atomic<int> trouble_{0};
  std::vector<std::jthread> workers_;  // the last, for they use the others
};

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  Directories directories;
  const perdure::Options options{
      .name = "file_processor",
      .version = "1.0.0",
      .description = "transforms files that appear in a directory",
      .mode = perdure::Mode::Detached,
      .config = config,
      .before_start = [&](perdure::Options&) -> perdure::Result<void> {
        directories = config->directories;
        auto& [input, claimed, output, processed, failed] = directories;
        if (claimed.empty()) claimed = input + ".claimed";
        if (failed.empty()) failed = input + ".failed";
        for (std::string* path : {&input, &claimed, &output, &processed, &failed})
          *path = std::filesystem::absolute(*path);  // here a relative path still means what it meant to the user
        return {};
      },
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) { Processor{ctx, config, directories}.run(); });
}
