"""One measurement, in a process of its own: `python -m bench.child JOB`. The job and the answer are JSON.

A job says who (`rival`, `codec`, `level`, `threads`), what (`action`), on which blocks (`corpus`, a file of `data`, or
`count`, a number of keys), and in which `folder`: an empty one to write into, or what was written. The answer has

- `seconds`, of the fastest of up to `runs` runs, with no further one after `enough` seconds, or the median of one call
  where single calls are timed;
- `cores`: processor time by time, of that run;
- `memory`: by how many bytes the process grew at its peak in the first run; `anonymous`: what of it is not a file's,
  at the end;
- `stored`: the bytes of the files that were written; `raw`, `blocks`, `pairs`: what was handled;
- or only `absent`: why there is nothing to measure.
"""

import gc
import json
import random
import re
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from bench.corpus import SEED, Block, Keys, key, load
from bench.keeping import keep, keep_objects, looking_up
from bench.rivals.objects import ObjectKeeper
from bench.rivals.rival import Form, Rival, Store, rival
from bench.rivals.store import Keeper
from bench.workloads import is_own

Answer = dict[str, float | int | str]

SMALL_PAIR = b"log"  # the pair that select and pair ask for
LOOKUPS = 2000
STATUS = Path("/proc/self/status")
MAPS = Path("/proc/self/smaps_rollup")


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        answer = answer_to(job)
    except ImportError as error:
        if is_own(job["rival"]):
            raise
        answer = {"absent": f"not to be had here ({error})"}
    print(json.dumps(answer))


def answer_to(job: dict[str, str | int]) -> Answer:
    contender = rival(str(job["rival"]), Form(str(job["codec"]), int(job["level"]), int(job["threads"])))
    folder = Path(str(job["folder"]))
    count = int(job["count"])
    blocks: list[Any] | Keys = load(Path(str(job["corpus"])))[: count or None] if job["corpus"] else Keys(count)
    action = str(job["action"])
    watch = Watch(int(job["runs"]), float(job["enough"]))
    if job["data"] == "objects" and isinstance(contender, ObjectKeeper):
        return keep_objects(contender, action, folder, blocks, watch)
    if isinstance(contender, Keeper):
        return keep(contender, action, folder, blocks, int(job["processes"]), watch)
    if isinstance(blocks, list):
        contender.prepare(blocks)
    if action == "make":
        contender.write(folder, blocks)
        return {}
    if action in ("keys", "keys_written"):
        return looking_up(contender, folder, count, action == "keys_written")
    if action.startswith("write"):
        return writing(contender, action, folder, blocks, watch)
    if action == "open":
        return opening(contender, folder, count)
    if isinstance(blocks, Keys):
        return going_over_keys(contender, folder, count, watch)
    return reading(contender, action, folder, blocks, watch)


def writing(contender: Rival, action: str, parent: Path, blocks: list[Block] | Keys, watch: "Watch") -> Answer:
    function: Callable[[Path, Any], None] = getattr(contender, action)
    # Columns are what their users have, and not made by the writer.
    given = contender.gathered(blocks) if action == "write_columns" else blocks
    stored = 0
    while watch.again():
        folder = parent / "run"
        folder.mkdir()
        with watch:
            function(folder, given)
        if isinstance(blocks, Keys):
            watch.leave_out(blocks)
        stored = stored_size(folder)
        shutil.rmtree(folder)
    return watch.answer() | amounts(contender, blocks) | {"stored": stored}


def reading(contender: Rival, action: str, folder: Path, blocks: list[Block], watch: "Watch") -> Answer:
    amount = amounts(contender, blocks) | {"stored": stored_size(folder)}
    store = contender.open(folder)
    if action in ("get", "pair"):
        answer = one_by_one(store, action, blocks)
    else:
        run, expected = RUN[action](store), EXPECTED[action](contender, blocks)
        while watch.again():
            with watch:
                found = run()
            if found != expected:
                raise RuntimeError(f"{action} gave {found} bytes of {expected}")
        answer = watch.answer()
    store.close()
    return answer | amount


def read(store: Store) -> int:
    total = 0
    for _, pairs in store.read():
        for _, value in pairs:
            total += len(value)
    return total


# Each says what to run on an open store, and how many bytes of values that has to give.
RUN: dict[str, Callable[[Store], Callable[[], int]]] = {
    "read": lambda store: lambda: read(store),
    "select": lambda store: lambda: sum(map(len, store.select(SMALL_PAIR))),
    "columns": lambda store: lambda: store.columns()[1],
}
EXPECTED: dict[str, Callable[[Rival, list[Block]], int]] = {
    "read": lambda contender, blocks: sum(contender.size(pairs) for _, pairs in blocks),
    "select": lambda contender, blocks: sum(len(pairs[SMALL_PAIR]) for _, pairs in blocks),
    "columns": lambda contender, blocks: sum(contender.size(pairs) for _, pairs in blocks),
}


