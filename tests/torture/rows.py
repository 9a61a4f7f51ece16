"""The rows of the table of figures, and how each is run: those of the harness, the fuzzers, and what pytest runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from torture import harness
from torture.harness import Figures

TESTS = Path(__file__).parents[1]

FUZZ = "hostile.test_fuzz"
# The rows of the harness, and what part of the time each gets. What one does not need goes to those behind it, so that
# those without an end come last.
WEIGHTS = {
    "hostile.test_memory": 2,
    "durability.test_rebuild_equals": 1,
    "durability.test_faults": 2,
    "hostile.test_truncation": 2,
    "durability.test_kill": 4,
    "durability.test_followers": 3,
    "durability.test_threads": 3,
    "hostile.test_damage_row": 5,
    "durability.test_power": 5,
    "shards.test_adoption": 3,
    "shards.test_many_processes": 6,
    "shards.test_power": 3,
    "stores.test_histories": 4,
}
# Rows that are tests of pytest.
TESTED = {
    "a full 1 MiB tmpfs": ("durability/test_full_disk.py",),
    "malicious files: every field at its extremes, overlaps, bombs, collisions, forged headers": (
        "hostile/test_malicious.py",
        "hostile/test_fields.py",
    ),
    "what is no pipe, and names of every kind": ("hostile/test_names.py",),
    "memory and descriptors stay as they are": ("hostile/test_soak.py",),
}
PLANTED = "planted bugs that are caught by the tests above"
SANITIZED = "ASan and UBSan over the whole suite"
LEAST = 2  # seconds of a row
LONG_ENOUGH = 0.2  # hours, for all planted bugs
HOUR = 1.0  # for the sanitizers


@dataclass(frozen=True)
class NotRun:
    """A row that a run has left out."""

    name: str
    reason: str


def apart(function: Callable[..., Figures], name: str, *arguments: object) -> Figures:
    """What a function gives in a fresh process; that this dies is a crash of the row."""
    begin = time.monotonic()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except Exception as error:
            reason = "its process died" if isinstance(error, BrokenProcessPool) else repr(error)
            failures = [f"{name}: {reason}\n{error.__cause__ or ''}"]
            return Figures(name, "cases", crashes=1, seconds=time.monotonic() - begin, failures=failures)


def run_row(module: str, seconds: float, seed: int) -> Figures:
    row = import_module(module)
    return harness.run(row, row.LONG, seconds=seconds, seed=seed)


def run_fuzz(module: str, seconds: float, seed: int) -> Figures:
    return import_module(module).run(seconds, seed)


def run_tests(name: str, paths: tuple[str, ...]) -> Figures:
    """What pytest says of some tests."""
    begin = time.monotonic()
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        process = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *paths],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        figures = Figures(name, "tests", seconds=time.monotonic() - begin)
        if not report.exists():
            figures.crashes = 1
            figures.failures.append(f"{name}: pytest ended with {process.returncode}:\n{process.stdout[-3000:]}")
            return figures
        for case in ElementTree.parse(report).iter("testcase"):
            figures.goal += 1
            found = case.find("failure") if case.find("error") is None else case.find("error")
            if found is not None:
                figures.crashes += 1
                figures.failures.append(f"{case.get('classname')}.{case.get('name')}:\n{found.text}")
            figures.cases += case.find("skipped") is None
    return figures


def run_planted(all_of_them: bool) -> Figures:
    """Switch bugs on, one after another: what should find them passes without one, and fails with it."""
    planting = import_module("durability.planting")
    begin = time.monotonic()
    figures = Figures(PLANTED, "bugs", goal=len(planting.BUGS))
    planting.build()
    bugs = planting.BUGS if all_of_them else planting.BUGS[: planting.SAMPLE]
    clean = planting.play(None, planting.catchers_of(bugs))
    if not clean.good:
        figures.failures.append("\n".join(["without any planted bug:", *clean.shown, *clean.died]))
    for bug in bugs:
        outcome = planting.play(bug, bug.catchers)
        if outcome.shown:
            figures.cases += 1
        else:
            figures.failures.append("\n".join([f"not caught: {bug.name}", *outcome.died]))
    figures.seconds = time.monotonic() - begin
    return figures


def run_sanitized() -> Figures:
    """What tests/sanitize.sh says, which `make sanitize` runs."""
    begin = time.monotonic()
    process = subprocess.run(
        [TESTS / "sanitize.sh", sys.executable, "-q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", process.stdout)}
    figures = Figures(SANITIZED, "tests", seconds=time.monotonic() - begin)
    figures.cases = counts.get("passed", 0)
    figures.goal = sum(counts.values())
    if process.returncode != 0:
        figures.crashes = max(1, figures.goal - figures.cases)
        figures.failures.append(f"{SANITIZED}: exit code {process.returncode}\n{process.stdout[-5000:]}")
    return figures


def run_all(hours: float, seed: int, tell: Callable[[Figures | NotRun], None]) -> None:
    """Run every row within the time given, half of which the fuzzers get; `tell` is called with each that has ended.

    What can not be made shorter comes first. Where it takes more than a quarter of the time, all of it takes longer.
    """
    seconds = hours * 3600
    begin = time.monotonic()
    for name, paths in TESTED.items():
        tell(run_tests(name, paths))
    tell(apart(run_planted, PLANTED, hours >= LONG_ENOUGH))
    tell(run_sanitized() if hours >= HOUR else NotRun(SANITIZED, f"takes runs of {HOUR:g} hours"))
    left = max(seconds / 2 - (time.monotonic() - begin), seconds / 4)
    end = time.monotonic() + left
    weights = dict(WEIGHTS)
    for module in WEIGHTS:
        share = max((end - time.monotonic()) * weights[module] / sum(weights.values()), LEAST)
        del weights[module]
        tell(apart(run_row, module, module, share, seed))
    reason = import_module("hostile.fuzz.targets").missing()
    if reason is not None:
        tell(NotRun(import_module(FUZZ).NAME, reason))
        return
    tell(apart(run_fuzz, FUZZ, FUZZ, max(seconds / 2, begin + seconds - time.monotonic()), seed))


def machine() -> str:
    return f"{os.cpu_count()} cores, {sys.platform}, Python {sys.version.split()[0]}"
