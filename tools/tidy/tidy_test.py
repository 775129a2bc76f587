#!/usr/bin/env python3
"""Plants violations in small trees and expects tidy to name each: a check that cannot fail checks nothing."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tidy  # noqa: E402  (the path is set above)

MAP = """
<!-- table: floors -->
| module | is for | may use | may not | public headers |
|---|---|---|---|---|
| `base` | b | | x | result |
| `policy` | p | base | x | restart |
| `os` | o | base | x | |
| `wire` | w | base | x | |
| `keeper` | k | wire | x | |
| `daemon` | d | base policy os | x | run |
| `testing` | t | public | x | testing/process |

<!-- table: direct system calls -->
| place | why |
|---|---|
| src/os/ | the seam |
"""

CLEAN = {
    "ARCHITECTURE.md": MAP,
    "README.md": "Hello.\n\n<!-- snippet: examples/hello.cpp#loop -->\n```cpp\nstep();\n```\n",
    "include/perdure/result.hpp": "#include <string>\n",
    "include/perdure/restart.hpp": '#include "perdure/result.hpp"\n',
    "include/perdure/run.hpp": '#include <poll.h>\n#include <fmt/core.h>\n#include "perdure/restart.hpp"\n',
    "include/perdure/testing/process.hpp": '#include "perdure/run.hpp"\n',
    "src/base/CMakeLists.txt": "perdure_module(base SOURCES result.cpp)",
    "src/base/result.cpp": '#include "perdure/result.hpp"\n',
    "src/os/CMakeLists.txt": "perdure_module(os DEPS base SOURCES system.cpp)",
    "src/os/system.hpp": "enum class Call : int {\n  open, socket,  // words\n  count_,\n};\n",
    "src/os/system.cpp": '#include "os/system.hpp"\nint open_it() { return ::open("/", 0); }\n',
    "src/wire/message.hpp": "#include <cstdint>\n",
    "src/keeper/CMakeLists.txt": "perdure_raw_program(keeper SOURCES keeper.cpp)",
    "src/keeper/keeper.cpp": '#include <cstddef>\n#include "wire/message.hpp"\n',
    "src/daemon/CMakeLists.txt": "perdure_module(daemon DEPS base policy os SOURCES run.cpp\n  TESTS run_test.cpp)",
    "src/daemon/run.cpp": '#include "os/system.hpp"\n#include "perdure/run.hpp"\n// kill(1, 9) in a comment\nauto s = "system(x)";\n',
    "src/daemon/run_test.cpp": '#include "perdure/testing/process.hpp"\nvoid f() { assert(true); }\n',
    "examples/CMakeLists.txt": "add_executable(hello hello.cpp)",
    "examples/hello.cpp": '#include "perdure/run.hpp"\nint main() {\n  // [loop]\n  step();\n  // [/loop]\n}\n',
}


class Tidy(unittest.TestCase):
    def tree(self, changes):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for name, text in {**CLEAN, **changes}.items():
            path = pathlib.Path(directory.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return directory.name

    def findings(self, changes):
        return [f"{path}:{line}: {message}" for path, line, message in tidy.findings(self.tree(changes))]

    def expect(self, changes, *words):
        """Exactly one finding, with all the words in it."""
        found = self.findings(changes)
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def append(self, name, text):
        return {name: CLEAN[name] + text}

    def test_a_clean_tree_has_no_findings(self):
        self.assertEqual(self.findings({}), [])

    def test_an_include_that_points_up_is_found(self):
        self.expect(self.append("src/base/result.cpp", '#include "os/system.hpp"\n'), "src/base/result.cpp:2", "base may not use os")
        self.expect(self.append("include/perdure/result.hpp", '#include "perdure/run.hpp"\n'), "base may not use daemon")

    def test_only_tests_may_use_testing(self):
        self.expect(self.append("src/daemon/run.cpp", '#include "perdure/testing/process.hpp"\n'), "daemon may not use testing")

    def test_an_example_may_not_use_a_private_header(self):
        self.expect(self.append("examples/hello.cpp", '#include "os/system.hpp"\n'), "public headers only")

    def test_a_header_or_module_that_is_not_on_the_map_is_found(self):
        self.expect({"include/perdure/extra.hpp": "", **self.append("examples/hello.cpp", '#include "extra.hpp"\n')}, "extra.hpp:1",
                    "belongs to no module")
        self.expect({"src/rogue/CMakeLists.txt": ""}, "src/rogue", "no row in the floors table")

    def test_a_dependency_in_cmake_that_points_up_is_found(self):
        self.expect({"src/os/CMakeLists.txt": "perdure_module(os DEPS base daemon SOURCES system.cpp)"}, "os may not stand on daemon")

    def test_a_public_header_that_shows_a_library_is_found(self):
        self.expect(self.append("include/perdure/run.hpp", "#include <nlohmann/json.hpp>\n"), "run.hpp:4", "shows <nlohmann/json.hpp>")
        self.expect(self.append("include/perdure/run.hpp", "#include <fmt/format.h>\n"), "shows <fmt/format.h>")

    def test_the_kernel_above_the_line_is_found(self):
        self.expect(self.append("src/base/result.cpp", "#include <unistd.h>\n"), "above the kernel line")
        self.expect(self.append("src/base/result.cpp", "#include <thread>\n"), "above the kernel line")

    def test_a_library_behind_the_keeper_is_found(self):
        self.expect(self.append("src/keeper/keeper.cpp", "#include <string>\n"), "src/keeper/keeper.cpp:3", "cannot use string")
        self.expect(self.append("src/wire/message.hpp", "#include <vector>\n"), "src/wire/message.hpp:2", "src/keeper/keeper.cpp has no")

    def test_a_test_of_the_keeper_may_look_everywhere(self):
        changes = {"src/keeper/keeper_test.cpp": '#include <vector>\n#include "os/system.hpp"\n',
                   "src/keeper/CMakeLists.txt": CLEAN["src/keeper/CMakeLists.txt"] + "\nadd_executable(t keeper_test.cpp)"}
        self.assertEqual(self.findings(changes), [])

    def test_an_app_may_put_modules_together(self):
        changes = {"apps/CMakeLists.txt": "add_executable(a main.cpp)", "apps/main.cpp": '#include "os/system.hpp"\n'}
        self.assertEqual(self.findings(changes), [])

    def test_every_banned_call_is_found(self):
        for word, instead in tidy.BANNED_CALLS.items():
            for call in (f"{word}(x, y)", f"return {word} (x, y)", f"if (a) std::{word}(x, y)"):
                self.expect(self.append("src/daemon/run_test.cpp", f"void g() {{ {call}; }}\n"), f"{word}() is banned", instead)
        self.expect(self.append("src/daemon/run_test.cpp", "#include <coroutine>\n"), "<coroutine>")
        dies_along = "void g() { ::prctl(PR_SET_PDEATHSIG, 9); }\n"
        self.expect(self.append("src/daemon/run.cpp", dies_along), "PR_SET_PDEATHSIG is banned")
        self.assertEqual(self.findings(self.append("src/daemon/run_test.cpp", dies_along)), [])

    def test_a_signal_handler_that_does_more_than_it_may_is_found(self):
        def installed(body, handler="sa.sa_handler = note;"):
            helper = "int count_up() { return printf(0); }\nvoid safe() { flag.store(1); }\n"
            return self.append("src/daemon/run.cpp", f"{helper}void note(int n) {{\n  {body}\n}}\nvoid f() {{ {handler} printf(0); }}\n")
        for body in ("flag.store(true);", "if (n) ::write(1, s.data(), s.size());", "safe();", "const auto add = [&] {}; add();",
                     "printf(0);  // tidy: allow printf — it ends the process"):
            self.assertEqual(self.findings(installed(body)), [], body)
        self.expect(installed("syslog(3, s);"), "src/daemon/run.cpp:8", "a signal handler may not call syslog()")
        self.expect(installed("flag.notify_all();"), "may not call notify_all()")
        self.expect(installed("count_up();"), "src/daemon/run.cpp:5", "may not call printf()")
        self.expect(installed("", "sa.sa_handler = [](int) { exit(1); };"), "src/daemon/run.cpp:10", "may not call exit()")
        self.expect(installed("exit(1);", "sa.sa_sigaction = &note;"), "may not call exit()")
        self.assertEqual(self.findings(installed("exit(1);", "sa.sa_handler = SIG_IGN;")), [])

    def test_assert_is_found_outside_tests(self):
        self.expect(self.append("src/daemon/run.cpp", "void g() { assert(x); }\n"), "PERDURE_ASSERT")
        self.assertEqual(self.findings(self.append("src/daemon/run.cpp", "static_assert(sizeof(int) == 4);\n")), [])

    def test_members_declarations_and_other_namespaces_are_no_calls(self):
        text = "void signal(int n);\nvoid P::signal(int n) { p.kill(n); q->system(1); other::sleep(2); child.signal (3); }\n"
        self.assertEqual(self.findings(self.append("src/daemon/run.cpp", text)), [])

    def test_an_allowance_needs_its_reason(self):
        call = "void g() { std::signal(1, h); }  // tidy: allow signal"
        self.assertEqual(self.findings(self.append("src/daemon/run.cpp", call + " — the old program does so\n")), [])
        self.expect(self.append("src/daemon/run.cpp", call + "\n"), "signal() is banned")

    def test_a_direct_system_call_is_found(self):
        self.expect(self.append("src/daemon/run.cpp", 'int f = ::open("/", 0);\n'), "use os::sys::open")
        self.expect(self.append("src/daemon/run.cpp", "int f = ::ioctl(0, 0);\n"), "add it to the seam")
        self.expect(self.append("src/daemon/run.cpp", "bool f() { return (::mount(a, b) == 0); }\n"), "::mount()")
        self.expect(self.append("src/daemon/run.cpp", "bool f() { return !::umount2(a, b); }\n"), "::umount2()")
        self.expect(self.append("src/daemon/run.cpp", "#include <fstream>\n"), "past the seam")

    def test_a_direct_system_call_is_found_in_the_objects(self):
        changes = self.append("src/daemon/run.cpp", 'extern "C" int open(const char*, int, ...);\nint f() { return open("/", 0); }\n')
        changes["src/daemon/run.cpp"] = changes["src/daemon/run.cpp"].replace("#include", "//")
        root = pathlib.Path(self.tree(changes))
        objects = root / "build/src/daemon/CMakeFiles/perdure_daemon.dir"
        objects.mkdir(parents=True)
        subprocess.run(["c++", "-c", root / "src/daemon/run.cpp", "-o", objects / "run.cpp.o"], check=True)
        found = list(tidy.check_seam_symbols(tidy.Tree(root), root / "build"))
        self.assertEqual([(path, line) for path, line, _ in found], [("src/daemon/run.cpp", 5)])

    def test_a_source_without_a_target_is_found(self):
        self.expect({"src/daemon/lost.cpp": ""}, "src/daemon/lost.cpp", "compiled by nobody")
        self.expect({"src/daemon/lost.cpp": "", **self.append("src/daemon/CMakeLists.txt", "# lost.cpp\n")}, "compiled by nobody")

    def test_a_source_that_a_cmake_module_names_belongs_to_a_target(self):
        changes = {"cmake/Raw.cmake": "add_executable(x ${perdure_SOURCE_DIR}/src/daemon/memory.cpp)", "src/daemon/memory.cpp": ""}
        self.assertEqual(self.findings(changes), [])

    def test_sources_named_by_a_loop_belong_to_a_target(self):
        loop = "foreach(name IN ITEMS start signal)\n  add_executable(${name}_bench ${name}_bench.cpp)\nendforeach()\n"
        self.assertEqual(self.findings({"bench/CMakeLists.txt": loop, "bench/start_bench.cpp": ""}), [])
        self.expect({"bench/CMakeLists.txt": loop, "bench/stop_bench.cpp": ""}, "stop_bench.cpp")

    def test_a_header_that_nobody_includes_is_found(self):
        self.expect({"src/daemon/lost.hpp": ""}, "nobody includes")

    def test_a_todo_without_an_issue_is_found(self):
        self.expect(self.append("src/daemon/run.cpp", "// TODO: later\n"), "TODO without an issue")
        self.assertEqual(self.findings(self.append("src/daemon/run.cpp", "// TODO(#12): later\n")), [])

    def test_paths_of_one_machine_and_wide_lines_are_found(self):
        self.expect({"docs/x.md": f"see {tidy.BUILD_MACHINE_PATH}main\n"}, "docs/x.md:1", "a path of one machine")
        self.assertEqual(self.findings({"docs/x.md": f"see src{tidy.BUILD_MACHINE_PATH}x.cpp\n"}), [])
        self.expect(self.append("src/daemon/run.cpp", "// " + "x" * tidy.WIDTH + "\n"), "columns")

    def test_a_snippet_that_nobody_compiles_or_that_differs_is_found(self):
        self.expect({"docs/x.md": "```cpp\nf();\n```\n"}, "docs/x.md:1", "nobody compiles")
        self.expect({"README.md": CLEAN["README.md"].replace("step();", "stop();")}, "differs from examples/hello.cpp#loop")
        self.expect({"README.md": CLEAN["README.md"].replace("#loop", "#gone")}, "does not exist")

    def test_a_test_that_does_not_exist_is_found(self):
        tests = self.append("src/daemon/run_test.cpp", "TEST(Run, StopsInTime) {\n}\nTEST_F(RunFixture, Ends) {\n}\n")
        self.expect({**tests, "docs/x.md": "`Run.StopsInTime` and\n`Run.StopsLate`\n"}, "docs/x.md:2", "no test Run.StopsLate")
        self.expect({**tests, "docs/x.md": "`Gone.*`\n"}, "no test Gone.*")
        self.assertEqual(self.findings({**tests, "docs/x.md": "`Run.*` `Run.Stop*` `RunFixture.Ends` `run.cpp`\n"}), [])

    def test_a_link_that_leads_nowhere_is_found(self):
        self.expect({"docs/x.md": "one\nsee [that](../y.md#part)\n"}, "docs/x.md:2", "leads nowhere")
        self.assertEqual(self.findings({"docs/x.md": "see [that](../README.md), [more](https://example.org/a#b)\n"}), [])

    def test_a_link_to_a_heading_that_is_not_there_is_found(self):
        headings = "# One\n## `--x`: what *is* it?\n## One\n```\n# no heading\n```\n"
        for anchor in ("one", "--x-what-is-it", "one-1"):
            self.assertEqual(self.findings({"docs/x.md": headings, "docs/y.md": f"see [x](x.md#{anchor})\n"}), [])
        for anchor in ("One", "one-2", "no-heading", "two"):
            self.expect({"docs/x.md": headings, "docs/y.md": f"see [x](x.md#{anchor})\n"}, "docs/y.md:1", f"docs/x.md has no heading #{anchor}")
        self.expect({"docs/x.md": headings + "[up](#none)\n"}, "docs/x.md:7", "no heading #none")

    def test_fix_copies_snippets_from_their_sources(self):
        root = self.tree({"README.md": CLEAN["README.md"].replace("step();", "stop();")})
        self.assertEqual(list(tidy.check_snippets(tidy.Tree(root), fix=True)), [])
        self.assertEqual((pathlib.Path(root) / "README.md").read_text(encoding="utf-8"), CLEAN["README.md"])

    def test_a_map_without_its_table_stops_the_checker(self):
        with self.assertRaises(SystemExit):
            self.findings({"ARCHITECTURE.md": "# nothing\n"})


if __name__ == "__main__":
    unittest.main()
