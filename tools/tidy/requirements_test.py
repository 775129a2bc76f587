#!/usr/bin/env python3
"""Plants faults in pages, suites and results, and expects requirements.py to name each."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import requirements  # noqa: E402  (the path is set above)
import tidy  # noqa: E402

TEST = "process.PidFile.HoldsTheNumber"
PASSED = requirements.PASSED


def page(changes=None):
    """A page without a fault, each row shown by one test, but for those in `changes`: id to the whole line, or None for no line."""
    lines = {name: f"| {name} | what | `{TEST}` |" for name in requirements.expected()}
    lines.update(changes or {})
    text = "# Requirements\n\n<!-- summary -->\n<!-- /summary -->\n\n| id | what | shown by |\n|---|---|---|\n"
    text += "".join(line + "\n" for line in lines.values() if line is not None)
    return requirements.SUMMARY.sub(lambda _: requirements.summary(requirements.rows_of(text)), text)


def row(name, answer):
    return {name: f"| {name} | what | {answer} |"}


def line_of(text, name):
    return next(found.number for found in requirements.rows_of(text) if found.id == name)


class Page(unittest.TestCase):
    def expect(self, text, *words):
        """Exactly one finding, with all the words in it."""
        found = [f"{number}: {message}" for number, message in requirements.check_page(text)]
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def test_there_are_as_many_requirements_as_the_documents_have(self):
        kinds = list(requirements.expected().values())
        self.assertEqual([kinds.count(kind) for kind in (requirements.MUST, requirements.SHOULD, requirements.DOCUMENTATION,
                                                         requirements.TRAP)], [224, 50, 16, 57])

    def test_a_whole_page_has_no_findings(self):
        self.assertEqual(list(requirements.check_page(page())), [])
        answers = {**row("S0-01", "[guide](../guides/reload.md#a)"), **row("S0-02", f"`{TEST}`; in part: not under load"),
                   **row("T57", "not done: needs another machine")}
        self.assertEqual(list(requirements.check_page(page(answers))), [])

    def test_a_requirement_that_is_missing_is_found(self):
        self.expect(page({"S0-01": None}), "1 requirements are missing: S0-01")
        self.expect(page({"T57": None, "S4-74": None}), "2 requirements are missing: S4-74, T57")

    def test_a_requirement_that_stands_twice_is_found(self):
        text = page({"S0-05": "| S0-04 | what | `a.B.C` |\n| S0-05 | what | `a.B.C` |"})
        self.expect(text, f"{line_of(text, 'S0-05') - 1}: S0-04 stands in line {line_of(text, 'S0-04')} already")

    def test_a_requirement_that_nobody_made_is_found(self):
        for name in ("S0-97", "S5-01", "T58", "S0-00", "T00"):
            self.expect(page(row(name, f"`{TEST}`")), f"there is no requirement {name}")

    def test_a_row_without_an_answer_is_found(self):
        self.expect(page(row("S1-02", "")), "S1-02 wants three cells")
        self.expect(page({"S1-02": "| S1-02 | what |"}), "S1-02 wants three cells")
        self.expect(page({"S1-02": f"| S1-02 | | `{TEST}` |"}), "S1-02 wants three cells")
        self.expect(page(row("S1-02", "certainly")), "S1-02 names neither a test nor a page")
        self.expect(page(row("S1-02", "in part: some of it")), "S1-02 names neither a test nor a page")

    def test_what_is_not_shown_whole_says_what_is_missing(self):
        self.expect(page(row("S1-02", "not done")), "S1-02: say after a colon what is missing: \"not done: …\"")
        self.expect(page(row("S1-02", f"`{TEST}` in part")), "S1-02: say after a colon what is missing: \"in part: …\"")

    def test_a_summary_that_has_gone_stale_is_found_and_written_anew(self):
        text = page().replace(row("S2-03", f"`{TEST}`")["S2-03"], row("S2-03", "not done: nobody knows how")["S2-03"])
        self.expect(text, "4: the summary is not that of the rows")
        fixed = []
        self.assertEqual(list(requirements.check_page(text, fixed.append)), [])
        self.assertEqual(list(requirements.check_page(fixed[0])), [])
        self.assertIn("| not done | 1 | 0 | 0 | 0 |\n", fixed[0])
        self.assertIn("**Not done** (1): S2-03.\n", fixed[0])
        self.expect(page().replace("<!-- summary -->", ""), "the summary is missing")

    def test_a_page_that_is_missing_is_found(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(list(requirements.findings(tidy.Tree(directory))), [(requirements.PAGE, 1, "is missing")])


class Suite(unittest.TestCase):
    """The build has the group `process`, the sources `process`, `consumers`, `example.hello` and `daemons` as well."""
    SOURCES = {"src/process/CMakeLists.txt": "perdure_module(process DEPS base)",
               "examples/CMakeLists.txt": "perdure_example(hello)",
               "tests/CMakeLists.txt": "add_test(NAME consumers.install COMMAND x)\n# add_test(NAME gone.x)\n"
                                       'gtest_discover_tests(d TEST_PREFIX "daemons." X)\n'}

    def tree(self, text):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for name, content in {**self.SOURCES, requirements.PAGE: text}.items():
            path = pathlib.Path(directory.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tidy.Tree(directory.name)

    def unknown(self, answer, suite):
        text = page(row("S0-01", answer))
        return [message for _, message in requirements.check_suite(self.tree(text), text, {TEST, *suite})]

    def test_a_test_that_ctest_does_not_know_is_found(self):
        self.assertEqual(self.unknown(f"`{TEST}`", {}), [])
        self.assertEqual(self.unknown("`process.PidFile.Gone` and `process.A.B`", {"process.A.B"}),
                         ["S0-01: ctest knows no test process.PidFile.Gone"])

    def test_a_part_that_is_not_built_is_let_pass_and_a_misspelt_one_is_not(self):
        for test in ("consumers.find_package_static", "example.hello.Hello.Works", "daemons.Debian12/Unit.Does/redis"):
            self.assertEqual(self.unknown(f"`{test}`", {}), [], test)
        for test in ("proces.PidFile.HoldsTheNumber", "example.hallo.Hello.Works", "gone.x", "daemon.hpp"):
            self.assertEqual(self.unknown(f"`{test}`", {}), [f"S0-01: ctest knows no test {test}"])

    def test_a_build_that_is_not_finished_says_nothing(self):
        self.assertEqual(self.unknown("`process.PidFile.Gone`", {"perdure_process_test_NOT_BUILT"}), [])

    def test_what_a_build_has_is_asked_of_ctest(self):
        with tempfile.TemporaryDirectory() as build:
            pathlib.Path(build, "CTestTestfile.cmake").write_text('add_test(a.b "true")\nsubdirs("c")\n', encoding="utf-8")
            pathlib.Path(build, "c").mkdir()
            parametrized = 'add_test([=[c.D/E.f/a-b  # GetParam() = 7]=] "true")\n'
            pathlib.Path(build, "c/CTestTestfile.cmake").write_text(parametrized, encoding="utf-8")
            self.assertEqual(requirements.suite_of(build), {"a.b", "c.D/E.f/a-b"})
            self.assertEqual({path.name for path in pathlib.Path(build).iterdir()}, {"CTestTestfile.cmake", "c"}, "it writes there")


class Run(unittest.TestCase):
    def results(self, commands):
        """What ctest says of a run: name to the shell script that is the test; as gtest_discover_tests() declares tests."""
        with tempfile.TemporaryDirectory() as build:
            lines = []
            for name, script in commands.items():
                lines.append(f'add_test([=[{name}]=] "/bin/sh" "-c" [=[{script}]=])\n'
                             f'set_tests_properties([=[{name}]=] PROPERTIES SKIP_REGULAR_EXPRESSION [=[\\[  SKIPPED \\]]=])\n')
            pathlib.Path(build, "CTestTestfile.cmake").write_text("".join(lines), encoding="utf-8")
            subprocess.run(["ctest", "--output-junit", pathlib.Path(build, "results.xml")], cwd=build, capture_output=True)
            return requirements.results_of(pathlib.Path(build, "results.xml"))

    def test_passed_failed_and_skipped_are_told_apart(self):
        skip = "echo 'x_test.cpp:3: Skipped'; echo '%s'; echo; echo '[  SKIPPED ] A.B (0 ms)'"
        results = self.results({"a.Passes  # GetParam() = 1": "echo '<&amp;>'", "a.Fails": "exit 1", "a.Skips": skip % "no root",
                                "a.Hides": skip % ""})
        self.assertEqual(results, {"a.Passes": PASSED, "a.Fails": ("failed", "fail"), "a.Skips": ("skipped", "no root"),
                                   "a.Hides": ("skipped", "")})

    def found(self, answer, results):
        text = page(row("S0-01", answer))
        return [message for _, message in requirements.check_run(text, {TEST, "a.Here"}, {TEST: PASSED, **results})]

    def test_a_named_test_that_has_not_shown_anything_is_found(self):
        self.assertEqual(self.found("`a.Here`", {"a.Here": PASSED}), [])
        self.assertEqual(self.found("`a.Here`", {"a.Here": ("skipped", "no root")}), [])
        self.assertEqual(self.found("`a.Here`", {}), ["S0-01: a.Here was not run"])
        self.assertEqual(self.found("`a.Here` |\n| S0-02 | what | `a.Here`", {}), ["S0-01, S0-02: a.Here was not run"], "once")
        self.assertEqual(self.found("`a.Here`", {"a.Here": ("failed", "fail")}), ["S0-01: a.Here has not passed: fail"])
        self.assertEqual(self.found("`a.Here`", {"a.Here": ("skipped", "")}), ["S0-01: a.Here was skipped without a reason"])
        self.assertEqual(self.found("`consumers.not_built`", {}), [])

    def test_one_line_counts_what_was_shown(self):
        text = page({**row("S0-01", f"`{TEST}`, `a.Skips`"), **row("S0-02", "`consumers.not_built`"),
                     **row("S0-05", "[page](x.md)"), **row("S0-03", f"`{TEST}`; in part: elsewhere"),
                     **row("S0-42", "not done: no such machine"),
                     **row("S1-01", "not done: nobody knows how"), **row("T01", "[page](x.md)")})
        self.assertEqual(requirements.counts(text, {TEST: PASSED, "a.Skips": ("skipped", "no root")}),
                         "requirements: 274: 269 shown by tests that ran, 2 by tests skipped here, 1 by pages, 1 in part, "
                         "1 not done (docs/reference/requirements.md)")
        self.assertIn(": 0 shown by tests that ran, 1 by tests skipped here, 270 by tests that failed, 1 by pages, ",
                      requirements.counts(text, {TEST: ("failed", "fail"), "a.Skips": ("skipped", "no root")}))


if __name__ == "__main__":
    unittest.main()
