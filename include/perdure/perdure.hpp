// The small umbrella: what a ten-line daemon needs. Every other part has a header of its own beside this one.
//
// See run.hpp for the daemon, settings.hpp for its configuration, log.hpp for what it says.
#pragma once

#include "perdure/log.hpp"       // IWYU pragma: export
#include "perdure/result.hpp"    // IWYU pragma: export
#include "perdure/run.hpp"       // IWYU pragma: export
#include "perdure/settings.hpp"  // IWYU pragma: export
#include "perdure/version.hpp"   // IWYU pragma: export
