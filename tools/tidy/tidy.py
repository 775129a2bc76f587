#!/usr/bin/env python3
"""Checks that the tree is what ARCHITECTURE.md and STYLE.md say it is.

    tidy.py [--root DIR] [--build DIR] [--fix]

Every check is one function that yields (path, line, message); nothing but Python's standard library is needed, and the tree need
not be configured. With --build, the symbols of the compiled objects are checked as well. --fix rewrites the snippets in the
documentation from the sources they name. Exit code: 0 clean, 1 findings, 2 the checker itself could not do its work.

A line may be excused where a check says so: `// tidy: allow WORD — reason` at its end or on the line above. The reason is required.
"""
import argparse
import itertools
import pathlib
import posixpath
import re
import subprocess
import sys

import requirements

CODE_DIRS = ("include", "src", "apps", "examples", "tests", "bench", "tools")
WIDTH = 132  # clang-format breaks code at 125; comments and long texts may use the rest
PUBLIC_SYSTEM_HEADERS = {"poll.h", "sys/types.h", "fmt/core.h"}
COMPAT_SYSTEM_HEADERS = {"fcntl.h", "sys/stat.h", "sys/types.h", "sys/wait.h", "syslog.h", "unistd.h",
                         "io.h", "process.h", "windows.h"}  # the last three: its #ifdef _WIN32 branch
ADAPTERS = {"include/perdure/prometheus.hpp": "prometheus/",
            "include/perdure/spdlog.hpp": "spdlog/"}  # headers for who has that library anyway
PURE_MODULES = ("base", "config", "policy", "unit", "core", "wire")
FREESTANDING_MODULES = ("raw", "keeper", "executor")  # the two programs without a C library, and what they are made of
FREESTANDING_HEADERS = {"asm/unistd.h", "cstddef", "cstdint", "type_traits"}
C_HEADERS_WITHOUT_KERNEL = {"errno.h", "stdint.h", "stddef.h", "limits.h", "string.h"}
BUILD_MACHINE_PATH = "/" + "work/"

BANNED_CALLS = {
    "kill": "a pidfd: Child::send_signal, os::sys::pidfd_send_signal",
    "killpg": "Child::send_signal_to_group",
    "system": "perdure::Command",
    "popen": "perdure::Command with output()",
    "signal": "os::sys::sigaction (run() installs what a daemon needs)",
    "alloca": "a bounded array or std::vector",
    "strtok": "std::string_view::find in a loop",
    "sprintf": "fmt::format or std::snprintf",
    "sleep": "Context::wait, or poll on what you wait for",
    "usleep": "Context::wait, or poll on what you wait for",
}
CALL_KEYWORDS = {"return", "else", "do", "case", "throw", "and", "or", "not", "co_return", "co_await", "co_yield"}
# System calls the seam does not offer: whoever needs one adds it there.
CALLS_BEYOND_THE_SEAM = """accept creat dup pipe pipe2 fchdir chroot chmod chown lchown fchownat fchmodat truncate symlink mkfifo
    mknod mkdirat unlinkat renameat renameat2 fstatat fdatasync sync preadv pwrite pwritev sendfile splice recvfrom send recvmmsg
    sendmmsg select pselect epoll_create epoll_pwait timerfd_create timerfd_settime inotify_init1 inotify_add_watch memfd_create
    ioctl syscall vfork execv execve execvp execvpe execl execlp execle execveat posix_spawn posix_spawnp wait wait4 waitpid
    nanosleep clock_nanosleep kill tgkill killpg system popen signal sigsuspend pause setuid setgid setresuid setresgid setgroups
    seteuid setegid capset unshare setns mount umount2 fopen freopen fdopen remove tmpfile""".split()

# What a signal handler may call, of signal-safety(7) and of values that allocate nothing; extend it by what stands there.
SIGNAL_SAFE = set("""write _exit memcpy memset fetch_add fetch_sub load store exchange data size begin end min max
    if for while switch return sizeof decltype""".split())


