"""Where the time of one entrant goes, with Linux' perf: `python -m bench.profile WORKLOAD ENTRANT`."""

import argparse
import subprocess
from pathlib import Path

from bench.corpus import RESULTS
from bench.run import Runner
from bench.workloads import workloads

SECONDS = 5.0
LINES = 25


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("workload", help="its name, as in bench/workloads.py")
    parser.add_argument("entrant", help="the name of its row")
    options = parser.parse_args()

    known = {workload.name: workload for workload in workloads(quick=False)}
    workload = known[options.workload]
    entrant = next(entrant for entrant in workload.entrants if entrant.name == options.entrant)
    corpora = {name: RESULTS / "corpora" / name for name in ("pages", "small", "artifacts", "objects")}
    # Often enough that the start of the process, and what is read before the work, count little.
    runner = Runner(corpora, RESULTS / "stores", print, runs=1_000_000, enough=SECONDS)
    record = RESULTS / "perf.data"
    runner.under = ["perf", "record", "--quiet", "--freq=999", f"--output={record}"]
    try:
        print(runner.ask(workload, entrant))
    finally:
        runner.close()
    print(report(record))


def report(record: Path) -> str:
    """The functions that took most of the time, and the library of each."""
    command = ["perf", "report", f"--input={record}", "--stdio", "--no-children", "--fields=overhead,dso,symbol"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(
        [line.rstrip(" -") for line in text.splitlines() if line.strip() and not line.startswith("#")][:LINES]
    )


if __name__ == "__main__":
    main()
