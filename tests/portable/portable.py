#!/usr/bin/env python3
"""Shows that a portable build (PERDURE_PORTABLE=ON) needs nothing but POSIX.1-2008 and flock(2).

    portable.py symbols|symbols_self_test|strictness --build DIR [--compiler CXX]

symbols            the objects in DIR ask the linker for nothing else, and name no file that only Linux has
symbols_self_test  an object that does all of that is refused for each of it
strictness         with the options that the objects were compiled with, Linux's own calls, flags and headers do not compile
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

# Functions of POSIX.1-2008 with XSI (the C library's of C99 among them) that the objects use. Whoever needs another one looks it up in the
# standard (pubs.opengroup.org/onlinepubs/9699919799/functions) and adds it.
POSIX = set("""
    abort access bind chdir clock_gettime close closelog connect dup2 execve exit _exit fchmod fchown fchownat fcntl fdopendir fflush fork
    fprintf free fstat fstatat fsync ftruncate futimens fwrite getcwd getegid getenv geteuid getgid getpgrp getpid getrlimit getsockopt
    getuid gmtime_r kill link listen lseek lstat memchr memcmp memcpy memmove memset mkdir mkdirat open openat opendir openlog poll pread
    pselect pthread_mutex_lock pthread_mutex_unlock pthread_sigmask pwrite read readlink readlinkat readv realloc recv recvmsg rename rmdir
    sendmsg sendto setpgid setsid setsockopt setuid shutdown sigaction sigaddset sigdelset sigemptyset sigfillset sigtimedwait snprintf socket
    socketpair stat statvfs stderr strerror_r strftime strlen strrchr symlinkat syslog tcgetpgrp umask unlink unlinkat waitid write writev
    """.split())
BEYOND = {"flock": "of 4.2BSD and in every system of today; POSIX's own record locks are lost at any close and do not pass through fork"}
# How C libraries spell what the standard calls otherwise, and what a C++ compiler asks for by itself.
SPELLINGS = {"__errno_location": "errno", "__xpg_strerror_r": "strerror_r", "__libc_current_sigrtmin": "SIGRTMIN",
             "__libc_current_sigrtmax": "SIGRTMAX"}
COMPILER = re.compile(r"_Z|__cxa_|__gxx_personality_v0$|_Unwind_|_GLOBAL_OFFSET_TABLE_$|__dso_handle$|__stack_chk_fail$|__tls_get_addr$")
FILES = {b"/dev/null", b"/dev/tty", b"/dev/urandom"}  # the last one is no part of POSIX: os/random.hpp
FILE = re.compile(rb"/(?:proc|sys|dev|run/systemd)/[\w/.]*")


def findings(path):
    listing = subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True, check=True).stdout
    for symbol in re.findall(r"\b[Uw] (\S+)", listing):
        name = re.sub(r"^__(\w+)_chk$", r"\1", symbol)
        if not (COMPILER.match(symbol) or symbol in SPELLINGS or name in POSIX or name in BEYOND):
            yield symbol
    for file in sorted(set(FILE.findall(path.read_bytes())) - FILES):
        yield file.decode()


def objects(build):
    found = sorted(build.glob("CMakeFiles/perdure_*.dir/src/**/*.o"))
    if len(found) < 25:
        sys.exit(f"portable.py: only {len(found)} objects in {build}: is it a portable build?")
    return found


def symbols(arguments):
    bad = [f"{path.name}: {what}" for path in objects(arguments.build) for what in findings(path)]
    print("\n".join(bad) or f"{len(objects(arguments.build))} objects: nothing but POSIX")
    return bool(bad)


COUNTEREXAMPLE = """
    #include <dirent.h>
    #include <poll.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main() {
      int ends[2];
      return pipe2(ends, 0) + prctl(1) + ppoll(nullptr, 0, nullptr, nullptr) + gettid() + (opendir("/proc/self/fd") != nullptr) +
             static_cast<int>(syscall(SYS_pidfd_open, 1, 0));
    }"""


def compiled(arguments, options, text, output=None):
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.write(text)
        source.flush()
        to = ["-c", "-o", str(output)] if output else ["-fsyntax-only"]
        return subprocess.run([arguments.compiler, *options, *to, source.name], capture_output=True, text=True)


def symbols_self_test(arguments):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "counterexample.o"
        made = compiled(arguments, ["-std=c++20"], COUNTEREXAMPLE, path)
        if made.returncode != 0:
            sys.exit(made.stderr)
        found = set(findings(path))
    wanted = {"pipe2", "prctl", "ppoll", "gettid", "syscall", "/proc/self/fd"}
    print(f"refused: {', '.join(sorted(found))}")
    return found != wanted


# (what POSIX does not have, what it has instead)
STRICTNESS = [
    ("#include <unistd.h>\nint e[2]; int x = pipe2(e, 0);", "#include <unistd.h>\nint e[2]; int x = pipe(e);"),
    ("#include <sys/socket.h>\nint x = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);",
     "#include <sys/socket.h>\nint x = socket(AF_UNIX, SOCK_STREAM, 0);"),
    ("#include <sys/socket.h>\nint x = MSG_DONTWAIT;", "#include <sys/socket.h>\nint x = MSG_NOSIGNAL;"),
    ("#include <fcntl.h>\nint x = O_PATH;", "#include <fcntl.h>\nint x = O_CLOEXEC | O_NOFOLLOW;"),
    ("#include <poll.h>\nint x = ppoll(nullptr, 0, nullptr, nullptr);", "#include <poll.h>\nint x = poll(nullptr, 0, 0);"),
    ("#include <unistd.h>\nlong x = syscall(39);", "#include <unistd.h>\nlong x = getpid();"),
    ("#include <unistd.h>\nint x = gettid();", "#include <unistd.h>\nint x = getppid();"),
    ("#include <cstdlib>\nchar* x = secure_getenv(\"X\");", "#include <cstdlib>\nchar* x = getenv(\"X\");"),
    ("#include <cerrno>\nchar* x = program_invocation_short_name;", "#include <cerrno>\nint x = errno;"),
] + [(f"#include <{header}>", "#include <sys/select.h>") for header in (
    "sys/epoll.h", "sys/eventfd.h", "sys/signalfd.h", "sys/timerfd.h", "sys/inotify.h", "sys/prctl.h", "sys/random.h")]


def strictness(arguments):
    options = (arguments.build / "strict_options").read_text().split("\n")[:-1]
    failures = 0
    for linux, posix in STRICTNESS:
        result = compiled(arguments, options, linux + "\n")
        if result.returncode == 0:
            failures += 1
            print(f"compiles: {linux}")
    everything = "\n".join(re.sub(r"\b([xe])\b", rf"\g<1>{number}", posix) for number, (_, posix) in enumerate(STRICTNESS))
    result = compiled(arguments, options, everything + "\n")
    if result.returncode != 0:
        failures += 1
        print(f"does not compile: {everything}\n{result.stderr}")
    print(f"{len(STRICTNESS)} things of Linux were tried, {failures} answers are wrong")
    return bool(failures)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    checks = {check.__name__: check for check in (symbols, symbols_self_test, strictness)}
    parser.add_argument("check", choices=checks)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", default="c++")
    arguments = parser.parse_args()
    return int(checks[arguments.check](arguments))


if __name__ == "__main__":
    sys.exit(main())
