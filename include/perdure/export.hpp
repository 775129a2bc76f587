// Marks what libperdure exports when it is built as a shared library; everything else is hidden.
#pragma once

#define PERDURE_EXPORT __attribute__((visibility("default")))
