#!/usr/bin/env python3
"""Compiles what daemon.hpp has for Windows with mingw-w64, and runs it under wine. Exit code 77: what that takes is not installed.

    windows.py compile|run --source DIR --work DIR [--compiler CXX] [--wine WINE] [--document FILE]

compile   the sources behind the header as C++20; programs that include it as C++17, 20 and 23; all without a warning
run       those programs, in a wine prefix of their own without a display
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

SOURCES = ("daemon_guard", "guard_windows", "pid_files_windows")
PROGRAMS = ("probe", "heartbeat")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
SKIPPED = 77
HANGS_S = 120  # the first program of a prefix waits until wine has made it

# What the service of the document stands in: it names these and does not define them.
SERVICE = """
#include "daemon.hpp"
#define SERVICE_NAME TEXT("thermod")
void WINAPI ServiceCtrlHandler(DWORD) {}
int mainCallback(int, char**) { return 0; }
%s
int main() { return ServiceMain == nullptr; }
"""


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def block(document, words):
    """The C++ of the document in which `words` stand; None without the document, which is not part of this project."""
    if not document or not document.exists():
        return None
    blocks = re.findall(r"^```cpp\n(.*?)^```", document.read_text(), re.S | re.M)
    return next(text for text in blocks if words in text)


def compiles(arguments):
    shutil.rmtree(arguments.work, ignore_errors=True)  # what an earlier compiler left is nothing that `run` should try
    if not arguments.compiler:
        skip("no mingw-w64 with POSIX threads here (Debian: apt-get install --no-install-recommends g++-mingw-w64-x86-64-posix)")
    source, work = arguments.source, arguments.work
    work.mkdir(parents=True)
    compiler = [arguments.compiler, *WARNINGS, f"-I{source}/include", f"-I{source}/include/perdure/compat"]
    objects = []
    for name in SOURCES:
        objects.append(f"{work}/{name}.o")
        subprocess.run([*compiler, "-std=c++20", f"-I{source}/src", "-c", f"{source}/src/compat/{name}.cpp", "-o", objects[-1]], check=True)
    for name in PROGRAMS:
        subprocess.run([*compiler, "-std=c++17", f"{source}/tests/windows/{name}.cpp", *objects, "-static", "-o", f"{work}/{name}.exe"],
                       check=True)
    for standard in ("20", "23"):
        subprocess.run([*compiler, f"-std=c++{standard}", "-fsyntax-only", f"{source}/tests/windows/probe.cpp"], check=True)
    printed = {"step1": block(arguments.document, "Start as daemon process"), "service": block(arguments.document, "WINAPI ServiceMain")}
    for name, text in printed.items():
        if text is None:
            print(f"{name}: the document is not there, and is left out")
            continue
        path = work / f"{name}.cpp"
        path.write_text(SERVICE % text if name == "service" else text)
        # As it is printed: with unused parameters.
        subprocess.run([arguments.compiler, "-std=c++17", f"-I{source}/include/perdure/compat", str(path), *objects, "-static",
                        "-o", f"{work}/{name}.exe"], check=True)
    print(f"compiled: {', '.join(sorted(path.name for path in work.glob('*.exe')))}")


class Wine:
    """A prefix of its own; everything in it ends with it."""

    def __init__(self, wine, work):
        self.wine, self.work = wine, work
        self.prefix = tempfile.mkdtemp(prefix="perdure-wine-")
        self.environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
        # No display, no questions about what else to download, no messages of wine's own, and no menu entries in the user's directory.
        self.environment |= {"WINEPREFIX": self.prefix + "/wine", "HOME": self.prefix, "WINEDEBUG": "-all",
                             "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d"}

    def __enter__(self):
        # Lives through all of it: wine need not start again for each program, and no question is asked by a process that has the number
        # of one that has ended. The first program of a prefix also waits until wine has made it.
        self.witness = self.start("probe", "hold", "C:\\pid\\witness.pid")
        self.witness.stdout.readline()
        return self

    def sees(self, file):
        self.witness.stdin.write(f"check {file}\n")
        self.witness.stdin.flush()
        return self.witness.stdout.readline().strip()

    def __exit__(self, *_):
        self.witness.communicate("go\n", timeout=HANGS_S)
        server = shutil.which("wineserver", path=f"{pathlib.Path(self.wine).parent}:/usr/lib/wine:{os.environ['PATH']}")
        subprocess.run([server, "--kill", "--wait"], env=self.environment, check=False, timeout=HANGS_S)
        shutil.rmtree(self.prefix, ignore_errors=True)

    def start(self, program, *words):
        return subprocess.Popen([self.wine, str(self.work / f"{program}.exe"), *words], env=self.environment, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, program, *words):
        process = self.start(program, *words)
        out, err = process.communicate(timeout=HANGS_S)
        return process.returncode, out, err


failures = []
started = time.monotonic()


def expect(what, is_so, seen):
    print(f"{time.monotonic() - started:5.1f} s {'ok  ' if is_so else 'FAIL'} {what}" + ("" if is_so else f": {seen!r}"))
    if not is_so:
        failures.append(what)


def expect_lines(what, result, code, *patterns):
    """The exit code, and one pattern for each line of the output."""
    lines = result[1].splitlines()
    expect(what, result[0] == code and len(lines) == len(patterns) and all(map(re.fullmatch, patterns, lines)), result)


def expect_seen(what, wine, file, answer):
    """What another living instance says of the file."""
    seen = wine.sees(file)
    expect(what, seen == answer, seen)


def check_starts(wine):
    nothing = r'before \{"parent_id":0,"main_id":0,"parent_start_time":null,"main_start_time":null,"restart_count":0\}'
    during = (r'during \{"parent_id":0,"main_id":(\d+),"parent_start_time":null,"main_start_time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",'
              r'"restart_count":0\} running pid \1')
    expect_lines("realStart is this process and returns what the callback returns", wine.run("probe", "state"), 0, nothing, during, "after 42")
    result = wine.run("probe", "failures")
    expect("a failed callback gives 1 and its reason", result[:2] == (0, "11\n") and "the callback failed: no sensor" in result[2] and
           "empty callback" in result[2], result)
    expect_lines("signalHandler notes TERM, and stays", wine.run("probe", "signals"), 0, "101")
    beats = [r"heartbeat \d+"] * 3
    expect_lines("a heartbeat in the foreground", wine.run("heartbeat", "foreground"), 7, r"started at \d+", *beats)
    programs = ["heartbeat"] + (["step1"] if (wine.work / "step1.exe").exists() else [])
    for program in programs:
        result = wine.run(program)
        expect(f"{program}: detaching is refused with its reason", result[0] == 71 and result[1] == "" and
               f"{program}: cannot detach: on Windows a callback" in result[2], result)


def check_pid_files(wine):
    directory = pathlib.Path(wine.prefix) / "wine" / "drive_c" / "pid"
    name = "C:\\pid\\made\\for\\it.pid"
    path = directory / "made" / "for" / "it.pid"
    expect_lines("a missing file is no running instance", wine.run("probe", "check", name), 0, "false")

    holder = wine.start("probe", "hold", name)
    said = holder.stdout.readline().split()
    expect("check, then write, then check", said[:1] == ["01"], said)
    expect("the file holds the process id", path.read_text().split() == said[1:], path.read_text())
    expect_seen("another process of this program sees it", wine, name, "true")
    content = path.read_bytes()
    result = wine.run("probe", "write", name)
    expect("and cannot take the file", result[:2] == (0, "wrote\n") and "another process holds it" in result[2] and
           path.read_bytes() == content, result)
    pid = said[1] if len(said) > 1 else "0"
    by_hand = directory / "by-hand.pid"
    by_hand.write_text(pid)
    shutil.copy(wine.work / "probe.exe", wine.work / "other.exe")
    expect_lines("another program of the same text does not", wine.run("other", "check", "C:\\pid\\by-hand.pid"), 0, "false")
    for text, answer in ((pid, "true"), (f"{pid}\r\n", "true"), ("0", "false"), ("", "false"), ("abc", "false"), (f"-{pid}", "false"),
                         (f"{pid}x", "false"), ("99999999999999999999", "false"), ("1\n2\n", "false")):
        by_hand.write_bytes(text.encode())
        expect_seen(f"a file with {text!r} is {answer}", wine, "C:\\pid\\by-hand.pid", answer)
    by_hand.write_text(pid)
    expect("its end", holder.communicate("go\n", timeout=HANGS_S) and holder.returncode == 0, holder.returncode)
    expect("takes the file away", not path.exists(), path)
    expect_seen("who has ended does not run", wine, "C:\\pid\\by-hand.pid", "false")

    result = wine.run("probe", "crash", name)
    expect("a crash leaves the file", result[0] == 3 and path.exists(), result)
    expect_seen("which is no running instance", wine, name, "false")
    result = wine.run("probe", "write", name)
    expect("and no obstacle", result == (0, "wrote\n", "") and not path.exists(), result)

    result = wine.run("probe", "write", "C:\\pid\\by-hand.pid\\below.pid")
    expect("a failure is a warning and nothing else", result[:2] == (0, "wrote\n") and "goes on without it" in result[2], result)
    expect_lines("a guard's path is made absolute and meant by all", wine.run("probe", "guard", "relative.pid"), 0, "true")
    expect_lines("the default has the program's name", wine.run("probe", "default"), 0, r"C:\\.*\\probe\.pid")


def run(arguments):
    if not arguments.wine:
        skip("no wine here (Debian: apt-get install --no-install-recommends wine64)")
    if not (arguments.work / "probe.exe").exists():
        skip("nothing was compiled: no mingw-w64 here")
    with Wine(arguments.wine, arguments.work) as wine:
        check_starts(wine)
        check_pid_files(wine)
    print(f"{len(failures)} failures")
    sys.exit(bool(failures))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=("compile", "run"))
    for option in ("--source", "--work", "--document"):
        parser.add_argument(option, type=pathlib.Path)
    parser.add_argument("--compiler", default="")
    parser.add_argument("--wine", default="")
    arguments = parser.parse_args()
    compiles(arguments) if arguments.verb == "compile" else run(arguments)


if __name__ == "__main__":
    main()
