"""The benchmark as one command: measures, prints, and puts the figures of a full run into docs/benchmarks/."""

import argparse
import json
import os
import sys
from pathlib import Path

from bench.corpus import (
    DEBIAN,
    FOLDERS,
    RESULTS,
    artifact_blocks,
    page_blocks,
    pages_folder,
    python_values,
    save,
    small_blocks,
)
from bench.goals import goals
from bench.machine import describe
from bench.plots import draw
from bench.report import markdown, publish
from bench.results import Results
from bench.run import Figures, Runner
from bench.workloads import ARTIFACTS, OBJECTS, QUICK_ARTIFACTS, QUICK_OBJECTS, workloads

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"

# Rounds, pages at most, small pairs, artifacts and Python values of a full run and of a quick one.
FULL = 5, 2000, 1_000_000, ARTIFACTS, OBJECTS
QUICK = 1, 200, 100_000, QUICK_ARTIFACTS, QUICK_OBJECTS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, one round: under four minutes")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default: 5, quick: 1)")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="only workloads with this in their names; may be given again"
    )
    parser.add_argument("--corpus", type=Path, help="a folder with the html pages (default: Debian's, or pydoc's)")
    parser.add_argument("--stores", type=Path, default=RESULTS / "stores", help="where to write (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="measure nothing: say again what was measured last")
    parser.add_argument(
        "--publish", action="store_true", help="put the figures into docs/benchmarks, a quick run's too"
    )
    options = parser.parse_args()
    for name in options.only or ():
        if not any(name in workload.name for workload in workloads(options.quick)):
            parser.error(f"no workload has {name!r} in its name")

    kept = RESULTS / "figures.json"
    if not options.report:
        RESULTS.mkdir(exist_ok=True)
        kept.write_text(json.dumps(measure(options)))
    results = Results(kept)
    text = markdown(results)
    print(f"\n{text}\n")
    for goal in goals(results):
        print(f"{goal.state:12} {goal.promise}: {goal.figure}")
    if options.publish or not (options.quick or options.corpus or options.only or options.report):
        publish(text, DOCS / "README.md")
        draw(results, DOCS)
        print(f"\nIn {DOCS} too.")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Measure what was asked for; return what is kept of it."""
    rounds, most, pairs, artifacts, objects = QUICK if options.quick else FULL
    rounds = options.rounds or rounds
    folder = (options.corpus or pages_folder()).resolve()
    pages, small = page_blocks(folder, most), small_blocks(pairs)
    raw = sum(8 + len(name) + len(value) for _, block in pages for name, value in block.items())
    corpora = {
        "pages": save(pages, RESULTS / "corpora" / "pages"),
        "small": save(small, RESULTS / "corpora" / "small"),
        "artifacts": save(artifact_blocks(pages, artifacts), RESULTS / "corpora" / "artifacts"),
        "objects": save(python_values(pages, objects), RESULTS / "corpora" / "objects"),
    }
    machine = describe(options.stores if options.stores.exists() else RESULTS)
    cores = os.cpu_count() or 1
    if float(machine["load"]) > cores:
        print(f"Load {machine['load']}, {cores} cores: the machine has other work, figures mean little.", flush=True)
    machine["command"] = "python -m bench" + "".join(f" {argument}" for argument in sys.argv[1:])
    source = " and ".join(DEBIAN) if all((folder / part).is_dir() for part in FOLDERS) else folder.name
    machine["corpus"] = (
        f"Pages: {len(pages):,} from {source}, {raw / 1e6:.1f} MB of pairs. Small pairs: {pairs:,}. "
        f"Artifacts: {artifacts:,}. Python values: {objects:,}"
    )
    # What the system still has to write goes to the disk first.
    os.sync()
    runner = Runner(corpora, options.stores, lambda line: print(line, flush=True))
    figures: Figures = []
    try:
        for workload in workloads(options.quick):
            if not options.only or any(name in workload.name for name in options.only):
                figures += runner.measure(workload, rounds)
    finally:
        runner.close()
    return {"machine": machine, "quick": options.quick, "figures": figures}


if __name__ == "__main__":
    main()
