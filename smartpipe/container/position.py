"""A place in the sequence of blocks, to go on from another time."""

from __future__ import annotations

import re

_NUMBER = r"(\d{1,20})"
_TOKEN = re.compile(
    rf"smartpipe:([0-9a-f]{{16}}):{_NUMBER}:{_NUMBER}:{_NUMBER}(?::{_NUMBER}(?::{_NUMBER}:{_NUMBER})?)?", re.ASCII
)


class Position(int):
    """The number of the block that comes next, and what tells whether a pipe is still the one in which it was.

    It is an `int`, can be pickled, and `token` is the same as a short text, for a file of one's own. Both are a `start`
    of `Reader.items` and `follow`, for as long as the blocks before it are there: also when the pipe has grown.

    ``id`` is the file id, 0 in format 1; ``offset`` and ``stamp`` are those of the block before the position (in format
    1 the stamp is its uncompressed offset), 0 where there is none or it says nothing, as in a shuffled order. ``first``
    is the number of the first block of the `Split` in which it is a place, 0 in a whole pipe. In a shuffled order
    ``seed`` gives that, and ``blocks`` is how many it has; elsewhere they are None and 0.

    >>> Position(3, id=10, offset=96, stamp=5).token
    'smartpipe:000000000000000a:3:96:5'
    >>> Position.of_token("smartpipe:000000000000000a:3:96:5") + 1
    4
    >>> Position(3, id=10, first=100, seed=7, blocks=50).token
    'smartpipe:000000000000000a:3:0:0:100:7:50'
    """

    id: int
    offset: int
    stamp: int
    first: int
    seed: int | None
    blocks: int

    def __new__(
        cls,
        number: int,
        *,
        id: int = 0,
        offset: int = 0,
        stamp: int = 0,
        first: int = 0,
        seed: int | None = None,
        blocks: int = 0,
    ) -> Position:
        position = super().__new__(cls, number)
        position.id = id
        position.offset = offset
        position.stamp = stamp
        position.first = first
        position.seed = seed
        position.blocks = blocks
        return position

    @classmethod
    def of_token(cls, token: str) -> Position:
        """Return the position that has a token; ValueError where that is none."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise ValueError(f"{token[:80]!r} is no token of a position")
        number, offset, stamp, first, blocks = (int(found[group] or 0) for group in (2, 3, 4, 5, 7))
        seed = None if found[6] is None else int(found[6])
        return cls(number, id=int(found[1], 16), offset=offset, stamp=stamp, first=first, seed=seed, blocks=blocks)

    @property
    def token(self) -> str:
        """A text of some forty characters from which `items(start=)` goes on."""
        token = f"smartpipe:{self.id:016x}:{int(self)}:{self.offset}:{self.stamp}"
        if self.first > 0 or self.seed is not None:
            token += f":{self.first}"
        return token if self.seed is None else f"{token}:{self.seed}:{self.blocks}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Position.of_token, (self.token,)
