#!/usr/bin/env python3
"""Checks that docs/reference/requirements.md is whole and true: which requirement is shown by which test or page.

    requirements.py [--root DIR] [--build DIR] [--fix]      the page; with --build, that ctest knows each test it names
    requirements.py --ran RESULTS.xml --build DIR           after a run of the whole suite (ctest --output-junit)

Without --build only the text is looked at: each id is there once, has an answer, and the summary counts right; --fix writes the
summary anew. `--ran` also wants that each named test has passed, or was skipped and said why, and prints one line with the counts.
Where links lead is tidy.py's business. Exit code: 0 clean, 1 findings, 2 the checker itself could not do its work.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

PAGE = "docs/reference/requirements.md"

# The documents' requirements: how many there are, and which of them only should hold, or are about documentation alone.
DOCUMENTS = {
    "S0": (96, "3-4 8 19 34 41 55 61 72-73 76 79 84 87-88 90-92 94-96", "42-48 89 93"),
    "S1": (60, "17 24 35-36 49-51 53-54 60", "30 52 58"),
    "S2": (29, "1 4 8 14 18 20-22", "29"),
    "S3": (31, "7 11-13 25-26", ""),
    "S4": (74, "9 20 49 53 63", "2-3 74"),
}
TRAPS = 57
MUST, SHOULD, DOCUMENTATION, TRAP = "must", "should", "documentation", "trap"


def numbers(ranges):
    """[3, 4, 8] of "3-4 8"."""
    ends = [[int(end) for end in part.split("-")] for part in ranges.split()]
    return [number for end in ends for number in range(end[0], end[-1] + 1)]


def expected():
    """Every id, in order, with its kind."""
    kinds = {}
    for document, (count, should, documentation) in DOCUMENTS.items():
        for number in range(1, count + 1):
            kind = SHOULD if number in numbers(should) else DOCUMENTATION if number in numbers(documentation) else MUST
            kinds[f"{document}-{number:02}"] = kind
    kinds.update({f"T{number:02}": TRAP for number in range(1, TRAPS + 1)})
    return kinds


SHOWN, BY_PAGES, IN_PART, NOT_DONE = "shown by tests", "shown by pages", "in part", "not done"
ROW = re.compile(r"\| *(S\d-\d+|T\d+) *\|")
TEST = re.compile(r"`([^`]+)`")  # what stands in backticks in the last cell is a test, by the name that ctest -N prints
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Row:
    """One line of a table: | id | what | shown by |."""

    def __init__(self, number, line):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        self.number = number
        self.id = cells[0]
        self.is_whole = len(cells) == 3 and all(cells)
        answer = cells[2] if self.is_whole else ""
        self.tests = TEST.findall(answer)
        self.links = LINK.findall(answer)
        if re.match(r"not done\b", answer):
            self.state = NOT_DONE
        elif re.search(r"\bin part\b", answer):
            self.state = IN_PART
        else:
            self.state = SHOWN if self.tests else BY_PAGES
        self.says_why = re.search(r"\b(not done|in part): \S", answer) is not None


def rows_of(text):
    return [Row(number, line) for number, line in enumerate(text.split("\n"), 1) if ROW.match(line)]


SUMMARY = re.compile(r"(?<=<!-- summary -->\n).*?(?=<!-- /summary -->)", re.S)


def summary(rows):
    """What stands at the top of the page: how many, and by name those that are not shown whole."""
    kinds = expected()
    count = {(kind, state): 0 for kind in (MUST, SHOULD, DOCUMENTATION, TRAP) for state in (SHOWN, BY_PAGES, IN_PART, NOT_DONE)}
    names = {IN_PART: [], NOT_DONE: []}
    for row in rows:
        if row.id in kinds:
            count[kinds[row.id], row.state] += 1
            if row.state in names:
                names[row.state].append(row.id)
    total = {kind: list(kinds.values()).count(kind) for kind in (MUST, SHOULD, DOCUMENTATION, TRAP)}
    lines = ["| | must | should | documentation | traps |", "|---|---|---|---|---|"]
    for state in (SHOWN, BY_PAGES, IN_PART, NOT_DONE):
        lines.append(f"| {state} | " + " | ".join(str(count[kind, state]) for kind in total) + " |")
    lines += ["| together | " + " | ".join(map(str, total.values())) + " |", ""]
    for state, ids in names.items():
        lines += [f"**{state.capitalize()}** ({len(ids)}): {', '.join(ids) or 'none'}.", ""]
    return "\n".join(lines)


def check_page(text, fix=None):
    """The page names each requirement once, answers each, and counts right. `fix(text)` is given the page with its summary."""
    kinds = expected()
    rows = rows_of(text)
    seen = {}
    for row in rows:
        if row.id not in kinds:
            yield row.number, f"there is no requirement {row.id}"
        elif row.id in seen:
            yield row.number, f"{row.id} stands in line {seen[row.id]} already"
        seen.setdefault(row.id, row.number)
        if not row.is_whole:
            yield row.number, f"{row.id} wants three cells with something in each: id, what, shown by"
        elif row.state in (IN_PART, NOT_DONE) and not row.says_why:
            yield row.number, f"{row.id}: say after a colon what is missing: \"{row.state}: …\""
        elif row.state != NOT_DONE and not row.tests and not row.links:
            yield row.number, f"{row.id} names neither a test nor a page"
    missing = [name for name in kinds if name not in seen]
    if missing:
        yield 1, f"{len(missing)} requirements are missing: {', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}"
    found = SUMMARY.search(text)
    if not found:
        yield 1, "the summary is missing: lines <!-- summary --> and <!-- /summary -->"
    elif found.group(0) != summary(rows):
        if fix:
            fix(text[:found.start()] + summary(rows) + text[found.end():])
        else:
            yield text[:found.start()].count("\n") + 1, "the summary is not that of the rows; `./dev tidy --fix` counts again"


def plain(test):
    """A test's name without what gtest_discover_tests() leaves behind it: `A/B.C/d  # GetParam() = d`."""
    return re.sub(r"\s+#.*", "", test)


