// FakeInstance: an instance out of plain values, for tests of the verbs and of the command that asks them.
//
// Jobs end when the test says so. Left out: everything real.
// Thread safety: one thread. Fork and signal safety: none.
//
//     FakeInstance instance;
//     instance.add({.name = "web.service", .load_state = "loaded", .active_state = "active", .sub_state = "running"});
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "supervisor/instance_view.hpp"

namespace perdure::supervisor {

class FakeInstance : public InstanceView {
 public:
  struct Job {
    core::JobId id;
    core::JobType type;
    std::string unit;
  };

  UnitStatus& add(const UnitStatus& unit) { return units_[std::string{unit.name}] = unit; }
  UnitStatus& at(const std::string& name) { return units_.at(name); }
  InstanceFacts& known() { return facts_; }
  /// The jobs taken, in their order.
  [[nodiscard]] const std::vector<Job>& jobs() const { return jobs_; }
  void end(core::JobId job) { in_flight_.erase(job); }
  void refuse_all(Refusal refusal) { refusal_ = std::move(refusal); }
  [[nodiscard]] bool is_shut_down() const { return shut_down_; }
  [[nodiscard]] const std::vector<std::string>& reset() const { return reset_; }
  /// Numbers of jobs go on from here, as after the death of a manager.
  void next_job(core::JobId job) { next_ = job; }
  void put_in_flight(core::JobId job) { in_flight_.insert(job); }

  [[nodiscard]] std::optional<UnitStatus> unit(std::string_view name, Detail /*detail*/) const override {
    const auto found = units_.find(name);
    return found == units_.end() ? std::nullopt : std::optional{found->second};
  }
  void visit_units(std::string_view after, const std::function<bool(const UnitStatus&)>& visit) const override {
    for (auto unit = units_.upper_bound(after); unit != units_.end(); ++unit) {
      if (!visit(unit->second)) return;
    }
  }
  [[nodiscard]] InstanceFacts facts() const override { return facts_; }
  std::variant<core::JobId, Refusal> request_job(core::JobType type, std::string_view unit) override {
    if (refusal_) return *refusal_;
    if (!units_.contains(unit)) return Refusal{};
    jobs_.push_back({next_, type, std::string{unit}});
    in_flight_.insert(next_);
    return next_++;
  }
  [[nodiscard]] bool is_in_flight(core::JobId job) const override { return in_flight_.contains(job); }
  std::optional<Refusal> reset_failed(std::string_view unit) override {
    reset_.emplace_back(unit);
    return std::nullopt;
  }
  void shut_down() override { shut_down_ = true; }
  void exit_with(int code) override {
    exit_code_ = code;
    shut_down();
  }
  std::variant<std::size_t, Refusal> send_signal(std::string_view unit, int signal, KillWhom whom) override {
    if (refusal_) return *refusal_;
    signals_.push_back({std::string{unit}, signal, whom});
    return std::size_t{1};
  }
  [[nodiscard]] std::vector<UnitText> texts(std::string_view unit) const override {
    const auto found = texts_.find(unit);
    return found == texts_.end() ? std::vector<UnitText>{} : found->second;
  }
  [[nodiscard]] std::vector<Finding> verify(std::string_view /*unit_or_path*/) const override { return findings_; }
  [[nodiscard]] std::vector<std::string_view> dependencies(std::string_view unit, bool is_reverse) const override {
    std::vector<std::string_view> names;
    for (const auto& [who, what] : dependencies_) {
      if (!is_reverse && who == unit) names.emplace_back(what);
      if (is_reverse && what == unit) names.emplace_back(who);
    }
    return names;
  }
  void reload_files() override { ++reloads_; }
  bool cancel(core::JobId job) override { return in_flight_.erase(job) > 0; }
  [[nodiscard]] std::vector<std::string> environment() const override { return {"LANG=C.UTF-8", "PATH=/usr/bin"}; }

  struct Signal {
    std::string unit;
    int signal;
    KillWhom whom;
  };
  [[nodiscard]] const std::vector<Signal>& signals() const { return signals_; }
  [[nodiscard]] std::optional<int> exit_code() const { return exit_code_; }
  [[nodiscard]] int reloads() const { return reloads_; }
  void add_text(const std::string& unit, UnitText text) { texts_[unit].push_back(std::move(text)); }
  void add_finding(Finding finding) { findings_.push_back(std::move(finding)); }
  void add_dependency(const std::string& who, const std::string& what) { dependencies_.emplace_back(who, what); }

 private:
  std::map<std::string, std::vector<UnitText>, std::less<>> texts_{};
  std::vector<Finding> findings_{};
  std::vector<std::pair<std::string, std::string>> dependencies_{};
  std::vector<Signal> signals_{};
  std::optional<int> exit_code_{};
  int reloads_ = 0;
  std::map<std::string, UnitStatus, std::less<>> units_{};
  InstanceFacts facts_{.version = "0.1.0", .keeper_pid = 11, .manager_pid = 12, .process_tracking = "cgroup v2"};
  std::vector<Job> jobs_{};
  std::set<core::JobId> in_flight_{};
  std::optional<Refusal> refusal_{};
  std::vector<std::string> reset_{};
  core::JobId next_ = 1;
  bool shut_down_ = false;
};

}  // namespace perdure::supervisor