class Tree:
    """The files of a checkout, read once."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.text = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if re.match(r"(build[^/]*|\.git|\.cache|out)(/|$)", name) or "/corpus/" in name or "__pycache__" in name:
                continue
            if path.is_file() and not path.is_symlink():
                try:
                    self.text[name] = path.read_text(encoding="utf-8")
                except UnicodeDecodeError:
                    continue  # not text: nothing of ours to check
        self._code = {}

    def files(self, pattern):
        return [name for name in self.text if re.search(pattern, name)]

    def sources(self, pattern=r"\.(cpp|hpp)$"):
        return [name for name in self.files(pattern) if name.split("/")[0] in CODE_DIRS]

    def code(self, name):
        """The file's lines with comments and the insides of literals blanked."""
        if name not in self._code:
            self._code[name] = strip(self.text[name]).split("\n")
        return self._code[name]

    def lines(self, name):
        return self.text[name].split("\n")

    def allows(self, name, number, word):
        lines = self.lines(name)
        near = lines[number - 1] + "\n" + (lines[number - 2] if number > 1 else "")
        return re.search(rf"// tidy: allow {re.escape(word)} (—|-) \S+", near) is not None


LITERALS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'',
                      re.S)


def strip(text):
    def blank(match):
        whole = match.group(0)
        if whole.startswith('"') and re.search(r"#\s*include\s*$", text[max(0, match.start() - 40):match.start()]):
            return whole
        return re.sub(r"[^\n]", " ", whole)

    return LITERALS.sub(blank, text)


def table(tree, title):
    """The rows of the table after `<!-- table: TITLE -->` in ARCHITECTURE.md, as lists of cells without backticks."""
    text = tree.text.get("ARCHITECTURE.md", "")
    found = re.search(rf"<!-- table: {re.escape(title)} -->\n((?:\|.*\n?)+)", text)
    if not found:
        raise SystemExit(f"tidy: ARCHITECTURE.md has no table \"{title}\" (a line <!-- table: {title} --> and rows after it)")
    rows = found.group(1).strip().split("\n")[2:]
    return [[cell.strip().strip("`") for cell in row.strip().strip("|").split("|")] for row in rows]


class Floors:
    """The floors table: which module may use which, and whose the public headers are."""

    def __init__(self, tree):
        rows = table(tree, "floors")
        self.may_use = {row[0]: row[2].split() for row in rows}
        self.owner = {f"perdure/{header}.hpp": row[0] for row in rows for header in row[4].split()}

    def below(self, module):
        """The modules that `module` stands on, itself included."""
        todo, all_below = [module], set()
        while todo:
            name = todo.pop()
            if name in all_below:
                continue
            all_below.add(name)
            used = self.may_use.get(name, [])
            todo += [m for m in self.may_use if m not in ("compat", "testing")] if "public" in used else used
        return all_below


def includes(tree, name):
    for number, line in enumerate(tree.code(name), 1):
        found = re.match(r'\s*#\s*include\s*(<[^>]+>|"[^"]+")', line)
        if found:
            yield number, found.group(1)[1:-1], found.group(1)[0] == '"'


def check_floors(tree):
    """Includes point down: each module includes what its row of the floors table allows."""
    floors = Floors(tree)
    for module in sorted({name.split("/")[1] for name in tree.files(r"^src/[^/]+/")} - set(floors.may_use)):
        yield f"src/{module}", 1, "has no row in the floors table of ARCHITECTURE.md"
    for header in tree.files(r"^include/perdure/.*\.hpp$"):
        if header[len("include/"):] not in floors.owner:
            yield header, 1, "belongs to no module: name it in the last column of the floors table of ARCHITECTURE.md"
    for name in tree.sources():
        parts = name.split("/")
        is_module = parts[0] == "src"
        module = parts[1] if is_module else floors.owner.get(name[len("include/"):]) if parts[0] == "include" else None
        if module not in floors.may_use and parts[0] != "examples":
            continue  # apps/ put modules together; tests/ and bench/ may look everywhere
        if module in FREESTANDING_MODULES and is_test(name):
            continue  # drives the real program from outside, with whatever it takes
        allowed = {module, *floors.may_use.get(module, [])}
        if is_test(name) and is_module:
            allowed |= floors.below(module) | {"testing"}
        for number, target, quoted in includes(tree, name):
            if not quoted:
                continue
            if target.startswith("perdure/"):
                owner = floors.owner.get(target)
                if owner is None:
                    yield name, number, f"includes {target}, which is no public header of the floors table"
                elif module and owner not in allowed and "public" not in allowed:
                    yield name, number, f"{module} may not use {owner} ({target}): see its row in ARCHITECTURE.md"
                continue
            owner = target.split("/")[0]
            if owner not in floors.may_use:
                if is_module:
                    yield name, number, f'includes "{target}": private headers are written "module/x.hpp"'
            elif module is None and f"src/{target}" in tree.text:
                yield name, number, f"includes the private header {target}; {parts[0]} uses public headers only"
            elif module and owner not in allowed:
                yield name, number, f"{module} may not use {owner} ({target}): see its row in ARCHITECTURE.md"


