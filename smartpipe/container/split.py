"""A part of a pipe that another process can open."""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    """The blocks from number `start` to before `stop` of a pipe, for `smartpipe.open(split)`. It can be pickled."""

    path: str
    id: int
    start: int
    stop: int