def suite_of(build):
    """The names of all tests that ctest knows in a build directory."""
    with tempfile.TemporaryDirectory() as scratch:  # ctest writes a log where it is, and may be running there already
        listing = pathlib.Path(scratch, "CTestTestfile.cmake")
        listing.write_text(f"subdirs([==[{pathlib.Path(build).resolve()}]==])\n", encoding="utf-8")
        said = subprocess.run(["ctest", "--show-only=json-v1"], cwd=scratch, capture_output=True, text=True, check=True).stdout
    return {plain(test["name"]) for test in json.loads(said)["tests"]}


def group_of(test):
    """What is built or left out as one: `process` of process.PidFile.X, `example.hello` of example.hello.Hello.X."""
    parts = test.split(".")
    return ".".join(parts[:2]) if parts[0] == "example" else parts[0]


def groups_of(tree):
    """The groups that the sources have, built or not."""
    groups = set()
    for name in tree.files(r"(^|/)CMakeLists\.txt$|\.cmake$"):
        text = re.sub(r"#[^\n]*", "", tree.text[name])
        groups |= {group_of(word) for word in re.findall(r'TEST_PREFIX "([\w.]+)\."', text)}
        groups |= {group_of(word) for word in re.findall(r"add_test\(NAME (\w[\w.]*)", text)}
        groups |= set(re.findall(r"perdure_module\((\w+)", text))
        groups |= {f"example.{word}" for word in re.findall(r"perdure_example\((\w+)", text)}
    return groups


