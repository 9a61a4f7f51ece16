from typing_extensions import disjoint_base

from smartpipe.container.layout import Layout

@disjoint_base
class Scattered:
    def __init__(self, layout: Layout, found: list[tuple[int, bytes]]) -> None: ...