def check_module_deps(tree):
    """DEPS in src/NAME/CMakeLists.txt are within the module's row of the floors table."""
    floors = Floors(tree)
    for name in tree.files(r"^src/[^/]+/CMakeLists\.txt$"):
        module = name.split("/")[1]
        found = re.search(r"\bDEPS\s+(.*?)(?:\b(?:LIBS|SOURCES|TESTS)\b|\))", tree.text[name], re.S)
        for dep in found.group(1).split() if found else []:
            used = floors.may_use.get(module, [])
            if dep not in used and "public" not in used:
                yield name, 1, f"{module} may not stand on {dep}: see its row in ARCHITECTURE.md"


def check_public_headers(tree):
    """Public headers show std and fmt/core.h, and the few POSIX headers listed at the top of this program."""
    for name in tree.files(r"^include/perdure/.*\.hpp$"):
        system = COMPAT_SYSTEM_HEADERS if "/compat/" in name else PUBLIC_SYSTEM_HEADERS
        for number, target, quoted in includes(tree, name):
            if quoted and not target.startswith("perdure/"):
                yield name, number, f'includes "{target}": write "perdure/x.hpp"'
            if name in ADAPTERS and target.startswith(ADAPTERS[name]):
                continue
            if not quoted and target not in system and not re.fullmatch(r"[a-z_0-9]+", target):
                yield name, number, f"shows <{target}> to every user; allowed are std, {', '.join(sorted(system))}"


def check_pure(tree):
    """The pure modules include nothing of the operating system."""
    for name in tree.sources(rf"^src/({'|'.join(PURE_MODULES)})/.*\.(cpp|hpp)$"):
        for number, target, quoted in includes(tree, name):
            if not quoted and target.endswith(".h") and "/core.h" not in target and target not in C_HEADERS_WITHOUT_KERNEL:
                if not is_test(name) and not re.match(r"(fmt|gtest|gmock)/", target):
                    yield name, number, f"<{target}> above the kernel line: pure modules take values"
            if not quoted and target in ("filesystem", "fstream", "thread") and not is_test(name):
                yield name, number, f"<{target}> above the kernel line: pure modules take values"


def check_freestanding(tree):
    """The programs without a C library, and every header that they reach, include nothing that needs one."""
    seen = set()
    todo = [(name, name) for name in tree.sources(rf"^src/({'|'.join(FREESTANDING_MODULES)})/") if not is_test(name)]
    while todo:
        name, user = todo.pop(0)
        if name in seen:
            continue
        seen.add(name)
        for number, target, quoted in includes(tree, name):
            if quoted and f"src/{target}" in tree.text:
                todo.append((f"src/{target}", user))
            elif quoted or target not in FREESTANDING_HEADERS:
                yield name, number, f"{user} has no library behind it and cannot use {target}; allowed are " + \
                    ", ".join(sorted(FREESTANDING_HEADERS))


def calls(tree, name, words):
    """Calls (not declarations, not members, not other namespaces') of the functions `words`: (line, qualifier, word)."""
    pattern = re.compile(rf"(?P<before>[-\w>\]&*~.:]*\s*)(?<![\w~])(?P<qualifier>(?:std::|::)?)\b(?P<word>{'|'.join(words)})\s*\(")
    for number, line in enumerate(tree.code(name), 1):
        for match in pattern.finditer(line):
            before = match.group("before")
            token = before.strip()
            qualifier = match.group("qualifier")
            if token.endswith("::") and not re.search(r"[\w>]::$", token):
                token, qualifier = token[:-2], "::"  # `(::kill(…)`: the pattern took the colons for part of a name
                before = token
            if re.search(r"(\.|->|\w::|~)$", before):
                continue  # a member, or another namespace's
            if before != token and re.search(r"[\w>&*]$", token) and token not in CALL_KEYWORDS and not qualifier:
                continue  # `int kill(…)`: a declaration
            yield number, qualifier, match.group("word")


