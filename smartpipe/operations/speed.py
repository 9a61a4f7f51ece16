"""How fast the engines are here."""

from __future__ import annotations

import argparse
import os
import pydoc
import tempfile
import time
from typing import Any, NamedTuple

import smartpipe

ENOUGH = 0.03  # seconds of writing or reading that a figure is taken from


class Speed(NamedTuple):
    """Bytes of values per second that were written to a pipe with a codec and level, and read from it again; and the
    stored bytes for each of them."""

    written: float
    read: float
    ratio: float


def sample() -> bytes:
    """Return a page: what pydoc says about some modules of the standard library."""
    text = "".join(pydoc.html.document(module, module.__name__) for module in (argparse, tempfile))
    return text.encode("utf-8", "surrogateescape")


def measure(compress: Any, level: int, page: bytes) -> Speed:
    """Write and read a pipe in a temporary folder for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pipe")
        count = 0
        with smartpipe.open(path, "x", compress=compress, level=level, durability="none") as pipe:
            pipe.write(b"first", {b"raw": page})  # which opens the engine
            begin = time.perf_counter()
            while count == 0 or time.perf_counter() - begin < ENOUGH:
                pipe.write(count.to_bytes(4, "big"), {b"raw": page})
                count += 1
            written = count * len(page) / (time.perf_counter() - begin)
        with smartpipe.open(path) as reader:
            stored = reader.stats()["data_bytes"] / ((count + 1) * len(page))
            reader[b"first"][b"raw"]
            size = 0
            begin = time.perf_counter()
            while size == 0 or time.perf_counter() - begin < ENOUGH / 2:
                size += sum(len(block[b"raw"]) for _, block in reader.items())
            return Speed(written, size / (time.perf_counter() - begin), stored)
