"""check: read everything, and say how fast it went."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import smartpipe
from smartpipe.operations.progress import Progress, reported


@dataclass(frozen=True)
class Reading:
    """What was read, and in which time."""

    blocks: int
    pairs: int
    raw_bytes: int
    """8 + key + value for each pair."""
    seconds: float

    @property
    def blocks_per_second(self) -> float:
        return self.blocks / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        return self.raw_bytes / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class CheckReport:
    """What `check` read: one block after another, and single blocks by their keys in a random order."""

    path: str
    sequential: Reading
    random: Reading | None

    def as_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries, the rates included."""
        report: dict[str, Any] = {"path": self.path}
        for name, reading in (("sequential", self.sequential), ("random", self.random)):
            report[name] = reading and {
                **asdict(reading),
                "blocks_per_second": reading.blocks_per_second,
                "bytes_per_second": reading.bytes_per_second,
            }
        return report


def check(
    pipe: str | os.PathLike[str],
    limit: int | None = None,
    random_reads: int = 0,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> CheckReport:
    """Read every pair of a pipe, or of its first `limit` blocks, and so verify it; the first damage raises.

    Then `random_reads` blocks are read by their keys: blocks drawn at random from those, no block a second time
    before all drawn ones had their turn. `options` are those of `smartpipe.open`.

    >>> import smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>"})
    >>> report = smartpipe.check("crawl", random_reads=10)
    >>> report.sequential.pairs, report.sequential.raw_bytes, report.random.blocks
    (1, 17, 10)
    """
    for name, value in (("limit", limit), ("random_reads", random_reads)):
        if value is not None and value < 0:
            raise ValueError(f"{name} is at least 0, not {value}")
    with smartpipe.open(pipe, **options) as reader:
        in_all = len(reader) if limit is None else min(limit, len(reader))
        total = in_all + (random_reads if in_all else 0)
        sample = _Sample(random_reads)

        def first_blocks() -> Iterable[smartpipe.Block]:
            for key, block in itertools.islice(reader.items(), limit):
                sample.add(key)
                yield block

        sequential = _read(reported(first_blocks(), total, progress))
        at_random = None
        if sample.keys:
            keys = itertools.islice(itertools.cycle(sample.shuffled()), random_reads)
            at_random = _read(reported((reader[key] for key in keys), total, progress, in_all))
        return CheckReport(reader.path, sequential, at_random)


class _Sample:
    """Up to `size` keys of a stream of unknown length, each with the same chance."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.keys: list[bytes] = []
        self.seen = 0

    def add(self, key: bytes) -> None:
        self.seen += 1
        if len(self.keys) < self.size:
            self.keys.append(key)
        elif self.size:
            place = random.randrange(self.seen)
            if place < self.size:
                self.keys[place] = key

    def shuffled(self) -> list[bytes]:
        return random.sample(self.keys, len(self.keys))


def _read(blocks: Iterable[smartpipe.Block]) -> Reading:
    count = pairs = size = 0
    begin = time.perf_counter()
    for block in blocks:
        count += 1
        for key, value in block:
            pairs += 1
            size += 8 + len(key) + len(value)
    return Reading(count, pairs, size, time.perf_counter() - begin)
