// Compiled before each source of a portable build on Linux: makes every use of what POSIX.1-2008 does not have an error.
//
// PerdurePortable.cmake takes _GNU_SOURCE away and asks for POSIX.1-2008 with XSI, so that the C library hides the rest. Two things are
// left: g++'s own library uses three functions that are hidden now, and some names are shown all the same. The first are declared here for
// it; then, with every header included that mentions them, both are poisoned for us. Most headers of Linux's own mention one of the names, and
// so cannot be included any more either.
#pragma once

extern "C" {
long syscall(long number, ...) noexcept;
struct timespec;
}
#include <pthread.h>
#include <time.h>
extern "C" {
int pthread_cond_clockwait(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*);
int pthread_mutex_clocklock(pthread_mutex_t*, clockid_t, const struct timespec*) noexcept;
}

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

// Flags that glibc shows although POSIX.1-2008 does not know them.
#undef SOCK_CLOEXEC
#undef SOCK_NONBLOCK
#undef SOCK_PACKET
#undef MSG_DONTWAIT
#undef MSG_CMSG_CLOEXEC
#undef SO_PEERCRED
#pragma GCC poison SOCK_CLOEXEC SOCK_NONBLOCK SOCK_PACKET MSG_DONTWAIT MSG_CMSG_CLOEXEC SO_PEERCRED SCM_CREDENTIALS
// What each of Linux's own headers mentions. The calls themselves have names in os::Call; nothing declares them here, and the test
// portable.symbols looks for them in the objects.
#pragma GCC poison EPOLL_CLOEXEC EFD_CLOEXEC SFD_CLOEXEC TFD_CLOEXEC IN_CLOEXEC MFD_CLOEXEC PR_SET_NAME GRND_NONBLOCK
#pragma GCC poison syscall gettid getentropy vfork
// The C library's own.
#pragma GCC poison program_invocation_short_name program_invocation_name secure_getenv sigabbrev_np strerrorname_np strerrordesc_np
#pragma GCC poison pthread_cond_clockwait pthread_mutex_clocklock pthread_setname_np
