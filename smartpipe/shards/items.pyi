from collections.abc import Callable, Iterator

from typing_extensions import disjoint_base

from smartpipe.container.items import Items
from smartpipe.container.layout import Layout
from smartpipe.container.readahead import Readahead

@disjoint_base
class LiveAhead(Readahead): ...

@disjoint_base
class StoreItems(Items):
    def __init__(
        self,
        parts: Iterator[tuple[Layout, list[int]]],
        stopped: Callable[[], object],
        select: frozenset[bytes] | None,
        handler: Callable[[Exception], object] | None,
        threads: int,
        readahead: int,
    ) -> None: ...
