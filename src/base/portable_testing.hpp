// For tests that also run against a portable build (tests/portable): what POSIX cannot do is skipped there, with the reason.
#pragma once

#include <gtest/gtest.h>

#ifdef PERDURE_TESTS_OF_PORTABLE
#define PERDURE_SKIP_IF_PORTABLE(reason) GTEST_SKIP() << "a portable build: " reason
#else
#define PERDURE_SKIP_IF_PORTABLE(reason) static_cast<void>(0)
#endif
