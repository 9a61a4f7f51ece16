"""The runner itself: what a row loses, and how it dies, is counted; and the table is written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import torture.__main__ as program
from torture import harness, rows
from torture.harness import Figures
from torture.rows import NotRun

GOOD = Figures("good row", "cases", cases=1200, goal=5000, seconds=61.4, peak=50 << 20)
BAD = replace(GOOD, name="bad row", lost=1, wrong=2, crashes=3, failures=["what it was"])

FAKE = """
import os, signal, sys, time
from torture.harness import Lost, Wrong

NAME, UNIT, QUICK, LONG = "a row", "cases", 10, 10

def case(number, random, folder):
    assert folder.is_dir() and not list(folder.iterdir())
    (folder / "file").write_bytes(b"x")
    if number == 1:
        raise Lost("this one")
    if number == 7:
        {}
"""


@pytest.fixture
def row(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the module of a row that loses a block in case 1, and does something in case 7."""
    name = re.sub(r"\W", "_", f"row_of_{tmp_path.name}")
    (tmp_path / f"{name}.py").write_text(FAKE.format(getattr(request, "param", "pass")))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def run(row: str, jobs: int) -> Figures:
    module = __import__(row)
    return harness.run(module, 10, jobs=jobs)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_what_a_case_raises_is_counted_with_its_number(row: str, jobs: int) -> None:
    figures = run(row, jobs)
    assert (figures.cases, figures.goal, figures.lost, figures.wrong, figures.crashes) == (10, 10, 1, 0, 0)
    assert "case 1, seed 1" in figures.failures[0]
    assert "Lost: this one" in figures.failures[0]
    assert figures.peak > 1 << 20


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    "row, reason",
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process ended with SIGKILL"),
        ("os._exit(3)", "the process ended with exit code 3"),
        ("sys.exit(3)", "SystemExit: 3"),
    ],
    indirect=["row"],
)
def test_a_process_that_ends_is_a_crash_and_the_others_go_on(row: str, reason: str, jobs: int) -> None:
    """What it had found before is known all the same."""
    figures = run(row, jobs)
    assert (figures.cases, figures.lost, figures.crashes) == (10, 1, 1)
    found = "\n".join(figures.failures)
    assert "this one" in found
    assert re.search(f"case 7, seed 1:.*{reason}", found, re.DOTALL)


@pytest.mark.parametrize(
    "row",
    ["time.sleep(60)", "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}); time.sleep(60)"],
    indirect=True,
    ids=["python", "deaf"],
)
def test_a_case_without_an_end_is_a_crash_and_the_others_go_on(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "HANG", 1)
    figures = run(row, 2)
    assert (figures.cases, figures.lost, figures.crashes) == (10, 1, 1)
    assert any("no end after" in failure for failure in figures.failures)


def test_a_row_ends_with_its_time(row: str) -> None:
    figures = harness.run(__import__(row), 10, seconds=0)
    assert figures.cases == 0
    assert figures.goal == 10


def test_a_row_in_a_process_of_its_own(row: str) -> None:
    figures = rows.apart(rows.run_row, row, row, 60.0, 1)
    assert (figures.cases, figures.lost) == (10, 1)


def test_a_row_whose_process_dies_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stillborn.py").write_text("import os; os._exit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    figures = rows.apart(rows.run_row, "stillborn", "stillborn", 60.0, 1)
    assert figures.crashes == 1
    assert not figures.good


def test_tests_of_pytest_as_a_row(tmp_path: Path) -> None:
    tests = tmp_path / "test_three.py"
    tests.write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 1 == 2\ndef test_left(): pytest.skip('none')\n"
    )
    figures = rows.run_tests("three", (str(tests),))
    assert (figures.cases, figures.goal, figures.crashes) == (2, 3, 1)
    assert "assert 1 == 2" in figures.failures[0]


def test_every_row_of_the_tests_is_run() -> None:
    tests = rows.TESTS
    found = {
        f"{path.parent.name}.{path.stem}"
        for folder in ("durability", "hostile", "shards", "stores")
        for path in (tests / folder).glob("test_*.py")
        if re.search(r"^LONG = ", path.read_text(), re.MULTILINE)
    }
    assert found == set(rows.WEIGHTS)
    assert all((tests / path).exists() for paths in rows.TESTED.values() for path in paths)


# The table


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- figures -->\nold\n<!-- /figures -->\n\nafter\n")
    return page


@pytest.mark.parametrize("found, code", [([GOOD], 0), ([GOOD, BAD], 1), ([NotRun("left out", "why"), GOOD], 0)])
def test_the_table_is_written_and_the_exit_code_tells_whether_anything_was_found(
    found: list[Figures | NotRun],
    code: int,
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(rows, "run_all", lambda hours, seed, tell: [tell(figures) for figures in found])
    assert program.run(0.5, 7, page) == code
    before, _, rest = page.read_text().partition("<!-- figures -->\n")
    written, _, after = rest.partition("<!-- /figures -->")
    assert (before, after) == ("before\n\n", "\n\nafter\n")
    head, *lines = written.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d, commit \w+( with uncommitted changes)?, seed 7, 0.5 hours on \d+ cores", head)
    assert lines[0] == ""
    expected = {
        "good row": "| good row | 1,200 of 5,000 cases | 0 | 0 | 0 | 61 | 50 MiB |",
        "bad row": "| bad row | 1,200 of 5,000 cases | 1 | 2 | 3 | 61 | 50 MiB |",
        "left out": "| left out | not in this run: why | | | | | |",
    }
    assert lines[3:] == [expected[figures.name] for figures in found]
    assert written in capsys.readouterr().out


def test_a_page_without_a_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(SystemExit):
        program.write("table\n", page)
    assert page.read_text() == "nothing\n"
