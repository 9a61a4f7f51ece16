from typing_extensions import disjoint_base

from smartpipe.container.layout import Layout

@disjoint_base
class Scattered:
    def __init__(self, layout: Layout, numbers: list[int]) -> None: ...
