"""Everything that a pipe gives to who reads it, and whether that is an answer that can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from container.pipes import Pairs

import smartpipe

Error = type[smartpipe.SmartPipeError]
Listed = list[tuple[bytes, Pairs] | Error]


class Seen(NamedTuple):
    """What came of reading a pipe. `error` is that of opening; the rest is empty then."""

    error: Error | None
    items: Listed
    keys: dict[bytes, Pairs | Error]
    metadata: dict[bytes, bytes] | Error

    @property
    def blocks(self) -> list[tuple[bytes, Pairs]]:
        """What items gave, without the errors."""
        return [block for block in self.items if isinstance(block, tuple)]


def look(path: str | Path, **options: int) -> Seen:
    """Read a pipe by items and by key. Anything but our errors comes out, and so do iterations without an end."""
    try:
        pipe = smartpipe.open(path, **options)
    except smartpipe.SmartPipeError as error:
        return Seen(type(error), [], {}, {})
    with pipe:
        items: Listed = []
        iterator = pipe.items()
        while True:
            try:
                key, block = next(iterator)
                items.append((key, list(block)))
            except StopIteration:
                break
            except smartpipe.SmartPipeError as error:
                items.append(type(error))
            assert len(items) <= len(pipe) + 1, "there is no end of items"
        by_key: dict[bytes, Pairs | Error] = {}
        for key in _keys(pipe):
            try:
                by_key[key] = list(pipe[key])
            except smartpipe.SmartPipeError as error:
                by_key[key] = type(error)
        try:
            metadata: dict[bytes, bytes] | Error = pipe.metadata
        except smartpipe.SmartPipeError as error:
            metadata = type(error)
        return Seen(None, items, by_key, metadata)


def _keys(pipe: smartpipe.Reader) -> Iterator[bytes]:
    try:
        yield from pipe
    except smartpipe.CorruptError:
        return  # the index could not be made anew with as many blocks; items said so too
