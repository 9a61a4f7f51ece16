"""train: a dictionary of zstd made from the blocks of a pipe."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from operator import index
from typing import Any

import smartpipe
from smartpipe import _libraries
from smartpipe._codec import require
from smartpipe.container.headers import ZSTD

LARGE = 4096
LEAST_BYTES = 256
MOST_BYTES = 1 << 20  # of a dictionary
ENOUGH = 100  # times the size of the dictionary: more samples make it no better
LONGEST = 128 << 10  # of a sample: zstd looks at no more
ORDER = 0  # the random order in which blocks are looked at, the same each time


def train(
    src: str | os.PathLike[str], *, size: int = 112_640, select: Iterable[bytes] | None = None, **options: Any
) -> bytes:
    """Return a dictionary of at most `size` bytes, for `smartpipe.open(…, compress="zstd", dictionary=…)`.

    It holds what the blocks of the pipe `src` have in common, so that many small similar ones shrink: those of one
    site, or records of one kind. For pages of 40 KB and more it is of little use. Blocks are taken from everywhere in
    the pipe, as many as make 100 times the size; with `select`, a list of pair keys, only these pairs are looked at and
    count. `options` are those of `smartpipe.open` for reading. ValueError where the pipe has too little to learn from,
    EngineError without zstd.

    >>> import smartpipe
    >>> with smartpipe.open("small", "w") as pipe:
    ...     for number in range(1000):
    ...         pipe.write(b"%d" % number, {b"result": b'{"title": "page %d", "words": %d}' % (number, number * 7)})
    >>> dictionary = smartpipe.train("small", size=1000)
    >>> with smartpipe.open("smaller", "w", compress="zstd", dictionary=dictionary) as pipe:
    ...     pipe.write(b"1", {b"result": b'{"title": "page 1", "words": 7}'})
    """
    size = index(size)
    if not LEAST_BYTES <= size <= MOST_BYTES:
        raise ValueError(f"size is {size}, not from {LEAST_BYTES} to {MOST_BYTES}")
    require(ZSTD)
    if select is not None and not isinstance(select, (bytes, str)):
        select = list(select)
    samples: list[bytes] = []
    total = 0
    with smartpipe.open(src, **options) as reader:
        # Nothing tells beforehand how many bytes there are of some pairs: in a random order the first blocks are as
        # good as any, and one after another is taken until it is enough.
        for _, block in reader.items(select=select, shuffle=ORDER):
            pairs = list(block)
            if not pairs:
                continue
            for sample in (_head(pairs), *(value[:LONGEST] for _, value in pairs if len(value) >= LARGE)):
                samples.append(sample)
                total += len(sample)
            if total >= ENOUGH * size:
                break
    if select and not samples:
        keys = ", ".join(repr(bytes(key)) for key in select)
        raise ValueError(f"{os.fspath(src)}: no block has a pair with the key {keys}: there is nothing to train from")
    api = _libraries.api("zstd")
    try:
        content: bytes = api.train_dict(samples, size).dict_content
    except (api.ZstdError, ValueError) as error:
        raise ValueError(
            f"{os.fspath(src)}: {len(samples)} samples of {total} bytes are too little to train a dictionary of {size} "
            f"bytes: {error}"
        ) from error
    return content


def _head(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """What is compressed of the small pairs of a block. FORMAT.md, «The head»."""
    lengths = [*(len(key) for key, _ in pairs), *(len(value) for _, value in pairs)]
    small = [value for _, value in pairs if len(value) < LARGE]
    return b"".join([struct.pack(f"<{len(lengths)}I", *lengths), *(key for key, _ in pairs), *small])
