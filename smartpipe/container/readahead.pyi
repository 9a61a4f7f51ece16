from typing_extensions import disjoint_base

from smartpipe.container.layout import Layout

@disjoint_base
class Readahead:
    def __init__(
        self,
        layout: Layout,
        select: frozenset[bytes] | None,
        threads: int,
        most: int,
        ordered: bool,
        seed: int | None,
        first: int,
        start: int,
    ) -> None: ...
    def begin_anew(self) -> None: ...
