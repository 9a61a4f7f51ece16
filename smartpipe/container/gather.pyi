from collections.abc import Iterator
from typing import Final

from typing_extensions import disjoint_base

from smartpipe.container.block import Block
from smartpipe.container.pool import Stock

BATCH: Final[int]

@disjoint_base
class Wanted:
    def __init__(self, keys: frozenset[bytes]) -> None: ...

@disjoint_base
class Memory:
    def __init__(self, stocks: list[Stock]) -> None: ...
    @property
    def blocks(self) -> int: ...
    @property
    def pairs(self) -> int: ...

@disjoint_base
class Gatherer:
    def __init__(self, items: Iterator[tuple[bytes, Block]], limit: int, repeats: bool) -> None: ...
