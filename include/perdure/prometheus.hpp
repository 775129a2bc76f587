// Adapter: the metrics of a prometheus::Registry at /metrics of an HttpEndpoint, after the daemon's own.
//
// Everything is in this header, so that perdure itself does not link prometheus-cpp: the program does (prometheus-cpp::core).
// A Registry and nothing more general, because its Collect() takes locks for an instant only: a Collectable of your own would be
// code of yours on the endpoint's thread, and could make /healthz mute. Names that begin with perdure_ or process_ are the
// daemon's.
// Left out: the verb `metrics`, which goes on telling of the daemon's own and of Options::metrics.
// Thread safety: expose() before run(); the registry as prometheus-cpp says. Fork and signal safety: none.
//
//     auto registry = std::make_shared<prometheus::Registry>();
//     auto& reads = prometheus::BuildCounter().Name("thermod_reads_total").Help("Readings.").Register(*registry).Add({});
//     perdure::HttpEndpoint endpoint;
//     perdure::expose(endpoint, registry);
#pragma once

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <memory>
#include <string>
#include <utility>

#include "perdure/http.hpp"

namespace perdure {

/// Several registries may be exposed; metrics of one name must be in one of them only. Returns `endpoint`.
inline HttpEndpoint& expose(HttpEndpoint& endpoint, std::shared_ptr<const prometheus::Registry> registry) {
  endpoint.add_metrics([registry = std::move(registry)]() -> std::string {
    return prometheus::TextSerializer{}.Serialize(registry->Collect());
  });
  return endpoint;
}

}  // namespace perdure
