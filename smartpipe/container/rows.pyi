from typing_extensions import Buffer, disjoint_base

@disjoint_base
class Strings:
    def __init__(self, column: Buffer | tuple[Buffer, Buffer], what: str, data: bool = True) -> None: ...
    @property
    def count(self) -> int: ...

@disjoint_base
class Rows:
    @property
    def pairs(self) -> int: ...
    @property
    def raw(self) -> int: ...
