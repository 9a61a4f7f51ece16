from typing_extensions import disjoint_base

from smartpipe.container.index import Index
from smartpipe.container.source import Source

@disjoint_base
class Batch: ...

@disjoint_base
class Layout:
    @property
    def source(self) -> Source: ...
    @property
    def index(self) -> Index: ...
    @property
    def size(self) -> int: ...
    def close(self) -> None: ...
