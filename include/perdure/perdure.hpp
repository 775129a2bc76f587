// The small umbrella: what a ten-line daemon needs, cheap to compile. Every other part has a header of its own beside this one.
//
// See run.hpp for the daemon and log.hpp for what it says; <perdure/settings.hpp> for its configuration.
#pragma once

#include "perdure/log.hpp"      // IWYU pragma: export
#include "perdure/result.hpp"   // IWYU pragma: export
#include "perdure/run.hpp"      // IWYU pragma: export
#include "perdure/version.hpp"  // IWYU pragma: export
