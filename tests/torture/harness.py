"""Runs the cases of a row in processes of their own, and counts what they find.

A row is a module with

- `NAME`: what is done, as the table of figures says it; `UNIT`: what is counted, in the plural;
- `QUICK`, `LONG`: how many cases the tests make, and how many are the goal of a long run; where `FINITE` is True, there
  are no more than QUICK or LONG different ones;
- `case(number, random, folder)`: one case. All of it follows from the number, the random.Random, and nothing else,
  so that it can be run again. `folder` is an empty folder in memory. Raises `Lost`, `Wrong`, or anything else, which
  counts as a crash;
- `setup()`, where there is something to prepare once, before the processes are forked.

A case that ends its process, or takes longer than HANG seconds, is a crash too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from multiprocessing import RawArray
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NoReturn, Protocol

HANG = 120
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
MOST_FAILURES = 20  # of one process, which then stops


class Lost(AssertionError):
    """A block that was acknowledged is not there, or more blocks were lost than the damage explains."""


class Wrong(AssertionError):
    """Bytes came back that were never written there."""


class Hang(Exception):
    """A case took longer than HANG seconds."""


class Row(Protocol):
    """What harness.run needs of a module."""

    NAME: str
    UNIT: str
    QUICK: int
    LONG: int

    def case(self, number: int, random: Random, folder: Path) -> None: ...


@dataclass
class Figures:
    """What came of a row."""

    name: str
    unit: str
    cases: int = 0
    goal: int = 0
    lost: int = 0
    wrong: int = 0
    crashes: int = 0
    seconds: float = 0.0
    peak: int = 0
    """The most memory that a process had, in bytes."""
    seed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.wrong or self.crashes)


def run(row: Any, cases: int, *, seconds: float | None = None, seed: int = 1, jobs: int | None = None) -> Figures:
    """Make so many cases of a row, fewer where the seconds are over before."""
    jobs = max(1, min(cases, jobs or os.cpu_count() or 1))
    figures = Figures(row.NAME, row.UNIT, goal=cases, seed=seed)
    if hasattr(row, "setup"):
        row.setup()
    begin = time.monotonic()
    deadline = None if seconds is None else begin + seconds
    # What each process has done: the number of its case, and how many it has finished.
    progress = RawArray("q", 2 * jobs)
    workers = [_start(row, worker, cases, jobs, deadline, seed, progress) for worker in range(jobs)]
    try:
        while workers:
            _collect(figures, workers.pop(0), row, cases, jobs, deadline, seed, progress, workers)
    finally:
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
    figures.cases = sum(progress[2 * worker + 1] for worker in range(jobs))
    figures.seconds = time.monotonic() - begin
    return figures


def quick(row: Any, cases: int | None = None, seed: int = 1) -> None:
    """Make the cases that the tests make; the first failure is raised."""
    figures = run(row, cases or row.QUICK, seed=seed)
    assert figures.good, "\n\n".join(figures.failures)
    assert figures.cases == figures.goal


@dataclass
class _Worker:
    pid: int
    number: int
    report: int  # the descriptor that its report is read from
    folder: str


def _start(
    row: Any,
    worker: int,
    cases: int,
    jobs: int,
    deadline: float | None,
    seed: int,
    progress: Any,
    first: int | None = None,
) -> _Worker:
    folder = tempfile.mkdtemp(prefix="torture-", dir=MEMORY)
    receiver, sender = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking where there are threads
        pid = os.fork()
    if pid > 0:
        os.close(sender)
        return _Worker(pid, worker, receiver, folder)
    os.close(receiver)
    _work(row, range(worker if first is None else first, cases, jobs), worker, deadline, seed, progress, folder, sender)


def _work(
    row: Any, numbers: range, worker: int, deadline: float | None, seed: int, progress: Any, folder: str, sender: int
) -> NoReturn:
    report: dict[str, Any] = {"lost": 0, "wrong": 0, "crashes": 0, "failures": []}
    code = 0
    try:
        signal.signal(signal.SIGALRM, _hang)
        for number in numbers:
            if deadline is not None and time.monotonic() > deadline:
                break
            progress[2 * worker] = number
            place = Path(folder, "case")
            place.mkdir()
            signal.alarm(HANG)
            try:
                row.case(number, Random(f"{row.NAME}:{seed}:{number}"), place)
            except BaseException as error:
                kind = "lost" if isinstance(error, Lost) else "wrong" if isinstance(error, Wrong) else "crashes"
                report[kind] += 1
                report["failures"].append(f"{row.NAME}, case {number}, seed {seed}:\n{traceback.format_exc()}")
                if len(report["failures"]) >= MOST_FAILURES or isinstance(error, KeyboardInterrupt):
                    break
            finally:
                signal.alarm(0)
            progress[2 * worker + 1] += 1
            shutil.rmtree(place)
    except BaseException:
        report["crashes"] += 1
        report["failures"].append(traceback.format_exc())
        code = 1
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report["peak"] = peak if sys.platform == "darwin" else peak * 1024
    with os.fdopen(sender, "w") as stream:
        json.dump(report, stream)
    os._exit(code)


def _hang(number: int, frame: FrameType | None) -> NoReturn:
    raise Hang(f"no end after {HANG} seconds")


def _collect(
    figures: Figures,
    worker: _Worker,
    row: Any,
    cases: int,
    jobs: int,
    deadline: float | None,
    seed: int,
    progress: Any,
    workers: list[_Worker],
) -> None:
    with os.fdopen(worker.report) as stream:
        text = stream.read()
    _, status = os.waitpid(worker.pid, 0)
    shutil.rmtree(worker.folder, ignore_errors=True)
    if text:
        report = json.loads(text)
        figures.lost += report["lost"]
        figures.wrong += report["wrong"]
        figures.crashes += report["crashes"]
        figures.failures += report["failures"]
        figures.peak = max(figures.peak, report["peak"])
        return
    number = progress[2 * worker.number]
    figures.crashes += 1
    figures.failures.append(f"{row.NAME}, case {number}, seed {seed}: the process ended with {_ended(status)}")
    if figures.crashes < MOST_FAILURES:
        progress[2 * worker.number + 1] += 1
        workers.append(_start(row, worker.number, cases, jobs, deadline, seed, progress, number + jobs))


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.WEXITSTATUS(status)}"
