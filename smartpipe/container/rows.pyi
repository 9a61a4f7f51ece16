from typing_extensions import disjoint_base

@disjoint_base
class Rows:
    @property
    def pairs(self) -> int: ...
    @property
    def raw(self) -> int: ...
