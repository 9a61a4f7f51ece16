"""A copy of smartpipe with bugs in it, and what the tests say of it.

All bugs are in one build: the environment variable SMARTPIPE_PLANTED of a process has the number of the one that is
switched on in it, and without one the copy is as good as the original.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from torture import harness

from .planted_bugs import BUGS, SAMPLE, Bug, Row, Test

__all__ = ["BUGS", "SAMPLE", "build", "catchers_of", "play"]

TESTS = Path(__file__).parents[1]
HOME = TESTS.parent
PLACE = HOME / "build" / "planted"
TREE = PLACE / "tree"
PARTS = ("csrc", "smartpipe", "setup.py", "pyproject.toml", "README.md", "LICENSE")

HEADER = """\
#ifndef SMARTPIPE_PLANTED_H
#define SMARTPIPE_PLANTED_H
#include <stdlib.h>
static inline int sp_planted(int number) {
    static int chosen = -1;
    if (chosen < 0) {
        const char *text = getenv("SMARTPIPE_PLANTED");
        chosen = text == NULL ? 0 : atoi(text);
    }
    return chosen == number;
}
#endif
"""
# By the suffix of a file: what is put before its first line of code, and what stands for the switch.
SWITCHES = {
    ".c": ('#include "planted/planted.h"\n', "sp_planted({})"),
    ".pyx": (
        'cdef extern from "planted/planted.h" nogil:\n    bint sp_planted(int number) noexcept\n\n',
        "sp_planted({})",
    ),
    ".py": ("import os as _os\n", '(_os.environ.get("SMARTPIPE_PLANTED") == "{}")'),
}
# What shows a bug. A row lets an error of smartpipe out where it is not the right one.
SHOWS = ("AssertionError", "Failed", "torture.harness.Lost", "torture.harness.Wrong", "smartpipe.errors.")


# Building


def planted(source: str, number: int, bug: Bug) -> str:
    """A source file with a bug in it."""
    switch = SWITCHES[Path(bug.file).suffix][1].format(number)
    for old, new in bug.changes():
        assert source.count(old) == 1, f"{bug.name}: what it changes occurs {source.count(old)} times in {bug.file}"
        source = source.replace(old, new.replace("PLANTED", switch))
    return source


def headed(source: str, suffix: str) -> str:
    """A source file with what the switches need, before its first line of code."""
    lines = source.splitlines(keepends=True)
    words = ("#include",) if suffix == ".c" else ("import ", "from ")
    first = next(
        number for number, line in enumerate(lines) if line.startswith(words) and not line.startswith("from __future__")
    )
    return "".join([*lines[:first], SWITCHES[suffix][0], *lines[first:]])


def sources() -> dict[str, str]:
    """The files that have bugs in the copy."""
    files: dict[str, str] = {}
    for number, bug in enumerate(BUGS, 1):
        files[bug.file] = planted(files.get(bug.file) or (HOME / bug.file).read_text(), number, bug)
    return {file: headed(source, Path(file).suffix) for file, source in files.items()}


def build() -> None:
    """Make the copy, unless there is one of these sources."""
    files = sources()
    digest = hashlib.sha256(repr((sorted(files.items()), HEADER, sys.version)).encode())
    for part in PARTS:
        for path in sorted([HOME / part, *(HOME / part).rglob("*")]):
            made_by_cython = path.suffix == ".c" and path.with_suffix(".pyx").exists()
            if path.suffix in (".c", ".h", ".py", ".pyx", ".pxd", ".toml") and not made_by_cython:
                digest.update(str(path).encode() + path.read_bytes())
    stamp = PLACE / "stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    for part in PARTS:
        # With the extensions that are built already: those that have no bug are as good here.
        if (HOME / part).is_dir():
            shutil.copytree(HOME / part, TREE / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(HOME / part, TREE / part)
    (TREE / "csrc" / "planted").mkdir()
    (TREE / "csrc" / "planted" / "planted.h").write_text(HEADER)
    for file, source in files.items():
        (TREE / file).write_text(source)
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j", str(os.cpu_count() or 1)],
        cwd=TREE,
        env={**os.environ, "SMARTPIPE_BUILD": "debug"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert built.returncode == 0, built.stdout
    stamp.write_text(digest.hexdigest())


# Running


@dataclass
class Outcome:
    """What catchers have found."""

    catcher: str = ""
    """The one that found something."""
    shown: list[str] = field(default_factory=list)
    """What rows and tests say of smartpipe."""
    died: list[str] = field(default_factory=list)
    """What is no verdict of a row or test: other exceptions, processes that died, hangs."""

    @property
    def good(self) -> bool:
        return not (self.shown or self.died)


def play(bug: Bug | None, catchers: Iterable[Row | Test]) -> Outcome:
    """Let catchers run with a bug switched on, in a process of their own, until one finds something."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        asked = [(type(catcher).__name__, *vars(catcher).values()) for catcher in catchers]
        number = 0 if bug is None else BUGS.index(bug) + 1
        process = subprocess.run(
            [sys.executable, "-m", "durability.planting", json.dumps(asked), report],
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": str(TREE), "SMARTPIPE_PLANTED": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if not report.exists():
            return Outcome(died=[f"exit code {process.returncode}: {process.stdout[-3000:]}"])
        return Outcome(**json.loads(report.read_text()))


def catchers_of(bugs: Iterable[Bug]) -> list[Row | Test]:
    """All catchers of some bugs, each once, and of a row the most cases."""
    rows: dict[str, int] = {}
    tests: dict[str, Test] = {}
    for bug in bugs:
        for catcher in bug.catchers:
            if isinstance(catcher, Row):
                rows[catcher.module] = max(catcher.cases, rows.get(catcher.module, 0))
            else:
                tests[catcher.node] = catcher
    return [*(Row(module, cases) for module, cases in rows.items()), *tests.values()]


class _Reports:
    """A plugin of pytest that keeps what fails."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            raised = report.longreprtext.rpartition("\n")[2].partition(": ")[2]
            shows = report.when == "call" and raised.startswith(SHOWS)
            (self.outcome.shown if shows else self.outcome.died).append(f"{report.nodeid}:\n{report.longreprtext}")

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.outcome.died.append(str(report.longrepr))


def raised_by(text: str) -> str:
    """The line of a traceback that names the exception."""
    lines = text.rpartition("Traceback (most recent call last):\n")[2].splitlines()
    return next((line for line in lines if not line.startswith(" ")), "")


def catch(kind: str, what: str, cases: int = 0) -> Outcome:
    """Run a catcher in this process."""
    outcome = Outcome(what)
    if kind == "Row":
        for text in harness.run(importlib.import_module(what), cases, most_failures=1).failures:
            (outcome.shown if raised_by(text).startswith(SHOWS) else outcome.died).append(text)
    else:
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", what], plugins=[_Reports(outcome)])
        if code not in (0, 1):
            outcome.died.append(f"{what}: pytest ended with {code!r}")
    return outcome


def main(asked: str, report: str) -> None:
    import smartpipe

    for module in [smartpipe, *(module for name, module in sys.modules.items() if name.startswith("smartpipe."))]:
        assert Path(module.__file__ or "").is_relative_to(TREE), f"{module.__file__} is not of the copy"
    outcome = Outcome()
    for catcher in json.loads(asked):
        outcome = catch(*catcher)
        if not outcome.good:
            break
    Path(report).write_text(json.dumps(vars(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