def one_by_one(store: Store, action: str, blocks: list[Block]) -> Answer:
    """The median time of one block by key: all its pairs, or one small one."""
    wanted = random.Random(SEED).choices(blocks, k=LOOKUPS)
    for block, pairs in wanted[:10]:
        if action == "get" and dict(store.get(block)) != pairs:
            raise RuntimeError(f"get gave something else for {block!r}")
        if action == "pair" and store.get_pair(block, SMALL_PAIR) != pairs[SMALL_PAIR]:
            raise RuntimeError(f"get_pair gave something else for {block!r}")
    clock = time.perf_counter_ns
    times = []
    gc.disable()
    started = time.perf_counter()
    if action == "get":
        for block, _ in wanted:
            begin = clock()
            for _ in store.get(block):
                pass
            times.append(clock() - begin)
    else:
        for block, _ in wanted:
            begin = clock()
            store.get_pair(block, SMALL_PAIR)
            times.append(clock() - begin)
            if time.perf_counter() - started > 5:
                break
    return {"seconds": median(times) / 1e9}


def opening(contender: Rival, folder: Path, count: int) -> Answer:
    """The time until a store of so many keys has found the first, and what finding one more takes."""
    numbers = random.Random(SEED)
    keys = [key(numbers.randrange(count)) for _ in range(10 * LOOKUPS)]
    gc.disable()
    before = anonymous()
    begin = time.perf_counter()
    store = contender.open(folder)
    found = store.has(keys[0])
    seconds = time.perf_counter() - begin
    opened = anonymous() - before
    if not found or store.has(b"http://localhost/nowhere"):
        raise RuntimeError("a key that is there was not found, or the other way round")
    times = []
    clock = time.perf_counter_ns
    for wanted in keys:
        called = clock()
        store.has(wanted)
        times.append(clock() - called)
        if time.perf_counter() - begin > seconds + 2:
            break
    store.close()
    return {"seconds": seconds, "anonymous": max(opened, 0), "lookup": median(times) / 1e9, "blocks": count}


def going_over_keys(contender: Rival, folder: Path, count: int, watch: "Watch") -> Answer:
    """The time of all blocks of one small pair, and what memory that leaves the reader with."""
    store = contender.open(folder)
    while watch.again():
        with watch:
            found = read(store)
        if found != 8 * count:
            raise RuntimeError(f"read gave {found} bytes of {8 * count}")
    answer = watch.answer()
    store.close()
    return answer | {"blocks": count, "pairs": count, "raw": count * 21}


def amounts(contender: Rival, blocks: list[Block] | Keys) -> Answer:
    if isinstance(blocks, Keys):
        return {"blocks": blocks.count, "pairs": blocks.count, "raw": blocks.count * 21}
    return {
        "blocks": len(blocks),
        "pairs": sum(len(pairs) for _, pairs in blocks),
        "raw": sum(8 + len(name) + len(value) for _, pairs in blocks for name, value in pairs.items()),
    }


def stored_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Watch:
    """Measures a run that is repeated: its time, its processor time, and in the first run its memory."""

    def __init__(self, most: int, enough: float) -> None:
        self.most, self.enough = most, enough
        self.runs: list[tuple[float, float]] = []
        self.memory = self.anonymous = 0
        self.before: tuple[int, int] | None = None

    def again(self) -> bool:
        """Whether to run once more."""
        return len(self.runs) < self.most and sum(seconds for seconds, _ in self.runs) < self.enough

    def __enter__(self) -> None:
        if not self.runs:
            gc.collect()
            gc.disable()
            forget_peak()
            self.before = field("VmRSS"), anonymous()
        self.begin = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        end = time.perf_counter(), time.process_time()
        if not self.runs and self.before is not None:
            # The kernel counts in steps: what needs nothing may seem to need less.
            self.memory = max(field("VmHWM") - self.before[0], 0)
            self.anonymous = max(anonymous() - self.before[1], 0)
        self.runs.append((end[0] - self.begin[0], end[1] - self.begin[1]))

    def add(self, seconds: float, processor: float) -> None:
        """Count a run of other processes, whose memory is not looked at."""
        self.runs.append((seconds, processor))

    def leave_out(self, blocks: Keys) -> None:
        """Take away from the last run the time in which the blocks were made."""
        seconds, processor = self.runs[-1]
        self.runs[-1] = seconds - blocks.seconds, processor - blocks.processor
        blocks.seconds = blocks.processor = 0.0

    def answer(self) -> Answer:
        seconds, processor = min(self.runs)
        answer: Answer = {"seconds": seconds, "cores": processor / seconds}
        if self.before is not None:
            answer |= {"memory": self.memory, "anonymous": self.anonymous}
        return answer


def field(name: str, account: Path = STATUS) -> int:
    """A line of the kernel's account of this process, in bytes; 0 where there is none."""
    if not account.exists():
        return 0
    match = re.search(rf"^{name}:\s+(\d+) kB$", account.read_text(), re.MULTILINE)
    return 0 if match is None else int(match[1]) << 10


def anonymous() -> int:
    """The memory that is not a file's, exactly: what the status says of it lags behind."""
    return field("Anonymous", MAPS)


def forget_peak() -> None:
    """Let the peak begin again from now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
