#include "perdure/app.hpp"

#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "app/captain.hpp"
#include "app/checks.hpp"
#include "app/crew.hpp"
#include "base/assert.hpp"
#include "daemon/hosted.hpp"

namespace perdure {

namespace detail {

/// An App while it is being described.
struct AppParts {
  Options options;
  app::Plan plan{};
  std::shared_ptr<void> config{};
  const void* config_type = nullptr;
  bool is_run = false;

  /// Checks what was described, and puts a captain before it, whom `options` refer to from then on. Once.
  Result<std::unique_ptr<app::Captain>> complete();
};

}  // namespace detail

const char* name(AppEvent::Kind kind) noexcept {
  constexpr const char* names[] = {
      "worker started", "worker ready",       "worker ended",        "worker restarting", "worker gave up",
      "worker stuck",   "worker beats again", "worker late to stop", "check failed",      "check passed",
      "ready",          "reload committed",   "reload refused",      "stop begun"};
  return names[static_cast<std::size_t>(kind)];
}

void Worker::comes_after(const Worker& other) {
  PERDURE_ASSERT(other.parts_ == parts_, "a worker comes after one of the same App");
  parts_->plan.members[place_].after.push_back(other.place_);
}

App::App(Options options) : parts_(std::make_unique<detail::AppParts>(detail::AppParts{.options = std::move(options)})) {}
App::~App() = default;

std::shared_ptr<void> App::find_config(const void* type) const {
  PERDURE_ASSERT(parts_->config == nullptr || parts_->config_type == type, "an App has one type of settings");
  return parts_->config;
}

void App::hold_config(const void* type, std::shared_ptr<void> config, ConfigRef reference) {
  PERDURE_ASSERT(parts_->options.config.get() == nullptr, "an App's settings are either Options::config or App::config");
  parts_->config = std::move(config);
  parts_->config_type = type;
  parts_->options.config = reference;
}

Worker App::add_worker(std::string name, detail::WorkerBody body, const WorkerOptions& options) {
  parts_->plan.members.push_back({.name = std::move(name),
                                  .restart = {.when = options.restart,
                                              .delay = options.delay,
                                              .delay_max = options.delay_max,
                                              .jitter = options.jitter,
                                              .give_up_after = options.give_up_after,
                                              .within = options.within,
                                              .healthy_after = options.healthy_after},
                                  .stop_within = options.stop_within});
  parts_->plan.bodies.push_back({std::move(body), options.heartbeat});
  return {*parts_, parts_->plan.members.size() - 1};
}

Worker App::add_job(std::chrono::nanoseconds period, std::string name, detail::WorkerBody body, const JobOptions& options) {
  parts_->plan.members.push_back(
      {.name = std::move(name),
       .stop_within = options.stop_within,
       .every = app::Schedule{.period = period, .jitter = options.jitter, .run_now = options.run_now}});
  parts_->plan.bodies.push_back({std::move(body), options.heartbeat});
  return {*parts_, parts_->plan.members.size() - 1};
}

App& App::readiness(std::string name, Callback<Health()> check, CheckOptions options) {
  parts_->plan.checks.push_back({.name = std::move(name), .is_liveness = false, .options = options});
  parts_->plan.questions.push_back(std::move(check));
  return *this;
}

App& App::liveness(std::string name, Callback<Health()> check, CheckOptions options) {
  parts_->plan.checks.push_back({.name = std::move(name), .is_liveness = true, .options = options});
  parts_->plan.questions.push_back(std::move(check));
  return *this;
}

App& App::command(std::string name, std::string help, Callback<Reply(const Request&)> answer,
                  std::chrono::milliseconds within) {
  parts_->options.commands.push_back(
      {.name = std::move(name), .help = std::move(help), .answer = std::move(answer), .within = within});
  return *this;
}

App& App::listen(std::string name, std::string address) {
  parts_->options.listeners.push_back({.name = std::move(name), .address = std::move(address)});
  return *this;
}

App& App::on_stop(Callback<void()> hook) {
  parts_->options.on_stop.push_back(std::move(hook));
  return *this;
}

App& App::use(Component& component) {
  parts_->options.components.push_back(&component);
  return *this;
}

App& App::on_event(Callback<void(const AppEvent&)> listener) {
  parts_->plan.listener = std::move(listener);
  return *this;
}

Result<std::unique_ptr<app::Captain>> detail::AppParts::complete() {
  if (std::exchange(is_run, true)) return Error{"App::run() was called a second time, or the App was run and hosted"};
  PERDURE_TRY(plan.members, app::check_plan(std::move(plan.members)));
  PERDURE_CHECK(app::check_checks(plan.checks));
  auto captain = std::make_unique<app::Captain>(std::move(plan));
  options.on_reload = [&leader = *captain, then = options.on_reload](const Reloaded& how) {
    leader.reloaded(how);
    if (then) then(how);
  };
  return captain;
}

int App::run(int argc, char** argv) {
  const Options& options = parts_->options;
  auto complete = parts_->complete();
  if (!complete) {
    fmt::print(stderr, "{}: {}; nothing was started\n", options.name, complete.error().message());
    return exit_failed;
  }
  app::Captain& captain = **complete;  // not the App's: exit(3) in a worker must not wait for its thread to end
  return daemon::run_members(
      argc, argv, options, [&captain](Context& context) { return captain.run(context); }, captain);
}

Result<std::unique_ptr<detail::Hosted>> detail::host(App& app, HostedSurroundings surroundings) {
  PERDURE_TRY(auto complete, app.parts_->complete());
  const std::shared_ptr<app::Captain> captain = std::move(complete);
  return Hosted::make(
      app.parts_->options, [captain](Context& context) { return captain->run(context); }, captain.get(),
      std::move(surroundings));
}

}  // namespace perdure
