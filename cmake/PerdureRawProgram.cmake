# perdure_raw_program(NAME SOURCES …): a program without a C library, for what must start in microseconds and cannot fail.
#
# Static, without start files; always optimised, never sanitized (the sanitizers' run-time stands on the C library).
function(perdure_raw_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
  add_executable(${name} ${arg_SOURCES} ${perdure_SOURCE_DIR}/src/raw/memory.cpp)
  target_compile_features(${name} PRIVATE cxx_std_20)
  target_include_directories(${name} PRIVATE ${perdure_SOURCE_DIR}/src)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Wshadow -Wconversion -Wvla -Wframe-larger-than=8192 $<$<BOOL:${PERDURE_WARNINGS_AS_ERRORS}>:-Werror>
    # The system call's registers are named with `register`, which C++17 took out of the language and both compilers kept.
    -Wno-register
    -O2 -ffreestanding -fno-exceptions -fno-rtti -fno-stack-protector -fno-asynchronous-unwind-tables
    -fno-threadsafe-statics -fno-pie -fcf-protection=none)
  target_link_options(${name} PRIVATE -static -nostdlib -nostartfiles -no-pie
    -Wl,-z,norelro -Wl,-z,noseparate-code -Wl,-z,noexecstack -Wl,--build-id=none -Wl,--fatal-warnings)
endfunction()
