"""The peak memory of one case, in a process of its own: `python -m bench.memory CASE FOLDER CORPUS PAGES SMALL`."""

import re
import resource
import subprocess
import sys
from pathlib import Path

from bench.cases import Case, case_named, reading
from bench.corpus import Corpus

STATUS = Path("/proc/self/status")


def peak(case: Case, folder: Path, corpus: Corpus) -> int:
    """Return how many bytes of memory a case needs at its peak, above what the process had before it.

    `folder` is what a case that reads reads, and empty for a case that writes.
    """
    command = [sys.executable, "-m", "bench.memory", str(case), str(folder)]
    command += [str(corpus.folder), str(corpus.pages), str(corpus.small)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(answer.stdout)


def field(name: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) << 10


def used() -> tuple[int, int]:
    """Return the memory of this process now and at its peak, in bytes.

    Not getrusage on Linux: what it gives a new process begins with the peak of its parent.
    """
    if STATUS.exists():
        return field("VmRSS"), field("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most, most


def forget_peak() -> None:
    """Let the peak begin again from now, where the system can."""
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def grown(case: Case, folder: Path, corpus: Corpus) -> int:
    """Run a case in this process and return by how much its memory grew."""
    blocks = corpus.blocks(case.data)
    case.rival.prepare(blocks)
    if case.workload == "write":
        forget_peak()
        before = used()[0]
        case.rival.write(folder, blocks, case.compress)
    else:
        work = reading(case, blocks)
        store = case.rival.open(folder, case.compress)
        forget_peak()
        before = used()[0]
        work.run(store)
        store.close()
    # The kernel counts in steps: a case that needs nothing may seem to need less.
    return max(used()[1] - before, 0)


if __name__ == "__main__":
    name, folder, corpus, pages, small = sys.argv[1:]
    print(grown(case_named(name), Path(folder), Corpus(Path(corpus), int(pages), int(small))))
