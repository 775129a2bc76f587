# PERDURE_PORTABLE: the part of the library that POSIX.1-2008 and flock(2) are enough for, with its tests.
#
# What is here: PidFile, detach, redirect_stdio, close_inherited_fds, supervise, is_alive, and daemon.hpp. Whatever has another way on Linux
# has a source of its own here, x_posix.cpp beside x.cpp; everything else is the same text. docs/decisions/0021-a-portable-part.md.
message(STATUS "PERDURE_PORTABLE: PidFile, detach, supervise and daemon.hpp alone, without Linux's own calls; run(), App, the command and "
               "all other parts are left out")
foreach(choice IN ITEMS PERDURE_BUILD_HTTP PERDURE_BUILD_BENCH PERDURE_BUILD_FUZZERS)
  if(${choice} AND NOT ${choice} STREQUAL "AUTO")
    message(FATAL_ERROR "${choice} is ${${choice}}: that needs Linux, and PERDURE_PORTABLE leaves it out; switch one of the two off")
  endif()
endforeach()

# On Linux there is something to hide: every use of it is an error.
set(perdure_strict_options "")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set(perdure_strict_options -U_GNU_SOURCE -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700
      -include "${perdure_SOURCE_DIR}/cmake/strict_posix.hpp")
endif()

function(portable_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPS;SOURCES")
  perdure_module(${name} DEPS ${arg_DEPS} SOURCES ${arg_SOURCES})
  target_compile_definitions(perdure_${name} PRIVATE PERDURE_PORTABLE)
  target_compile_options(perdure_${name} PRIVATE ${perdure_strict_options})
endfunction()

portable_module(base SOURCES
  ${perdure_SOURCE_DIR}/src/base/assert.cpp
  ${perdure_SOURCE_DIR}/src/base/callback.cpp
  ${perdure_SOURCE_DIR}/src/base/errno_name.cpp
  ${perdure_SOURCE_DIR}/src/base/errno_words_posix.cpp
  ${perdure_SOURCE_DIR}/src/base/error.cpp
  ${perdure_SOURCE_DIR}/src/base/text.cpp
  ${perdure_SOURCE_DIR}/src/base/version.cpp)
portable_module(policy DEPS base SOURCES
  ${perdure_SOURCE_DIR}/src/policy/restart.cpp)
portable_module(os DEPS base SOURCES
  ${perdure_SOURCE_DIR}/src/os/clock.cpp
  ${perdure_SOURCE_DIR}/src/os/file.cpp
  ${perdure_SOURCE_DIR}/src/os/kernel_random_posix.cpp
  ${perdure_SOURCE_DIR}/src/os/posix.cpp
  ${perdure_SOURCE_DIR}/src/os/random.cpp
  ${perdure_SOURCE_DIR}/src/os/system.cpp
  ${perdure_SOURCE_DIR}/src/os/unique_fd.cpp)
portable_module(process DEPS base os SOURCES
  ${perdure_SOURCE_DIR}/src/process/at_load.cpp
  ${perdure_SOURCE_DIR}/src/process/child_signal_posix.cpp
  ${perdure_SOURCE_DIR}/src/process/detach.cpp
  ${perdure_SOURCE_DIR}/src/process/exit_status.cpp
  ${perdure_SOURCE_DIR}/src/process/first_process_posix.cpp
  ${perdure_SOURCE_DIR}/src/process/open_fds_posix.cpp
  ${perdure_SOURCE_DIR}/src/process/pid_file.cpp
  ${perdure_SOURCE_DIR}/src/process/process_identity_posix.cpp
  ${perdure_SOURCE_DIR}/src/process/redirect_stdio.cpp
  ${perdure_SOURCE_DIR}/src/process/signal_name_posix.cpp
  ${perdure_SOURCE_DIR}/src/process/start_report.cpp)
portable_module(daemon DEPS base policy os process SOURCES
  ${perdure_SOURCE_DIR}/src/daemon/init_listener_posix.cpp
  ${perdure_SOURCE_DIR}/src/daemon/supervise.cpp)
portable_module(compat DEPS daemon SOURCES
  ${perdure_SOURCE_DIR}/src/compat/daemon_guard.cpp
  ${perdure_SOURCE_DIR}/src/compat/pid_files.cpp
  ${perdure_SOURCE_DIR}/src/compat/signals.cpp
  ${perdure_SOURCE_DIR}/src/compat/supervised_guard.cpp
  ${perdure_SOURCE_DIR}/src/compat/surroundings_posix.cpp)

include(PerdureLibrary)
if(PERDURE_BUILD_TESTS)
  add_subdirectory(tests/portable/inside)
endif()
