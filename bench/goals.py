"""What issues 4 to 6 want to be reached, and what came out. A goal that is not reached is said, and fails nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.results import Results
from bench.workloads import GZIP, SHARDS

LMDB = ("LMDB, entry a pair", "LMDB, entry a block")
LEFT_OUT = "was left out"
DEFLATE_ON_TWO = ("original zlib 6, 2 threads", "FastWARC gzip 6, 2 threads")


@dataclass(frozen=True)
class Goal:
    """Something that was promised: `value` is what was measured, None where it could not be, and `wanted` the bound."""

    promise: str
    value: float | None
    wanted: float
    unit: str = "×"
    most: bool = False
    missing: str = ""
    processor: float | None = None

    @property
    def reached(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.wanted if self.most else self.value >= self.wanted

    @property
    def state(self) -> str:
        if self.value is None:
            return "not measured"
        return "reached" if self.reached else "short"

    @property
    def figure(self) -> str:
        """What was measured beside what was wanted, and by how much it is missed."""
        bound = f"{'≤' if self.most else '≥'} {self.wanted:g} {self.unit}"
        if self.value is None:
            return f"wanted {bound}: {self.missing}"
        beside = "" if self.processor is None else f" ({self.processor:.3g} {self.unit} in processor time)"
        text = f"{self.value:.3g} {self.unit}{beside}, wanted {bound}"
        if not self.reached:
            text += f": {abs(self.value / self.wanted - 1):.0%} {'over' if self.most else 'under'}"
        return text


def goals(results: Results) -> list[Goal]:
    """Return every line of the issues, in their order, but those of workloads that were left out."""
    groups = (writing, reading, parts, lookups, small_pairs, growth, artifacts, shards, objects)
    return [goal for group in groups for goal in group(results) if not goal.missing.endswith(LEFT_OUT)]


def faster(
    results: Results, promise: str, workload: str, ours: str, theirs: tuple[str, ...], wanted: float, most: bool = False
) -> Goal:
    """A goal on a ratio: of speed, or with `most` of time. The fastest of several others counts."""
    there = [name for name in theirs if results.measured(workload, name)]
    missing = [name for name in (ours, *theirs) if not results.measured(workload, name)]
    if not there or not results.measured(workload, ours):
        return Goal(promise, None, wanted, most=most, missing=reason(results, workload, missing))
    speed, fastest = min((results.ratio(workload, ours, name), name) for name in there)
    processor = None
    if "threads" not in ours and all(results.has(workload, name, "cores") for name in (ours, fastest)):
        processor = results.processor_ratio(workload, ours, fastest)
    return Goal(promise, 1 / speed if most else speed, wanted, most=most, processor=processor)


def reason(results: Results, workload: str, missing: list[str]) -> str:
    """Why figures are missing."""
    return "; ".join(f"{name} {results.absent.get((workload, name), LEFT_OUT).partition(' (')[0]}" for name in missing)


def writing(results: Results) -> Iterator[Goal]:
    plain, packed = "write-plain", "write-compressed"
    own, original = "smartpipe zlib 6", "original zlib 6"
    yield faster(results, "write plain, of the original's speed", plain, "smartpipe", ("original",), 2.2)
    yield faster(results, "write plain, of msgpack's speed", plain, "smartpipe", ("msgpack",), 1.7)
    if results.measured(packed, own) and results.measured(packed, original):
        size = results.amount(packed, own, "stored") / results.amount(packed, original, "stored")
        yield Goal("write compressed, of the original's size", size, 1.02, most=True)
    yield faster(results, "… and on one thread, of the original's speed", packed, own, (original,), 2.1)
    yield faster(results, "… and on two threads", packed, f"{own}, 2 threads", (original,), 3.8)
    yield faster(results, "write compressed, fastest level, on one thread", packed, "smartpipe zlib 1", (original,), 8)


def reading(results: Results) -> Iterator[Goal]:
    plain, packed = "read-plain", "read-compressed"
    own, both = "smartpipe zlib 6", "smartpipe zlib 6, 2 threads"
    yield faster(results, "read plain, of the original's speed", plain, "smartpipe", ("original",), 3.2)
    yield faster(results, "read plain, of LMDB's speed, the faster layout", plain, "smartpipe", LMDB, 1.15)
    yield faster(results, "read compressed, of the original's speed", packed, own, ("original zlib 6",), 3.1)
    yield faster(results, "read compressed, of bagz zstd's speed", packed, own, ("bagz zstd 3",), 1.05)
    yield faster(results, "read compressed on two threads, of the speed on one", packed, both, (own,), 1.75)
    yield faster(results, "… of any deflate rival's on two", packed, both, DEFLATE_ON_TWO, 2)
    yield faster(results, "read lz4, of FastWARC lz4's speed", packed, "smartpipe lz4", ("FastWARC lz4",), 1)
    yield faster(results, "read lz4, of Arrow lz4's speed", packed, "smartpipe lz4", ("Arrow IPC lz4",), 1)
    yield faster(results, "read zstd, of bagz zstd's speed", packed, "smartpipe zstd", ("bagz zstd 3",), 1.2)


def parts(results: Results) -> Iterator[Goal]:
    own = "smartpipe zlib 6"
    every = (f"{own}, all pairs",)
    yield faster(
        results, "one small pair of every block, of the speed of all pairs", "select-compressed", own, every, 6
    )
    promise, workload, columns = "columns of small pairs, plain", "read-small", "smartpipe, columns"
    if results.measured(workload, columns):
        speed = results.amount(workload, columns, "pairs") / results.median(workload, columns) / 1e6
        yield Goal(promise, speed, 60, "million pairs/s")
    else:
        yield Goal(promise, None, 60, "million pairs/s", missing=reason(results, workload, [columns]))


def lookups(results: Results) -> Iterator[Goal]:
    for what, plain, packed in (("one small pair", 1.0, 0.7), ("all pairs", 1.6, 1.25)):
        theirs = (f"LMDB, entry a block, {what}",)
        promise = f"{what} by key, plain, of the time of LMDB, which looks up whole blocks too"
        yield faster(results, promise, "key-plain", f"smartpipe, {what}", theirs, plain, most=True)
        theirs, ours = (f"bagz zstd 3, {what}",), f"smartpipe zlib 6, {what}"
        promise = f"{what} by key, compressed, of bagz zstd's time"
        yield faster(results, promise, "key-compressed", ours, theirs, packed, most=True)
    for workload in results.workloads.values():
        if workload.name.startswith("open-"):
            count = f"{workload.entrants[0].count:,} keys"
            for promise, field, scale, wanted, unit in (
                (f"open {count} and find one", "seconds", 1e3, 5, "ms"),
                (f"… anonymous memory of {count}", "anonymous", 1e-6, 5, "MB"),
                (f"… lookup among {count}, p50", "lookup", 1e6, 1.5, "µs"),
            ):
                if results.measured(workload.name, "smartpipe"):
                    value = results.median(workload.name, "smartpipe", field) * scale
                    yield Goal(promise, value, wanted, unit, most=True)
                else:
                    missing = reason(results, workload.name, ["smartpipe"])
                    yield Goal(promise, None, wanted, unit, most=True, missing=missing)


def small_pairs(results: Results) -> Iterator[Goal]:
    promise = "small pairs written in bulk, of msgpack's speed"
    yield faster(results, promise, "write-small", "smartpipe, columns", ("msgpack",), 3.5)
    yield faster(results, "small pairs read, of msgpack's speed", "read-small", "smartpipe", ("msgpack",), 1.05)


def growth(results: Results) -> Iterator[Goal]:
    for action in ("write", "read"):
        workload = results.workloads[f"grow-{action}"]
        own = [entrant for entrant in workload.entrants if entrant.name.startswith("smartpipe, ")]
        span = f"from {own[0].count:,} to {own[-1].count:,} blocks"
        promise = f"{action}: cost per block, the highest of the lowest, {span}"
        missing = [entrant.name for entrant in own if not results.measured(workload.name, entrant.name)]
        if missing:
            yield Goal(promise, None, 1.2, most=True, missing=reason(results, workload.name, missing))
            continue
        costs = [results.median(workload.name, entrant.name) / entrant.count for entrant in own]
        yield Goal(promise, max(costs) / min(costs), 1.2, most=True)
        if action == "read":
            # Buffers are alike in size whatever is read: a megabyte is what the kernel's counting leaves open.
            kept = [results.median(workload.name, entrant.name, "anonymous") for entrant in own]
            promise = f"a reader's anonymous memory, growth {span}"
            yield Goal(promise, max(kept[-1] - kept[0], 0) / 1e6, 1, "MB", most=True)


def artifacts(results: Results) -> Iterator[Goal]:
    """Small artifacts in one process, without compression."""
    put, many, got = (f"artifacts-goal-{name}" for name in ("put", "put-many", "get"))
    count = f"{results.workloads[put].entrants[0].count:,}"
    sqlite, own = ("SQLite",), "smartpipe"
    yield faster(results, f"{count} artifacts put, of SQLite's speed, a transaction each", put, own, sqlite, 2)
    yield faster(results, "… of a gzip file each", put, own, ("a gzip file each",), 5)
    yield faster(results, "… in bulk, of SQLite's speed, one transaction", many, own, sqlite, 1)
    yield faster(results, "… got at random, of SQLite's speed", got, own, sqlite, 1.2)
    promise = f"files and folders of {count} artifacts"
    if results.measured(put, own):
        yield Goal(promise, results.amount(put, own, "files"), 19, "files", most=True)
    else:
        yield Goal(promise, None, 19, "files", most=True, missing=reason(results, put, [own]))


def shards(results: Results) -> Iterator[Goal]:
    """Many keys in 30 shards, beside one pipe."""
    pipe, *others = (entrant.name for entrant in results.workloads["shards"].entrants)
    for name in others:
        for call, field in (("len", "length"), ("in", "lookup"), ("get", "get")):
            promise = f"`{call}` in {name}, of the time of one pipe"
            if results.measured("shards", name) and results.measured("shards", pipe):
                yield Goal(promise, 1 / results.ratio("shards", name, pipe, field), 2, most=True)
            else:
                yield Goal(promise, None, 2, most=True, missing=reason(results, "shards", [name, pipe]))
        promise = f"open {name}, and find one"
        if results.measured("shards", name):
            yield Goal(promise, results.median("shards", name), 0.2, "s", most=True)
        else:
            yield Goal(promise, None, 0.2, "s", most=True, missing=reason(results, "shards", [name]))


def objects(results: Results) -> Iterator[Goal]:
    """Python values in a store of artifacts on shards, beside a gzip file each as the document has it."""
    write, gzip = "objects-write", (GZIP,)
    count = f"{results.workloads[write].entrants[0].count:,}"
    yield faster(results, f"{count} Python values written, of a gzip file each", write, SHARDS, gzip, 5)
    yield faster(results, "… read in order, of a gzip file each", "objects-read", SHARDS, gzip, 4)
    yield faster(results, "… read at random, of a gzip file each", "objects-get", SHARDS, gzip, 4)
    yield faster(results, "… read at random from the disk, of a gzip file each", "objects-cold", SHARDS, gzip, 4)
    files, bytes_on_disk = f"files and folders of {count} Python values", "bytes on disk, of a gzip file each"
    if all(results.measured(write, name) for name in (SHARDS, GZIP)):
        yield Goal(files, results.amount(write, SHARDS, "files"), 19, "files", most=True)
        part = results.amount(write, SHARDS, "stored") / results.amount(write, GZIP, "stored")
        yield Goal(bytes_on_disk, part, 0.4, most=True)
    else:
        missing = reason(results, write, [name for name in (SHARDS, GZIP) if not results.measured(write, name)])
        yield Goal(files, None, 19, "files", most=True, missing=missing)
        yield Goal(bytes_on_disk, None, 0.4, most=True, missing=missing)