def check_banned(tree):
    """Calls that we do not make, with what to use instead."""
    for name in tree.sources():
        for number, _, word in calls(tree, name, BANNED_CALLS):
            one_argument = word == "signal" and re.search(r"\bsignal\s*\([^,]*\)", tree.code(name)[number - 1])
            if not one_argument and not tree.allows(name, number, word):
                yield name, number, f"{word}() is banned; use {BANNED_CALLS[word]}"
        for number, line in enumerate(tree.code(name), 1):
            if not is_test(name) and re.search(r"(?<!\w)assert\s*\(", line):
                yield name, number, "assert() is banned outside tests; use PERDURE_ASSERT, which release builds keep"
            if not is_test(name) and name.startswith(("src/", "apps/")) and "PR_SET_PDEATHSIG" in line:
                yield name, number, "PR_SET_PDEATHSIG is banned outside tests: services would end with whoever started them"
            if name.startswith(("src/supervisor/", "src/keeper/")) and re.search(r"\bfsync\b|\bfdatasync\b|Sync::Yes", line):
                yield name, number, "waiting for a disk is banned here: everybody would wait (docs/internals/faults.md, 55)"
            if re.match(r"\s*#\s*include\s*<coroutine>", line):
                yield name, number, "<coroutine> is banned; use a loop around Context::wait (docs/decisions/0001)"


def seam_calls(tree):
    found = re.search(r"enum class Call[^{]*\{(.*?)\}", tree.text.get("src/os/system.hpp", ""), re.S)
    return [word for word in re.findall(r"\w+", strip(found.group(1))) if word != "count_"] if found else []


def body_of(code, start):
    """What stands between the first brace behind `start` and its partner, and where."""
    begin = code.find("{", start)
    depth = 0
    for end in range(begin, len(code)):
        depth += {"{": 1, "}": -1}.get(code[end], 0)
        if depth == 0:
            return begin, code[begin:end + 1]
    return begin, code[begin:]


def check_handlers(tree):
    """Signal handlers, and the functions of their file that they call, call nothing that signal-safety(7) does not name."""
    for name in tree.sources(r"^(src|apps|examples)/.*\.cpp$"):
        code = "\n".join(tree.code(name))
        todo = [(found.group(1) or "", found.start()) for found in re.finditer(r"\bsa_(?:handler|sigaction) = (?:&?([a-z_]\w+);|\[)", code)]
        seen = set()
        while todo if not is_test(name) else ():
            word, start = todo.pop()
            defined = re.search(rf"\b{word}\s*\([^()]*\)[^;{{}}()]*\{{", code) if word else None
            if word in seen or (word and not defined):
                continue
            seen.add(word)
            begin, body = body_of(code, defined.end() - 1 if defined else start)
            for call in re.finditer(r"\b(\w+)\s*\(", body):
                called, number = call.group(1), code.count("\n", 0, begin + call.start()) + 1
                if called in SIGNAL_SAFE or re.search(rf"\bauto {called} = \[", body) or tree.allows(name, number, called):
                    continue
                if re.search(rf"\b{called}\s*\([^()]*\)[^;{{}}()]*\{{", code):
                    todo.append((called, 0))
                else:
                    yield name, number, f"a signal handler may not call {called}(): signal-safety(7) does not name it"


def is_test(name):
    """A test, or what only tests include."""
    return name.startswith("tests/") or re.search(r"(_test(ing|_support)?|/test_\w+)\.(cpp|hpp)$", name) is not None


def is_direct_place(tree, name):
    return any(name.startswith(row[0]) for row in table(tree, "direct system calls"))


def check_seam(tree):
    """System calls under src/ go through os::sys (in the text; check_seam_symbols looks at the objects)."""
    seam = seam_calls(tree)
    for name in tree.sources(r"^src/.*\.(cpp|hpp)$"):
        if is_test(name) or is_direct_place(tree, name):
            continue
        for number, qualifier, word in calls(tree, name, seam + CALLS_BEYOND_THE_SEAM):
            if qualifier == "::" and not tree.allows(name, number, word):
                use = f"os::sys::{word}" if word in seam else "a call of os::sys (add it to the seam)"
                yield name, number, f"::{word}() is a direct system call; use {use}"
        for number, target, quoted in includes(tree, name):
            if not quoted and target in ("fstream", "filesystem") and not tree.allows(name, number, target):
                yield name, number, f"<{target}> makes system calls past the seam; use os::sys"


