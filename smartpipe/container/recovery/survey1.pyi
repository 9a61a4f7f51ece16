from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import disjoint_base

from smartpipe.container.block import Block
from smartpipe.container.source import Source

class Entry1(NamedTuple):
    at: int
    key: bytes
    offset: int
    raw_offset: int
    good: bool
    follows: bool

@disjoint_base
class Entries:
    def __init__(self, data: bytes, compressed: bool, end: int) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def gaps(self) -> list[tuple[int, int]]: ...
    @property
    def sound(self) -> bool: ...
    def torn_offset(self) -> int | None: ...
    def __iter__(self) -> Iterator[Entry1]: ...

@disjoint_base
class Survey1:
    def __init__(self, source: Source, compressed: bool) -> None: ...
    def block(self, key: bytes, offset: int, size: int, raw: int | None) -> Block: ...
