#!/bin/sh
# Compiles, links and runs two programs with nothing but a compiler and pkg-config.
#   build_and_run.sh COMPILER PREFIX static|shared WORK-DIRECTORY
set -eu
compiler=$1 prefix=$2 linkage=$3 work=$4
here=$(dirname "$0")
rm -rf "$work" && mkdir -p "$work"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name perdure.pc)")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
[ "$linkage" = static ] && static=--static || static=

# shellcheck disable=SC2046,SC2086  # flags are words
"$compiler" -std=c++20 "$here/../daemon.cpp" -o "$work/consumer" $(pkg-config --cflags --libs $static perdure)
# shellcheck disable=SC2046,SC2086
"$compiler" -std=c++17 -Wall -Wextra -Wpedantic -Werror "$here/../compat_cxx17/main.cpp" -o "$work/compat" \
  $(pkg-config --cflags --libs $static perdure-compat)
if pkg-config --exists perdure-http; then
  # shellcheck disable=SC2046,SC2086
  "$compiler" -std=c++20 "$here/../http/main.cpp" -o "$work/http" $(pkg-config --cflags --libs $static perdure-http)
  "$work/http" --foreground --pid-file "$work/http.pid" --control none
fi

"$work/consumer" --foreground --pid-file "$work/consumer.pid" --control none
"$work/compat" | grep -q "the callback ran"
