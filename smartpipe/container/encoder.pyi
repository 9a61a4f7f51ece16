from collections.abc import Iterable, Mapping
from typing import TypeVar

from typing_extensions import Buffer, disjoint_base

_Key = TypeVar("_Key", bound=Buffer)

@disjoint_base
class Encoder:
    def __init__(self, limit: int, codec: int) -> None: ...
    @property
    def raw(self) -> int: ...
    @property
    def pairs(self) -> int: ...
    def fill(self, pairs: Mapping[_Key, Buffer] | Iterable[tuple[Buffer, Buffer]]) -> None: ...

@disjoint_base
class Encoder1(Encoder): ...

@disjoint_base
class Encoder2(Encoder): ...

@disjoint_base
class Encoders:
    def __init__(self, format: int, limit: int, codec: int) -> None: ...
