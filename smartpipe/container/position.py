"""A place in the sequence of blocks, to go on from another time."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"smartpipe:([0-9a-f]{16}):(\d{1,20}):(\d{1,20}):(\d{1,20})", re.ASCII)


class Position(int):
    """The number of the block that comes next, and what tells whether a pipe is still the one in which it was.

    It is an `int`, can be pickled, and `token` is the same as a short text, for a file of one's own. Both are a `start`
    of `Reader.items` and `follow`, for as long as the blocks before it are there: also when the pipe has grown.

    ``id`` is the file id, 0 in format 1; ``offset`` and ``stamp`` are those of the block before the position (in format
    1 the stamp is its uncompressed offset), 0 where there is none or it says nothing, as in a shuffled order.

    >>> Position(3, id=10, offset=96, stamp=5).token
    'smartpipe:000000000000000a:3:96:5'
    >>> Position.of_token("smartpipe:000000000000000a:3:96:5") + 1
    4
    """

    id: int
    offset: int
    stamp: int

    def __new__(cls, number: int, *, id: int = 0, offset: int = 0, stamp: int = 0) -> Position:
        position = super().__new__(cls, number)
        position.id = id
        position.offset = offset
        position.stamp = stamp
        return position

    @classmethod
    def of_token(cls, token: str) -> Position:
        """Return the position that has a token; ValueError where that is none."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise ValueError(f"{token[:80]!r} is no token of a position")
        return cls(int(found[2]), id=int(found[1], 16), offset=int(found[3]), stamp=int(found[4]))

    @property
    def token(self) -> str:
        """A text of some forty characters from which `items(start=)` goes on."""
        return f"smartpipe:{self.id:016x}:{int(self)}:{self.offset}:{self.stamp}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Position.of_token, (self.token,)