def check_seam_symbols(tree, build):
    """No object outside the seam asks the linker for a system call."""
    watched = set(seam_calls(tree) + CALLS_BEYOND_THE_SEAM) - {"syscall"}  # libstdc++'s own, inlined: futexes of atomics
    for path in sorted(build.glob("src/*/CMakeFiles/perdure_*.dir/*.cpp.o")):
        module, source = path.parts[-4], path.name[:-2]
        name = f"src/{module}/{source}"
        if name not in tree.text or is_test(name) or is_direct_place(tree, name):
            continue
        listing = subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True, check=True).stdout
        for symbol in re.findall(r"\bU (\w+)", listing):
            word = re.sub(r"(64|_chk)$", "", symbol.lstrip("_")) if not symbol.startswith("_Z") else symbol
            used_at = [number for number, line in enumerate(tree.code(name), 1) if re.search(rf"\b{word}\s*\(", line)]
            if word in watched and not any(tree.allows(name, number, word) for number in used_at):
                yield name, used_at[0] if used_at else 1, f"the object calls {symbol}() directly; use os::sys::{word}"


def check_files_are_used(tree):
    """Every source belongs to a target, every header is included somewhere."""
    exact, patterns = set(), []  # what the CMakeLists.txt name; patterns are `${name}_test.cpp`, with the words of their file
    for name in tree.files(r"(^|/)CMakeLists\.txt$|\.cmake$"):
        words = set(re.findall(r"[^\s()\";]+", re.sub(r"#[^\n]*", "", tree.text[name])))
        for word in words:
            directory = "" if word.startswith("${perdure_SOURCE_DIR}/") else posixpath.dirname(name)
            word = re.sub(r"^\$\{(CMAKE_CURRENT|perdure)_SOURCE_DIR\}/", "", word)
            path = posixpath.normpath(posixpath.join(directory, word))
            if path.endswith(".cpp") and "${" in path:
                patterns.append((re.sub(r"\\\$\\\{\w+\\\}", "(.+)", re.escape(path)), words))
            exact.add(path)
    for name in tree.sources(r"\.cpp$"):
        if name not in exact and not any(found and words.issuperset(found.groups())
                                         for found, words in ((re.fullmatch(p, name), w) for p, w in patterns)):
            yield name, 1, "no CMakeLists.txt names it: it is compiled by nobody"
    included = {target for name in tree.sources() for _, target, _ in includes(tree, name)}
    for name in tree.sources(r"\.hpp$"):
        if not any(name.endswith("/" + re.sub(r"^(\.\./)+", "", target)) for target in included):
            yield name, 1, "nobody includes this header"


def check_text(tree):
    """No TODO without an issue, no path of the machine it was written on, no line that is too wide."""
    for name in tree.files(r"."):
        if name.startswith("tools/tidy/"):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if name.split("/")[0] in CODE_DIRS + ("cmake", "dev") and re.search(r"\b(TODO|FIXME)\b(?!\(#\d+\))", line):
                yield name, number, "TODO without an issue number; write TODO(#123) or do it"
            if re.search(rf"(?<!\w){BUILD_MACHINE_PATH}", line):  # src/work/ is no such path
                yield name, number, f"names {BUILD_MACHINE_PATH}…, a path of one machine"
            if re.search(r"\.(cpp|hpp)$", name) and len(line) > WIDTH and name.split("/")[0] in ("src", "include"):
                yield name, number, f"{len(line)} columns; {WIDTH} is the limit"


BLOCK = re.compile(r"(?:<!-- snippet: (?P<source>\S+) -->\n+)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.S | re.M)


def snippet(tree, source):
    """The text a marker names: PATH, or PATH#REGION for what stands between `// [REGION]` and `// [/REGION]`."""
    path, _, region = source.partition("#")
    if path not in tree.text:
        return None
    if not region:
        return tree.text[path]
    mark = r"^[ \t]*(?://|#) \[{}\][^\n]*\n"
    found = re.search(mark.format(re.escape(region)) + r"(.*?)" + mark.format("/" + re.escape(region)), tree.text[path], re.S | re.M)
    if not found:
        return None
    lines = found.group(1).split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines)


