from collections.abc import Iterator

from typing_extensions import Self, disjoint_base

from smartpipe.container.block import Block

@disjoint_base
class Items(Iterator[tuple[bytes, Block]]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[bytes, Block]: ...
