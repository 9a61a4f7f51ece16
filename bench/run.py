"""Runs the measurements: rounds of a workload, in each of which every entrant runs once, in a process of its own.

Each round begins with another entrant, so that nobody always runs behind the same one. What is read was
written before, once.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.workloads import Entrant, Workload

Figures = list[dict[str, float | int | str]]

LONGEST = 900  # seconds that a process may take
RUNS = 3  # how often a process does its work
ENOUGH = 0.6  # seconds of work, after which it is not repeated
ROOT = Path(__file__).parents[1]


class Runner:
    """Measures workloads on corpora, with stores in a folder of its own, which `close` removes."""

    def __init__(
        self,
        corpora: dict[str, Path],
        parent: Path,
        say: Callable[[str], None],
        runs: int = RUNS,
        enough: float = ENOUGH,
    ) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.corpora = corpora
        self.folder = Path(tempfile.mkdtemp(dir=parent))
        self.say = say
        self.runs, self.enough = runs, enough
        # What measured processes are started with, as a profiler.
        self.under: list[str] = []
        self.made: dict[tuple[str, str], Path | str] = {}

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def measure(self, workload: Workload, rounds: int) -> Figures:
        """Return what the processes answered, each with its workload, entrant and round."""
        figures: Figures = []
        absent: dict[str, str] = {}
        for round in range(rounds):
            for entrant in turned(workload.entrants, round):
                if entrant.name in absent:
                    continue
                answer = self.ask(workload, entrant)
                if "absent" in answer:
                    absent[entrant.name] = str(answer["absent"])
                figures.append({"workload": workload.name, "entrant": entrant.name, "round": round, **answer})
        self.say(f"{workload.title}: {len(figures)} processes" + "".join(f"\n  {n}: {a}" for n, a in absent.items()))
        return figures

    def ask(self, workload: Workload, entrant: Entrant) -> dict[str, float | int | str]:
        """Let one process measure one entrant."""
        if entrant.fills:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            answer = self.child(workload, entrant, entrant.action, folder)
            shutil.rmtree(folder)
            return answer
        place = self.store(workload, entrant)
        return {"absent": place} if isinstance(place, str) else self.child(workload, entrant, entrant.action, place)

    def store(self, workload: Workload, entrant: Entrant) -> Path | str:
        """The folder that an entrant reads, written when it is first asked for; or why there is none."""
        name = workload.data, entrant.store
        if name not in self.made:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            answer = self.child(workload, entrant, "make", folder)
            self.made[name] = str(answer["absent"]) if "absent" in answer else folder
            # What the system still has to write goes to the disk before anything is measured.
            os.sync()
        return self.made[name]

    def child(self, workload: Workload, entrant: Entrant, action: str, folder: Path) -> dict[str, float | int | str]:
        job = {
            "rival": entrant.rival,
            "codec": entrant.codec,
            "level": entrant.level,
            "threads": entrant.threads,
            "processes": entrant.processes,
            "action": action,
            "data": workload.data,
            "corpus": str(self.corpora.get(workload.data, "")),
            "count": entrant.count,
            "folder": str(folder),
            "runs": self.runs,
            "enough": self.enough,
        }
        under = [] if action == "make" else self.under
        command = [*under, sys.executable, "-W", "ignore", "-m", "bench.child", json.dumps(job)]
        try:
            ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)
        except subprocess.TimeoutExpired:
            return {"absent": f"not done after {LONGEST} s"}
        if ended.returncode != 0:
            lines = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
            return {"absent": f"failed ({lines[-1]})"}
        answer: dict[str, float | int | str] = json.loads(ended.stdout.splitlines()[-1])
        return answer


def turned(entrants: Sequence[Entrant], round: int) -> list[Entrant]:
    """The order of a round."""
    begin = round % len(entrants)
    return [*entrants[begin:], *entrants[:begin]]
