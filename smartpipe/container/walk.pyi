from typing_extensions import disjoint_base

from smartpipe.container.source import Source

@disjoint_base
class Walk:
    def __init__(self, source: Source, size: int) -> None: ...
    @property
    def source(self) -> Source: ...
    @property
    def size(self) -> int: ...
