#include "lookout.hpp"

#include <utility>

#include "scan.hpp"

void Lookout::scan(perdure::Context& ctx, const ScanConfig& rules) {
  perdure::Log& log = ctx.log();
  log.debug("Starting security scan");
  Scan scan = look_below(rules, [&ctx] {
    ctx.beat();
    return !ctx.stopping();
  });
  if (!scan.is_whole) return;
  for (const std::string& finding : scan.findings)
    if (!known_.contains(finding)) log.warning("found: {}", finding);
  for (const std::string& finding : known_)
    if (!scan.findings.contains(finding)) log.info("gone: {}", finding);
  if (scan.is_cut) log.warning("there is more than the {} findings that are kept", findings_max);
  log.info("Scan complete: {} findings, {} directories could not be read", scan.findings.size(), scan.unreadable);
  known_ = std::move(scan.findings);
}
