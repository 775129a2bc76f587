#include "daemon/hosted.hpp"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "daemon/command_line.hpp"
#include "daemon/configuration.hpp"
#include "daemon/daemon.hpp"
#include "daemon/listeners.hpp"
#include "daemon/places.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/rights.hpp"
#include "rights/rights_text.hpp"

namespace perdure::detail {
namespace {

using daemon::CommandLine;
using daemon::Places;

/// None of these paths is the machine's, or another host's. Those that the program names itself, as for a Unix listener, are.
Places places_in(const std::string& directory, const std::string& config, const Options& options, const CommandLine& line) {
  Places places;
  places.instance = line.instance ? options.name + "@" + *line.instance : options.name;
  places.pid_file = fmt::format("{}/{}.pid", directory, places.instance);
  places.config_file = config;
  if (!options.health_file.path.empty()) places.health_file = fmt::format("{}/{}.health", directory, places.instance);
  return places;
}

std::vector<std::string> left_out_of(const Options& options, const CommandLine& line) {
  std::vector<std::string> left_out;
  if (line.detach.value_or(options.mode == Mode::Detached)) left_out.push_back("detaching");
  if (const std::string rights = rights::text_of(options.rights); rights != rights::text_of(Rights{}))
    left_out.push_back("rights: " + rights);
  if (line.user || line.group) left_out.push_back("rights: --user or --group");
  for (const std::string& path : options.required_files)
    if (os::sys::access(path.c_str(), R_OK) != 0) left_out.push_back("required file: " + path);
  return left_out;
}

class HostedDaemon final : public Hosted {
 public:
  HostedDaemon(const Options& options, Callback<int(Context&)> body) : options_(options), body_(std::move(body)) {}

  Result<void> prepare(daemon::Members* members, HostedSurroundings surroundings);

  int run() override {
    if (auto started = daemon_->start(false); !started) {
      daemon_->log().critical("{}; nothing was started", started.error().message());
      daemon_->withdraw();
      return exit_system;
    }
    const int code = daemon_->run(body_);
    return forced_code().value_or(code);
  }
  [[nodiscard]] std::optional<int> forced_code() const override {
    const int code = forced_;
    return code < 0 ? std::nullopt : std::optional{code};
  }
  void arrive(int signal) noexcept override { daemon_->arrive(signal); }
  void ask(std::string verb, std::string text, std::function<void(Reply)> answer) override {
    daemon_->ask({.verb = std::move(verb), .text = std::move(text), .peer = {::getpid(), ::geteuid(), ::getegid()}},
                 std::move(answer));
  }
  [[nodiscard]] int listener(std::string_view name) const override { return daemon_->find_listener(name); }
  [[nodiscard]] std::string why_not_ready() const override { return daemon_->view().why_not_ready(); }
  [[nodiscard]] const std::vector<std::string>& left_out() const noexcept override { return left_out_; }

 private:
  Options options_;
  Callback<int(Context&)> body_;
  std::vector<std::string> left_out_;
  std::atomic<int> forced_{-1};
  std::optional<Daemon> daemon_;
};

Result<void> HostedDaemon::prepare(daemon::Members* members, HostedSurroundings around) {
  // 1 and 2, as in run.cpp.
  auto* const config = options_.config.get();
  const auto fields = config != nullptr ? config->fields() : std::vector<FieldEntry>{};
  PERDURE_TRY(CommandLine line, daemon::parse_command_line(around.words, options_, fields));
  if (line.task != daemon::Task::Run || line.is_start)
    return Error{"a host only runs: neither a verb nor what prints and ends"};
  if (config != nullptr) {
    const auto faults = daemon::load_first(*config, places_in(around.directory, around.config, options_, line), line);
    if (!faults.empty())
      return Error{fmt::format("{}; the configuration was refused; nothing was started", fmt::join(faults, "; "))};
  }
  if (options_.configure) options_.configure(options_);
  if (options_.before_start) PERDURE_CHECK(options_.before_start(options_));
  PERDURE_CHECK(daemon::check_listeners(options_.listeners));
  Places places = places_in(around.directory, around.config, options_, line);
  left_out_ = left_out_of(options_, line);
  options_.log = {.target = LogTarget::None, .level = options_.log.level};

  PERDURE_TRY(auto signals, daemon::Signals::silent());
  daemon_.emplace(options_, std::move(line), std::move(places), std::move(signals), members,
                  Daemon::Surroundings{.clock = around.clock, .ended_by_force = [this](int code) { forced_ = code; }});
  daemon_->log().add_target(std::move(around.log));

  // 6.
  PERDURE_CHECK(daemon_->open_log());
  PERDURE_CHECK(daemon_->open_listeners());
  PERDURE_TRY(auto notify, Notify::to(around.notify, around.watchdog));
  daemon_->connect_init(std::move(notify));
  PERDURE_CHECK(daemon_->prepare_stop_event());
  auto no_rights_to_give_up = RightsDrop::prepare(Rights{});
  if (!no_rights_to_give_up) return Error{no_rights_to_give_up.error().message()};
  PERDURE_CHECK(daemon_->open_what_needs_rights(*no_rights_to_give_up));
  return daemon_->prepare_components();
}

}  // namespace

Result<std::unique_ptr<Hosted>> Hosted::make(const Options& options, Callback<int(Context&)> body, daemon::Members* members,
                                             HostedSurroundings surroundings) {
  auto hosted = std::make_unique<HostedDaemon>(options, std::move(body));
  PERDURE_CHECK(hosted->prepare(members, std::move(surroundings)));
  return std::unique_ptr<Hosted>{std::move(hosted)};
}

}  // namespace perdure::detail
