"""Runs the cases of a row in processes of their own, and counts what they find.

A row is a module with

- `NAME`: what is done, as the table of figures says it; `UNIT`: what is counted, in the plural;
- `QUICK`, `LONG`: how many cases the tests make, and how many are the goal of a long run; where `FINITE` is True, there
  are no more than QUICK or LONG different ones;
- `case(number, random, folder)`: one case. All of it follows from the number, the random.Random, and nothing else,
  so that it can be run again. `folder` is an empty folder in memory. Raises `Lost`, `Wrong`, or anything else, which
  counts as a crash;
- `setup()`, where there is something to prepare once, before the processes are forked.

A case that ends its process, or takes longer than HANG seconds, is a crash too. What a process finds is written to a
file at once, so that it is known also when the process ends.
"""

from __future__ import annotations

import json
import os
import resource
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
MOST_FAILURES = 20  # of a row, which then stops
REPORT = "report-of-the-worker"


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
        return not (self.lost or self.wrong or self.crashes or self.failures)


def run(
    row: Any,
    cases: int,
    *,
    seconds: float | None = None,
    seed: int = 1,
    jobs: int | None = None,
    most_failures: int = MOST_FAILURES,
) -> Figures:
    """Make so many cases of a row, fewer where the seconds are over before, or so many have failed."""
    if hasattr(row, "setup"):
        row.setup()
    begin = time.monotonic()
    deadline = None if seconds is None else begin + seconds
    made = _Run(row, cases, deadline, seed, most_failures)
    made.wait(max(1, min(cases, jobs or os.cpu_count() or 1)))
    figures = made.figures
    figures.seconds = time.monotonic() - begin
    return figures


def scale() -> float:
    """What part of a row's QUICK the tests make: TORTURE_SCALE, for slow builds."""
    return float(os.environ.get("TORTURE_SCALE", "1"))


def quick(row: Any, cases: int | None = None, seed: int = 1) -> None:
    """Make the cases that the tests make; the first failure is raised."""
    figures = run(row, cases or max(1, int(row.QUICK * scale())), seed=seed)
    assert figures.good, "\n\n".join(figures.failures)
    assert figures.cases == figures.goal


class _Run:
    """The cases of one row, and the processes that make them. Worker i of n makes the cases i, i + n, i + 2n, …"""

    def __init__(self, row: Any, cases: int, deadline: float | None, seed: int, most_failures: int) -> None:
        self.row, self.cases, self.deadline, self.seed, self.most_failures = row, cases, deadline, seed, most_failures
        self.figures = Figures(row.NAME, row.UNIT, goal=cases, seed=seed)

    def wait(self, jobs: int) -> None:
        """Start the workers, and collect what they find."""
        self.jobs = jobs
        # What each worker is at: the number of its case, and how many it has finished.
        self.current = RawArray("q", jobs)
        self.finished = RawArray("q", jobs)
        workers = [_Worker(self, number, number) for number in range(jobs)]
        try:
            while workers and len(self.figures.failures) < self.most_failures:
                for worker in list(workers):
                    if worker.ended():
                        workers.remove(worker)
                        workers += self.collect(worker)
                time.sleep(0.01)
        finally:
            for worker in workers:
                worker.kill()
        self.figures.cases = sum(self.finished)

    def collect(self, worker: _Worker) -> list[_Worker]:
        """Take in what a worker that ended has found; gives one that goes on, where it died in the middle."""
        complete = worker.collect(self.figures)
        if complete:
            return []
        number = self.current[worker.number]
        self.finished[worker.number] += 1
        self.figures.crashes += 1
        self.figures.failures.append(f"{self.place(number)}: the process ended with {worker.end()}")
        return [_Worker(self, worker.number, number + self.jobs)]

    def place(self, number: int) -> str:
        return f"{self.row.NAME}, case {number}, seed {self.seed}"


class _Worker:
    """A forked process that makes cases of a run, in a folder of its own."""

    def __init__(self, run: _Run, number: int, first: int) -> None:
        self.run, self.number = run, number
        self.folder = Path(tempfile.mkdtemp(prefix="torture-", dir=MEMORY))
        self.status: int | None = None
        self.hung = False
        self.seen = (-1, -1)
        self.since = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking where there are threads
            self.pid = os.fork()
        if self.pid == 0:
            self.work(range(first, run.cases, run.jobs))

    # In the parent

    def ended(self) -> bool:
        """Whether the process has ended. One that hangs where no signal interrupts it is killed."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid != 0:
            self.status = status
            return True
        seen = self.run.current[self.number], self.run.finished[self.number]
        if seen != self.seen:
            self.seen, self.since = seen, time.monotonic()
        elif time.monotonic() - self.since > 2 * HANG:
            self.hung = True
            os.kill(self.pid, signal.SIGKILL)
        return False

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def collect(self, figures: Figures) -> bool:
        """Add what it found to the figures; False where it died before it came to its end."""
        report = self.folder / REPORT
        complete = False
        for line in report.read_text().splitlines() if report.exists() else ():
            kind, value = json.loads(line)
            if kind == "peak":
                figures.peak = max(figures.peak, value)
                complete = True
            else:
                setattr(figures, kind, getattr(figures, kind) + 1)
                figures.failures.append(value)
        shutil.rmtree(self.folder, ignore_errors=True)
        return complete

    def end(self) -> str:
        assert self.status is not None
        if self.hung:
            return f"no end after {2 * HANG} seconds"
        if os.WIFSIGNALED(self.status):
            return signal.Signals(os.WTERMSIG(self.status)).name
        return f"exit code {os.WEXITSTATUS(self.status)}"

    # In the child

    def work(self, numbers: range) -> NoReturn:
        try:
            self.report = os.open(self.folder / REPORT, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
            self.make(numbers)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            self.tell("peak", peak if sys.platform == "darwin" else peak * 1024)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def tell(self, kind: str, value: object) -> None:
        # With one call, so that a process that dies does not leave half a line.
        os.write(self.report, json.dumps((kind, value)).encode() + b"\n")

    def make(self, numbers: range) -> None:
        run, worker = self.run, self.number
        signal.signal(signal.SIGALRM, _hang)
        failures = 0
        for number in numbers:
            if run.deadline is not None and time.monotonic() > run.deadline:
                break
            run.current[worker] = number
            place = self.folder / "case"
            place.mkdir()
            signal.alarm(HANG)
            try:
                run.row.case(number, Random(f"{run.row.NAME}:{run.seed}:{number}"), place)
            except BaseException as error:
                signal.alarm(0)
                kind = "lost" if isinstance(error, Lost) else "wrong" if isinstance(error, Wrong) else "crashes"
                self.tell(kind, f"{run.place(number)}:\n{traceback.format_exc()}")
                failures += 1
                if failures >= run.most_failures or isinstance(error, KeyboardInterrupt):
                    break
            finally:
                signal.alarm(0)
            run.finished[worker] += 1
            shutil.rmtree(place)


def _hang(number: int, frame: FrameType | None) -> NoReturn:
    raise Hang(f"no end after {HANG} seconds")