def check_suite(tree, text, suite):
    """The build's test suite has each test that the page names. A group that this build leaves out altogether is let pass."""
    if any(test.endswith("_NOT_BUILT") for test in suite):
        return  # gtest_discover_tests() says so of programs that are still to be built: what they hold is unknown
    known, built = groups_of(tree), {group_of(test) for test in suite}
    for row in rows_of(text):
        for test in row.tests:
            if test not in suite and (group_of(test) in built or group_of(test) not in known):
                yield row.number, f"{row.id}: ctest knows no test {test}"


PASSED = ("passed", "")


def results_of(path):
    """What became of each test: PASSED, ("skipped", reason) or ("failed", how)."""
    results = {}
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name, status, output = plain(case.get("name")), case.get("status"), case.findtext("system-out") or ""
        if status == "run":
            results[name] = PASSED
        elif status == "notrun" and case.find("skipped") is not None:
            said = re.search(r": Skipped\n(.*)", output)  # GTEST_SKIP() << "said"
            results[name] = ("skipped", (said.group(1) if said else output).strip())
        else:
            results[name] = ("failed", status)
    return results


def check_run(text, suite, results):
    """Each test that the page names has passed in this run, or was skipped and said why."""
    named = {}
    for row in rows_of(text):
        for test in row.tests:
            named.setdefault(test, []).append(row)
    for test, rows in named.items():
        ids = ", ".join(row.id for row in rows)
        what, how = results.get(test, ("missing", ""))
        if what == "missing" and test in suite:
            yield rows[0].number, f"{ids}: {test} was not run"
        elif what == "failed":
            yield rows[0].number, f"{ids}: {test} has not passed: {how}"
        elif what == "skipped" and not how:
            yield rows[0].number, f"{ids}: {test} was skipped without a reason"


def counts(text, results):
    """One line: how many requirements (must and should) this run has shown, and by what."""
    kinds = expected()
    rows = [row for row in rows_of(text) if kinds.get(row.id) in (MUST, SHOULD)]

    def are(state):
        return sum(row.state == state for row in rows)

    shown = [{results.get(test, ("skipped", "not built"))[0] for test in row.tests} for row in rows if row.state == SHOWN]
    ran, failed = shown.count({"passed"}), sum("failed" in outcomes for outcomes in shown)
    failures = f"{failed} by tests that failed, " if failed else ""
    skipped = len(shown) - ran - failed
    return (f"requirements: {len(rows)}: {ran} shown by tests that ran, {skipped} by tests skipped here, {failures}"
            f"{are(BY_PAGES)} by pages, {are(IN_PART)} in part, {are(NOT_DONE)} not done ({PAGE})")


def findings(tree, build=None, fix=False):
    text = tree.text.get(PAGE)
    if text is None:
        yield PAGE, 1, "is missing"
        return

    def write(fixed):
        (tree.root / PAGE).write_text(fixed, encoding="utf-8")
        print(f"tidy: counted again in {PAGE}")

    for number, message in check_page(text, write if fix else None):
        yield PAGE, number, message
    if build:
        for number, message in check_suite(tree, text, suite_of(build)):
            yield PAGE, number, message


def main():
    import tidy  # which imports this file
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", help="a build directory, to check that its test suite has the named tests")
    parser.add_argument("--ran", help="the results of a run of the whole suite, as ctest --output-junit writes them")
    parser.add_argument("--fix", action="store_true", help="write the summary anew")
    arguments = parser.parse_args()
    tree = tidy.Tree(arguments.root)
    found = list(findings(tree, arguments.build, arguments.fix))
    if arguments.ran and PAGE in tree.text:
        text, results = tree.text[PAGE], results_of(arguments.ran)
        found += [(PAGE, number, message) for number, message in check_run(text, suite_of(arguments.build), results)]
    for path, line, message in found:
        print(f"{path}:{line}: {message}")
    if arguments.ran and PAGE in tree.text:
        print(counts(text, results))
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError, xml.etree.ElementTree.ParseError) as error:
        print(f"requirements: {error}", file=sys.stderr)
        sys.exit(2)