def check_snippets(tree, fix=False):
    """C++ in the documentation is text of a compiled file."""
    for name in tree.files(r"^(README\.md|docs/.*\.md)$"):
        text = tree.text[name]
        for match in reversed(list(BLOCK.finditer(text))):
            number = text[:match.start("language")].count("\n") + 1
            source = match.group("source")
            if not source:
                if match.group("language") in ("cpp", "c++", "cxx"):
                    yield name, number, "C++ that nobody compiles; put <!-- snippet: PATH[#REGION] --> before it"
                continue
            wanted = snippet(tree, source)
            if wanted is None:
                yield name, number, f"the snippet's source {source} does not exist"
            elif wanted != match.group("body"):
                if fix:
                    text = text[:match.start("body")] + wanted + text[match.end("body"):]
                else:
                    yield name, number, f"differs from {source}; `./dev tidy --fix` copies it here"
        if text != tree.text[name]:
            (tree.root / name).write_text(text, encoding="utf-8")
            tree.text[name] = text
            print(f"tidy: rewrote the snippets of {name}")


def without_code(text):
    """A document with the insides of its fenced blocks blanked."""
    return re.sub(r"```.*?```", lambda m: re.sub(r"[^\n]", "", m.group(0)), text, flags=re.S)


def anchors(text):
    """What a link may name behind a `#`: the headings, as those who show them on the web spell them."""
    names = set()
    for heading in re.findall(r"^#+ +(.*?)[ #]*$", without_code(text), re.M):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w -]", "", heading).replace(" ", "-")
        names.add(name if name not in names else next(f"{name}-{n}" for n in range(1, len(names) + 1) if f"{name}-{n}" not in names))
    return names


def check_links(tree):
    """Links between documents lead somewhere, down to the heading."""
    for name in tree.files(r"\.md$"):
        for number, line in enumerate(without_code(tree.text[name]).split("\n"), 1):
            for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", line):
                if "://" in target:
                    continue
                path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
                if not (tree.root / path).exists():
                    yield name, number, f"the link to {target} leads nowhere"
                elif anchor and anchor not in anchors(tree.text.get(path, "")):
                    yield name, number, f"{path} has no heading #{anchor}"


TEST_NAME = re.compile(r"`([A-Z]\w+)\.([A-Z]\w*|)(\*?)(?:/\w+)?`")


def check_test_names(tree):
    """A test that a document names exists: `Suite.Test`, `Suite.Te*` or `Suite.*`."""
    tests = {}
    for name in tree.sources(r"\.cpp$"):
        for suite, test in re.findall(r"^(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(\s*(\w+),\s*(\w+)", tree.text[name], re.M):
            tests.setdefault(suite, set()).add(test)
    for name in tree.files(r"\.md$"):
        for number, line in enumerate(tree.lines(name), 1):
            for suite, test, rest in TEST_NAME.findall(line):
                known = tests.get(suite, ())
                if not any(one == test or (rest and one.startswith(test)) for one in known):
                    yield name, number, f"there is no test {suite}.{test}{rest}"


CHECKS = (check_floors, check_module_deps, check_public_headers, check_pure, check_freestanding, check_banned, check_handlers, check_seam,
          check_files_are_used,
          check_text, check_links, check_test_names)


def findings(root, build=None, fix=False):
    tree = Tree(root)
    for check in CHECKS:
        yield from check(tree)
    yield from check_snippets(tree, fix)
    if build:
        yield from check_seam_symbols(tree, pathlib.Path(build))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", help="a build directory, to check the symbols of its objects")
    parser.add_argument("--fix", action="store_true", help="copy snippets from their sources into the documentation")
    arguments = parser.parse_args()
    count = 0
    everything = itertools.chain(findings(arguments.root, arguments.build, arguments.fix),
                                 requirements.findings(Tree(arguments.root), arguments.build, arguments.fix))
    for path, line, message in everything:
        print(f"{path}:{line}: {message}")
        count += 1
    print(f"tidy: {count} finding{'s' * (count != 1)}" if count else "tidy: clean")
    return 1 if count else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"tidy: {error}", file=sys.stderr)
        sys.exit(2)
