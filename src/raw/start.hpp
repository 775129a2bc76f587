// The first and the last instructions of a program without a C library.
//
// PERDURE_RAW_START(function) defines _start, which calls `[[noreturn]] void function(long* stack)` with the process's initial
// stack: argc, argv…, nullptr, environment…, nullptr. The compiler may ask for memcpy and memset; they are in memory.cpp.
// Left out: static constructors; there must be none.
#pragma once

#if defined(__x86_64__)
#define PERDURE_RAW_START(function)                            \
  __asm__(                                                     \
      ".globl _start\n.type _start, @function\n_start:\n"      \
      "  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n" \
      "  call " #function "\n  hlt\n")
#elif defined(__aarch64__)
#define PERDURE_RAW_START(function)                       \
  __asm__(                                                \
      ".globl _start\n.type _start, %function\n_start:\n" \
      "  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n"      \
      "  and sp, x0, #-16\n  bl " #function "\n  brk #0\n")
#endif
