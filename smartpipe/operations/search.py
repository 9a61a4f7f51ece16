"""grep: the values that a regular expression finds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import smartpipe
from smartpipe.operations.progress import Progress, reported


class Match(NamedTuple):
    """The first match in a line of a value."""

    block: bytes
    pair: bytes
    start: int
    """Where the match begins in the value, in bytes."""
    text: bytes
    """What matched."""
    line_start: int
    """Where the line that it begins in begins in the value."""
    line: bytes
    """The line, or the lines that the match lies in, without the last line end."""


def grep(
    pattern: str | bytes | re.Pattern[bytes],
    pipe: str | os.PathLike[str],
    key: bytes | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[Match]:
    """Search all values of a pipe, or those of the pair key `key`; yields one match for each line that has one.

    A str is encoded as UTF-8, and `^` and `$` stand for the ends of a line. ValueError when `pattern` is no
    regular expression. `options` are those of `smartpipe.open`.

    >>> import smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a", {b"log": b"get\\nerror 500\\n", b"raw": b"no error"})
    >>> for match in smartpipe.grep(r"error \\d+", "crawl", key=b"log"):
    ...     print(match.block, match.start, match.line)
    b'https://a' 4 b'error 500'
    """
    if isinstance(pattern, re.Pattern):
        if isinstance(pattern.pattern, str):
            raise TypeError(
                f"values are bytes: compile the regular expression from bytes, not from {pattern.pattern!r}"
            )
        compiled = pattern
    else:
        try:
            compiled = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.MULTILINE)
        except re.error as error:
            raise ValueError(f"not a regular expression: {pattern!r}: {error}") from None
    return _matches(compiled, pipe, key, progress, options)


def _matches(
    pattern: re.Pattern[bytes],
    pipe: str | os.PathLike[str],
    key: bytes | None,
    progress: Progress | None,
    options: dict[str, Any],
) -> Iterator[Match]:
    with smartpipe.open(pipe, **options) as reader:
        blocks = reader.items(select=None if key is None else [key])
        for name, block in reported(blocks, len(reader), progress):
            for pair, value in block:
                for match, begin, end in _lines(pattern, value):
                    yield Match(name, pair, match.start(), match.group(), begin, value[begin:end])


def _lines(pattern: re.Pattern[bytes], value: bytes) -> Iterator[tuple[re.Match[bytes], int, int]]:
    """Yield (match, begin of its line, end of its line)."""
    position = 0
    # The place behind a last line end begins no line, unless the value is empty.
    while position == 0 or position < len(value):
        match = pattern.search(value, position)
        if match is None or (match.start() == len(value) and value.endswith(b"\n")):
            return
        begin = value.rfind(b"\n", 0, match.start()) + 1
        # A match that took its line end along ends its line there.
        last = max(match.end() - 1, match.start())
        end = value.find(b"\n", last)
        if end < 0:
            end = len(value)
        yield match, begin, end
        position = end + 1
