"""info: what a pipe is and what lies in it."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import smartpipe
from smartpipe.operations.progress import Progress, reported

LARGEST = 10
"""How many of the largest blocks are named."""
PAIR_KEYS = 1000
"""How many different pair keys are counted by name; so memory stays bounded where keys are never repeated."""
QUANTILES = (25, 50, 75, 90, 99)
"""In percent of the blocks."""


@dataclass(frozen=True)
class LargeBlock:
    """One of the largest blocks by raw size."""

    key: bytes
    number: int
    pairs: int
    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class PairKey:
    """How often a pair key occurs, and the bytes of its values. `key` None: all keys that are not listed by name."""

    key: bytes | None
    pairs: int
    value_bytes: int


@dataclass(frozen=True)
class Info:
    """What `info` found. Raw bytes are 8 + key + value for each pair; sizes of blocks are raw bytes."""

    path: str
    format: int
    codec: str
    engine: str | None
    blocks: int
    pairs: int
    raw_bytes: int
    data_bytes: int
    index_bytes: int
    first_stamp: int | None
    """When the first block was written, in nanoseconds since 1970; None in format 1."""
    last_stamp: int | None
    smallest_block: int | None
    """None where there is no block, as for the two below."""
    largest_block: int | None
    quantiles: dict[int, int]
    """Percent to size: so many percent of the blocks are not larger. At most 0.1 % too small."""
    largest: list[LargeBlock]
    pair_keys: list[PairKey]
    """The most bytes first."""
    metadata: dict[bytes, bytes]
    dictionary_bytes: int | None
    """Of the dictionary that a writer goes on with; None where there is none."""

    @property
    def ratio(self) -> float | None:
        """Bytes of the data file for each raw byte; None where there are none."""
        return self.data_bytes / self.raw_bytes if self.raw_bytes else None

    def as_dict(self) -> dict[str, Any]:
        """All fields and the ratio as plain dictionaries and lists; keys stay bytes."""
        return {**asdict(self), "ratio": self.ratio}


def info(pipe: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any) -> Info:
    """Say what a pipe is, how large, and which pair keys it has.

    In format 2 the keys and lengths of all pairs are read and no large value; in format 1 everything is.
    `options` are those of `smartpipe.open`.

    >>> import smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>", b"log": b""})
    >>> info = smartpipe.info("crawl")
    >>> info.blocks, info.raw_bytes, [(key.key, key.pairs) for key in info.pair_keys]
    (1, 28, [(b'raw', 1), (b'log', 1)])
    """
    with smartpipe.open(pipe, **options) as reader:
        pairs = raw_bytes = 0
        sizes: Counter[int] = Counter()
        smallest: int | None = None
        largest: list[tuple[int, int, LargeBlock]] = []
        names: Counter[bytes | None] = Counter()
        value_bytes: Counter[bytes | None] = Counter()
        first_stamp: int | None = None
        last_stamp: int | None = None
        for entry in reported(reader.entries(), len(reader), progress):
            # By key and not by items(), which reads values.
            block = reader[entry.key]
            raw = 0
            for name, length in block.sizes():
                raw += 8 + len(name) + length
                counted = name if name in names or len(names) < PAIR_KEYS else None
                names[counted] += 1
                value_bytes[counted] += length
            pairs += len(block)
            raw_bytes += raw
            sizes[_rounded(raw)] += 1
            smallest = raw if smallest is None else min(smallest, raw)
            # Of equal sizes the first block is kept; the number is unique, so that blocks are never compared.
            item = (raw, -entry.number, LargeBlock(entry.key, entry.number, len(block), raw, entry.stored))
            (heapq.heappush if len(largest) < LARGEST else heapq.heappushpop)(largest, item)
            first_stamp = entry.stamp if first_stamp is None else first_stamp
            last_stamp = entry.stamp
        largest.sort(reverse=True)
        stats = reader.stats()
        engine = smartpipe.engines().get(reader.codec)
        dictionary = reader.dictionary
        return Info(
            path=reader.path,
            format=reader.format,
            codec=reader.codec,
            engine=engine and f"{engine['engine']} {engine['version']} ({engine['binding']})",
            blocks=len(reader),
            pairs=pairs,
            raw_bytes=raw_bytes,
            data_bytes=stats["data_bytes"],
            index_bytes=stats["index_bytes"],
            first_stamp=first_stamp,
            last_stamp=last_stamp,
            smallest_block=smallest,
            largest_block=largest[0][0] if largest else None,
            quantiles=_quantiles(sizes),
            largest=[block for _, _, block in largest],
            pair_keys=sorted(
                (PairKey(name, count, value_bytes[name]) for name, count in names.items()),
                key=lambda name: (-name.value_bytes, -name.pairs, name.key or b""),
            ),
            metadata=dict(reader.metadata),
            dictionary_bytes=None if dictionary is None else len(dictionary),
        )


def _rounded(size: int) -> int:
    """Keep the 11 highest bits, so that there are few different sizes to count and none is off by more than 0.1 %."""
    shift = max(size.bit_length() - 11, 0)
    return size >> shift << shift


def _quantiles(sizes: Counter[int]) -> dict[int, int]:
    """The smallest size that so many percent of the blocks do not exceed."""
    found: dict[int, int] = {}
    total = sizes.total()
    so_far = 0
    for size in sorted(sizes):
        so_far += sizes[size]
        for percent in QUANTILES:
            if percent not in found and so_far * 100 >= percent * total:
                found[percent] = size
    return found
