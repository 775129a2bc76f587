// Transaction: which jobs a request for one unit means for all the others.
//
// A start pulls in what is required and wanted, and puts down what conflicts; a stop or restart takes along what requires, binds to
// or is part of the unit: the tables of systemd.unit(5). What is only wanted and impossible is left out; what is required and
// impossible makes the whole request impossible, and nothing of it is done. Units that would have to wait for each other in a
// circle are none of them started, and the circle is told.
// Left out: what becomes of jobs in flight (job_merge.hpp), carrying out (engine.cpp).
// Thread safety: none, one owner. Pure.
//
//     Transaction transaction{units, relations, ordering};
//     if (auto problem = transaction.add(web, JobType::Start)) refuse(*problem);
//     for (const auto& [unit, type] : transaction.jobs()) install(unit, type);
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/ordering.hpp"
#include "core/relations.hpp"
#include "core/service_machine.hpp"

namespace perdure::core {

using Units = std::map<UnitId, Unit>;

class Transaction {
 public:
  /// Automatic: nobody asked for it, so what a person stopped stays down.
  enum class Cause : std::uint8_t { Asked, Automatic };
  Transaction(const Units& units, const Relations& relations, const Ordering& ordering, Cause cause = Cause::Asked)
      : units_(units), relations_(relations), ordering_(ordering), cause_(cause) {}

  /// Adds what `type` of `unit` means. On failure nothing was added: Refused (it contradicts what was added before or itself, or is
  /// in a circle) or Dependency (something required cannot come up). Requires: the unit is loaded; `type` is not TryRestart.
  std::optional<JobResult> add(UnitId unit, JobType type);
  [[nodiscard]] const std::map<UnitId, JobType>& jobs() const noexcept { return jobs_; }
  /// The circles that were met, each once.
  [[nodiscard]] const std::vector<std::vector<UnitId>>& cycles() const noexcept { return cycles_; }

 private:
  enum class Pull : std::uint8_t { Asked, Required, Wanted };
  bool start(UnitId id, Pull pull);
  bool start_what_it_needs(const Unit& unit);
  bool stop(UnitId id);
  bool restart(UnitId id);
  bool plan(UnitId id, JobType type);
  void undo(std::size_t mark);
  [[nodiscard]] const Unit* find(UnitId unit) const;
  [[nodiscard]] bool is_planned_up(UnitId unit) const;

  const Units& units_;
  const Relations& relations_;
  const Ordering& ordering_;
  const Cause cause_;
  std::map<UnitId, JobType> jobs_{};
  struct Change {
    UnitId unit = no_unit;
    std::optional<JobType> before{};
  };
  std::vector<Change> log_{};  ///< of jobs_
  std::set<UnitId> circular_{};
  std::vector<std::vector<UnitId>> cycles_{};
  JobResult problem_ = JobResult::Refused;
};

}  // namespace perdure::core
