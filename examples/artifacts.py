"""The main job's crawl, reprocessed into artifacts by several processes, on shards and as a tree of files.

`python examples/artifacts.py [PREFIX]`: the pipe is demo/pydoc, as `make demo` crawls it, or else is crawled here. Each
process writes what it extracts of its part of the pages: every record is an artifact, and an archive for each process
names them. Joined they are one sequence. A second run, as after a change that touched some pages, stores what is new.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from demo import FOLDER, crawl, say
from pages import extracted

import smartpipe
from smartpipe.locations import Files, Location, Shards
from smartpipe.stores import ArtifactStore

PROCESSES = 4
LAYER = {"flow": "Pydoc", "layer": "Extract"}


def extract(location: Location, execution: str, index: int, part: Any) -> int:
    """Write the records of a part of the pages; returns how many. The second execution finds more in some of them."""
    with smartpipe.open(part) as pipe, ArtifactStore(location) as store:
        records = (
            {**record, "words": len(record["text"].split())} if execution == "2" and len(url) % 10 == 0 else record
            for url, block in pipe.items(select=[b"raw"])
            if (record := extracted(url, block)) is not None
        )
        return len(store.write(**LAYER, execution=execution, index=index, name="records", values=records))


def run(location: Location, execution: str, prefix: str) -> float:
    """Execute the layer in several processes; returns the seconds that it took."""
    begin = time.perf_counter()
    with smartpipe.open(prefix) as pipe:
        parts = pipe.splits(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        written = [pool.submit(extract, location, execution, index, part) for index, part in enumerate(parts)]
        count = sum(future.result() for future in written)
    with ArtifactStore(location) as store:
        store.write_record(**LAYER, execution=execution, splits=len(parts))
        report = store.verify()
    if not report.ok:
        sys.exit(f"artifacts: {report.problems}")
    seconds = time.perf_counter() - begin
    print(f"execution {execution}: {count:,} records, of which the store has {report.artifacts:,} different ones now")
    return seconds


def measure(name: str, location: Location, folder: Path, prefix: str) -> str:
    """Run twice, read everything, and return a line of the table."""
    say(f"{name}: {PROCESSES} processes, each with its part of the pages and its index")
    seconds = [run(location, execution, prefix) for execution in ("1", "2")]
    with ArtifactStore(location) as store:
        begin = time.perf_counter()
        records = store.read(**LAYER, execution="1", name="records")
        links = Counter(link for record in records for link in record["links"])
        reading = time.perf_counter() - begin
        print(f">>> records[-1]['title']\n{records[-1]['title']!r}")
        print(f">>> [record['title'] for record in records[:3]]\n{[record['title'] for record in records[:3]]}")
        print(f"most linked: {', '.join(url for url, _ in links.most_common(3))}")
    inodes = used = 0
    for path in [folder, *folder.rglob("*")]:
        inodes += 1
        used += path.lstat().st_blocks * 512
    return f"{name:8}{inodes:8,}{used / 1e6:10.2f}{seconds[0]:10.2f}{seconds[1]:10.2f}{reading:10.3f}"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    if len(sys.argv) > 1:
        prefix = sys.argv[1]
    else:
        prefix = str(FOLDER / "pydoc")
        if not os.path.exists(prefix + ".datz"):
            say("Crawl: pages of Python's own documentation, served on this machine, into one compressed pipe.")
            crawl(prefix)
    lines = []
    for name, kind in (("shards", Shards), ("files", Files)):
        folder = FOLDER / f"artifacts-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        lines.append(measure(name, kind(folder), folder, prefix))
    say("Side by side: the same keys and values")
    print(f"{'':8}{'inodes':>8}{'MB':>10}{'write, s':>10}{'again, s':>10}{'read, s':>10}")
    print("\n".join(lines))
    say("Try next:")
    print(f"{sys.executable} -m smartpipe artifacts ls {FOLDER}/artifacts-shards Pydoc 1 Extract")
    print(f"{sys.executable} -m smartpipe artifacts stats {FOLDER}/artifacts-shards")
    print(f"{sys.executable} -m smartpipe artifacts unpack {FOLDER}/artifacts-shards {FOLDER}/artifacts-tree")


if __name__ == "__main__":
    main()
